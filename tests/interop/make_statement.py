"""Makes evidence of one step as a CI makes it that knows no links: a layout by in-toto, and a Statement by
in-toto-attestation, signed as DSSE by securesystemslib or as cosign does it.

    make_statement.py OUT NAME MANIFEST [--predicate link|slsa-0.2|slsa-1] [--scheme ed25519|ecdsa|rsa] [--signer sslib|cosign|bundle]

OUT gets root.layout, owner.pub and provenance.intoto.jsonl.
"""

import argparse
import base64
import datetime
import hashlib
import json
import pathlib

from cryptography.hazmat.primitives import serialization
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from in_toto.models.layout import Layout, Step
from in_toto.models.metadata import Metablock
from in_toto_attestation.predicates.link.v0 import link_pb2
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

PAYLOAD_TYPE = "application/vnd.in-toto+json"
SOURCE = "git+https://git.example/team/app@refs/tags/v1.4"
COMMIT = "c27d339ee6075c1f744c5d4b200f7901aad2c369"


def predicate_of(kind: str) -> tuple[str, dict]:
    if kind == "link":
        link = link_pb2.Link(name="build", command=["make"])
        link.materials.add(name=SOURCE, digest={"gitCommit": COMMIT})
        return "https://in-toto.io/attestation/link/v0.3", json_format.MessageToDict(link)
    if kind == "slsa-0.2":
        predicate = {"builder": {"id": "https://ci.example/runner"}, "buildType": "https://ci.example/v1",
                     "materials": [{"uri": SOURCE, "digest": {"sha1": COMMIT}}]}
        return "https://slsa.dev/provenance/v0.2", predicate
    provenance = provenance_pb2.Provenance()
    definition = provenance.build_definition
    definition.build_type = "https://ci.example/v1"
    definition.external_parameters.update({"ref": "refs/tags/v1.4", "timeout": 1.5})
    definition.resolved_dependencies.add(uri=SOURCE, digest={"gitCommit": COMMIT})
    provenance.run_details.builder.id = "https://ci.example/runner"
    return "https://slsa.dev/provenance/v1", json_format.MessageToDict(provenance)


def statement(kind: str, name: str, digest: str) -> bytes:
    predicate_type, predicate = predicate_of(kind)
    subject = ResourceDescriptor(name=name, digest={"sha256": digest})
    subject.validate()
    members = Struct()
    members.update(predicate)
    made = Statement([subject.pb], predicate_type, members)
    made.validate()
    document = json_format.MessageToDict(made.pb)
    if kind == "slsa-0.2":
        document["_type"] = "https://in-toto.io/Statement/v0.1"
    return json.dumps(document).encode()


def sealed(payload: bytes, key: CryptoSigner, signer: str) -> dict:
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    signature = envelope.sign(key)
    if signer == "sslib":
        return envelope.to_dict()
    # cosign leaves the key id empty.
    sig = base64.b64encode(bytes.fromhex(signature.signature)).decode()
    document = {"payloadType": PAYLOAD_TYPE, "payload": base64.b64encode(payload).decode(),
                "signatures": [{"keyid": "", "sig": sig}]}
    if signer == "cosign":
        return document
    material = {"publicKey": {"hint": "ci"}, "tlogEntries": [], "timestampVerificationData": {}}
    return {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": material,
            "dsseEnvelope": document}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("name")
    parser.add_argument("manifest", type=pathlib.Path)
    parser.add_argument("--predicate", choices=["link", "slsa-0.2", "slsa-1"], default="slsa-1")
    parser.add_argument("--scheme", choices=["ed25519", "ecdsa", "rsa"], default="ed25519")
    parser.add_argument("--signer", choices=["sslib", "cosign", "bundle"], default="sslib")
    args = parser.parse_args()
    owner, ci = CryptoSigner.generate_ed25519(), getattr(CryptoSigner, f"generate_{args.scheme}")()
    build = Step(name="build", pubkeys=[ci.public_key.keyid])
    build.expected_materials = [["ALLOW", "git+https://git.example/team/app@*"], ["DISALLOW", "*"]]
    build.expected_products = [["CREATE", args.name], ["DISALLOW", "*"]]
    expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=30)
    layout = Layout(
        expires=expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        keys={ci.public_key.keyid: {"keyid": ci.public_key.keyid, **ci.public_key.to_dict()}},
        steps=[build],
    )
    args.out.mkdir(parents=True, exist_ok=True)
    signed = Metablock(signed=layout)
    signed.create_signature(owner)
    signed.dump(str(args.out / "root.layout"))
    public = owner._private_key.public_key()  # noqa: SLF001: securesystemslib has no public way to write one
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (args.out / "owner.pub").write_bytes(public.public_bytes(encoding, form))
    digest = hashlib.sha256(args.manifest.read_bytes()).hexdigest()
    document = sealed(statement(args.predicate, args.name, digest), ci, args.signer)
    (args.out / "provenance.intoto.jsonl").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
