#!/usr/bin/env python3
"""Makes a supply chain with in-toto in Python, to be verified by every implementation.

make_chain.py FOLDER ENVELOPE SCHEME ARTIFACTS [STEPS]

ENVELOPE is metablock or dsse, SCHEME ed25519 or rsa. Each of the five steps has a functionary of its own, ARTIFACTS
materials, which are the products of the step before, and as many products. In the folder: root.layout, the links,
owner.pub (PEM) and owner.json (the key object).
"""

import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from in_toto.models.layout import Layout, Step
from in_toto.models.link import Link
from in_toto.models.metadata import Envelope, Metablock
from securesystemslib.signer import CryptoSigner


def signer(scheme):
    if scheme == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    return key.public_key(), CryptoSigner(key)


def key_object(signer):
    """As the layouts of in-toto write keys, readable by the Go implementation too."""
    key = signer.public_key.to_dict()
    return {**key, "keyid": signer.public_key.keyid, "keyid_hash_algorithms": ["sha256", "sha512"]}


def write(path, payload, envelope, signer):
    if envelope == "dsse":
        metadata = Envelope.from_signable(payload)
    else:
        metadata = Metablock(signed=payload, compact_json=True)
    metadata.create_signature(signer)
    metadata.dump(str(path))


def artifacts(step, count):
    return {f"src/package-{n % 100:02}/module-{n:06}.py": {"sha256": f"{step * 10_000_000 + n:064x}"} for n in range(count)}


def main(folder, envelope, scheme, count, steps=5):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    owner_key, owner = signer(scheme)
    layout = Layout()
    layout.expires = "2099-12-31T00:00:00Z"
    before = {}
    for number in range(steps):
        name = f"step-{number}"
        _, functionary = signer(scheme)
        keyid = functionary.public_key.keyid
        layout.keys[keyid] = key_object(functionary)
        step = Step(name=name, pubkeys=[keyid], threshold=1)
        if number:
            step.expected_materials = [["MATCH", "*", "WITH", "PRODUCTS", "FROM", f"step-{number - 1}"], ["DISALLOW", "*"]]
        step.expected_products = [["MODIFY", "src/*"] if number else ["CREATE", "src/*"], ["DISALLOW", "*"]]
        layout.steps.append(step)
        products = artifacts(number + 1, count)
        link = Link(name=name, materials=before, products=products)
        write(folder / f"{name}.{keyid[:8]}.link", link, envelope, functionary)
        before = products
    write(folder / "root.layout", layout, envelope, owner)
    (folder / "owner.pub").write_bytes(owner_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (folder / "owner.json").write_text(json.dumps(key_object(owner)))


if __name__ == "__main__":
    folder, envelope, scheme, *counts = sys.argv[1:]
    main(folder, envelope, scheme, *map(int, counts))
