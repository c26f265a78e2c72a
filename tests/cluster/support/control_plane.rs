//! What every Kubernetes control plane of these tests has: its programs, its folder, its keys and its flags.
//!
//! `tests/cluster/tools/README.md` says why each flag is there.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process,
};

use serde_json::Value;

use super::{
    pki::{self, Authority},
    tools::tool,
};

const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
  "rules": [{"level": "Metadata", "verbs": ["create", "update", "patch", "delete"]}]}"#;

/// The folder with these programs, which are built if need be.
pub(crate) fn programs(names: &[&str]) -> PathBuf {
    // The first argument is the folder; an empty one stands for the usual one.
    tool("build.sh", &[&[""], names].concat()).pop().unwrap().into()
}

/// A new folder below cargo's, in which logs stay to be read after a failure; those of earlier runs of the same kind
/// go. The lock makes another run with the same target folder wait.
pub(crate) fn directory(kind: &str) -> (PathBuf, File) {
    let runs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(kind);
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

/// Writes the keys of a control plane, with an API server of these further names or addresses.
pub(crate) fn write_files(directory: &Path, authority: &Authority, names: &[&str]) {
    let pki = directory.join("pki");
    fs::write(pki.join("ca.pem"), authority.pem()).unwrap();
    authority.server(
        &[&["127.0.0.1", "localhost", "kubernetes.default.svc"], names].concat(),
        &pki.join("apiserver.pem"),
        &pki.join("apiserver.key"),
    );
    pki::key_pair(&pki.join("service-account.key"), &pki.join("service-account.pub"));
    fs::write(directory.join("audit.json"), AUDIT_POLICY).unwrap();
}

/// Arguments of an etcd that is thrown away.
pub(crate) fn etcd(data: &str, port: u16) -> String {
    format!(
        "--data-dir {data} --unsafe-no-fsync --log-level warn \
         --listen-client-urls http://127.0.0.1:{port} --advertise-client-urls http://127.0.0.1:{port} \
         --listen-peer-urls http://127.0.0.1:0 --initial-advertise-peer-urls http://127.0.0.1:0 \
         --initial-cluster default=http://127.0.0.1:0"
    )
}

/// Arguments of an API server with the etcd at the port `store`.
pub(crate) fn api_server(store: u16, address: &str, port: u16) -> String {
    format!(
        "--etcd-servers=http://127.0.0.1:{store} --bind-address={address} --secure-port={port} \
         --advertise-address={address} --service-cluster-ip-range=10.0.0.0/24 --allow-privileged=true \
         --tls-cert-file=pki/apiserver.pem --tls-private-key-file=pki/apiserver.key \
         --client-ca-file=pki/ca.pem --service-account-issuer=https://kubernetes.default.svc \
         --service-account-signing-key-file=pki/service-account.key \
         --service-account-key-file=pki/service-account.pub --audit-policy-file=audit.json \
         --audit-log-path=audit.log --audit-log-mode=blocking"
    )
}

/// Arguments of a controller manager with `controller-manager.kubeconfig`.
pub(crate) fn controller_manager() -> &'static str {
    "--kubeconfig=controller-manager.kubeconfig --secure-port=0 --leader-elect=false \
     --use-service-account-credentials=true --service-account-private-key-file=pki/service-account.key \
     --root-ca-file=pki/ca.pem --kube-api-qps=500 --kube-api-burst=1000"
}

/// A user of the Kubernetes API with a certificate: the group, and who it is.
pub(crate) type User = (Option<&'static str>, &'static str);
/// May do everything.
pub(crate) const ADMIN: User = (Some("system:masters"), "admin");
/// The controller manager.
pub(crate) const CONTROLLER_MANAGER: User = (None, "system:kube-controller-manager");

/// Writes the kubeconfig of a user with a certificate.
pub(crate) fn client(directory: &Path, authority: &Authority, name: &str, user: User, server: &str) -> PathBuf {
    let (group, user) = user;
    let pki = directory.join("pki");
    let (certificate, key) = (pki.join(format!("{name}.pem")), pki.join(format!("{name}.key")));
    authority.user(user, group, &certificate, &key);
    let kubeconfig = directory.join(format!("{name}.kubeconfig"));
    let user = format!("client-certificate: {}\n    client-key: {}", certificate.display(), key.display());
    write_kubeconfig(&kubeconfig, server, directory, &user);
    kubeconfig
}

/// Writes a kubeconfig with these lines about the user.
pub(crate) fn write_kubeconfig(file: &Path, server: &str, directory: &Path, user: &str) {
    let ca = directory.join("pki/ca.pem");
    let text = format!(
        "apiVersion: v1
kind: Config
clusters:
- name: tests
  cluster:
    server: {server}
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

/// The lines of an API server's audit log about objects in one namespace. A line is there before the request is
/// answered.
pub(crate) fn audit_log(directory: &Path, namespace: &str) -> Vec<Value> {
    let log = fs::read_to_string(directory.join("audit.log")).unwrap();
    // The last line may be half written by somebody else's request.
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["objectRef"]["namespace"] == namespace).collect()
}
