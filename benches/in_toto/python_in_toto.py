#!/usr/bin/env python3
"""python_in_toto.py RUNS FOLDER: the milliseconds of each verification by in-toto in Python, from the files on."""

import json
import pathlib
import sys
import time

from in_toto.models.metadata import Metadata
from in_toto.verifylib import in_toto_verify

runs, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
key = json.loads((folder / "owner.json").read_text())
for _ in range(runs):
    began = time.perf_counter()
    layout = Metadata.load(str(folder / "root.layout"))
    in_toto_verify(layout, {key["keyid"]: key}, link_dir_path=str(folder))
    print((time.perf_counter() - began) * 1000)
