//! A Kubernetes control plane: etcd, kube-apiserver and kube-controller-manager, one for all tests of a run.
//!
//! `tests/cluster/tools/README.md` says why each flag is there.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

use super::{
    kubectl::Kubectl,
    pki::{self, Authority},
    process::Process,
    wait,
};

/// The controllers that the tests have to do with.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,replicationcontroller-controller,\
    statefulset-controller,daemonset-controller,job-controller,cronjob-controller,garbage-collector-controller,\
    namespace-controller,serviceaccount-controller,serviceaccount-token-controller,\
    root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,disruption-controller,\
    validatingadmissionpolicy-status-controller,ttl-after-finished-controller";

const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
  "rules": [{"level": "Metadata", "verbs": ["create", "update", "patch", "delete"]}]}"#;

/// Ports are found free and taken a moment later; another process may come in between.
const ATTEMPTS: u32 = 5;

/// A running control plane.
pub(crate) struct Cluster {
    authority: Authority,
    admin: Kubectl,
    api: u16,
    directory: PathBuf,
    programs: PathBuf,
    // Ended in this order.
    _controllers: Process,
    _api_server: Process,
    _etcd: Process,
    _lock: File,
}

impl Cluster {
    /// The cluster of this run; the first caller starts it. The system ends it together with the test process, because
    /// a static is never dropped (`process.rs`).
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::start);
        &SHARED
    }

    /// kubectl of a cluster admin.
    pub(crate) fn admin(&self) -> &Kubectl {
        &self.admin
    }

    /// The kubeconfig of a cluster admin.
    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.directory.join("admin.kubeconfig")
    }

    /// The program kubectl.
    pub(crate) fn kubectl(&self) -> PathBuf {
        self.programs.join("kubectl")
    }

    /// Who signs the certificates of this run.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A folder for files of this run, which is there until the next run.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.directory.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// A new namespace that Pods may be created in, and kubectl of a cluster admin for it.
    pub(crate) fn namespace(&self, name: &str) -> Kubectl {
        self.admin.ok(&format!("create namespace {name}"));
        let kubectl = self.admin.namespace(name);
        kubectl.ok("wait --for=create serviceaccount/default --timeout=60s");
        kubectl
    }

    /// kubectl of a service account, as whom its Pods would come.
    pub(crate) fn service_account(&self, namespace: &str, name: &str) -> (Kubectl, PathBuf) {
        let token = self.admin.namespace(namespace).ok(&format!("create token {name} --duration=1h"));
        let kubeconfig = self.folder("kubeconfigs").join(format!("{namespace}-{name}"));
        let user = format!("token: {}", token.trim());
        write_kubeconfig(&kubeconfig, self.api, &self.directory, &user);
        let kubectl = Kubectl::new(&self.programs.join("kubectl"), &self.directory, &kubeconfig);
        (kubectl.namespace(namespace), kubeconfig)
    }

    /// The lines of the API server's audit log about objects in one namespace. A line is there before the request is
    /// answered.
    pub(crate) fn audit_log(&self, namespace: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.directory.join("audit.log")).unwrap();
        // The last line may be half written by somebody else's request.
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["objectRef"]["namespace"] == namespace).collect()
    }

    /// Another API server with a store of its own and without controllers, started with further flags. Their files are
    /// in the folder `name`, from which it is started.
    pub(crate) fn another(&self, name: &str, flags: &str) -> ApiServer {
        let directory = self.folder(name);
        fs::create_dir_all(directory.join("pki")).unwrap();
        write_files(&directory, &self.authority);
        ApiServer::start(&self.programs, &directory, flags)
    }

    fn start() -> Self {
        let programs = programs();
        let (directory, lock) = directory();
        let authority = Authority::new();
        write_files(&directory, &authority);
        let ApiServer { etcd, process, port, admin } = ApiServer::start(&programs, &directory, "");
        // Started before the API server is ready, it would wait longer.
        let controllers = start_controllers(&programs, &directory, port);
        // One by one: for several at once kubectl does not wait.
        for object in ["serviceaccount/default", "configmap/kube-root-ca.crt"] {
            admin.ok(&format!("wait --for=create {object} --timeout=60s"));
        }
        Self {
            authority,
            admin,
            api: port,
            directory,
            programs,
            _controllers: controllers,
            _api_server: process,
            _etcd: etcd,
            _lock: lock,
        }
    }
}

/// An API server with its store, ready. Ended when it is dropped.
pub(crate) struct ApiServer {
    /// kubectl of a cluster admin.
    pub(crate) admin: Kubectl,
    port: u16,
    process: Process,
    etcd: Process,
}

impl ApiServer {
    fn start(programs: &Path, directory: &Path, flags: &str) -> Self {
        let mut attempt = 1;
        loop {
            match Self::attempt(programs, directory, flags) {
                Ok(started) => return started,
                Err(log) if attempt == ATTEMPTS => panic!("the control plane does not start:\n{log}"),
                Err(_) => attempt += 1,
            }
        }
    }

    /// Fails, with the log, if another process takes one of the ports in between.
    fn attempt(programs: &Path, directory: &Path, flags: &str) -> Result<Self, String> {
        let (store, port) = (free_port(), free_port());
        let data = format!("etcd-{store}");
        let mut etcd = start(
            programs,
            "etcd",
            directory,
            &format!(
                "--data-dir {data} --unsafe-no-fsync --log-level warn \
                 --listen-client-urls http://127.0.0.1:{store} --advertise-client-urls http://127.0.0.1:{store} \
                 --listen-peer-urls http://127.0.0.1:0 --initial-advertise-peer-urls http://127.0.0.1:0 \
                 --initial-cluster default=http://127.0.0.1:0"
            ),
        );
        let mut process = start(
            programs,
            "kube-apiserver",
            directory,
            &format!(
                "--etcd-servers=http://127.0.0.1:{store} --bind-address=127.0.0.1 --secure-port={port} \
                 --advertise-address=127.0.0.1 --endpoint-reconciler-type=none \
                 --service-cluster-ip-range=10.0.0.0/24 --allow-privileged=true --authorization-mode=RBAC \
                 --tls-cert-file=pki/apiserver.pem --tls-private-key-file=pki/apiserver.key \
                 --client-ca-file=pki/ca.pem --service-account-issuer=https://kubernetes.default.svc \
                 --service-account-signing-key-file=pki/service-account.key \
                 --service-account-key-file=pki/service-account.pub --audit-policy-file=audit.json \
                 --audit-log-path=audit.log --audit-log-mode=blocking {flags}"
            ),
        );
        let admin = client(directory, "admin", port);
        let kubectl = Kubectl::new(&programs.join("kubectl"), directory, &admin);
        wait::until("the API server is ready", || {
            if etcd.has_ended() || process.has_ended() {
                return Ok(Err(etcd.log() + &process.log()));
            }
            kubectl.run("get --raw /readyz").result().map(|_| Ok(()))
        })?;
        Ok(Self { etcd, process, port, admin: kubectl })
    }
}

fn start_controllers(programs: &Path, directory: &Path, api: u16) -> Process {
    client(directory, "controller-manager", api);
    start(
        programs,
        "kube-controller-manager",
        directory,
        &format!(
            "--kubeconfig=controller-manager.kubeconfig --secure-port=0 --leader-elect=false \
             --use-service-account-credentials=true --service-account-private-key-file=pki/service-account.key \
             --root-ca-file=pki/ca.pem --kube-api-qps=500 --kube-api-burst=1000 --controllers={CONTROLLERS}"
        ),
    )
}

fn start(programs: &Path, name: &str, directory: &Path, args: &str) -> Process {
    let log = directory.join(format!("{name}.log"));
    Process::start(&programs.join(name), args.split_whitespace(), &[], directory, &log)
}

/// The folder with the programs, which are built if need be. Without them no test can pass.
fn programs() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/tools/build.sh");
    let output = Command::new(&script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{} failed: {}", script.display(), output.status);
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.lines().last().unwrap().into()
}

/// A new folder below cargo's, in which logs stay to be read after a failure; those of earlier runs go. The lock makes
/// another run with the same target folder wait.
fn directory() -> (PathBuf, File) {
    let runs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
    fs::create_dir_all(&runs).unwrap();
    let lock = File::create(runs.join("lock")).unwrap();
    lock.lock().unwrap();
    for run in fs::read_dir(&runs).unwrap() {
        // The programs of a run that was killed just now may still be writing; the next run tries again.
        let _ = fs::remove_dir_all(run.unwrap().path());
    }
    let directory = runs.join(process::id().to_string());
    fs::create_dir_all(directory.join("pki")).unwrap();
    (directory, lock)
}

fn write_files(directory: &Path, authority: &Authority) {
    let pki = directory.join("pki");
    fs::write(pki.join("ca.pem"), authority.pem()).unwrap();
    authority.server(
        &["127.0.0.1", "localhost", "kubernetes.default.svc"],
        &pki.join("apiserver.pem"),
        &pki.join("apiserver.key"),
    );
    authority.user("admin", Some("system:masters"), &pki.join("admin.pem"), &pki.join("admin.key"));
    let controllers = "controller-manager";
    authority.user(
        "system:kube-controller-manager",
        None,
        &pki.join(format!("{controllers}.pem")),
        &pki.join(format!("{controllers}.key")),
    );
    pki::key_pair(&pki.join("service-account.key"), &pki.join("service-account.pub"));
    fs::write(directory.join("audit.json"), AUDIT_POLICY).unwrap();
}

/// Writes the kubeconfig of a user with a certificate.
fn client(directory: &Path, name: &str, api: u16) -> PathBuf {
    let pki = directory.join("pki").display().to_string();
    let kubeconfig = directory.join(format!("{name}.kubeconfig"));
    let user = format!("client-certificate: {pki}/{name}.pem\n    client-key: {pki}/{name}.key");
    write_kubeconfig(&kubeconfig, api, directory, &user);
    kubeconfig
}

fn write_kubeconfig(file: &Path, api: u16, directory: &Path, user: &str) {
    let ca = directory.join("pki/ca.pem");
    let text = format!(
        "apiVersion: v1
kind: Config
clusters:
- name: tests
  cluster:
    server: https://127.0.0.1:{api}
    certificate-authority: {}
users:
- name: user
  user:
    {user}
contexts:
- name: tests
  context:
    cluster: tests
    user: user
current-context: tests
",
        ca.display()
    );
    fs::write(file, text).unwrap();
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
