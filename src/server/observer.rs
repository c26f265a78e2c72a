//! Health and metrics: beside the webhook, or alone for a process that answers nothing else.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, middleware, routing::get};

use super::{Error, Health, Limits, Port, accept::Limited, ended, health, metrics};
use crate::telemetry::Metrics;

/// Health and metrics without TLS and without a webhook: it only reads.
#[derive(Debug)]
pub struct Observer {
    port: Port,
    limits: Limits,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl Observer {
    /// Listens.
    pub async fn bind(
        address: SocketAddr,
        limits: Limits,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        Ok(Self { port: Port::bind(address).await?, limits, health, metrics })
    }

    /// Where it listens: the port is known now even if the settings left it open.
    pub fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// Answers until `shutdown`, and the requests that were taken then to their end.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let (address, handle) = (self.port.address, self.port.handle.clone());
        let router = watched(status(&self.health, &self.metrics), &self.health, &self.metrics);
        let limited = Limited::new(self.limits.connections, self.metrics.clone());
        let server = self.port.server(&self.limits, &self.metrics).acceptor(limited);
        let serve = server.serve(router.into_make_service());
        tokio::pin!(serve);
        tokio::select! {
            result = &mut serve => return result.map_err(ended(address)),
            () = shutdown => {}
        }
        tracing::info!("shutting down");
        self.health.drain();
        handle.graceful_shutdown(Some(self.limits.drain));
        serve.await.map_err(ended(address))
    }
}

pub(super) fn status(health: &Arc<Health>, metrics: &Arc<Metrics>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz).with_state(health.clone()))
        .route("/metrics", get(metrics::render).with_state(metrics.clone()))
}

/// With every answer counted, and the last on a connection marked as such.
pub(super) fn watched(router: Router, health: &Arc<Health>, metrics: &Arc<Metrics>) -> Router {
    let observed = middleware::from_fn_with_state(metrics.clone(), metrics::observe);
    router.layer(observed).layer(middleware::from_fn_with_state(health.clone(), health::part))
}
