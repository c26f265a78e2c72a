"""Follows in-toto ITE-2 with the reference implementations alone: python-tuf's client and in-toto's verifier.

    accept.py REPOSITORY ROOT IMAGE [--parameters JSON]

REPOSITORY is a folder with metadata/ and targets/, ROOT the root of trust, IMAGE the target path of an image.
Prints what was verified as JSON and exits 0; exits 1 with the reason on standard error.
"""

import argparse
import functools
import http.server
import json
import os
import pathlib
import sys
import tempfile
import threading

from in_toto.models.metadata import Metadata
from in_toto.verifylib import in_toto_verify
from securesystemslib.signer import SSlibKey
from tuf.ngclient import Updater, UpdaterConfig


class Quiet(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path):
        # A role's name is percent-encoded in its file's name: decoding `%2F` would make a folder of it.
        return os.path.join(self.directory, path.lstrip("/"))

    def log_message(self, *_):
        pass


def serve(folder: str) -> str:
    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def load_key(text: bytes) -> tuple[str, SSlibKey]:
    if text.lstrip().startswith(b"{"):
        value = json.loads(text)
        keyid = value.pop("keyid", None)
        key = SSlibKey.from_dict(keyid, value)
    else:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        key = SSlibKey.from_crypto(load_pem_public_key(text))
    return key.keyid, key


def accept(repository: str, root: bytes, image: str, parameters: dict | None) -> dict:
    with tempfile.TemporaryDirectory() as temp:
        temp = pathlib.Path(temp)
        (temp / "trusted").mkdir()
        url = serve(repository)
        updater = Updater(
            metadata_dir=str(temp / "trusted"),
            metadata_base_url=f"{url}/metadata/",
            target_dir=str(temp),
            target_base_url=f"{url}/targets/",
            config=UpdaterConfig(),
            bootstrap=root,
        )
        updater.refresh()

        def get(path: str):
            info = updater.get_targetinfo(path)
            if info is None:
                raise LookupError(f"{path} is not a target")
            return info, pathlib.Path(updater.download_target(info, str(temp / "download"))).read_bytes()

        info, manifest = get(image)
        evidence = info.custom["in-toto"]
        links = temp / "links"
        layout = keys = None
        for path in evidence:
            found, content = get(path)
            if path.endswith(".link"):
                # The folders of sublayouts follow the folder of the image's metadata.
                name = pathlib.PurePosixPath(path).parts[2:]
                file = links.joinpath(*name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            else:
                assert layout is None, "two layouts"
                layout = content
                keys = dict(load_key(get(key)[1]) for key in found.custom["in-toto"])
        (temp / "layout").write_bytes(layout)
        metadata = Metadata.load(str(temp / "layout"))
        summary = in_toto_verify(
            metadata,
            {keyid: legacy(keyid, key) for keyid, key in keys.items()},
            substitution_parameters=parameters,
            link_dir_path=str(links),
        )
        return {
            "image": image,
            "sha256": info.hashes["sha256"],
            "length": len(manifest),
            "evidence": evidence,
            "products": summary.products,
        }


def legacy(keyid: str, key: SSlibKey) -> dict:
    return {"keyid": keyid, **key.to_dict()}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("repository")
    parser.add_argument("root")
    parser.add_argument("image")
    parser.add_argument("--parameters", type=json.loads)
    args = parser.parse_args()
    try:
        result = accept(args.repository, pathlib.Path(args.root).read_bytes(), args.image, args.parameters)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    json.dump(result, sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
