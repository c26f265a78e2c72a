#!/usr/bin/env python3
"""Has an API server create Pods, without a webhook, with one that does nothing, and with Pratique, and prints a table.

api_server.py [--rounds N] [--seconds N] [--peers PROGRAM] [--write PAGE] BUILT PRATIQUE CLIENT SERVERS KUBERNETES

It runs in a network of its own, where measure.ELSEWHERE is an address: to what is on loopback an API server speaks HTTP/2, to all other
webhooks HTTP/1.1.

KUBERNETES is a folder with etcd, kube-apiserver and kubectl; the others are those of measure.py. Each webhook is asked about
one namespace of the same API server, and rounds go through all of them by turns. With --peers also sigstore's
policy-controller, whose program is given, verifies the image, with a signature in place of the supply chain.
"""

import argparse
import base64
import contextlib
import json
import pathlib
import shutil
import ssl
import statistics
import subprocess
import urllib.request

import measure

BEGIN, END = "<!-- benches/webhook/run: API server -->", "<!-- until here -->"
TOKEN = "of-the-benchmark"
CLIENTS = (1, 8, 32)
# Dry runs of Pods of so many images, and Pods that are created.
KINDS = [(True, images, clients) for images in (1, 10, 100) for clients in CLIENTS] + [(False, 1, clients) for clients in CLIENTS]
# Images of a project that no Pod has named before, of its 64.
UNKNOWN = 63


class ApiServer:
    """etcd and kube-apiserver over a new store. What they log is in a folder of their own."""

    def __init__(self, programs, folder, tls):
        self.started = contextlib.ExitStack()
        with contextlib.ExitStack() as ends:
            self.start(ends, programs, folder, tls)
            self.started = ends.pop_all()

    def start(self, ends, programs, folder, tls):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        (folder / "kubeconfig").write_text("")
        self.folder, self.programs, self.tls = folder, programs, tls
        store, peer = measure.free_port(), measure.free_port()
        ends.enter_context(measure.Process(
            [programs / "etcd", "--data-dir", folder / "etcd", "--unsafe-no-fsync", "--log-level", "warn",
             f"--listen-client-urls=http://127.0.0.1:{store}", f"--advertise-client-urls=http://127.0.0.1:{store}",
             f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
             f"--initial-cluster=default=http://127.0.0.1:{peer}"], store, folder / "etcd.log"))
        port = measure.free_port()
        self.url = f"https://127.0.0.1:{port}"
        process = ends.enter_context(measure.Process(
            [programs / "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{store}", "--bind-address=127.0.0.1",
             f"--secure-port={port}", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
             "--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC", f"--cert-dir={folder}",
             f"--tls-cert-file={tls}/tls.crt", f"--tls-private-key-file={tls}/tls.key",
             f"--token-auth-file={folder}/tokens.csv", "--service-account-issuer=https://kubernetes.default.svc",
             f"--service-account-signing-key-file={tls}/tls.key", f"--service-account-key-file={tls}/tls.crt",
             # Pods need no account, which a controller would have to make.
             "--disable-admission-plugins=ServiceAccount"], port, folder / "kube-apiserver.log"))
        self.context = ssl.create_default_context(cafile=tls / "ca.crt")
        process.wait(lambda: self.ask("GET", "/readyz"), 60)
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": self.url, "certificate-authority": str(tls / "ca.crt")}}],
            "users": [{"name": "it", "user": {"token": TOKEN}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]}))

    def __enter__(self):
        return self

    def __exit__(self, *ended):
        self.started.__exit__(*ended)

    def ask(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, context=self.context) as answer:
            return answer.read()

    def kubectl(self, *words, stdin=None):
        environment = {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self.folder / "cache")}
        ran = subprocess.run([self.programs / "kubectl", *words], input=stdin, capture_output=True, text=True, env=environment)
        if ran.returncode:
            raise SystemExit(f"kubectl {words}: {ran.stderr}")
        return ran.stdout

    def namespace(self, name, labels=()):
        metadata = {"name": name, "labels": dict(labels)}
        self.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def install(self, name, port, configurations):
        """Has what the API server is configured with for Pratique asked of a port, about one namespace."""
        for configuration in configurations:
            configuration = json.loads(json.dumps(configuration))
            configuration["metadata"] = {"name": name}
            # The entry for the namespaces from which a cluster comes up is left out: they are others.
            entries = [entry for entry in configuration["webhooks"] if entry["name"].split(".")[0] in ("verify", "pin")]
            for entry in entries:
                path = entry["clientConfig"]["service"]["path"]
                bundle = base64.b64encode((self.tls / "ca.crt").read_bytes()).decode()
                entry["clientConfig"] = {"url": f"https://{measure.ELSEWHERE}:{port}{path}", "caBundle": bundle}
                entry["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": name}}
            configuration["webhooks"] = entries
            kind = configuration["kind"].lower() + "s"
            self.ask("POST", f"/apis/admissionregistration.k8s.io/v1/{kind}", configuration)

    def delete_pods(self, namespace):
        self.ask("DELETE", f"/api/v1/namespaces/{namespace}/pods?gracePeriodSeconds=0")


def configurations(api):
    """The validating and the mutating configuration of deploy/, as JSON."""
    page = pathlib.Path(__file__).parents[2] / "deploy/webhooks.yaml"
    text = api.kubectl("create", "--dry-run=client", "-o", "json", "-f", str(page))
    # One object after another, or a list.
    decoder, found, place = json.JSONDecoder(), [], 0
    while place < len(text.rstrip()):
        value, place = decoder.raw_decode(text, place)
        found += value["items"] if value["kind"] == "List" else [value]
        place += len(text[place:]) - len(text[place:].lstrip())
    by_kind = {value["kind"]: value for value in found}
    return by_kind["ValidatingWebhookConfiguration"], by_kind["MutatingWebhookConfiguration"]


def at(each, share):
    """Of times in their order, the one under which that share of them is."""
    return each[min(len(each) - 1, int(len(each) * share))]


class Case:
    """A namespace, the process that is asked about it, and what was measured."""

    def __init__(self, name, namespace, process):
        self.name, self.namespace, self.process, self.folder = name, namespace, process, None
        self.each, self.seconds, self.cpu = {}, {}, {}

    def takes(self, kind):
        """Pods of several images are for those who verify alone: the others have one to show."""
        return kind[1] == 1 or self.namespace in ("prod-none", "prod-null", "prod-pratique")

    def run(self, bench, api, folder, key, milliseconds):
        dry, images, clients = key
        before = self.process.cpu() if self.process else 0
        said = json.loads(bench.client("pods", api.url, self.folder or folder, TOKEN, self.namespace, f"dry={int(dry)}",
                                       f"images={images}", f"connections={clients}", f"milliseconds={milliseconds}"))
        self.each.setdefault(key, []).extend(said["each"])
        self.seconds[key] = self.seconds.get(key, 0) + said["seconds"]
        self.cpu[key] = self.cpu.get(key, 0) + (self.process.cpu() - before if self.process else 0)
        if not dry:
            api.delete_pods(self.namespace)

    def at(self, key, share):
        return at(sorted(self.each[key]), share) / 1e6


def installed(api, webhook, null):
    """The cases, each with its namespace."""
    validating, mutating = configurations(api)
    cases = [Case("none", "prod-none", None), Case("null webhook", "prod-null", null),
             Case("pratique", "prod-pratique", webhook), Case("null webhook, also to pin", "prod-null-pin", null),
             Case("pratique, also to pin", "prod-pratique-pin", webhook)]
    for case in cases:
        api.namespace(case.namespace)
        if case.process:
            wanted = [validating, mutating] if case.namespace.endswith("pin") else [validating]
            api.install(case.namespace, case.process.port, wanted)
    return cases


def through(bench, args):
    """Everything that is measured, in one run."""
    folder = bench.project("hundred", images=64)
    with ApiServer(args.kubernetes.resolve(), bench.built / "api-server", folder / "tls") as api, \
            bench.files(folder) as files, bench.null(folder, measure.ELSEWHERE) as null, \
            measure.Webhook(bench, folder, url=f"http://127.0.0.1:{files.port}", host=measure.ELSEWHERE) as webhook:
        cases = installed(api, webhook, null)
        peer = None
        if args.peers:
            import peer as peers
            peer = peers.PolicyController(args.peers, bench, api, folder)
            cases.append(peer.case(Case))
        # The API server acts on its configurations a moment after it took them.
        for case in cases:
            for kind in ((True, 1, 8), (True, 100, 1)):
                if case.takes(kind):
                    case.run(bench, api, folder, kind, 1000)
            case.each, case.seconds, case.cpu = {}, {}, {}
        milliseconds = int(args.seconds * 1000)
        for _ in range(args.rounds):
            for kind in KINDS:
                for case in cases:
                    if case.takes(kind):
                        case.run(bench, api, folder, kind, milliseconds)
        report(bench, cases, args)
        unknown(bench, api, folder, files, cases[:2], args.rounds)
        if peer:
            peer.report()
            peer.end()


def report(bench, cases, args):
    rows = []
    for key in KINDS:
        dry, images, clients = key
        floor = cases[0].at(key, 0.5)
        for case in filter(lambda case: case.takes(key), cases):
            count = len(case.each[key])
            adds = f"{case.at(key, 0.5) - floor:.2f}" if case.process else ""
            cpu = f"{case.cpu[key] / count * 1000:.3f}" if case.process else ""
            rows.append(["dry run" if dry else "create", images, clients, case.name,
                         *(f"{case.at(key, share):.2f}" for share in (0.5, 0.9, 0.99)), f"{count / case.seconds[key]:,.0f}", adds, cpu])
    bench.table(["request", "images", "clients", "webhook", "p50 ms", "p90 ms", "p99 ms", "Pods/s", "adds at p50, ms",
                 "its CPU s per 1,000"], rows)
    said = []
    for without, with_it, what in ((1, 2, "to verify"), (3, 4, "to verify and to pin")):
        chosen = [cases[0], cases[without], cases[with_it]]
        times = [[case.at(key, 0.5) for case in chosen] for key in KINDS if all(case.takes(key) for case in chosen)]
        ratios = [ours / null for _, null, ours in times]
        added = [(ours - none) / (null - none) for none, null, ours in times if null > none]
        said.append(f"{what}, in {len(times)} kinds of request, {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
                    f"and of what it adds {statistics.median(added):.2f} ({min(added):.2f} to {max(added):.2f})")
    bench.say(f"A request with Pratique takes, by one with the webhook that does nothing, at p50 and the median of the kinds of "
              f"request: {'; '.join(said)}. {args.rounds} rounds of {args.seconds:g} s for each line, by turns.")
    bench.say()


def unknown(bench, api, folder, files, others, rounds):
    """Pods of images that were not judged before: each round has a webhook that has judged none of them."""
    validating, _ = configurations(api)
    each = {case.name: [] for case in others} | {"pratique": []}

    def measured(name, namespace):
        said = bench.client("pods", api.url, folder, TOKEN, namespace, "dry=1", "from=1", f"pods={UNKNOWN}")
        each[name] += json.loads(said)["each"]

    for number in range(rounds):
        namespace = f"prod-unknown-{number}"
        api.namespace(namespace)
        with measure.Webhook(bench, folder, url=f"http://127.0.0.1:{files.port}", host=measure.ELSEWHERE) as webhook:
            api.install(namespace, webhook.port, [validating])
            # Once the API server asks about it, the one image is known to it.
            warm = Case("pratique", namespace, webhook)
            webhook.wait(lambda: asked(webhook, lambda: warm.run(bench, api, folder, (True, 1, 1), 100)), 60)
            for case in others:
                measured(case.name, case.namespace)
            measured("pratique", namespace)
    rows = []
    for name, times in each.items():
        times.sort()
        rows.append([name, *(measure.ms(at(times, share)) for share in (0.5, 0.9, 0.99))])
    bench.say(f"Dry runs of Pods of images that were not judged before, one after another; {rounds} times {UNKNOWN} images, its repository "
              "over HTTP:")
    bench.say()
    bench.table(["webhook", "p50 ms", "p90 ms", "p99 ms"], rows)


def asked(webhook, attempt):
    """Fails until an attempt has the webhook asked."""
    attempt()
    if 'pratique_http_answers_total{path="/verify",status="200"}' not in webhook.ask("metrics"):
        raise OSError("the API server does not ask it yet")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="how long each line of the table takes in a round")
    parser.add_argument("--peers", type=pathlib.Path, help="the program of sigstore's policy-controller")
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("built", type=pathlib.Path)
    parser.add_argument("pratique")
    parser.add_argument("client")
    parser.add_argument("servers")
    parser.add_argument("kubernetes", type=pathlib.Path)
    args = parser.parse_args()
    bench = measure.Bench(args)
    through(bench, args)
    if args.write:
        measure.write(args.write, BEGIN, END, bench.written)


if __name__ == "__main__":
    main()
