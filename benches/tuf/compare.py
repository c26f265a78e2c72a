#!/usr/bin/env python3
"""Measures TUF clients side by side and prints a table.

compare.py [--runs N] REPOSITORIES NAME=COMMAND...

REPOSITORIES is a folder of folders that make_repository.py made. COMMAND speaks the protocol of `pratique tuf`. Each
run is a process of its own that refreshes and downloads one target: cold with nothing but the root, warm with the
metadata of the run before. The clients take turns, and the median of the runs is shown; memory is the most of any run,
and no less than what this script itself takes.
"""

import argparse
import http.server
import multiprocessing
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import tempfile
import time


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 20
    counted: "multiprocessing.Array"

    def log_message(self, *_):
        pass

    def do_GET(self):
        with self.counted.get_lock():
            self.counted[0] += 1
        super().do_GET()

    def copyfile(self, source, outputfile):
        with self.counted.get_lock():
            self.counted[1] += os.fstat(source.fileno()).st_size
        outputfile.flush()
        self.connection.sendfile(source)


def serve(folder, counted, port):
    Handler.counted = counted
    handler = lambda *args: Handler(*args, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    port.send(server.server_address[1])
    server.serve_forever()


def run(command, counted):
    """Wall and CPU milliseconds, MiB, requests and bytes of one process; none if it fails."""
    counted[0], counted[1] = 0, 0
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = (time.perf_counter() - began) * 1000
    process.returncode = status
    if status:
        return None, said.decode(errors="replace").strip().splitlines()[-1:]
    cpu = (usage.ru_utime + usage.ru_stime) * 1000
    return (wall, cpu, usage.ru_maxrss / 1024, counted[0], counted[1]), None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("repositories", type=pathlib.Path)
    parser.add_argument("clients", nargs="+", metavar="NAME=COMMAND")
    args = parser.parse_args()
    counted = multiprocessing.Array("q", 2)
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(args.repositories, counted, there), daemon=True)
    server.start()
    port = here.recv()
    clients = dict(client.split("=", 1) for client in args.clients)
    print("| repository | client | | wall ms | CPU ms | MiB | requests | bytes |\n|---|---|---|---|---|---|---|---|")
    for repository in sorted(path for path in args.repositories.iterdir() if path.is_dir()):
        url = f"http://127.0.0.1:{port}/{repository.name}"
        sample = (repository / "sample").read_text()
        found = {(name, heat): [] for name in clients for heat in ("cold", "warm")}
        failed = {}
        for _ in range(args.runs):
            for name, command in clients.items():
                if name in failed:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    options = ["--metadata-dir", folder + "/metadata"]
                    command = shlex.split(command)
                    subprocess.run([*command, *options, "init", repository / "root.json"], check=True, capture_output=True)
                    options += ["--metadata-url", url + "/metadata/", "--target-name", sample]
                    options += ["--target-dir", folder + "/targets", "--target-base-url", url + "/targets/", "download"]
                    for heat in ("cold", "warm"):
                        shutil.rmtree(folder + "/targets", ignore_errors=True)
                        figures, why = run([*command, *options], counted)
                        if figures is None:
                            failed[name] = why
                            break
                        found[name, heat].append(figures)
        for (name, heat), runs in found.items():
            if name in failed:
                if heat == "cold":
                    print(f"| {repository.name} | {name} | {heat} | fails: {' '.join(failed[name])[:90]} | | | | |")
                continue
            wall, cpu, _, requests, size = (statistics.median(column) for column in zip(*runs))
            memory = max(column[2] for column in runs)
            print(
                f"| {repository.name} | {name} | {heat} | {wall:.0f} | {cpu:.0f} | {memory:.0f} | {requests:.0f} | {size:,.0f} |",
                flush=True,
            )
    server.terminate()


if __name__ == "__main__":
    main()
