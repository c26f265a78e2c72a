//! The process `pratique serve-audit`, with the account of `deploy/audit.yaml`.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use super::{
    chain::Chain,
    cluster::{Cluster, free_port},
    deploy,
    kubectl::Kubectl,
    process::Process,
    wait,
    webhook::{config_map, get},
};

/// Ports are found free and taken a moment later; another process may come in between.
const ATTEMPTS: u32 = 5;

/// The namespaces of a test, and what the process is started with.
pub(crate) struct Audit {
    /// kubectl of a cluster admin in the namespace that the policy's rule is for.
    pub(crate) kubectl: Kubectl,
    /// The same in the namespace of the account, with the ConfigMap of digests.
    pub(crate) own: Kubectl,
    folder: PathBuf,
    kubeconfig: PathBuf,
    name: String,
}

/// The running process.
pub(crate) struct Auditing {
    process: Process,
    health: u16,
}

impl Audit {
    /// Makes both namespaces, the account, and a policy whose one rule is for images of `chain` in the namespace `name`.
    /// What the other tests run is admitted by the default, and nobody is told of it.
    pub(crate) fn new(cluster: &Cluster, name: &str, chain: &Chain) -> Self {
        let own_name = format!("{name}-system");
        let (kubectl, own) = (cluster.namespace(name), cluster.namespace(&own_name));
        own.apply(&config_map("pratique-digests", "digests", "")).succeeded();
        deploy::install_account(&own, "audit.yaml", &own_name);
        let (_, kubeconfig) = cluster.service_account(&own_name, "pratique-audit");
        let folder = cluster.folder(&format!("audit-{name}"));
        fs::create_dir_all(folder.join("state")).unwrap();
        let mut roots = config_map(&deploy::roots(), "acme.root.json", &chain.root());
        roots["immutable"] = json!(true);
        own.apply(&roots).succeeded();
        let audit = Self { kubectl, own, folder, kubeconfig, name: name.to_owned() };
        audit.set_policy(&audit.policy(chain));
        audit
    }

    /// The policy that it begins with.
    pub(crate) fn policy(&self, chain: &Chain) -> String {
        let one_namespace = format!("match: {{namespaces: [{}], images: ", self.name);
        let policy = chain.policy().replacen("match: {images: ", &one_namespace, 1);
        policy.replacen("    root:", "    refresh: 1s\n    root:", 1).replacen("default: deny", "default: audit", 1)
    }

    /// Replaces the policy.
    pub(crate) fn set_policy(&self, policy: &str) {
        self.own.apply(&config_map("pratique-policy", "policy.yaml", policy)).succeeded();
    }

    /// Starts the process, and waits until it has judged what runs.
    pub(crate) fn start(&self) -> Auditing {
        let mut attempt = 1;
        loop {
            match self.start_on_free_port() {
                Ok(auditing) => return auditing,
                Err(log) if attempt == ATTEMPTS || !log.contains("cannot listen") => {
                    panic!("the audit does not start:\n{log}")
                }
                Err(_) => attempt += 1,
            }
        }
    }

    /// Starts the process where it cannot become ready, and waits until it says so in these words.
    pub(crate) fn start_unready(&self, words: &str) -> Auditing {
        let mut auditing = self.spawn();
        wait::until("the audit answers", || {
            assert!(!auditing.process.has_ended(), "{}", auditing.process.log());
            match auditing.ready() {
                Err(answer) if answer.contains(words) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        auditing
    }

    fn start_on_free_port(&self) -> Result<Auditing, String> {
        let mut auditing = self.spawn();
        wait::until("the audit is ready", || {
            if auditing.process.has_ended() {
                return Ok(Err(auditing.process.log()));
            }
            auditing.ready().map(|_| Ok(())).map_err(|answer| format!("{answer}\n{}", auditing.process.log()))
        })?;
        Ok(auditing)
    }

    fn spawn(&self) -> Auditing {
        let health = free_port();
        let args = [
            "serve-audit".to_owned(),
            format!("--health-listen=127.0.0.1:{health}"),
            format!("--policy-configmap={}-system/pratique-policy", self.name),
            format!("--roots-configmap={}-system/{}", self.name, deploy::roots()),
            format!("--state={}", self.folder.join("state").display()),
            format!("--digests-configmap={}-system/pratique-digests", self.name),
            "--interval=1".to_owned(),
            "--instance=audit-0".to_owned(),
        ];
        let process = Process::start(
            env!("CARGO_BIN_EXE_pratique").as_ref(),
            args,
            &[("KUBECONFIG", self.kubeconfig.as_os_str())],
            &self.folder,
            &self.folder.join("log"),
        );
        Auditing { process, health }
    }

    /// The Events of the namespace that the audit wrote.
    pub(crate) fn events(&self) -> Vec<Value> {
        let events = self.kubectl.json("events.events.k8s.io")["items"].take();
        let ours = |event: &&Value| event["reportingController"] == "pratique.dev/audit";
        events.as_array().unwrap().iter().filter(ours).cloned().collect()
    }

    /// The images that are published as in use.
    pub(crate) fn digests(&self) -> String {
        self.own.json("configmap/pratique-digests")["data"]["digests"].as_str().unwrap_or_default().to_owned()
    }

    /// What the account wrote in both namespaces, with the answers: `create events 201`.
    pub(crate) fn writes(&self, cluster: &Cluster) -> Vec<String> {
        let user = format!("system:serviceaccount:{}-system:pratique-audit", self.name);
        let namespaces = [self.name.clone(), format!("{}-system", self.name)];
        let log = namespaces.iter().flat_map(|namespace| cluster.audit_log(namespace));
        let ours = log.filter(|event| event["user"]["username"] == *user);
        let line = |event: Value| {
            let (verb, resource) = (event["verb"].as_str().unwrap(), event["objectRef"]["resource"].as_str().unwrap());
            format!("{verb} {resource} {}", event["responseStatus"]["code"])
        };
        ours.map(line).collect()
    }
}

impl Auditing {
    /// The value of one line of the metrics, 0 as long as it is not there.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let metrics = get(self.health, "/metrics").unwrap();
        let mut values = metrics.lines().filter_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        values.next().unwrap_or(0)
    }

    /// Waits until everything was judged again, so many times: seconds of the last run tell them apart.
    pub(crate) fn runs(&self, times: u32) {
        for _ in 0..times {
            let before = self.metric("pratique_audit_last_run_timestamp_seconds");
            wait::until("everything is judged again", || {
                match self.metric("pratique_audit_last_run_timestamp_seconds") {
                    last if last > before => Ok(()),
                    _ => Err(self.process.log()),
                }
            });
        }
    }

    /// Whether it is ready.
    pub(crate) fn ready(&self) -> Result<String, String> {
        get(self.health, "/readyz")
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Stops it as a node does; its exit status.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.process.signal("TERM");
        self.process.wait()
    }
}
