"""Fetches targets with python-tuf's client from a folder.

    targets.py REPOSITORY ROOT PATH...

Prints a line with digest and path for each.
"""

import hashlib
import pathlib
import sys
import tempfile

from accept import serve
from tuf.ngclient import Updater


def main() -> int:
    repository, root, *paths = sys.argv[1:]
    url = serve(repository)
    with tempfile.TemporaryDirectory() as temp:
        updater = Updater(
            metadata_dir=temp,
            metadata_base_url=f"{url}/metadata/",
            target_dir=temp,
            target_base_url=f"{url}/targets/",
            bootstrap=pathlib.Path(root).read_bytes(),
        )
        updater.refresh()
        for path in paths:
            info = updater.get_targetinfo(path)
            if info is None:
                print(f"{path}: not found", file=sys.stderr)
                return 1
            content = pathlib.Path(updater.download_target(info, f"{temp}/download")).read_bytes()
            print(hashlib.sha256(content).hexdigest(), path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
