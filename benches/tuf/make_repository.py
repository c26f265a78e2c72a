#!/usr/bin/env python3
"""Makes a TUF repository to measure clients with; the same arguments give the same bytes. Needs `cryptography`.

make_repository.py FOLDER TARGETS [flat|prefix|succinct] [PATHS]

FOLDER gets root.json, metadata/, targets/ with one target, and its name in `sample`. `prefix` and `succinct` put the
targets into 16,384 hash bins; PATHS is how many in-toto paths each target lists in `custom`.
"""

import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

BITS = 14


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical(value) -> bytes:
    """Canonical JSON, of values without a character that JSON escapes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Key:
    def __init__(self, name: str):
        self.private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        public = self.private.public_key().public_bytes_raw().hex()
        self.object = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}
        self.id = sha256(canonical(self.object))
        self.role = {"keyids": [self.id], "threshold": 1}

    def file(self, kind: str, **members) -> bytes:
        common = {"_type": kind, "spec_version": "1.0.34", "version": 1, "expires": "2036-01-01T00:00:00Z"}
        signed = canonical(common | members)
        signatures = [{"keyid": self.id, "sig": self.private.sign(signed).hex()}]
        return b'{"signatures":' + canonical(signatures) + b',"signed":' + signed + b"}"


def main(folder: str, count: str, shape: str = "flat", paths: str = "0") -> None:
    metadata, targets = (pathlib.Path(folder) / name for name in ("metadata", "targets"))
    metadata.mkdir(parents=True)
    roles = {name: Key(name) for name in ("root", "timestamp", "snapshot", "targets")}
    bin_key = Key("bin")
    width = BITS // 4 + (BITS % 4 > 0)
    listed = [{} for _ in range(1 << BITS)] if shape != "flat" else [{}]
    for index in range(int(count)):
        body = f"target {index}\n".encode()
        digest = sha256(f"image {index}".encode())
        path = f"images/app-{index:06}/sha256-{digest}.json"
        target = {"length": len(body), "hashes": {"sha256": sha256(body)}}
        if int(paths):
            names = ["root.layout"] + [f"step-{n}.{digest[8 * n : 8 * n + 8]}.link" for n in range(1, int(paths))]
            target["custom"] = {"in-toto": [f"in-toto-metadata/{digest[:16]}/{name}" for name in names]}
        number = int(sha256(path.encode())[:8], 16) >> (32 - BITS) if shape != "flat" else 0
        listed[number][path] = target
        if index == int(count) // 2:
            file = targets / path
            file.parent.mkdir(parents=True)
            file.with_name(f"{sha256(body)}.{file.name}").write_bytes(body)
            (pathlib.Path(folder) / "sample").write_text(path)
    bins = {f"bin-{number:0{width}x}": of for number, of in enumerate(listed)} if shape != "flat" else {}
    top = {"targets": {} if bins else listed[0]}
    if shape == "succinct":
        succinct = bin_key.role | {"bit_length": BITS, "name_prefix": "bin"}
        top["delegations"] = {"keys": {bin_key.id: bin_key.object}, "succinct_roles": succinct}
    elif shape == "prefix":
        each = 1 << (4 * width - BITS)
        top["delegations"] = {
            "keys": {bin_key.id: bin_key.object},
            "roles": [
                bin_key.role
                | {
                    "name": name,
                    "terminating": True,
                    "path_hash_prefixes": [f"{number * each + n:0{width}x}" for n in range(each)],
                }
                for number, name in enumerate(bins)
            ],
        }
    for name, of in bins.items():
        (metadata / f"1.{name}.json").write_bytes(bin_key.file("targets", targets=of))
    (metadata / "1.targets.json").write_bytes(roles["targets"].file("targets", **top))
    meta = {f"{name}.json": {"version": 1} for name in ("targets", *bins)}
    (metadata / "1.snapshot.json").write_bytes(roles["snapshot"].file("snapshot", meta=meta))
    timestamp = roles["timestamp"].file("timestamp", meta={"snapshot.json": {"version": 1}})
    (metadata / "timestamp.json").write_bytes(timestamp)
    root = roles["root"].file(
        "root",
        consistent_snapshot=True,
        keys={key.id: key.object for key in roles.values()},
        roles={name: key.role for name, key in roles.items()},
    )
    (metadata / "1.root.json").write_bytes(root)
    (pathlib.Path(folder) / "root.json").write_bytes(root)


if __name__ == "__main__":
    main(*sys.argv[1:])
