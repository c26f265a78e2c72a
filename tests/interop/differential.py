"""Random supply chains, judged by in-toto in Python and by `pratique in-toto verify`.

    differential.py PROGRAM [--seconds N | --cases N] [--seed N] [--keep DIR]

Each case is a layout with up to four steps, rules, functionaries, links and sublayouts, in either envelope, mostly right and
now and then with something odd in it. A difference is explained if the program refuses by a code that stands beside one of
the oddities that were put into the case (`STRICTER`); it never may accept what the reference refuses. Prints counts; exits
1 at the first difference that is not explained, and keeps the case in DIR.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from in_toto.models.layout import Inspection, Layout, Step
from in_toto.models.link import Link
from in_toto.models.metadata import Envelope, Metablock, Metadata
from in_toto.verifylib import in_toto_verify
from securesystemslib.signer import CryptoSigner

# What the program refuses on purpose where the reference does not, by what was put into the case.
STRICTER = {
    "unclean name": {"in-toto/unclean-artifact"},
    "other step's link": {"in-toto/step-name-mismatch"},
    "one of two differs": {"in-toto/link-disagreement"},
    "threshold beyond": {"in-toto/malformed"},
    "alias": {"in-toto/threshold-not-met", "in-toto/malformed"},
    "odd digest": {"in-toto/malformed", "in-toto/disallowed-artifact", "in-toto/required-artifact-missing"},
    "parameter": {"in-toto/parameter"},
}

ODDITIES = [
    *STRICTER, "damaged", "other owner", "expired", "no link", "other signer", "sublayout", "sublayout", "sublayout",
]
NAMES = ["a", "b", "foo", "foo.py", "src/a", "src/b.py", "src/lib/a", "dist/a", "dist/foo.tar", "é", "A", "[x]", "a b"]
UNCLEAN = ["./a", "src//a", "a/", "src/../a", "", "//a"]
PATTERNS = NAMES + ["*", "*", "*", "src/*", "*/a", "?", "foo*", "*.py", "[a-b]", "[!a]", "[a-", "s*/[!b]*", "**", "{p}*"]
PREFIXES = ["src", "dist", "src/", "src/lib", "x"]
CONTENTS = ["1" * 64, "2" * 64, "3" * 64]


def make_keys():
    yield from (CryptoSigner(ed25519.Ed25519PrivateKey.generate()) for _ in range(6))
    yield from (CryptoSigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    yield from (CryptoSigner(rsa.generate_private_key(public_exponent=65537, key_size=2048)) for _ in range(2))


def key_object(signer):
    return {"keyid": signer.public_key.keyid, **signer.public_key.to_dict()}


class Case:
    """One supply chain in a folder."""

    def __init__(self, rng, keys, folder):
        self.rng, self.keys, self.folder = rng, keys, folder
        self.odd = set()
        # At most one kind a case, so that one check does not hide the others.
        self.wanted = rng.choice(ODDITIES) if rng.random() < 0.25 else None
        self.parameters = rng.choice([None, {"p": "foo"}, {"p": "s", "q": "unused"}])
        if self.wants("parameter"):
            self.parameters = {}
        self.owners = rng.sample(keys, rng.choice([1, 1, 2]))
        self.links = folder / "links"
        self.links.mkdir()
        layout = self.layout(self.links, depth=0)
        signers = self.owners
        if self.wants("other owner"):
            signers = rng.sample(keys, 1)
        self.write(folder / "root.layout", layout, signers)
        for number, owner in enumerate(self.owners):
            (folder / f"owner-{number}.json").write_text(json.dumps(key_object(owner)))

    def wants(self, oddity):
        return self.wanted == oddity and self.chance(0.3)

    def chance(self, probability):
        return self.rng.random() < probability

    def write(self, path, payload, signers):
        metadata = Envelope.from_signable(payload) if self.chance(0.5) else Metablock(signed=payload)
        for signer in signers:
            metadata.create_signature(signer)
        metadata.dump(str(path))
        if self.wants("damaged"):
            self.damage(path)

    def damage(self, path):
        text = path.read_text()
        at = self.rng.randrange(len(text))
        with contextlib.suppress(ValueError):
            changed = text[:at] + self.rng.choice("0a\"}x ") + text[at + 1 :]
            # What is no JSON is refused by both and tells nothing; what is ambiguous JSON is a matter of other tests.
            json.loads(changed, object_pairs_hook=unambiguous)
            path.write_text(changed)
            self.odd.add("damaged")

    def artifacts(self, other):
        names = {name: self.rng.choice(CONTENTS) for name in self.rng.sample(NAMES, self.rng.randrange(5))}
        for name, content in other.items():
            if self.chance(0.6):
                names[name] = content if self.chance(0.85) else self.rng.choice(CONTENTS)
            if self.chance(0.2):
                names[f"src/{name}" if self.chance(0.5) else name.removeprefix("src/")] = content
        if self.wants("unclean name"):
            self.odd.add("unclean name")
            names[self.rng.choice(UNCLEAN)] = CONTENTS[0]
        return names

    def hashed(self, names):
        hashed = {name: {"sha256": content} for name, content in names.items()}
        if hashed and self.wants("odd digest"):
            self.odd.add("odd digest")
            hashed[self.rng.choice(list(hashed))] = self.rng.choice([{}, {"md5": "00"}, {"sha256": CONTENTS[0].upper()}])
        return hashed

    def rule(self, steps):
        pattern = self.rng.choice(PATTERNS)
        kind = self.rng.choice(["CREATE", "DELETE", "MODIFY", "ALLOW", "ALLOW", "MATCH", "MATCH", "MATCH"])
        # Only these two can refuse, and where all is refused nothing is compared.
        if self.chance(0.06):
            kind = self.rng.choice(["DISALLOW", "REQUIRE"])
        if kind == "REQUIRE":
            return [kind, self.rng.choice(NAMES)]
        if kind == "DISALLOW" and self.chance(0.5):
            return [kind, self.rng.choice(NAMES)]
        if kind != "MATCH":
            return [kind if self.chance(0.9) else kind.lower(), pattern]
        source = ["IN", self.rng.choice(PREFIXES)] if self.chance(0.25) else []
        destination = ["IN", self.rng.choice(PREFIXES)] if self.chance(0.25) else []
        side = self.rng.choice(["MATERIALS", "PRODUCTS", "PRODUCTS"])
        step = self.rng.choice(steps) if self.chance(0.95) else "nowhere"
        return [kind, pattern, *source, "WITH", side, *destination, "FROM", step]

    def rules(self, steps):
        rules = [self.rule(steps) for _ in range(self.rng.randrange(5))]
        if self.chance(0.6):
            return rules
        narrow = [["ALLOW", name] for name in self.rng.sample(NAMES, 9)]
        return rules + (narrow if self.chance(0.7) else []) + [["DISALLOW", self.rng.choice(["*", "*", "src/*", "*a"])]]

    def layout(self, links, depth):
        rng = self.rng
        layout = Layout()
        layout.expires = "2099-12-31T00:00:00Z" if not self.wants("expired") else "2020-01-01T00:00:00Z"
        names = [f"step{number}" for number in range(rng.randrange(1, 5 - depth))]
        before = {}
        for name in names:
            functionaries = rng.sample(self.keys, rng.choice([1, 1, 2, 3]))
            threshold = rng.choice([1, 1, len(functionaries)])
            if self.wants("threshold beyond"):
                self.odd.add("threshold beyond")
                threshold = rng.choice([0, len(functionaries) + 1])
            for functionary in functionaries:
                layout.keys[functionary.public_key.keyid] = key_object(functionary)
            step = Step(
                name=name,
                pubkeys=[functionary.public_key.keyid for functionary in functionaries],
                threshold=threshold,
                expected_materials=self.rules(names),
                expected_products=self.rules(names),
                expected_command=rng.choice([[], ["make"]]),
            )
            if self.wants("alias"):
                self.odd.add("alias")
                alias = "f" * 8 + functionaries[0].public_key.keyid[8:]
                layout.keys[alias] = {**key_object(functionaries[0]), "keyid": alias}
                step.pubkeys.append(alias)
            layout.steps.append(step)
            materials, products = self.artifacts(before), None
            products = self.artifacts(materials)
            before = products
            recorded = self.hashed(materials), self.hashed(products)
            for number, functionary in enumerate(functionaries):
                if self.wants("no link"):
                    continue
                self.step(links, name, functionary, recorded, number, len(functionaries), depth)
        return layout

    def step(self, links, name, functionary, recorded, number, of, depth):
        rng = self.rng
        keyid = functionary.public_key.keyid
        path = links / f"{name}.{keyid[:8]}.link"
        if depth == 0 and self.wants("sublayout"):
            inner = links / f"{name}.{keyid[:8]}"
            inner.mkdir(exist_ok=True)
            if of > 1:
                self.odd.add("one of two differs")
            self.write(path, self.layout(inner, depth + 1), [functionary])
            return
        materials, products = recorded
        if number and self.wants("one of two differs"):
            self.odd.add("one of two differs")
            products = self.hashed(self.artifacts({}))
        said = name
        if self.wants("other step's link"):
            self.odd.add("other step's link")
            said = "another"
        link = Link(name=said, materials=materials, products=products, command=rng.choice([[], ["make"]]))
        signer = rng.choice(self.keys) if self.wants("other signer") else functionary
        self.write(path, link, [signer])

    def reference(self):
        """What in-toto in Python says: None, or why not."""
        keys = {owner.public_key.keyid: key_object(owner) for owner in self.owners}
        try:
            layout = Metadata.load(str(self.folder / "root.layout"))
            with contextlib.redirect_stdout(io.StringIO()):
                in_toto_verify(layout, keys, link_dir_path=str(self.links), substitution_parameters=self.parameters)
        except Exception as error:  # whatever it raises is a refusal
            return f"{type(error).__name__}: {error}"
        return None

    def program(self, program):
        """What the program says: None, or why not."""
        owners = [str(self.folder / f"owner-{number}.json") for number in range(len(self.owners))]
        command = [program, "in-toto", "verify", "--layout", str(self.folder / "root.layout"), "--link-dir", str(self.links)]
        if self.parameters is not None:
            command += ["--substitution-parameters", json.dumps(self.parameters)]
        said = subprocess.run([*command, "--layout-keys", *owners], capture_output=True, text=True)
        if said.returncode not in (0, 1):
            raise SystemExit(f"exit code {said.returncode}: {said.stdout}{said.stderr}")
        return None if said.returncode == 0 else said.stdout.strip()


def unambiguous(pairs):
    names = [name for name, _ in pairs]
    if len(names) != len({name.casefold() for name in names}):
        raise ValueError("two members of one name")
    return dict(pairs)


def judge(case, program, counts):
    """Why the case is a difference that is not explained, if it is."""
    reference, ours = case.reference(), case.program(program)
    code = ours and ours.partition("[")[2].partition("]")[0]
    if (reference is None) == (ours is None):
        counts[f"both refuse ({code})" if ours else "both accept"] += 1
        return None
    if ours is None:
        return f"the reference refuses it: {reference}"
    explained = [oddity for oddity in case.odd if code in STRICTER.get(oddity, ())]
    # The reference fills in what is absent and drops what it does not know before it looks at the signature, so that it
    # does not see every change.
    unseen = {"malformed", "unclean-artifact", "step-name-mismatch", "layout-signature", "threshold-not-met"}
    if "damaged" in case.odd and code.removeprefix("in-toto/") in unseen:
        explained.append("damaged")
    if explained:
        counts[f"stricter: {explained[0]} ({code})"] += 1
        return None
    return f"the reference accepts it, refused here: {ours}\n{sorted(case.odd)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--keep", type=pathlib.Path)
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(f"seed {args.seed}", flush=True)
    keys, counts = list(make_keys()), Counter()
    began, number = time.monotonic(), 0
    while (args.cases is None or number < args.cases) and (
        args.seconds is None or time.monotonic() - began < args.seconds
    ):
        folder = pathlib.Path(tempfile.mkdtemp())
        try:
            case = Case(random.Random(f"{args.seed}/{number}"), keys, folder)
            difference = judge(case, args.program, counts)
            if difference:
                print(f"case {number}: {difference}")
                if args.keep:
                    shutil.copytree(folder, args.keep / f"{args.seed}-{number}")
                sys.exit(1)
        finally:
            shutil.rmtree(folder)
        number += 1
    print(f"{number} cases: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
