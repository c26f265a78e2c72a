//! A repository that wants to be asked with credentials, and the Secret that holds them.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::Request,
    http::{StatusCode, header::AUTHORIZATION},
};
use serde_json::json;

use crate::support::{
    cluster::Cluster,
    images::Images,
    objects, wait,
    webhook::{Settings, Webhook},
};

/// A TUF repository behind TLS that answers whoever brings the token.
struct Guarded {
    port: u16,
    token: Arc<Mutex<String>>,
    /// Requests with another token or none.
    strangers: Arc<AtomicU64>,
}

impl Guarded {
    fn start(cluster: &Cluster, repository: PathBuf) -> Self {
        let folder = cluster.folder("credentials-server");
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        cluster.authority().server(&["127.0.0.1"], &certificate, &key);
        let (token, strangers) = (Arc::new(Mutex::new("first".to_owned())), Arc::new(AtomicU64::new(0)));
        let (wanted, counted) = (token.clone(), strangers.clone());
        let app = axum::Router::new().fallback(move |request: Request| {
            let brought = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            let known = brought == Some(&format!("Bearer {}", wanted.lock().unwrap()));
            counted.fetch_add(u64::from(!known), Ordering::SeqCst);
            let path = request.uri().path().trim_start_matches('/').to_owned();
            let decoded = percent_encoding::percent_decode_str(&path).decode_utf8().unwrap().into_owned();
            let file = fs::read(repository.join(path)).or_else(|_| fs::read(repository.join(decoded)));
            std::future::ready(match file {
                _ if !known => (StatusCode::UNAUTHORIZED, Vec::new()),
                Ok(bytes) => (StatusCode::OK, bytes),
                Err(_) => (StatusCode::NOT_FOUND, Vec::new()),
            })
        });
        let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let config = axum_server::tls_rustls::RustlsConfig::from_pem_file(certificate, key).await.unwrap();
                axum_server::from_tcp_rustls(listener, config).unwrap().serve(app.into_make_service()).await.unwrap();
            });
        });
        Self { port, token, strangers }
    }
}

#[test]
fn a_repository_is_asked_with_the_credentials_of_a_secret_that_names_its_host() {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let name = "credentials";
    let server = Guarded::start(cluster, images.chain.repository());
    let host = format!("127.0.0.1:{}", server.port);
    let policy = images.chain.policy().replace(
        &format!("file://{}", images.chain.repository().display()),
        &format!("https://{host}\n    caBundle: acme.ca.pem\n    auth: {{secretRef: tuf}}"),
    );
    let authority = cluster.authority().pem();
    let settings = Settings::config_maps_with(cluster, name, &images.chain, &policy, &[("acme.ca.pem", &authority)]);
    let webhook = Webhook::start(cluster, name, &settings, &[]);
    let own = cluster.admin().namespace(&webhook.place.own);
    let pod = objects::pod("good", &images.good);
    let secret = |host: &str, token: &str| {
        let data = json!({"host": host, "token": token});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tuf"}, "stringData": data});
        own.apply(&secret).succeeded();
    };

    // Without the right it is that repository's images that are not judged, and it says why.
    secret(&host, "first");
    let text = webhook.kubectl.apply(&pod).refused();
    let place = format!("Secret {}/tuf", webhook.place.own);
    assert!(text.contains("[policy/bad-credentials] "), "{text}");
    assert!(text.contains(&format!("{place} may not be read: the chart grants")), "{text}");

    // What the chart renders for `authSecret`.
    secret("evil.example", "first");
    let rule = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["tuf"], "verbs": ["get"]});
    crate::words::allow(&own, "pratique", "tuf", &rule);
    wait::until("the Secret is for another host", || {
        let text = webhook.kubectl.dry_run(&pod).refused();
        let said = format!("Secret tuf is not used for {host}: its key \"host\" names another host");
        if text.contains(&said) { Ok(()) } else { Err(text) }
    });
    assert_eq!(server.strangers.load(Ordering::SeqCst), 0);

    secret(&host, "first");
    wait::until("the repository is known", || webhook.kubectl.dry_run(&pod).result());
    assert_eq!(server.strangers.load(Ordering::SeqCst), 0);

    // Rotated: what is asked next finds out, and nobody notices.
    *server.token.lock().unwrap() = "second".to_owned();
    secret(&host, "second");
    webhook.kubectl.apply(&objects::pod("newer", &images.newer)).succeeded();
    assert!(server.strangers.load(Ordering::SeqCst) > 0);
    let log = webhook.log();
    assert!(!log.contains("Bearer") && !log.contains("\"first\"") && !log.contains("\"second\""), "{log}");
}
