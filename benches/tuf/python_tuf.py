"""python-tuf under the protocol of `pratique tuf`, with limits that let large repositories in."""

import argparse
import pathlib
import shutil

from tuf.ngclient import Updater, UpdaterConfig

parser = argparse.ArgumentParser()
for option in ("metadata-dir", "metadata-url", "target-name", "target-dir", "target-base-url"):
    parser.add_argument("--" + option)
parser.add_argument("command", choices=["init", "download"])
parser.add_argument("root", nargs="?")
args = parser.parse_args()

folder = pathlib.Path(args.metadata_dir)
if args.command == "init":
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(args.root, folder / "root.json")
else:
    pathlib.Path(args.target_dir).mkdir(parents=True, exist_ok=True)
    limits = UpdaterConfig(snapshot_max_length=128 << 20, targets_max_length=128 << 20)
    updater = Updater(
        args.metadata_dir,
        args.metadata_url,
        args.target_dir,
        args.target_base_url,
        config=limits,
        bootstrap=None,
    )
    info = updater.get_targetinfo(args.target_name)
    if info is None:
        raise SystemExit("no such target")
    updater.download_target(info)
