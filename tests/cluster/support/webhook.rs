//! The product as it runs in production: the process `pratique serve`, called by the API server.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    chain::Chain,
    cluster::{Cluster, free_port},
    deploy::{self, Place, Webhooks},
    kubectl::Kubectl,
    lab,
    process::Process,
    wait,
};

/// Ports are found free and taken a moment later; another process may come in between.
const ATTEMPTS: u32 = 5;

/// What the process is to be started with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where the policy comes from.
    source: Source,
    /// Which tags it replaces: `off`, `pods`, `all`.
    pin: &'static str,
    /// Further options.
    options: &'static [&'static str],
    /// Whether it issues its certificate itself, into the Secret `pratique-tls` of its namespace.
    self_issued: bool,
    /// Whether it shares what it remembers with others. Only with ConfigMaps.
    remembers: bool,
}

#[derive(Debug, Clone)]
enum Source {
    /// A file, with the roots beside it.
    File(PathBuf),
    /// The ConfigMaps of `deploy/` in a namespace of the test, read with the rights of `deploy/`.
    ConfigMaps { namespace: String, kubeconfig: PathBuf },
}

/// A running webhook, its configurations and the namespace that they enforce.
pub(crate) struct Webhook {
    /// kubectl of a cluster admin in the enforced namespace.
    pub(crate) kubectl: Kubectl,
    /// The namespaces of the test.
    pub(crate) place: Place,
    server: Server,
    /// The configurations by which the API server calls it.
    pub(crate) configurations: Webhooks,
}

/// The process.
struct Server {
    process: Process,
    port: u16,
    health: u16,
}

impl Settings {
    /// With this policy, in a file.
    pub(crate) fn file(cluster: &Cluster, name: &str, chain: &Chain, policy: &str) -> Self {
        let folder = cluster.folder(&format!("webhook-{name}"));
        fs::write(folder.join("policy.yaml"), policy).unwrap();
        fs::write(folder.join("acme.root.json"), chain.root()).unwrap();
        Self {
            source: Source::File(folder.join("policy.yaml")),
            pin: "off",
            options: &[],
            self_issued: false,
            remembers: false,
        }
    }

    /// With this policy, in ConfigMaps, and with the account of `deploy/install.yaml`, all in the test's own namespace.
    pub(crate) fn config_maps(cluster: &Cluster, name: &str, chain: &Chain, policy: &str) -> Self {
        Self::config_maps_with(cluster, name, chain, policy, &[])
    }

    /// The same with further keys beside the root.
    pub(crate) fn config_maps_with(
        cluster: &Cluster,
        name: &str,
        chain: &Chain,
        policy: &str,
        beside: &[(&str, &str)],
    ) -> Self {
        let namespace = Place::of(name).own;
        let own = cluster.namespace(&namespace);
        deploy::install_account(&own, "install.yaml", &namespace);
        own.apply(&config_map("pratique-policy", "policy.yaml", policy)).succeeded();
        let mut roots = config_map(&deploy::roots(), "acme.root.json", &chain.root());
        for (key, text) in beside {
            roots["data"][*key] = json!(text);
        }
        roots["immutable"] = json!(true);
        own.apply(&roots).succeeded();
        let (_, kubeconfig) = cluster.service_account(&namespace, "pratique");
        Self {
            source: Source::ConfigMaps { namespace, kubeconfig },
            pin: "off",
            options: &[],
            self_issued: false,
            remembers: false,
        }
    }

    /// With tags replaced by digests: `pods` or `all`.
    pub(crate) fn pin(self, pin: &'static str) -> Self {
        Self { pin, ..self }
    }

    /// With further options of `pratique serve`.
    pub(crate) fn options(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }

    /// With a certificate that it issues itself; the Secret and the rights are made. Only with ConfigMaps.
    pub(crate) fn self_issued(self, cluster: &Cluster) -> Self {
        let Source::ConfigMaps { namespace, .. } = &self.source else { panic!("there is no namespace for the Secret") };
        let metadata = json!({"name": "pratique-tls"});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque"});
        let own = cluster.admin().namespace(namespace);
        own.apply(&secret).succeeded();
        let metadata = json!({"name": format!("{namespace}-ca-bundle")});
        let rule = json!({
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
            "resourceNames": [Webhooks::name(&Place::of_own(namespace))],
            "verbs": ["get", "patch"],
        });
        let group = "rbac.authorization.k8s.io";
        let api = format!("{group}/v1");
        own.apply(&json!({"apiVersion": api, "kind": "ClusterRole", "metadata": metadata, "rules": [rule]}))
            .succeeded();
        own.apply(&json!({
            "apiVersion": api, "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": metadata["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": "pratique", "namespace": namespace}],
        }))
        .succeeded();
        Self { self_issued: true, ..self }
    }

    /// With what it remembers in the ConfigMaps that begin with `pratique-trust`, which have to be there.
    pub(crate) fn remembering(self) -> Self {
        Self { remembers: true, ..self }
    }

    /// With the API server at another address. Only with ConfigMaps.
    pub(crate) fn by(mut self, address: &str) -> Self {
        let Source::ConfigMaps { kubeconfig, .. } = &mut self.source else { panic!("it asks no API server") };
        let text = fs::read_to_string(&*kubeconfig).unwrap();
        let server = text.lines().find(|line| line.trim_start().starts_with("server: ")).unwrap();
        let text = text.replacen(server, &format!("    server: {address}"), 1);
        *kubeconfig = kubeconfig.with_added_extension("by");
        fs::write(kubeconfig, text).unwrap();
        self
    }

    /// With the ConfigMaps of another API server, which have to be there. Only with ConfigMaps.
    pub(crate) fn of(mut self, other: &Path) -> Self {
        let Source::ConfigMaps { kubeconfig, .. } = &mut self.source else { panic!("it asks no API server") };
        other.clone_into(kubeconfig);
        self
    }

    /// The kubeconfig that it is started with. Only with ConfigMaps.
    pub(crate) fn kubeconfig(&self) -> &Path {
        let Source::ConfigMaps { kubeconfig, .. } = &self.source else { panic!("it asks no API server") };
        kubeconfig
    }

    fn args(&self, port: u16, health: u16, folder: &Path) -> Vec<String> {
        let mut args = vec![
            "serve".to_owned(),
            format!("--listen={}:{port}", lab::webhook()),
            format!("--health-listen={}:{health}", lab::probes()),
            format!("--state={}", folder.join("state").display()),
            format!("--pin={}", self.pin),
        ];
        match &self.source {
            Source::ConfigMaps { namespace, .. } if self.self_issued => {
                args.push(format!("--tls-secret={namespace}/pratique-tls"));
                args.push("--tls-dns-name=127.0.0.1".to_owned());
                args.push(format!("--webhook-configurations={}", Webhooks::name(&Place::of_own(namespace))));
            }
            _ => args.push(format!("--tls-dir={}", folder.join("tls").display())),
        }
        args.extend(self.options.iter().map(ToString::to_string));
        match &self.source {
            Source::File(policy) => args.push(format!("--policy={}", policy.display())),
            Source::ConfigMaps { namespace, .. } => {
                args.push(format!("--policy-configmap={namespace}/pratique-policy"));
                args.push(format!("--roots-configmap={namespace}/{}", deploy::roots()));
                args.extend(self.remembers.then(|| format!("--trust-memory={namespace}/pratique-trust")));
            }
        }
        args
    }
}

impl Webhook {
    /// Starts the process, and has the API server call it about the namespace `name`, which is made, with the objects
    /// `before` in it.
    pub(crate) fn start(cluster: &Cluster, name: &str, settings: &Settings, before: &[Value]) -> Self {
        let place = Place::of(name);
        let kubectl = cluster.namespace(&place.enforced);
        for object in before {
            kubectl.apply(object).succeeded();
        }
        let server = Server::start(cluster, name, settings);
        let configurations = Webhooks::install(cluster, &place, server.port);
        Self { kubectl, place, server, configurations }
    }

    /// How often the API server called an entry (`verify`), and got an answer.
    pub(crate) fn calls(&self, entry: &str) -> u64 {
        self.metric(&format!("pratique_http_answers_total{{path=\"/{entry}\",status=\"200\"}}"))
    }

    /// The value of one line of the metrics, 0 as long as it is not there.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let metrics = get(self.server.health, "/metrics").unwrap();
        let mut values = metrics.lines().filter_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        values.next().unwrap_or(0)
    }

    /// Where it listens on this machine.
    pub(crate) fn port(&self) -> u16 {
        self.server.port
    }

    /// What the process has written to its log.
    pub(crate) fn log(&self) -> String {
        self.server.process.log()
    }

    /// Whether it would take requests.
    pub(crate) fn ready(&self) -> Result<String, String> {
        get(self.server.health, "/readyz")
    }

    /// Sends the process a signal, by name.
    pub(crate) fn signal(&mut self, name: &str) {
        self.server.process.signal(name);
    }

    /// Waits until the process ends; its exit status.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.server.process.wait()
    }
}

/// A process that does not become ready.
pub(crate) struct Unready(Server);

impl Unready {
    /// Starts it, and waits until it gives a reason with these words.
    pub(crate) fn start(cluster: &Cluster, name: &str, settings: &Settings, words: &str) -> Self {
        let mut server = Server::spawn(&Server::folder(cluster, name), settings);
        wait::until("the webhook says why it is not ready", || {
            assert!(!server.process.has_ended(), "{}", server.process.log());
            match get(server.health, "/readyz") {
                Err(answer) if answer.contains(words) => Ok(()),
                other => Err(format!("{other:?}\n{}", server.process.log())),
            }
        });
        Self(server)
    }

    /// Waits until it is not ready again, with these words.
    pub(crate) fn becomes_unready(&self, words: &str) {
        wait::until("the webhook is no longer ready", || match get(self.0.health, "/readyz") {
            Err(answer) if answer.contains(words) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// Waits until it is ready after all.
    pub(crate) fn becomes_ready(&self) {
        wait::until("the webhook is ready", || get(self.0.health, "/readyz").map(drop));
    }
}

impl Server {
    fn folder(cluster: &Cluster, name: &str) -> PathBuf {
        let folder = cluster.folder(&format!("webhook-{name}"));
        fs::create_dir_all(folder.join("tls")).unwrap();
        fs::create_dir_all(folder.join("state")).unwrap();
        cluster.authority().server(&[lab::webhook()], &folder.join("tls/tls.crt"), &folder.join("tls/tls.key"));
        folder
    }

    fn start(cluster: &Cluster, name: &str, settings: &Settings) -> Self {
        let folder = Self::folder(cluster, name);
        let mut attempt = 1;
        loop {
            match Self::start_on_free_ports(&folder, settings) {
                Ok(server) => return server,
                Err(log) if attempt == ATTEMPTS || !log.contains("cannot listen") => {
                    panic!("the webhook does not start:\n{log}")
                }
                Err(_) => attempt += 1,
            }
        }
    }

    fn start_on_free_ports(folder: &Path, settings: &Settings) -> Result<Self, String> {
        let mut server = Self::spawn(folder, settings);
        wait::until("the webhook is ready", || {
            if server.process.has_ended() {
                return Ok(Err(server.process.log()));
            }
            let log = |answer| format!("{answer}\n{}", server.process.log());
            get(server.health, "/readyz").map(|_| Ok(())).map_err(log)
        })?;
        Ok(server)
    }

    fn spawn(folder: &Path, settings: &Settings) -> Self {
        let (port, health) = (free_port(), free_port());
        let env = match &settings.source {
            Source::File(_) => None,
            Source::ConfigMaps { kubeconfig, .. } => Some(("KUBECONFIG", kubeconfig.as_os_str())),
        };
        let (program, before) = lab::there().split_first().unwrap();
        let args = settings.args(port, health, folder);
        let process = Process::start(
            Path::new(program),
            before.iter().map(ToString::to_string).chain([env!("CARGO_BIN_EXE_pratique").to_owned()]).chain(args),
            env.as_slice(),
            folder,
            &folder.join("log"),
        );
        Self { process, port, health }
    }
}

/// A ConfigMap with one key.
pub(crate) fn config_map(name: &str, key: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text}})
}

/// The body of a page on a port of this machine, if its status is 200.
pub(crate) fn get(port: u16, path: &str) -> Result<String, String> {
    let ask = || {
        let mut stream = TcpStream::connect((lab::probes(), port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error: std::io::Error| error.to_string())?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(answer),
    }
}
