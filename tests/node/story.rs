//! What all stages share.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    time::Instant,
};

use serde_json::{Value, json};

use crate::support::{
    helm::{Helm, NAMESPACE},
    http,
    kubectl::Kubectl,
    node::Cluster,
    objects,
    registry::{Image, PAUSE, Registry},
    releases::{NAME, Releases},
    stream::{Stream, Verdict},
    wait,
};

/// The cluster with the product in it, and the images it is asked about.
pub(crate) struct Story {
    pub(crate) helm: Helm,
    /// The program on the machine of a cluster admin.
    pub(crate) pratique: Kubectl,
    /// kubectl of a cluster admin in the webhook's own namespace.
    pub(crate) own: Kubectl,
    /// kubectl of a cluster admin in an ordinary namespace.
    pub(crate) shop: Kubectl,
    pub(crate) releases: Releases,
    pub(crate) images: Images,
    pub(crate) cluster: Cluster,
    began: Instant,
}

/// The images that the registry has.
pub(crate) struct Images {
    /// Of this source.
    pub(crate) pratique: Image,
    /// Signed by two builders; tag `1.0`.
    pub(crate) good: Image,
    /// Signed by two builders; tag `1.1`.
    pub(crate) newer: Image,
    /// Listed, with links by one builder and a stranger.
    pub(crate) stolen: Image,
    /// Signed by two builders, and then revoked.
    pub(crate) revoked: Image,
    /// Never released.
    pub(crate) unknown: Image,
}

/// How many images of the project there are beside.
const OTHERS: u32 = 1000;

impl Story {
    /// Brings all up, and installs the chart.
    pub(crate) fn begin() -> Self {
        let began = Instant::now();
        let said = |what: &str| say(began, what);
        let mut cluster = Cluster::start();
        said("the API server is up");
        let images = Images::push(&Registry::new(&cluster.machine));
        said("the images are pushed");
        let releases = Releases::new(&cluster.machine.directory.join("project"));
        for image in [&images.good, &images.newer, &images.revoked] {
            releases.release(image, &[0, 1]);
        }
        releases.release(&images.stolen, &[0, 7]);
        releases.revoke(&images.revoked, "CVE-2026-1");
        releases.release_many(OTHERS);
        cluster.spawn(Path::new("python3"), &releases.server());
        said("the project is published");
        cluster.wait();
        said("the node is ready");
        let own = cluster.namespace(NAMESPACE, &json!({"pod-security.kubernetes.io/enforce": "restricted"}));
        let shop = cluster.namespace("shop", &json!({}));
        cluster.namespace("stream", &json!({}));
        let machine = &cluster.machine;
        let program = machine.wrapper(Path::new(env!("CARGO_BIN_EXE_pratique")), "");
        let pratique = Kubectl::new(&program, &machine.directory, &machine.directory.join("admin.kubeconfig"));
        let helm = Helm::new(machine);
        let story = Self { helm, pratique, own, shop, releases, images, cluster, began };
        story.installs();
        said("the chart is installed");
        story
    }

    /// Values of the chart, as a user of this cluster writes them.
    pub(crate) fn values(&self) -> Value {
        let image = &self.images.pratique;
        let (repository, tag) = image.name.rsplit_once(':').unwrap();
        json!({
            "image": {"repository": repository, "tag": tag, "digest": image.digest},
            "policy": self.releases.policy(&[]),
            "repositories": {"shop": {"root": self.releases.root()}},
        })
    }

    fn installs(&self) {
        let installed = self.helm.apply("install", &self.values());
        let state = || format!("{}{}", installed.stderr, self.state());
        assert_eq!((installed.code, installed.stderr.as_str()), (Some(0), ""), "{}", state());
        let deployment = self.own.json("deployment/pratique");
        assert_eq!(deployment["status"]["readyReplicas"], 3, "{}", self.state());
        // `pratique doctor`, as a Pod.
        let tested = self.helm.run("test pratique");
        assert_eq!(tested.code, Some(0), "{}{}{}", tested.stdout, tested.stderr, self.state());
    }

    /// The names of the webhook's pods that are there to stay.
    pub(crate) fn pods(&self) -> Vec<String> {
        let pods = self.own.json("pods --selector=app.kubernetes.io/component=webhook");
        let staying =
            pods["items"].as_array().unwrap().iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        staying.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until all replicas are ready.
    pub(crate) fn ready(&self) {
        let status = self.own.run("rollout status deployment/pratique --timeout=120s");
        assert_eq!(status.code, Some(0), "{}", self.state());
    }

    /// The processes of the replicas, as this machine numbers them; those that are ending, too.
    pub(crate) fn replicas(&self) -> Vec<u32> {
        let cgroup = format!("/{}/", self.cluster.machine.cgroup);
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        let ours = processes.filter(|process| {
            // One that has ended meanwhile is none.
            let read = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
            read("cmdline").starts_with("/pratique\0serve\0") && read("cgroup").contains(&cgroup)
        });
        ours.filter_map(|process| process.file_name()?.to_str()?.parse().ok()).collect()
    }

    /// Waits until all replicas are ready, and those that were replaced have ended.
    pub(crate) fn settled(&self) {
        self.ready();
        wait::until("replaced replicas have ended", || {
            let running = self.replicas().len();
            if running == 3 { Ok(()) } else { Err(format!("{running} run")) }
        });
    }

    /// A page of the port of a replica on which health and metrics are.
    pub(crate) fn page(&self, pod: &str, page: &str) -> Result<String, String> {
        self.call("GET", &format!("{pod}:8080/proxy/{page}"), "")
    }

    /// What one replica answers to the review of a new Pod with this image in the namespace `shop`. Which of them the API
    /// server asks is a matter of its connections.
    pub(crate) fn ask(&self, pod: &str, image: &str) -> Value {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "one", "operation": "CREATE", "dryRun": true, "namespace": "shop", "name": "asked",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "userInfo": {"username": "tests"}, "object": objects::pod("asked", image), "options": {},
            },
        });
        let answer = self.call("POST", &format!("https:{pod}:8443/proxy/verify?timeout=10s"), &review.to_string());
        serde_json::from_str::<Value>(&answer.unwrap()).unwrap()["response"].clone()
    }

    /// A request to a Pod of the webhook, by way of the API server.
    fn call(&self, method: &str, path: &str, body: &str) -> Result<String, String> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{path}");
        let answer = http::request(&self.cluster.socket, method, &path, body).unwrap();
        if answer.status == 200 { Ok(answer.body) } else { Err(answer.body) }
    }

    /// A stream of reviews about a good image and a bad one, in a namespace of its own.
    pub(crate) fn stream(&self) -> Stream {
        let (good, bad) = (self.images.good.reference(), self.images.stolen.reference());
        Stream::start(&self.cluster.socket, "stream", &[(&good, Verdict::Admitted), (&bad, Verdict::Refused)])
    }

    /// The same about a good image alone.
    pub(crate) fn stream_of_good(&self) -> Stream {
        Stream::start(&self.cluster.socket, "stream", &[(&self.images.good.reference(), Verdict::Admitted)])
    }

    /// Tells, with the time, what was found.
    pub(crate) fn said(&self, what: &str) {
        say(self.began, what);
    }

    /// What one would look at first, for the text of a failure.
    pub(crate) fn state(&self) -> String {
        let commands = [
            "get pods,jobs --output=wide",
            "get events --sort-by=.lastTimestamp",
            "logs --selector=app.kubernetes.io/name=pratique --tail=20 --prefix",
        ];
        commands.map(|command| self.own.run(command)).map(|output| output.stdout + &output.stderr).join("\n")
    }
}

/// Not by `eprintln!`, which says nothing where a test passes.
fn say(began: Instant, what: &str) {
    writeln!(io::stderr(), "{:5.1} s: {what}", began.elapsed().as_secs_f32()).unwrap();
}

impl Images {
    fn push(registry: &Registry<'_>) -> Self {
        registry.sample(PAUSE);
        let sample = |tag: &str| registry.sample(&format!("{NAME}:{tag}"));
        Self {
            pratique: registry.pratique("registry.example/pratique/pratique:0.1.0"),
            good: sample("1.0"),
            newer: sample("1.1"),
            stolen: sample("stolen"),
            revoked: sample("revoked"),
            unknown: sample("unknown"),
        }
    }
}
