"""sigstore's policy-controller, over the API server of the benchmark and a registry with one image that one key signed.

It is configured as its own config/ does it, by the same API server: a ClusterImagePolicy with a static key and no transparency
log, its two webhooks, and the program as a process. Nothing of it is part of this repository.
"""

import base64
import hashlib
import json
import shutil
import subprocess

import measure

NAMESPACE = "cosign-system"
PATH = "team/app"
# It has an option for another one, which it reads after it took this.
PORT = 8443
PODS = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"], "scope": "Namespaced"}]


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def openssl(*words, stdin=None):
    ran = subprocess.run(["openssl", *words], input=stdin, capture_output=True)
    if ran.returncode:
        raise SystemExit(f"openssl {words}: {ran.stderr.decode()}")
    return ran.stdout


class Registry:
    """A folder that is served as a registry: the image, and its signature under the tag that cosign gives it."""

    def __init__(self, bench, folder):
        shutil.rmtree(folder, ignore_errors=True)
        self.dir = folder / "v2" / PATH
        port = measure.free_port()
        self.name = f"127.0.0.1:{port}/{PATH}"
        self.key = folder / "key.pem"
        folder.mkdir(parents=True)
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(self.key))
        image = self.push(b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}', b"layer", {})
        self.image = f"{self.name}@{image}"
        payload = json.dumps({"critical": {"identity": {"docker-reference": self.name}, "image": {"docker-manifest-digest": image},
                                           "type": "cosign container image signature"}, "optional": None}).encode()
        signature = base64.b64encode(openssl("dgst", "-sha256", "-sign", str(self.key), stdin=payload)).decode()
        self.push(b"{}", payload, {"dev.cosignproject.cosign/signature": signature}, image.replace(":", "-") + ".sig",
                  "application/vnd.dev.cosign.simplesigning.v1+json")
        self.process = measure.Process([bench.servers, "registry", f"127.0.0.1:{port}", folder], port, folder / "log")

    def push(self, config, layer, annotations, tag=None, kind="application/vnd.oci.image.layer.v1.tar+gzip"):
        described = {"config": {"mediaType": "application/vnd.oci.image.config.v1+json", **self.blob(config)},
                     "layers": [{"mediaType": kind, "annotations": annotations, **self.blob(layer)}]}
        manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", **described}).encode()
        for name in filter(None, (digest(manifest), tag)):
            self.put("manifests", name, manifest)
        return digest(manifest)

    def blob(self, content):
        self.put("blobs", digest(content), content)
        return {"digest": digest(content), "size": len(content)}

    def put(self, kind, name, content):
        (self.dir / kind).mkdir(parents=True, exist_ok=True)
        (self.dir / kind / name).write_bytes(content)

    def requests(self):
        return measure.requests(self.process)


class PolicyController:
    """The process, with what it needs of the API server."""

    def __init__(self, program, bench, api, folder):
        self.bench, self.api, self.reviews = bench, api, 0
        self.registry = Registry(bench, bench.built / "registry")
        config = program.resolve().parent / "source/config"
        api.namespace(NAMESPACE)
        for name in ("300-clusterimagepolicy", "300-trustroot", "config-image-policies", "config-leader-election", "config-logging",
                     "config-observability", "config-policy-controller", "config-sigstore-keys"):
            api.kubectl("apply", "-f", str(config / f"{name}.yaml"))
        api.kubectl("wait", "--for=condition=Established", "crd/clusterimagepolicies.policy.sigstore.dev", "--timeout=60s")
        # Before its own webhooks are to be asked about it, which the API server of the benchmark does not reach as a Service.
        self.policy()
        for name in ("500-webhook-configuration", "501-policy-webhook-configurations"):
            api.kubectl("apply", "-f", str(config / f"{name}.yaml"))
        tls = api.tls
        keys = {"server-key.pem": tls / "tls.key", "server-cert.pem": tls / "tls.crt", "ca-cert.pem": tls / "ca.crt"}
        data = {name: base64.b64encode(path.read_bytes()).decode() for name, path in keys.items()}
        api.kubectl("apply", "-f", "-", stdin=json.dumps({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "webhook-certs", "namespace": NAMESPACE}, "data": data}))
        environment = {"SYSTEM_NAMESPACE": NAMESPACE, "CONFIG_LOGGING_NAME": "config-logging", "WEBHOOK_NAME": "webhook",
                       "METRICS_DOMAIN": "sigstore.dev/policy", "HOME": str(bench.built / "policy-controller"),
                       "POD_NAME": "webhook", "KUBECONFIG": str(api.kubeconfig), "CONFIG_OBSERVABILITY_NAME": "config-observability"}
        command = ["env", *(f"{name}={value}" for name, value in environment.items()), program.resolve(),
                   "--disable-tuf"]
        self.process = measure.Process(command, PORT, bench.built / "policy-controller.log")
        self.process.wait(self.compiled, 60)
        self.idle = self.process.memory()
        self.install()

    def policy(self):
        """One key that verifies, and no transparency log."""
        public = openssl("ec", "-in", str(self.registry.key), "-pubout").decode()
        self.api.kubectl("apply", "-f", "-", stdin=json.dumps({
            "apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "ClusterImagePolicy", "metadata": {"name": "one-key"},
            "spec": {"images": [{"glob": f"{self.registry.name}*"}],
                     "authorities": [{"name": "key", "key": {"data": public, "hashAlgorithm": "sha256"}}]}}))

    def compiled(self):
        """Fails until the policy is in the ConfigMap from which the webhook reads it."""
        said = json.loads(self.api.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps/config-image-policies"))
        if "one-key" not in said.get("data", {}):
            raise OSError("the policy is not compiled")

    def install(self):
        namespace = "prod-policy-controller"
        self.api.namespace(namespace)
        # It asks for the account of each Pod, for what it is to pull with.
        self.api.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app"}})
        bundle = base64.b64encode((self.api.tls / "ca.crt").read_bytes()).decode()
        for kind, path in (("Validating", "/validations"), ("Mutating", "/mutations")):
            entry = {"name": "policy.sigstore.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": PODS,
                     "timeoutSeconds": 25, "failurePolicy": "Fail", "matchPolicy": "Equivalent",
                     "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                     "clientConfig": {"url": f"https://{measure.ELSEWHERE}:{PORT}{path}", "caBundle": bundle}}
            self.api.ask("POST", f"/apis/admissionregistration.k8s.io/v1/{kind.lower()}webhookconfigurations", {
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": f"{kind}WebhookConfiguration",
                "metadata": {"name": namespace}, "webhooks": [entry]})

    def case(self, make):
        """The case that it is, with an image of its own."""
        folder = self.bench.built / "policy-controller-pods"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "tls").mkdir(parents=True)
        shutil.copy(self.api.tls / "ca.crt", folder / "tls/ca.crt")
        (folder / "images").write_text(self.registry.image)
        case = make("policy-controller, to verify and to pin", "prod-policy-controller", self.process)
        case.folder = folder
        return case

    def calls(self):
        """Requests to the API server so far, as it counts them, by this client and all others."""
        text = self.api.ask("GET", "/metrics").decode()
        counted = [line for line in text.splitlines() if line.startswith("apiserver_request_total{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in counted)

    def report(self):
        """Straight to the webhooks, without an API server in between: what one review asks for elsewhere, and memory."""
        asked, called = self.registry.requests(), self.calls()
        case = self.case(type("Count", (), {"__init__": lambda self, *_: None}))
        said = json.loads(self.bench.client("pods", self.api.url, case.folder, "of-the-benchmark", "prod-policy-controller", "dry=1",
                                            "connections=1", "milliseconds=3000"))
        # Three come before those that are measured.
        pods = len(said["each"]) + 3
        registry, others = (self.registry.requests() - asked) / pods, (self.calls() - called) / pods - 1
        self.bench.say(f"sigstore's policy-controller 0.13.1, one static key, no transparency log: {registry:.1f} requests to the registry "
                       f"and {others:.1f} to the API server for each Pod, though it was verified before; resident {self.idle:.0f} MiB when it "
                       f"started, {self.process.memory():.0f} MiB afterwards. Pratique asks neither for an image that it knows.")
        self.bench.say()

    def end(self):
        self.process.__exit__()
        self.registry.process.__exit__()
