//! A server over TLS that tests talk to.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, extract::Request, response::Response};
use axum_server::tls_rustls::RustlsConfig;

/// A server for `localhost` with some behaviour, that counts how often it is asked.
pub(crate) struct Server {
    /// Its host with its port.
    pub(crate) host: String,
    /// The certificate in PEM by which it is known.
    pub(crate) authority: String,
    asked: Arc<AtomicUsize>,
}

impl Server {
    /// One that answers like this, and is told its own host.
    pub(crate) async fn start(answer: impl Fn(&Request, &str) -> Response + Clone + Send + Sync + 'static) -> Self {
        let (config, authority) = localhost();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let host = format!("localhost:{}", listener.local_addr().unwrap().port());
        let own = host.clone();
        let app = Router::new().fallback(move |request: Request| {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::ready(answer(&request, &own))
        });
        tokio::spawn(axum_server::from_tcp_rustls(listener, config).unwrap().serve(app.into_make_service()));
        Self { host, authority, asked }
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// What `localhost` is served with, and the certificate in PEM by which it is known.
pub(crate) fn localhost() -> (RustlsConfig, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (RustlsConfig::from_config(Arc::new(config)), made.cert.pem())
}
