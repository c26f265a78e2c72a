//! Taking connections, and not too many.

use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum_server::accept::Accept;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::telemetry::{Metrics, metrics::ConnectionError};

/// Takes connections up to a number of open ones and closes those beyond it at once: a queue would only hide that
/// somebody holds the others, and the API server comes again.
#[derive(Debug, Clone)]
pub(super) struct Limited {
    connections: usize,
    free: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Limited {
    pub(super) fn new(connections: usize, metrics: Arc<Metrics>) -> Self {
        Self { connections, free: Arc::new(Semaphore::new(connections)), metrics }
    }

    /// The same number again, for another port.
    pub(super) fn fresh(&self) -> Self {
        Self::new(self.connections, self.metrics.clone())
    }
}

impl<S> Accept<TcpStream, S> for Limited {
    type Stream = Counted;
    type Service = S;
    type Future = Ready<io::Result<(Counted, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(permit) = self.free.clone().try_acquire_owned() else {
            self.metrics.connection_failed(ConnectionError::Limit);
            let full = format!("{} connections are open already", self.connections);
            return ready(Err(io::Error::new(io::ErrorKind::QuotaExceeded, full)));
        };
        self.metrics.connected();
        let counted = Counted { stream, _permit: permit, metrics: self.metrics.clone() };
        // An answer is one small write that waits for nothing.
        ready(counted.stream.set_nodelay(true).map(|()| (counted, service)))
    }
}

/// A connection that counts for as long as it is open.
#[derive(Debug)]
pub(super) struct Counted {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.disconnected();
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
