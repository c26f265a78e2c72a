"""Publishes one image with the reference implementations alone: python-tuf's metadata API, in-toto-run, in-toto-record
and in-toto's layout model.

    make_repository.py OUT [--delegation bins|succinct|paths|nested] [--scheme ed25519|ecdsa|rsa] [--dsse] [--keys DIR]

DIR gets the private keys of the repository. OUT gets metadata/ and targets/ (consistent snapshots), root.json (the root of trust) and image.json: the image's
reference, canonical name and digest, and the target path of its layout.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.parse

from cryptography.hazmat.primitives import serialization
from in_toto.models.layout import Layout, Step
from in_toto.models.metadata import Envelope, Metablock
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

NAME = "registry.example/team/app"
LAYOUT = f"layouts/{NAME}/root.layout"
CONFIG = b'{"architecture":"amd64","os":"linux"}'
LAYER = b"not really a layer"


def descriptor(media_type: str, content: bytes) -> dict:
    digest = hashlib.sha256(content).hexdigest()
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", CONFIG),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", LAYER)],
    }
).encode()


class Maker:
    def __init__(self, out: pathlib.Path, scheme: str, dsse: bool):
        self.out = out
        self.new_key = getattr(CryptoSigner, f"generate_{scheme}")
        self.dsse = dsse
        self.now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)

    def in_days(self, days: int) -> datetime.datetime:
        return self.now + datetime.timedelta(days=days)

    # in-toto

    def evidence(self) -> dict:
        """Makes layout and links; returns their bytes and the PEM of the layout's key."""
        owner, builder, tester = self.new_key(), self.new_key(), self.new_key()
        build = Step(name="build", pubkeys=[builder.public_key.keyid])
        build.expected_materials = [["ALLOW", "main.c"], ["DISALLOW", "*"]]
        build.expected_products = [["CREATE", NAME], ["ALLOW", "main.c"], ["DISALLOW", "*"]]
        test = Step(name="test", pubkeys=[tester.public_key.keyid])
        test.expected_materials = [["MATCH", NAME, "WITH", "PRODUCTS", "FROM", "build"], ["DISALLOW", "*"]]
        test.expected_products = [["MATCH", NAME, "WITH", "PRODUCTS", "FROM", "build"], ["DISALLOW", "*"]]
        layout = Layout(
            expires=self.in_days(30).strftime("%Y-%m-%dT%H:%M:%SZ"),
            keys={key.public_key.keyid: {"keyid": key.public_key.keyid, **key.public_key.to_dict()} for key in (builder, tester)},
            steps=[build, test],
        )
        signed = Envelope.from_signable(layout) if self.dsse else Metablock(signed=layout)
        signed.create_signature(owner)
        with tempfile.TemporaryDirectory() as temp:
            temp = pathlib.Path(temp)
            signed.dump(str(temp / "root.layout"))
            result = {"layout": (temp / "root.layout").read_bytes(), "links": {}}
            work = temp / "work"
            work.joinpath(NAME).parent.mkdir(parents=True)
            work.joinpath("main.c").write_text("int main() {}")
            temp.joinpath("manifest").write_bytes(MANIFEST)
            for name, signer in (("builder", builder), ("tester", tester)):
                temp.joinpath(name).write_bytes(private_pem(signer))
            self.run(work, "in-toto-run", "-n", "build", "--signing-key", "../builder", "-m", "main.c",
                     "-p", NAME, "main.c", "--", "cp", "../manifest", NAME)
            self.run(work, "in-toto-record", "start", "-n", "test", "--signing-key", "../tester", "-m", NAME)
            self.run(work, "in-toto-record", "stop", "-n", "test", "--signing-key", "../tester", "-p", NAME)
            for link in work.glob("*.link"):
                result["links"][link.name] = link.read_bytes()
        assert len(result["links"]) == 2, result["links"].keys()
        result["key"] = public_pem(owner)
        return result

    def run(self, folder: pathlib.Path, tool: str, *args: str) -> None:
        tool = str(pathlib.Path(sys.executable).with_name(tool))
        flags = ["--use-dsse"] if self.dsse else []
        args = [args[0], *flags, *args[1:]] if args[0] in ("start", "stop") else [*flags, *args]
        subprocess.run([tool, *args], cwd=folder, check=True, stdout=subprocess.DEVNULL)

    # TUF

    def target(self, role: Targets, path: str, content: bytes, custom: dict | None = None) -> None:
        entry = TargetFile.from_data(path, content, ["sha256", "sha512"])
        if custom:
            entry.unrecognized_fields["custom"] = custom
        role.targets[path] = entry
        folder, name = os.path.split(path)
        for digest in entry.hashes.values():
            file = self.out / "targets" / folder / f"{digest}.{name}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def write(self, name: str, metadata: Metadata, signers: list) -> None:
        for signer in signers:
            metadata.sign(signer, append=True)
        version = "" if name == "timestamp" else f"{metadata.signed.version}."
        metadata.to_file(str(self.out / "metadata" / f"{version}{urllib.parse.quote(name, safe='')}.json"))

    def publish(self, shape: str) -> None:
        (self.out / "metadata").mkdir(parents=True)
        evidence = self.evidence()
        digest = hashlib.sha256(MANIFEST).hexdigest()
        image = f"{NAME}@sha256:{digest}"
        links = {f"in-toto-metadata/{digest}/{name}": content for name, content in evidence["links"].items()}
        listed = {"in-toto": [LAYOUT, *links]}
        files = [(image, MANIFEST, listed), (f"{NAME}:1.4", MANIFEST, listed)]
        files += [(path, content, None) for path, content in links.items()]

        roots = [self.new_key() for _ in range(3)]
        offline, online, images = self.new_key(), self.new_key(), self.new_key()
        self.kept = [*roots, offline, online, images]
        root = Root(expires=self.in_days(365))
        for key in roots:
            root.add_key(key.public_key, "root")
        root.roles["root"].threshold = 2
        root.add_key(offline.public_key, "targets")
        root.add_key(online.public_key, "snapshot")
        root.add_key(online.public_key, "timestamp")

        targets = Targets(expires=self.in_days(365))
        key_path = "in-toto-pubkeys/owner.pub"
        self.target(targets, key_path, evidence["key"])
        self.target(targets, LAYOUT, evidence["layout"], {"in-toto": [key_path], "images": [NAME]})
        snapshot = Snapshot(expires=self.in_days(7))
        for name, role, signers in self.delegate(shape, targets, offline, images, files):
            self.write(name, Metadata(role), signers)
            snapshot.meta[f"{name}.json"] = MetaFile(role.version)
        snapshot.meta["targets.json"] = MetaFile(targets.version)
        timestamp = Timestamp(expires=self.in_days(1))
        self.write("root", Metadata(root), roots[:2])
        self.write("targets", Metadata(targets), [offline])
        self.write("snapshot", Metadata(snapshot), [online])
        self.write("timestamp", Metadata(timestamp), [online])

        self.out.joinpath("root.json").write_bytes(self.out.joinpath("metadata/1.root.json").read_bytes())
        about = {"reference": f"{NAME}@sha256:{digest}", "repository": NAME, "sha256": digest, "layout": LAYOUT}
        self.out.joinpath("image.json").write_text(json.dumps(about, indent=1))

    def delegate(self, shape: str, targets: Targets, offline, images, files) -> list:
        """Delegates to the online key, lists the files there and returns the roles with their signers."""
        keyid, key = images.public_key.keyid, images.public_key
        every = [f"{digit:x}" for digit in range(16)]
        if shape == "succinct":
            targets.delegations = Delegations({keyid: key}, succinct_roles=SuccinctRoles([keyid], 1, 4, "bin"))
            bins = {name: Targets(expires=self.in_days(14)) for name in targets.delegations.succinct_roles.get_roles()}
            for path, content, custom in files:
                self.target(bins[targets.delegations.succinct_roles.get_role_for_target(path)], path, content, custom)
            return [(name, role, [images]) for name, role in bins.items()]
        if shape == "bins":
            names = [f"bin-{digit}" for digit in every]
            targets.delegations = Delegations(
                {keyid: key},
                {name: DelegatedRole(name, [keyid], 1, True, None, [digit]) for name, digit in zip(names, every)},
            )
            bins = {name: Targets(expires=self.in_days(14)) for name in names}
            for path, content, custom in files:
                name = f"bin-{hashlib.sha256(path.encode()).hexdigest()[0]}"
                self.target(bins[name], path, content, custom)
            return [(name, role, [images]) for name, role in bins.items()]
        # `*` stops at `/`: a pattern for each depth.
        patterns = ["in-toto-metadata/*/*.link", "registry.example/team/*"]
        online = Targets(expires=self.in_days(14))
        for path, content, custom in files:
            self.target(online, path, content, custom)
        leaf = Delegations({keyid: key}, {"images": DelegatedRole("images", [keyid], 1, False, patterns)})
        if shape == "paths":
            targets.delegations = leaf
            return [("images", online, [images])]
        # nested: an offline role in between, and an unrelated role asked before it.
        other = Targets(expires=self.in_days(14))
        self.target(other, "registry.example/other/app:1", b"{}")
        team = Targets(expires=self.in_days(365))
        team.delegations = leaf
        targets.delegations = Delegations(
            {keyid: key, offline.public_key.keyid: offline.public_key},
            {
                "other": DelegatedRole("other", [keyid], 1, True, ["registry.example/other/*"]),
                "team/a": DelegatedRole("team/a", [offline.public_key.keyid], 1, True, patterns),
            },
        )
        return [("other", other, [images]), ("team/a", team, [offline]), ("images", online, [images])]


def private_pem(signer: CryptoSigner) -> bytes:
    return signer._private_key.private_bytes(  # noqa: SLF001: securesystemslib has no public way to write one
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(signer: CryptoSigner) -> bytes:
    return signer._private_key.public_key().public_bytes(  # noqa: SLF001
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--delegation", choices=["bins", "succinct", "paths", "nested"], default="bins")
    parser.add_argument("--scheme", choices=["ed25519", "ecdsa", "rsa"], default="ed25519")
    parser.add_argument("--dsse", action="store_true")
    parser.add_argument("--keys", type=pathlib.Path)
    args = parser.parse_args()
    maker = Maker(args.out, args.scheme, args.dsse)
    maker.publish(args.delegation)
    if args.keys:
        args.keys.mkdir(parents=True)
        for number, key in enumerate(maker.kept):
            (args.keys / f"key-{number}.pem").write_bytes(private_pem(key))


if __name__ == "__main__":
    main()
