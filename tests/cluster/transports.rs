//! Repositories that are not behind a plain web server: in a registry, and behind one that wants a client certificate.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command, sync::Arc};

use axum::{extract::Request, http::StatusCode};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};

use crate::{
    registry::Registry,
    support::{
        cluster::Cluster,
        images::Images,
        kubectl::Kubectl,
        objects,
        pki::Authority,
        wait,
        webhook::{Settings, Webhook},
    },
};

/// A webhook whose policy has the repository at this place, with the right to one Secret.
fn webhook(cluster: &Cluster, images: &Images, name: &str, place: &str, secret: &str) -> Webhook {
    let origin = format!("file://{}", images.chain.repository().display());
    let words = format!("{place}\n    caBundle: acme.ca.pem\n    auth: {{secretRef: {secret}}}");
    let policy = images.chain.policy().replace(&origin, &words);
    let authority = cluster.authority().pem();
    let settings = Settings::config_maps_with(cluster, name, &images.chain, &policy, &[("acme.ca.pem", &authority)]);
    let webhook = Webhook::start(cluster, name, &settings, &[]);
    let rule = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"]});
    crate::words::allow(&own(cluster, &webhook), "pratique", secret, &rule);
    webhook
}

fn own(cluster: &Cluster, webhook: &Webhook) -> Kubectl {
    cluster.admin().namespace(&webhook.place.own)
}

fn put_secret(cluster: &Cluster, webhook: &Webhook, name: &str, data: &Value) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    own(cluster, webhook).apply(&secret).succeeded();
}

#[test]
fn a_repository_in_a_registry_is_read_with_the_password_of_a_secret() {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let name = "registry-tuf";
    let registry = Registry::start(cluster, name);
    let (host, url) = (&registry.host, format!("oci://{}/acme/tuf", registry.host));
    let login = cluster.folder(&format!("{name}-login"));
    let data = json!({"host": host, "username": "ann", "password": "s3cret"});
    for (key, value) in data.as_object().unwrap() {
        fs::write(login.join(key), value.as_str().unwrap()).unwrap();
    }
    let ca = login.join("ca.pem");
    fs::write(&ca, cluster.authority().pem()).unwrap();
    let mut push = Command::new(env!("CARGO_BIN_EXE_pratique"));
    push.args(["repo", "push"]).arg(images.chain.repository()).arg(&url);
    let pushed = push.arg("--ca").arg(&ca).arg("--login").arg(&login).output().unwrap();
    assert!(pushed.status.success(), "{}{}", String::from_utf8_lossy(&pushed.stderr), registry.log());

    let webhook = webhook(cluster, images, name, &url, "registry-login");
    put_secret(cluster, &webhook, "registry-login", &data);
    let pod = objects::pod("good", &images.good);
    wait::until("the repository is known", || webhook.kubectl.dry_run(&pod).result());
    webhook.kubectl.apply(&pod).succeeded();
    let text = webhook.kubectl.apply(&objects::pod("stolen", &images.stolen)).refused();
    assert!(text.contains("[in-toto/threshold-not-met] "), "{text}");
    let text = webhook.kubectl.apply(&objects::pod("revoked", &images.revoked)).refused();
    assert!(text.contains("[tuf/revoked] "), "{text}");
    let log = webhook.log();
    assert!(!log.contains("s3cret") && !log.contains("Basic "), "{log}");
}

/// A web server over a folder that answers whoever shows a certificate of the authority.
fn gate(cluster: &Cluster, folder: PathBuf) -> u16 {
    let files = cluster.folder("gate");
    let (certificate, key) = (files.join("tls.crt"), files.join("tls.key"));
    cluster.authority().server(&["127.0.0.1"], &certificate, &key);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(cluster.authority().pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&certificate).unwrap()],
            PrivateKeyDer::from_pem_file(&key).unwrap(),
        )
        .unwrap();
    let app = axum::Router::new().fallback(move |request: Request| {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let decoded = percent_encoding::percent_decode_str(&path).decode_utf8().unwrap().into_owned();
        let file = fs::read(folder.join(path)).or_else(|_| fs::read(folder.join(decoded)));
        std::future::ready(file.map_or((StatusCode::NOT_FOUND, Vec::new()), |bytes| (StatusCode::OK, bytes)))
    });
    let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let config = axum_server::tls_rustls::RustlsConfig::from_config(Arc::new(config));
            axum_server::from_tcp_rustls(listener, config).unwrap().serve(app.into_make_service()).await.unwrap();
        });
    });
    port
}

#[test]
fn a_repository_is_shown_the_client_certificate_of_a_secret_and_the_next_one_when_it_changes() {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let name = "client-certificate";
    let host = format!("127.0.0.1:{}", gate(cluster, images.chain.repository()));
    let webhook = webhook(cluster, images, name, &format!("https://{host}"), "tuf-client");
    let files = cluster.folder(&format!("{name}-client"));
    let put = |authority: &Authority| {
        let (certificate, key) = (files.join("tls.crt"), files.join("tls.key"));
        authority.user("webhook", None, &certificate, &key);
        let read = |path| fs::read_to_string(path).unwrap();
        let data = json!({"host": host, "tls.crt": read(certificate), "tls.key": read(key)});
        put_secret(cluster, &webhook, "tuf-client", &data);
    };
    let pod = objects::pod("good", &images.good);

    // By an authority that the server does not know.
    put(&Authority::new());
    wait::until("the certificate is refused", || {
        let text = webhook.kubectl.dry_run(&pod).refused();
        if text.contains("[tuf/unreachable] ") { Ok(()) } else { Err(text) }
    });
    put(cluster.authority());
    wait::until("the repository is known", || webhook.kubectl.dry_run(&pod).result());
    webhook.kubectl.apply(&pod).succeeded();
    let log = webhook.log();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}
