//! How do requests of the API server get in, and answers out?
//!
//! ```text
//! connection ─limit─▶ TLS ─▶ HTTP ─observe─▶ /verify /bootstrap /pin /policy ─Call─▶ a handler
//!                                 └────────▶ /healthz /readyz /metrics (also on a port of their own, without TLS)
//! ```
//!
//! What anybody who reaches the port can do is bounded here: connections, time for a handshake, a head and a body,
//! bytes of a body and of all bodies together. The handlers see a [`Call`] that is whole and has a deadline.

mod accept;
mod admit;
mod aftermath;
mod call;
mod health;
mod metrics;
mod observer;
mod shadow;
#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use axum_server::{
    Handle,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use rustls::ServerConfig;
use tokio::net::TcpListener;

use self::accept::Limited;
pub use self::{
    admit::{POLICY_KEY, Pin, Webhook},
    aftermath::Cluster,
    call::{Call, Entry, Gate, Unreadable},
    health::{Health, Part},
    observer::Observer,
    shadow::NEXT_PATIENCE,
};
use crate::telemetry::{Metrics, metrics::ConnectionError};

/// Where to listen, and what to bear from whoever connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The webhook, over TLS.
    pub listen: SocketAddr,
    /// Health and metrics, without TLS; `None` leaves them to the webhook's port.
    pub observe: Option<SocketAddr>,
    /// The caps.
    pub limits: Limits,
}

/// Caps on what a client can take. Some are shares of memory, so they belong to the limits of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections to one port at a time.
    pub connections: usize,
    /// Time for a TLS handshake, and then again for the head of the first request.
    pub handshake: Duration,
    /// Time for the head of a request, including the wait for it on a connection that is kept open. More than the 90 s
    /// for which an API server keeps an idle connection: when we close first, a review may be on its way.
    pub head: Duration,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of a body. An AdmissionReview holds two objects, and the API server takes 3 MiB for one.
    pub body: usize,
    /// Bytes of all bodies together that are held at a time.
    pub bodies: usize,
    /// How long connections are still taken after the shutdown began: until then other machines know of it.
    pub lame_duck: Duration,
    /// How long requests that were taken may then last.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(100),
            streams: 256,
            body: 7 << 20,
            bodies: 128 << 20,
            lame_duck: Duration::from_secs(5),
            drain: Duration::from_secs(15),
        }
    }
}

/// Why the server does not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {why}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        why: String,
    },
    /// It ended on its own.
    #[error("the server on {address} ended: {why}")]
    Ended {
        /// Where it listened.
        address: SocketAddr,
        /// What the system says.
        why: String,
    },
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } | Self::Ended { .. } => "internal/server",
        }
    }
}

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct Server {
    webhook: Port,
    observe: Option<Port>,
    limits: Limits,
    tls: Arc<ServerConfig>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Port {
    listener: TcpListener,
    address: SocketAddr,
    handle: Handle<SocketAddr>,
}

impl Server {
    /// Listens. `tls` decides which certificate is shown (see [`crate::certs::server_config`]).
    pub async fn bind(
        settings: &Settings,
        tls: Arc<ServerConfig>,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let observe = match settings.observe {
            Some(address) => Some(Port::bind(address).await?),
            None => None,
        };
        let webhook = Port::bind(settings.listen).await?;
        Ok(Self { webhook, observe, limits: settings.limits.clone(), tls, health, metrics })
    }

    /// Where the webhook listens: the port is known now even if the settings left it open.
    pub fn address(&self) -> SocketAddr {
        self.webhook.address
    }

    /// Where health and metrics are without TLS.
    pub fn observe_address(&self) -> Option<SocketAddr> {
        self.observe.as_ref().map(|port| port.address)
    }

    /// Answers, with `entries` and what every server of ours has, until `shutdown` and the drain after it are over.
    pub async fn run(self, entries: Router, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let (webhook, observe) = (self.webhook.handle.clone(), self.observe.as_ref().map(|port| port.handle.clone()));
        let status = observer::status(&self.health, &self.metrics);
        let watched = |router: Router| observer::watched(router, &self.health, &self.metrics).into_make_service();
        let limited = Limited::new(self.limits.connections, self.metrics.clone());
        let tls = RustlsAcceptor::new(RustlsConfig::from_config(self.tls))
            .handshake_timeout(self.limits.handshake)
            .acceptor(limited.clone());
        let webhook_address = self.webhook.address;
        let secure = self.webhook.server(&self.limits, &self.metrics).acceptor(tls);
        let secure = secure.serve(watched(entries.merge(status.clone())));
        let plain = async {
            match self.observe {
                Some(port) => {
                    let address = port.address;
                    let server = port.server(&self.limits, &self.metrics).acceptor(limited.fresh());
                    server.serve(watched(status)).await.map_err(ended(address))
                }
                None => Ok(()),
            }
        };
        let stop = async {
            shutdown.await;
            tracing::info!("shutting down");
            self.health.drain();
            // Endpoints are updated by others and later than we know: whoever still comes is still served.
            tokio::time::sleep(self.limits.lame_duck).await;
            webhook.graceful_shutdown(Some(self.limits.drain));
        };
        let webhook = async {
            secure.await.map_err(ended(webhook_address))?;
            // Until the end somebody may want to see how it goes.
            if let Some(handle) = observe {
                handle.shutdown();
            }
            Ok(())
        };
        let serve = async { tokio::try_join!(webhook, plain) };
        tokio::pin!(serve);
        tokio::select! {
            ended = &mut serve => return ended.map(|_| ()),
            () = stop => {}
        }
        serve.await.map(|_| ())
    }
}

impl Port {
    async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok::<_, io::Error>(Self { listener, address, handle: Handle::new() })
        };
        bound.await.map_err(|error| Error::Listen { address, why: error.to_string() })
    }

    fn server(self, limits: &Limits, metrics: &Arc<Metrics>) -> axum_server::Server<SocketAddr> {
        let metrics = metrics.clone();
        let mut server = axum_server::Server::from_listener(self.listener)
            .handle(self.handle)
            .first_request_timeout(limits.handshake)
            .accept_error_handler(move |peer: Option<&SocketAddr>, error| {
                tracing::debug!(?peer, %error, "a connection was closed before its first request");
                match (peer, error.kind()) {
                    // Counted where it was found.
                    (Some(_), io::ErrorKind::QuotaExceeded) => {}
                    (Some(_), _) => metrics.connection_failed(ConnectionError::Handshake),
                    (None, _) => metrics.connection_failed(ConnectionError::Accept),
                }
            });
        let http = server.http_builder();
        http.http1().header_read_timeout(limits.head);
        http.http2()
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(64 << 10)
            .keep_alive_interval(limits.head)
            .keep_alive_timeout(limits.head);
        server
    }
}

fn ended(address: SocketAddr) -> impl Fn(io::Error) -> Error {
    move |error| Error::Ended { address, why: error.to_string() }
}
