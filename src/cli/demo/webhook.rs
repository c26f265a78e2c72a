//! The webhook itself, on loopback with a certificate of its own, and a caller in the place of the API server.

#![expect(clippy::indexing_slicing, reason = "an index into a JSON value that is not there is null")]
#![expect(clippy::disallowed_methods, reason = "certificate and key are left as files, for `serve`")]

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwapOption;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle};

use super::review::Review;
use crate::{
    certs::{Certificate, Resolver, client_config, issue::Authority, server_config},
    repository::RepositoryError,
    server::{Health, Limits, NEXT_PATIENCE, Pin, Server, Settings, Webhook},
    telemetry::Metrics,
    verifier::{Verifier, World},
};

const LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 90);

/// A webhook that serves, and a client that trusts its certificate.
pub(super) struct Running {
    world: Arc<World>,
    client: reqwest::Client,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), crate::server::Error>>,
    calls: u32,
}

/// What came back.
pub(super) struct Answer {
    /// Whether the object may be stored.
    pub(super) allowed: bool,
    /// What kubectl prints of a refusal.
    pub(super) message: String,
    /// What the mutating entry put in place of tags.
    pub(super) pinned: Vec<String>,
}

impl Running {
    /// Starts the webhook with the policy of `dir`, which keeps its certificate and its state.
    pub(super) async fn start(dir: &Path, policy: &Path, now: Timestamp) -> anyhow::Result<Self> {
        let authority = Authority::generate("pratique demo", now, LIFETIME)?;
        let pair = authority.issue(&["127.0.0.1".to_owned()], now, LIFETIME)?;
        let tls = dir.join("tls");
        fs::create_dir_all(&tls)?;
        fs::write(tls.join("ca.crt"), authority.certificate())?;
        fs::write(tls.join("tls.crt"), &pair.certificate)?;
        fs::write(tls.join("tls.key"), &pair.key)?;

        let world = Arc::new(super::super::verify::local_world(policy, Some(&dir.join("state"))).await?);
        let resolver = Arc::new(Resolver::default());
        resolver.replace(Certificate::parse(pair.certificate.as_bytes(), pair.key.as_bytes())?, now)?;
        let metrics = Arc::new(Metrics::default());
        let limits = Limits { lame_duck: std::time::Duration::ZERO, ..Limits::default() };
        let settings = Settings { listen: (Ipv4Addr::LOCALHOST, 0).into(), observe: None, limits: limits.clone() };
        let health = Arc::new(Health::new([]));
        let server = Server::bind(&settings, server_config(resolver)?, health, metrics.clone()).await?;
        let address = server.address();
        let webhook = Webhook {
            world: Arc::new(ArcSwapOption::new(Some(world.clone()))),
            lack: Arc::default(),
            verifier: Arc::new(Verifier::default()),
            metrics,
            pin: Pin::Pods,
            custom_kinds: Vec::new(),
            policy_configmap: None,
            next_patience: NEXT_PATIENCE,
            cluster: None,
        };
        let entries = Arc::new(webhook).entries(&limits);
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            // Dropping the sender stops it as well.
            let _ = stopped.await;
        };
        let server = tokio::spawn(server.run(entries, shutdown));
        let tls = client_config(authority.certificate().as_bytes())?;
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build()?;
        Ok(Self { world, client, address, stop, server, calls: 0 })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the webhook does in the background every minute: reads the repository again.
    pub(super) async fn refresh(&self, now: Timestamp) -> Result<(), RepositoryError> {
        for (_, repository) in self.world.repositories() {
            repository.refresh(now).await?;
        }
        Ok(())
    }

    /// Asks about an object as the API server does: the mutating entry first, then the validating one.
    pub(super) async fn review(&mut self, mut review: Review) -> anyhow::Result<Answer> {
        let pin = self.call("pin", &review).await?;
        let mut pinned = Vec::new();
        if let Some(patch) = pin["patch"].as_str() {
            let operations: Vec<Value> = serde_json::from_slice(&BASE64_STANDARD.decode(patch)?)?;
            pinned.extend(operations.iter().filter_map(|operation| operation["value"].as_str()).map(str::to_owned));
            review.patch(&operations);
        }
        let answer = self.call("verify", &review).await?;
        let allowed = answer["allowed"].as_bool().context("an answer without `allowed`")?;
        let message = answer.pointer("/status/message").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Answer { allowed, message, pinned })
    }

    async fn call(&mut self, entry: &str, review: &Review) -> anyhow::Result<Value> {
        self.calls += 1;
        let uid = format!("demo-{}", self.calls);
        let url = format!("https://{}/{entry}?timeout=10s", self.address);
        let request = self.client.post(url).header("content-type", "application/json");
        let response = request.body(review.request(&uid).to_string()).send().await?.error_for_status()?;
        let mut answer: Value = serde_json::from_slice(&response.bytes().await?)?;
        let response = answer["response"].take();
        if response["uid"] != *uid {
            bail!("the webhook answered another review: {response}");
        }
        Ok(response)
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        // A server that has ended by itself says why below.
        let _ = self.stop.send(());
        drop(self.client);
        Ok(self.server.await??)
    }
}
