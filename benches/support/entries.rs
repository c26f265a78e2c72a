//! The webhook's entries without a server around them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    handler::Handler,
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    routing::{MethodRouter, any_service},
};
use pratique::{
    server::{Limits, NEXT_PATIENCE, Pin, Webhook},
    telemetry::Metrics,
    verifier::{Verifier, World},
};

use super::{answer::Admitted, review};

/// The routes, called as the HTTP server calls them.
pub(crate) struct Entries(MethodRouter);

impl Entries {
    /// The entries over a world; no verdict is known yet.
    pub(crate) fn of(world: Arc<World>) -> Self {
        // A router alone is called through a trait of a crate of its own; below a method router it is a handler.
        Self(any_service(router(world, Arc::default(), &Limits::default())))
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
        let request = Request::post(review::PATH)
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, review.len())
            .body(Body::from(review.clone()));
        let response = self.0.clone().call(request.unwrap(), ()).await;
        assert_eq!(response.status(), StatusCode::OK);
        to_bytes(response.into_body(), usize::MAX).await.unwrap()
    }
}

/// The routes as `pratique serve` wires them.
pub(crate) fn router(world: Arc<World>, metrics: Arc<Metrics>, limits: &Limits) -> Router {
    let world = Arc::new(ArcSwapOption::new(Some(world)));
    let webhook = Webhook {
        world,
        lack: Arc::default(),
        verifier: Arc::new(Verifier::default()),
        metrics,
        pin: Pin::Pods,
        custom_kinds: Vec::new(),
        policy_configmap: None,
        next_patience: NEXT_PATIENCE,
        cluster: None,
    };
    Arc::new(webhook).entries(limits)
}
