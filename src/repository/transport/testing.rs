//! A server over TLS that tests talk to.

use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;

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
