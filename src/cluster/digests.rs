//! The images that run, as the audit publishes them (trust.md A4).

use std::pin::pin;

use futures::StreamExt as _;
use kube::Client;

use super::one;
use crate::telemetry::causes;

/// The key with the images, one a line, in order: `registry.example/team/app@sha256:…`.
pub const KEY: &str = "digests";

/// Calls `take` with every new list, for ever. While the API server is away, the last list stays; where there is no
/// ConfigMap, or nothing in it, the list is empty.
pub async fn follow(client: Client, namespace: &str, name: &str, take: impl Fn(&str)) {
    let mut changes = pin!(one::follow(client, namespace, name));
    while let Some(change) = changes.next().await {
        match change {
            Ok(map) => {
                let list = map.and_then(|map| map.data?.remove(KEY)).unwrap_or_default();
                take(&list);
            }
            Err(error) => {
                tracing::warn!(config_map = name, error = causes(&error), "the digests in use cannot be watched")
            }
        }
    }
}
