//! The Pods of a cluster, as far as their images go.

use std::borrow::Cow;

use k8s_openapi::{api::core::v1, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, Resource, api::ListParams};
use serde::{Deserialize, Deserializer};

use crate::admission::LivePod;

/// Pods that are looked at. Kubernetes is made for 150,000 in a cluster.
pub const MAX_PODS: usize = 200_000;

/// Pods in one answer of the API server.
const PAGE: u32 = 500;

/// A Pod as the API client reads it: everything but what leads to images is thrown away while it is read.
#[derive(Debug, Clone)]
pub struct Seen {
    meta: ObjectMeta,
    /// What is kept of it.
    pub pod: LivePod,
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pod = LivePod::deserialize(deserializer)?;
        let meta = ObjectMeta {
            namespace: Some(pod.namespace.clone()),
            name: Some(pod.name.clone()),
            resource_version: pod.version.take(),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, pod })
    }
}

impl Resource for Seen {
    type DynamicType = ();
    type Scope = <v1::Pod as Resource>::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        v1::Pod::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        v1::Pod::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        v1::Pod::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        v1::Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// The Pods of now, of one namespace or of all.
pub async fn list(client: Client, namespace: Option<&str>) -> Result<Vec<LivePod>, kube::Error> {
    let api: Api<Seen> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut pods = Vec::new();
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&parameters).await?;
        pods.extend(page.items.into_iter().map(|seen| seen.pod));
        parameters.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if parameters.continue_token.is_none() || pods.len() >= MAX_PODS {
            return Ok(pods);
        }
    }
}
