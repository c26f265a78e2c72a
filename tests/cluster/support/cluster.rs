//! A Kubernetes control plane: etcd, kube-apiserver and kube-controller-manager, one for all tests of a run.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use serde_json::Value;

use super::{
    control_plane::{self, ADMIN, CONTROLLER_MANAGER},
    kubectl::Kubectl,
    lab,
    pki::Authority,
    process::Process,
    wait,
};

/// The controllers that the tests have to do with.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,replicationcontroller-controller,\
    statefulset-controller,daemonset-controller,job-controller,cronjob-controller,garbage-collector-controller,\
    namespace-controller,serviceaccount-controller,serviceaccount-token-controller,\
    root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,disruption-controller,\
    validatingadmissionpolicy-status-controller,ttl-after-finished-controller";

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

    /// The port of the API server on this machine.
    pub(crate) fn api(&self) -> u16 {
        self.api
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
        control_plane::write_kubeconfig(&kubeconfig, &address(self.api), &self.directory, &user);
        let kubectl = Kubectl::new(&self.programs.join("kubectl"), &self.directory, &kubeconfig);
        (kubectl.namespace(namespace), kubeconfig)
    }

    /// The lines of the API server's audit log about objects in one namespace. A line is there before the request is
    /// answered.
    pub(crate) fn audit_log(&self, namespace: &str) -> Vec<Value> {
        control_plane::audit_log(&self.directory, namespace)
    }

    /// Another API server with a store of its own and without controllers, started with further flags. Their files are
    /// in the folder `name`, from which it is started.
    pub(crate) fn another(&self, name: &str, flags: &str) -> ApiServer {
        let directory = self.folder(name);
        fs::create_dir_all(directory.join("pki")).unwrap();
        control_plane::write_files(&directory, &self.authority, &[]);
        ApiServer::start(&self.programs, &directory, &self.authority, flags)
    }

    fn start() -> Self {
        let programs = control_plane::programs(&["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"]);
        let (directory, lock) = control_plane::directory(lab::kind());
        let authority = Authority::new();
        control_plane::write_files(&directory, &authority, &[lab::api()]);
        let ApiServer { etcd, process, port, admin, .. } = ApiServer::start(&programs, &directory, &authority, "");
        // Started before the API server is ready, it would wait longer.
        let controllers = start_controllers(&programs, &directory, &authority, port);
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
    programs: PathBuf,
    directory: PathBuf,
    args: String,
}

impl ApiServer {
    /// The kubeconfig of a cluster admin.
    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.directory.join("admin.kubeconfig")
    }

    /// Kills it, starts it again at the same port, and waits until it is ready. Its store goes on.
    pub(crate) fn restart(&mut self) {
        self.process.signal("KILL");
        self.process.wait();
        self.process = start(&self.programs, "kube-apiserver", &self.directory, &self.args);
        wait::until("the API server is ready again", || {
            assert!(!self.process.has_ended(), "{}", self.process.log());
            self.admin.run("get --raw /readyz").result()
        });
    }

    fn start(programs: &Path, directory: &Path, authority: &Authority, flags: &str) -> Self {
        let mut attempt = 1;
        loop {
            match Self::attempt(programs, directory, authority, flags) {
                Ok(started) => return started,
                Err(log) if attempt == ATTEMPTS => panic!("the control plane does not start:\n{log}"),
                Err(_) => attempt += 1,
            }
        }
    }

    /// Fails, with the log, if another process takes one of the ports in between.
    fn attempt(programs: &Path, directory: &Path, authority: &Authority, flags: &str) -> Result<Self, String> {
        let (store, port) = (free_port(), free_port());
        let data = format!("etcd-{store}");
        let mut etcd = start(programs, "etcd", directory, &control_plane::etcd(&data, store));
        let args = control_plane::api_server(store, lab::api(), port)
            + " --endpoint-reconciler-type=none --authorization-mode=RBAC "
            + flags;
        let mut process = start(programs, "kube-apiserver", directory, &args);
        let admin = control_plane::client(directory, authority, "admin", ADMIN, &address(port));
        let kubectl = Kubectl::new(&programs.join("kubectl"), directory, &admin);
        wait::until("the API server is ready", || {
            if etcd.has_ended() || process.has_ended() {
                return Ok(Err(etcd.log() + &process.log()));
            }
            kubectl.run("get --raw /readyz").result().map(|_| Ok(()))
        })?;
        let (programs, directory) = (programs.to_owned(), directory.to_owned());
        Ok(Self { etcd, process, port, admin: kubectl, programs, directory, args })
    }
}

fn start_controllers(programs: &Path, directory: &Path, authority: &Authority, api: u16) -> Process {
    control_plane::client(directory, authority, "controller-manager", CONTROLLER_MANAGER, &address(api));
    let args = format!("{} --controllers={CONTROLLERS}", control_plane::controller_manager());
    start(programs, "kube-controller-manager", directory, &args)
}

fn address(api: u16) -> String {
    format!("https://{}:{api}", lab::api())
}

fn start(programs: &Path, name: &str, directory: &Path, args: &str) -> Process {
    let log = directory.join(format!("{name}.log"));
    Process::start(&programs.join(name), args.split_whitespace(), &[], directory, &log)
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
