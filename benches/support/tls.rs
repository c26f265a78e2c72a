//! The whole server on a loopback port, and a client that believes its authority.

use std::{future::pending, net::SocketAddr, sync::Arc};

use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use pratique::{
    certs::{self, Certificate, Resolver, issue::Authority},
    server::{Health, Limits, Server, Settings},
    telemetry::Metrics,
    verifier::World,
};
use reqwest::{StatusCode, Version, header::CONTENT_TYPE};

use super::{answer::Admitted, entries, review};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A running server. It ends with its runtime.
pub(crate) struct Running {
    address: SocketAddr,
    authority: Authority,
    metrics: Arc<Metrics>,
}

/// Calls a server on one connection.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
}

impl Running {
    /// Serves a world under a new certificate.
    pub(crate) async fn start(world: Arc<World>) -> Self {
        let now = Timestamp::now();
        let authority = Authority::generate("benchmark", now, DAY).unwrap();
        let pair = authority.issue(&["127.0.0.1".to_owned()], now, DAY).unwrap();
        let resolver = Arc::new(Resolver::default());
        let certificate = Certificate::parse(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap();
        resolver.replace(certificate, now).unwrap();

        let limits = Limits::default();
        let metrics = Arc::new(Metrics::default());
        let entries = entries::router(world, metrics.clone(), &limits);
        let settings = Settings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), observe: None, limits };
        let tls = certs::server_config(resolver).unwrap();
        let server = Server::bind(&settings, tls, Arc::new(Health::new([])), metrics.clone()).await.unwrap();
        let address = server.address();
        tokio::spawn(server.run(entries, pending()));
        Self { address, authority, metrics }
    }

    /// Fails unless the client has kept its connection.
    pub(crate) fn has_one_connection(&self) {
        let metrics = self.metrics.render();
        assert!(metrics.lines().any(|line| line == "pratique_connections 1"), "{metrics}");
    }
}

impl Client {
    /// A client that believes the server's authority and nobody else, and speaks HTTP/2 as the API server does.
    pub(crate) fn of(server: &Running) -> Self {
        let mut tls = certs::client_config(server.authority.certificate().as_bytes()).unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let http = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap();
        Self { http, url: format!("https://{}{}", server.address, review::PATH) }
    }

    /// The answer to a review, read.
    pub(crate) async fn admitted(&self, review: &Bytes) -> Admitted {
        Admitted::parse(self.call(review).await)
    }

    /// One review, to be answered like that.
    pub(crate) async fn expect(&self, review: &Bytes, admitted: &Admitted) {
        admitted.expect(&self.call(review).await);
    }

    async fn call(&self, review: &Bytes) -> Bytes {
        let request = self.http.post(&self.url).header(CONTENT_TYPE, "application/json").body(review.clone());
        let response = request.send().await.unwrap();
        assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
        response.bytes().await.unwrap()
    }
}
