#!/usr/bin/env python3
"""Measures `pratique serve` as a process of its own, beside a webhook that does nothing, and prints tables.

measure.py [--seconds N] [--only WORD,...] [--write PAGE] BUILT PRATIQUE CLIENT SERVERS

BUILT is a folder for what is made. CLIENT is the benchmark `webhook`, SERVERS the program of benches/webhook/servers. With
--write the tables replace what stands between the two markers of a page.
"""

import argparse
import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import time
import urllib.request

BEGIN, END = "<!-- benches/webhook/run -->", "<!-- until here -->"
TICK = os.sysconf("SC_CLK_TCK")
CONNECTIONS = (1, 8, 32)
IMAGES = (1, 10, 100)
# Where webhooks listen whose API server is to take them for others than those on its own machine.
ELSEWHERE = "192.0.2.2"
# What was published is expired after a week.
FRESH = 5 * 24 * 3600


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A program that is ended with the block, and what the kernel says of it."""

    def __init__(self, command, port, log, host="127.0.0.1"):
        self.log = open(log, "wb")
        self.began = time.perf_counter()
        self.child = subprocess.Popen([str(word) for word in command], stdout=self.log, stderr=subprocess.STDOUT)
        self.port = port
        self.listens = self.wait(lambda: socket.create_connection((host, port)).close())

    def wait(self, attempt, seconds=30):
        """Milliseconds from the start of the process until an attempt does not fail."""
        while True:
            try:
                attempt()
                return (time.perf_counter() - self.began) * 1000
            except OSError:
                if self.child.poll() is not None or time.perf_counter() - self.began > seconds:
                    self.__exit__()
                    raise SystemExit(f"{self.child.args[:2]} does not serve: see {self.log.name}")
                time.sleep(0.001)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()
        self.log.close()

    def cpu(self):
        """Seconds of processors that it took until now."""
        fields = pathlib.Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self, line="VmRSS"):
        """MiB."""
        status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(rf"^{line}:\s+(\d+) kB", status, re.M)[1]) / 1024


class Webhook(Process):
    """`pratique serve` over a folder that the client made."""

    def __init__(self, bench, folder, state=None, url=None, rules=0, host="127.0.0.1"):
        bench.client("policy", folder, url or f"file://{folder}/repository", rules)
        port, self.observed = free_port(), free_port()
        command = [bench.pratique, "serve", "--listen", f"{host}:{port}", "--health-listen",
                   f"127.0.0.1:{self.observed}", "--tls-dir", folder / "tls", "--policy", folder / "policy.yaml",
                   "--miss-burst", 1000000, "--misses-per-minute", 1000000]
        command += ["--state", state] if state else []
        super().__init__(command, port, folder / "pratique.log", host)
        self.ready = self.wait(lambda: self.ask("readyz"))

    def ask(self, path):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.observed}/{path}").read().decode()


def requests(files):
    """How many requests a web server has answered. The metric of the webhook is written once in a refresh only."""
    return int(urllib.request.urlopen(f"http://127.0.0.1:{files.port}/requests").read())


class Bench:
    def __init__(self, args):
        self.built, self.pratique, self.program = args.built.resolve(), args.pratique, args.client
        self.servers, self.milliseconds = args.servers, int(args.seconds * 1000)
        self.built.mkdir(parents=True, exist_ok=True)
        self.written = []

    def client(self, *words):
        ran = subprocess.run([self.program, *(str(word) for word in words)], capture_output=True, text=True)
        if ran.returncode:
            raise SystemExit(f"{words}: {ran.stderr[-2000:]}")
        return ran.stdout

    @contextlib.contextmanager
    def started(self, *words):
        """A client that is ended with the block."""
        child = subprocess.Popen([self.program, *(str(word) for word in words)], stdout=subprocess.DEVNULL)
        try:
            yield
            if child.poll() is not None:
                raise SystemExit(f"{words} ended before what was measured beside it")
        finally:
            child.kill()
            child.wait()

    def project(self, name, **shape):
        """A folder with a repository; made anew when it is about to expire."""
        folder = self.built / name
        made = folder / "images"
        if not made.exists() or time.time() - made.stat().st_mtime > FRESH:
            shutil.rmtree(folder, ignore_errors=True)
            self.client("make", folder, *(f"{key}={value}" for key, value in shape.items()))
        return folder

    def null(self, folder, host="127.0.0.1"):
        port = free_port()
        return Process([self.servers, "null", f"{host}:{port}", folder / "tls"], port, folder / "null.log", host)

    def files(self, folder, kind="files"):
        port = free_port()
        return Process([self.servers, kind, f"127.0.0.1:{port}", folder / "repository"], port, folder / "files.log")

    def load(self, server, folder, **options):
        options["null"] = int(not isinstance(server, Webhook))
        words = [f"{key}={value}" for key, value in options.items()]
        cpu = server.cpu()
        said = json.loads(self.client("load", f"https://127.0.0.1:{server.port}", folder, *words))
        said["cpu"] = server.cpu() - cpu
        return said

    def say(self, text=""):
        print(text, flush=True)
        self.written.append(text)

    def table(self, head, rows):
        self.say("| " + " | ".join(head) + " |")
        self.say("|---" * len(head) + "|")
        for row in rows:
            self.say("| " + " | ".join(str(cell) for cell in row) + " |")
        self.say()


def ms(nanoseconds):
    return f"{nanoseconds / 1e6:.2f}"


def figures(got):
    """The cells that most tables have."""
    return [*(ms(got[share]) for share in ("p50", "p90", "p99")), f"{got['per_second']:,.0f}"]


def warm(bench):
    """Reviews of images that are known: in the process of the caller, and over TLS."""
    folder = bench.project("hundred", images=64)
    rows = []
    for images in IMAGES:
        for callers in CONNECTIONS:
            got = json.loads(bench.client("inside", f"images={images}", f"callers={callers}", f"milliseconds={bench.milliseconds}"))
            rows.append(["in process", images, callers, "pratique", *figures(got), ""])
    with bench.files(folder) as files, bench.null(folder) as null:
        with Webhook(bench, folder, url=f"http://127.0.0.1:{files.port}") as ours:
            bench.load(ours, folder, connections=8)
            asked = requests(files)
            for http, images in itertools.product(("1.1", "2"), IMAGES):
                for connections in CONNECTIONS:
                    for name, server in (("null webhook", null), ("pratique", ours)):
                        got = bench.load(server, folder, http=http[0], images=images, connections=connections,
                                         milliseconds=bench.milliseconds)
                        rows.append([f"HTTP/{http}", images, connections, name, *figures(got),
                                     f"{got['cpu'] / got['reviews'] * 1000:.3f}"])
            more = requests(files) - asked
            memory = [f"{server.memory():.0f} MiB" for server in (null, ours)]
    bench.say("### Warm reviews")
    bench.say()
    bench.table(["how it is called", "images", "at once", "server", "p50 ms", "p90 ms", "p99 ms", "reviews/s",
                 "CPU s per 1,000"], rows)
    bench.say(f"Requests to the TUF repository meanwhile: {more}. Resident afterwards: null webhook {memory[0]}, "
              f"pratique {memory[1]}.")
    bench.say()


def kinds(bench):
    """Reviews of other kinds, of one image, over TLS."""
    folder = bench.project("hundred", images=64)
    rows = []
    with bench.files(folder) as files, bench.null(folder) as null, Webhook(bench, folder, url=f"http://127.0.0.1:{files.port}") as ours:
        bench.load(ours, folder, pods=1)
        asked = requests(files)
        for kind, what in enumerate(KINDS):
            for connections in (1, 8):
                for name, server in (("null webhook", null), ("pratique", ours)):
                    got = bench.load(server, folder, kind=kind, connections=connections, milliseconds=bench.milliseconds)
                    rows.append([what, connections, name, *figures(got), f"{got['cpu'] / got['reviews'] * 1000:.3f}"])
        more = requests(files) - asked
        for connections in (1, 8):
            for name, server in (("null webhook", null), ("pratique", ours)):
                got = bench.load(server, folder, anew=1, connections=connections, milliseconds=bench.milliseconds)
                rows.append(["a Pod of a known image, each over a new connection", connections, name, *figures(got),
                             f"{got['cpu'] / got['reviews'] * 1000:.3f}"])
    bench.say("### Other kinds of reviews")
    bench.say()
    bench.table(["a review of", "at once", "server", "p50 ms", "p90 ms", "p99 ms", "reviews/s", "CPU s per 1,000"], rows)
    bench.say(f"Requests to the TUF repository meanwhile: {more}.")
    bench.say()


def start(bench):
    """From the start of the process on: until it listens, until it is ready, and the first answer."""
    rows = []
    for name, shape in (("10 images in one role", {"images": 10}), ("100,000 targets in 16,384 bins", LARGE)):
        folder = bench.project("large" if shape is LARGE else "small", **shape)
        state = bench.built / "state"
        shutil.rmtree(state, ignore_errors=True)
        for known in ("nothing", "its state"):
            times = []
            for _ in range(5 if known == "its state" else 1):
                with Webhook(bench, folder, state=state) as ours:
                    first = bench.load(ours, folder, pods=1)
                    times.append((ours.listens, ours.ready, first["most"] / 1e6, ours.cpu() * 1000, ours.memory()))
            rows.append([name, known, *(f"{statistics.median(column):.0f}" for column in zip(*times))])
    bench.say("### Start")
    bench.say()
    bench.table(["repository", "what it knows", "listens after ms", "ready after ms", "first review ms", "CPU ms, all of it", "MiB"], rows)


def cold(bench):
    """Images that were not judged before."""
    bench.say("### Images that were not judged before")
    bench.say()
    several(bench)
    far(bench)
    one_by_one(bench)
    beside(bench)
    storm(bench)


def several(bench):
    """By how many there are in a Pod, and how many Pods come at once."""
    folder = bench.project(MANY[0], **MANY[1])
    with Webhook(bench, folder) as ours:
        # Together they name fewer images than there are.
        rows = unknown(bench, folder, ours, ((1, 400), (10, 64), (100, 32)), CONNECTIONS)
    bench.say("Over TLS, in a repository of 10,000 images in 16,384 bins, in a folder. Nobody has asked about these images before; 100 are 64 "
              "different ones:")
    bench.say()
    bench.table(["images", "at once", "p50 ms", "p90 ms", "p99 ms", "reviews/s", "CPU ms a review"], rows)


def far(bench):
    """The same where each file takes a while."""
    folder = bench.project(MANY[0], **MANY[1])
    with bench.files(folder, "far") as files, Webhook(bench, folder, url=f"http://127.0.0.1:{files.port}") as ours:
        rows = unknown(bench, folder, ours, ((1, 64), (10, 32)), (1, 8))
    bench.say("The same over HTTP, from a server that answers after 20 ms:")
    bench.say()
    bench.table(["images", "at once", "p50 ms", "p90 ms", "p99 ms", "reviews/s", "CPU ms a review"], rows)


def unknown(bench, folder, ours, kinds, connections):
    """Rows about images of which each is named once."""
    rows, begin = [], 1
    bench.load(ours, folder, pods=1)
    for images, pods in kinds:
        for at_once in connections:
            got = bench.load(ours, folder, **{"from": begin, "pods": pods, "images": images, "connections": at_once})
            begin += pods * min(images, 64)
            rows.append([images, at_once, *figures(got), f"{got['cpu'] / got['reviews'] * 1000:.1f}"])
    return rows


def one_by_one(bench):
    """In a repository of 100,000 targets."""
    folder, rows = bench.project("large", **LARGE), []
    with Webhook(bench, folder) as ours:
        bench.load(ours, folder, pods=1)
        for from_ in range(1, 64, 9):
            began = ours.cpu()
            got = bench.load(ours, folder, **{"from": from_, "pods": 9, "connections": 1})
            rows.append((got["p50"] / 1e6, (ours.cpu() - began) / 9 * 1000))
    wall, cpu = (statistics.median(column) for column in zip(*rows))
    bench.say(f"In a repository of 100,000 targets in 16,384 bins, in a folder: {wall:.1f} ms a review, {cpu:.1f} ms of CPU, with "
              "the bins of the image and its links that have to be read.")
    bench.say()


def beside(bench):
    """How long a review of a known image waits for those."""
    folder = bench.project(MANY[0], **MANY[1])
    with Webhook(bench, folder) as ours:
        bench.load(ours, folder, pods=1)
        rows = [["nothing", *figures(bench.load(ours, folder, milliseconds=bench.milliseconds))]]
        for begin, connections in ((1, 1), (4000, 8)):
            # More than are judged in that time.
            others = [f"from={begin}", "pods=5000", f"connections={connections}"]
            with bench.started("load", f"https://127.0.0.1:{ours.port}", folder, *others):
                got = bench.load(ours, folder, milliseconds=bench.milliseconds)
            rows.append([f"images that were not judged before, {connections} at once", *figures(got)])
    bench.say("A review of a known image, and what else is judged meanwhile:")
    bench.say()
    bench.table(["meanwhile", "p50 ms", "p90 ms", "p99 ms", "reviews/s"], rows)


def storm(bench):
    """Many Pods of one image."""
    folder = bench.project("hundred", images=64)
    with bench.files(folder) as files, Webhook(bench, folder, url=f"http://127.0.0.1:{files.port}") as ours:
        bench.load(ours, folder, pods=1)
        asked = requests(files)
        bench.load(ours, folder, **{"from": 1, "pods": 1})
        one = requests(files) - asked
        got = bench.load(ours, folder, **{"from": 2, "distinct": 1, "pods": 1000, "connections": 32})
        more = requests(files) - asked - one
    bench.say(f"1,000 Pods of one image that was not judged before, 32 at a time, its repository over HTTP: {more} requests to the "
              f"repository, where one Pod of another image takes {one}; all are answered in {got['seconds'] * 1000:.0f} ms, p99 "
              f"{ms(got['p99'])} ms.")
    bench.say()


def memory(bench):
    """Many warm images."""
    bench.say("### Many images")
    bench.say()
    images(bench, {
        "1 in one role": ("hundred", 1, {"images": 64}),
        "1,000 in one role": ("thousand", 1000, {"images": 1000}),
        "10,000 in 16,384 bins": (MANY[0], 10000, MANY[1]),
    })


def capacity(bench):
    """As many as are remembered: two gigabytes of files, so only where it is asked for."""
    images(bench, {"100,000 in 16,384 bins": ("capacity", 100000, {"images": 100000, "bins": 16384, "sources": 10})})


def images(bench, cases):
    rows = []
    for name, (project, count, shape) in cases.items():
        folder = bench.project(project, **shape)
        with Webhook(bench, folder) as ours:
            got = bench.load(ours, folder, pods=count, connections=8)
            judged = ours.cpu()
            again = bench.load(ours, folder, pods=count, connections=8)
            rows.append([name, f"{ours.memory():.0f}", f"{ours.memory('RssAnon'):.0f}", f"{ours.memory('VmHWM'):.0f}",
                         f"{judged / count * 1000:.2f}", f"{again['cpu'] / count * 1000:.3f}", ms(got["p50"]), ms(again["p50"])])
    bench.table(["images", "MiB resident", "of which its own", "at most", "CPU ms per image, first time", "second time", "p50 ms first",
                 "second"], rows)


def growth(bench):
    """How each figure grows with the size of what is judged."""
    rows = []
    for what, grows in (
        ("targets in one role", [(f"{count:,}", {"images": 10, "others": count - 50}) for count in (100, 1000, 10000, 100000)]),
        ("targets in 16,384 bins", [("100,000", LARGE)]),
        ("levels of delegation", [(str(count), {"images": 10, "levels": count - 1}) for count in (1, 4, 12)]),
        ("links", [(str(count), {"images": 10, "steps": count - 4}) for count in (4, 16, 64)]),
        ("artifacts a link", [(f"{count:,}", {"images": 10, "sources": count}) for count in (10, 100, 1000, 10000)]),
        ("rules of the policy", [(f"{count:,}", {"images": 10, "rules": count - 1}) for count in (1, 10, 100, 1000)]),
    ):
        for size, shape in grows:
            shape = dict(shape)
            rules = shape.pop("rules", 0)
            name = "large" if shape == LARGE else "-".join(["grow", *(f"{key}{value}" for key, value in shape.items())])
            folder = bench.project(name, **shape)
            with Webhook(bench, folder, rules=rules) as ours:
                first = bench.load(ours, folder, pods=1)
                began = ours.cpu()
                others = bench.load(ours, folder, **{"from": 1, "pods": 9})
                judged = (ours.cpu() - began) / 9 * 1000
                again = bench.load(ours, folder, milliseconds=500)
                rows.append([what, size, ms(first["most"]), ms(others["p50"]), f"{judged:.1f}", ms(again["p50"]),
                             f"{ours.memory():.0f}"])
    bench.say("### Growth")
    bench.say()
    bench.table(["what grows", "to", "first review of the process, ms", "an image not judged before, ms", "its CPU ms", "warm, p50 ms", "MiB"], rows)


def write(page, begin, end, lines):
    """Replaces what stands between two markers of a page."""
    before, rest = page.read_text().split(begin, 1)
    after = rest.split(end, 1)[1]
    page.write_text(f"{before}{begin}\n" + "\n".join(lines).rstrip() + f"\n{end}{after}")


MANY = ("many", {"images": 10000, "bins": 16384})
LARGE = {"images": 64, "others": 99675, "bins": 16384}
# As benches/webhook/kinds.rs numbers them.
KINDS = ("a Pod of a known image", "a Pod that is refused: nothing lists its image", "an update of a Pod without another image",
         "a Deployment of a known image", "a Pod, by the webhook that pins tags; it has a digest")
SECTIONS = {"warm": warm, "kinds": kinds, "start": start, "cold": cold, "memory": memory, "growth": growth}
# Written by itself, so that it stays when the others are measured again.
APART = {"capacity": capacity}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="how long each cell of the warm table is measured")
    parser.add_argument("--only", default=",".join(SECTIONS), help="of " + ", ".join([*SECTIONS, *APART]))
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("built", type=pathlib.Path)
    parser.add_argument("pratique")
    parser.add_argument("client")
    parser.add_argument("servers")
    args = parser.parse_args()
    bench = Bench(args)
    words = args.only.split(",")
    for kinds, begin in ((SECTIONS, BEGIN), (APART, BEGIN.replace(" -->", ": capacity -->"))):
        chosen = [kinds[word] for word in words if word in kinds]
        bench.written = []
        for measured in chosen:
            measured(bench)
        if chosen and args.write:
            write(args.write, begin, END, bench.written)


if __name__ == "__main__":
    main()
