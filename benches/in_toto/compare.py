#!/usr/bin/env python3
"""Measures implementations of in-toto side by side and prints a table.

compare.py [--runs N] CHAINS NAME=COMMAND...

CHAINS is a folder of folders that make_chain.py made. `COMMAND RUNS FOLDER` verifies the chain so often in one process
and prints the milliseconds of each time. The first NAME is compared with the fastest of the others. Of the chains with
100,000 artifacts each is verified three times, whatever N.
"""

import argparse
import pathlib
import shlex
import statistics
import subprocess


def times(command, runs, folder):
    said = subprocess.run([*command, str(runs), str(folder)], capture_output=True, text=True)
    if said.returncode:
        lines = (said.stderr + said.stdout).strip().splitlines()
        return None, lines[-1][:80] if lines else "failed"
    return [float(line) for line in said.stdout.split()], None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("chains", type=pathlib.Path)
    parser.add_argument("commands", nargs="+")
    args = parser.parse_args()
    commands = [(name, shlex.split(command)) for name, command in (text.split("=", 1) for text in args.commands)]
    print("| chain | bytes of links | " + " | ".join(f"{name}, ms" for name, _ in commands) + " | ratio |")
    print("|---" * (len(commands) + 3) + "|")
    order = lambda folder: (sum(file.stat().st_size for file in folder.glob("*.link")), folder.name)
    for folder in sorted(args.chains.iterdir(), key=order):
        runs = min(args.runs, 3) if "100k" in folder.name else args.runs
        medians, cells = [], []
        for _, command in commands:
            measured, failure = times(command, runs, folder)
            medians.append(statistics.median(measured) if measured else None)
            cells.append(f"{medians[-1]:.1f}" if measured else failure)
        others = [median for median in medians[1:] if median]
        ratio = f"{min(others) / medians[0]:.1f}" if others and medians[0] else "–"
        print(f"| {folder.name} | {order(folder)[0]:,} | " + " | ".join(cells) + f" | {ratio} |")


if __name__ == "__main__":
    main()
