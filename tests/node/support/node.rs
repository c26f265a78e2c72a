//! A Kubernetes cluster with one node: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy, kubelet
//! and containerd, on a machine of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    control_plane::{self, ADMIN, CONTROLLER_MANAGER, User},
    kubectl::Kubectl,
    machine::{ADDRESS, Machine},
    pki::Authority,
    process::Process,
    registry, wait,
};

/// What is built, or found in KUBEBUILDER_ASSETS.
const PROGRAMS: &[&str] =
    &["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"];

/// The folder of Pods that the kubelet starts by itself, in that of the run.
pub(crate) const STATIC_PODS: &str = "static-pods";

const API: u16 = 6443;
const STORE: u16 = 2379;
/// The first address of the services' network, which the API server takes for itself.
const API_SERVICE: &str = "10.0.0.1";

const SCHEDULER: User = (None, "system:kube-scheduler");
const PROXY: User = (None, "system:kube-proxy");
const KUBELET: User = (Some("system:nodes"), "system:node:node");

/// A running cluster, until it is dropped.
pub(crate) struct Cluster {
    /// kubectl of a cluster admin.
    pub(crate) admin: Kubectl,
    /// Where a plain HTTP request reaches the API server as a cluster admin: a socket.
    pub(crate) socket: PathBuf,
    programs: Vec<Process>,
    /// Ends, and with it all that runs.
    pub(crate) machine: Machine,
    _lock: File,
}

impl Cluster {
    /// Starts it, and waits until a Pod could be run. What containers run is pulled from the registry of [`registry`],
    /// the pause container too.
    pub(crate) fn start() -> Self {
        let folder = control_plane::programs(PROGRAMS);
        let (directory, lock) = control_plane::directory("node");
        let authority = Authority::new();
        control_plane::write_files(&directory, &authority, &[ADDRESS, API_SERVICE]);
        let server = format!("https://{ADDRESS}:{API}");
        let client = |name: &str, user| control_plane::client(&directory, &authority, name, user, &server);
        let admin = client("admin", ADMIN);
        for (name, user) in [("controller-manager", CONTROLLER_MANAGER), ("scheduler", SCHEDULER), ("proxy", PROXY)] {
            client(name, user);
        }
        client("kubelet", KUBELET);

        let machine = Machine::start(&directory);
        write_settings(&machine);
        let kubectl = machine.wrapper(&folder.join("kubectl"), "");
        let admin = Kubectl::new(&kubectl, &directory, &admin);
        let socket = directory.join("api.sock");
        let mut cluster = Self { admin, socket, programs: Vec::new(), machine, _lock: lock };

        cluster.spawn(Path::new("docker-registry"), "serve registry.json");
        cluster.spawn(Path::new("containerd"), "--config=containerd.toml");
        cluster.spawn(&folder.join("etcd"), &control_plane::etcd("etcd", STORE));
        // For `kubectl logs` the API server comes to the kubelet as the admin.
        let args = control_plane::api_server(STORE, ADDRESS, API)
            + " --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
               --kubelet-preferred-address-types=InternalIP --kubelet-client-certificate=pki/admin.pem \
               --kubelet-client-key=pki/admin.key";
        cluster.spawn(&folder.join("kube-apiserver"), &args);
        wait::until("the API server is ready", || {
            cluster.all_run();
            cluster.admin.run("get --raw /readyz").result()
        });
        cluster.spawn(&folder.join("kube-controller-manager"), control_plane::controller_manager());
        cluster.spawn(&folder.join("kube-scheduler"), "--kubeconfig=scheduler.kubeconfig --leader-elect=false");
        cluster.spawn(
            &folder.join("kube-proxy"),
            "--kubeconfig=proxy.kubeconfig --proxy-mode=iptables --cluster-cidr=10.244.0.0/16 \
             --conntrack-max-per-core=0 --hostname-override=node",
        );
        cluster.spawn(
            &folder.join("kubelet"),
            &format!(
                "--config=kubelet.json --kubeconfig=kubelet.kubeconfig --node-ip={ADDRESS} --hostname-override=node \
                 --root-dir={}",
                directory.join("kubelet").display()
            ),
        );
        // The requests of the tests go through a process that knows the API server's certificate.
        let args = format!("proxy --kubeconfig=admin.kubeconfig --unix-socket={}", cluster.socket.display());
        cluster.spawn(&folder.join("kubectl"), &args);
        cluster
    }

    /// Waits until Pods can be run.
    pub(crate) fn wait(&mut self) {
        for object in ["serviceaccount/default", "configmap/kube-root-ca.crt", "node/node"] {
            self.admin.ok(&format!("wait --for=create {object} --timeout=60s"));
        }
        wait::until("the node is ready", || {
            self.all_run();
            self.admin.run("wait --for=condition=Ready node/node --timeout=1s").result()
        });
    }

    /// A new namespace that Pods may be created in, and kubectl of a cluster admin for it.
    pub(crate) fn namespace(&self, name: &str, labels: &Value) -> Kubectl {
        let metadata = json!({"name": name, "labels": labels});
        self.admin.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).succeeded();
        let kubectl = self.admin.namespace(name);
        kubectl.ok("wait --for=create serviceaccount/default --timeout=60s");
        kubectl
    }

    /// The API server's audit log about one namespace.
    pub(crate) fn audit_log(&self, namespace: &str) -> Vec<Value> {
        control_plane::audit_log(&self.machine.directory, namespace)
    }

    /// What a program has written to its log.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.machine.directory.join(name).with_extension("log")).unwrap()
    }

    /// Starts a program that is to run as long as the cluster.
    pub(crate) fn spawn(&mut self, program: &Path, args: &str) {
        self.programs.push(self.machine.spawn(program, args));
    }

    fn all_run(&mut self) {
        for program in &mut self.programs {
            assert!(!program.has_ended(), "{}", program.log());
        }
    }
}

/// The settings of the node's programs. JSON is YAML, and the registry and the kubelet read that.
fn write_settings(machine: &Machine) {
    let directory = &machine.directory;
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    let at = directory.display();
    write("registry.json", &registry::settings(&directory.join("registry")).to_string());
    write(
        "containerd.toml",
        &format!(
            "version = 2
root = \"{at}/containerd\"
state = \"/run/containerd\"
[grpc]
address = \"/run/containerd/containerd.sock\"
[plugins.\"io.containerd.grpc.v1.cri\"]
sandbox_image = \"{}\"
# Neither is to be had in a container.
restrict_oom_score_adj = true
disable_apparmor = true
[plugins.\"io.containerd.grpc.v1.cri\".cni]
bin_dir = \"/usr/lib/cni\"
conf_dir = \"{at}/cni\"
[plugins.\"io.containerd.grpc.v1.cri\".registry]
config_path = \"{at}/hosts\"
",
            registry::PAUSE
        ),
    );
    fs::create_dir_all(directory.join("cni")).unwrap();
    let range = json!([{"subnet": "10.244.0.0/24"}]);
    let bridge = json!({
        "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
        "ipam": {"type": "host-local", "ranges": [range], "routes": [{"dst": "0.0.0.0/0"}]},
    });
    let ports = json!({"type": "portmap", "capabilities": {"portMappings": true}});
    let network = json!({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]});
    write("cni/10-pods.conflist", &network.to_string());
    let hosts = directory.join("hosts").join(registry::HOST);
    fs::create_dir_all(&hosts).unwrap();
    let url = registry::url();
    let text = format!("server = \"{url}\"\n[host.\"{url}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
    fs::write(hosts.join("hosts.toml"), text).unwrap();
    fs::create_dir(directory.join(STATIC_PODS)).unwrap();
    let kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "staticPodPath": directory.join(STATIC_PODS),
        "authentication": {"x509": {"clientCAFile": directory.join("pki/ca.pem")}, "anonymous": {"enabled": false}},
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{}", machine.cgroup), "failCgroupV1": false,
        "podLogsDir": directory.join("pods"),
        "failSwapOn": false, "enforceNodeAllocatable": [], "evictionHard": {}, "resolvConf": "",
        "serializeImagePulls": false, "registryPullQPS": 0, "eventRecordQPS": 0,
    });
    write("kubelet.json", &kubelet.to_string());
}
