//! The Pods of a cluster, as far as their images go.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt as _;
use k8s_openapi::{api::core::v1, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, Resource,
    api::ListParams,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, watcher},
    },
};
use serde::{Deserialize, Deserializer};
use tokio::sync::Notify;

use super::Inventory;
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

/// The Pods of a cluster as they come and go.
#[derive(Debug, Default)]
pub struct Pods {
    except: BTreeSet<String>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    pods: Known,
    /// What a list has brought so far: only when it is whole is what it lacks not there.
    listing: Option<Known>,
    listed: bool,
    /// Why they cannot be watched at the moment.
    trouble: Option<String>,
}

#[derive(Debug, Default)]
struct Known {
    pods: BTreeMap<(String, String), LivePod>,
    left_out: usize,
}

impl Pods {
    /// None yet, and never those of the namespaces `except`.
    pub fn new(except: BTreeSet<String>) -> Self {
        Self { except, ..Self::default() }
    }

    /// Watches the Pods of all namespaces, for ever. While the API server is away, those of before are taken for those
    /// of now.
    pub async fn follow(self: Arc<Self>, client: Client) {
        let config = watcher::Config::default().page_size(PAGE);
        let mut changes = pin!(watcher(Api::<Seen>::all(client), config).default_backoff());
        while let Some(change) = changes.next().await {
            match change {
                Ok(change) => self.take(change),
                Err(error) => {
                    tracing::warn!(%error, "the Pods of the cluster cannot be watched");
                    self.lock().trouble = Some(error.to_string());
                }
            }
        }
    }

    /// Waits until something has changed that matters. What changed since the last time it was waited for counts, too.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What runs now, and how many Pods are left out because there are too many; `None` before the first list is whole.
    pub fn inventory(&self) -> Option<(Inventory, usize)> {
        let state = self.lock();
        state.listed.then(|| (Inventory::of(state.pods.pods.values()), state.pods.left_out))
    }

    /// Why there is no inventory yet.
    pub fn why_not_listed(&self) -> String {
        let state = self.lock();
        let trouble = state.trouble.as_deref().unwrap_or("they are being listed");
        format!("the Pods of the cluster are not known: {trouble}")
    }

    fn take(&self, change: watcher::Event<Seen>) {
        if let watcher::Event::Apply(seen) | watcher::Event::Delete(seen) | watcher::Event::InitApply(seen) = &change
            && self.except.contains(&seen.pod.namespace)
        {
            return;
        }
        let mut state = self.lock();
        let changed = match change {
            watcher::Event::Apply(seen) => state.pods.insert(seen.pod),
            watcher::Event::Delete(seen) => state.pods.remove(seen.pod),
            watcher::Event::Init => {
                state.listing = Some(Known::default());
                false
            }
            watcher::Event::InitApply(seen) => {
                state.listing.get_or_insert_default().insert(seen.pod);
                false
            }
            watcher::Event::InitDone => {
                let listing = state.listing.take().unwrap_or_default();
                let changed = !state.listed || listing.pods != state.pods.pods;
                state.pods = listing;
                state.listed = true;
                if state.pods.left_out > 0 {
                    tracing::error!(
                        left_out = state.pods.left_out,
                        limit = MAX_PODS,
                        "there are too many Pods to look at"
                    );
                }
                changed
            }
        };
        drop(state);
        if changed {
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Whether what is known has changed.
    fn insert(&mut self, pod: LivePod) -> bool {
        let key = (pod.namespace.clone(), pod.name.clone());
        if pod.ended {
            return self.pods.remove(&key).is_some();
        }
        if self.pods.len() >= MAX_PODS && !self.pods.contains_key(&key) {
            self.left_out = self.left_out.saturating_add(1);
            return false;
        }
        let before = self.pods.insert(key.clone(), pod);
        before.as_ref() != self.pods.get(&key)
    }

    fn remove(&mut self, pod: LivePod) -> bool {
        let removed = self.pods.remove(&(pod.namespace, pod.name)).is_some();
        if !removed {
            self.left_out = self.left_out.saturating_sub(1);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use serde_json::{Value, json};

    use super::*;

    fn seen(name: &str, image: &str, phase: &str) -> Seen {
        let pod = json!({
            "metadata": {"namespace": "prod", "name": name, "uid": name, "resourceVersion": "7"},
            "spec": {"containers": [{"name": "a", "image": image}]},
            "status": {"phase": phase},
        });
        serde_json::from_str(&pod.to_string()).unwrap()
    }

    fn images(pods: &Pods) -> Option<Vec<String>> {
        Some(pods.inventory()?.0.images.into_keys().map(|running| running.image).collect())
    }

    fn has_changed(pods: &Pods) -> bool {
        pods.changed().now_or_never().is_some()
    }

    #[test]
    fn pods_of_namespaces_that_nobody_judges_are_not_kept() {
        let pods = Pods::new(BTreeSet::from(["prod".to_owned()]));
        assert!(pods.why_not_listed().ends_with("they are being listed"));
        pods.take(watcher::Event::Init);
        pods.take(watcher::Event::InitApply(seen("a", "app:1", "Running")));
        pods.take(watcher::Event::InitDone);
        pods.take(watcher::Event::Apply(seen("b", "app:1", "Running")));
        assert_eq!(images(&pods), Some(Vec::new()));
    }

    #[test]
    fn the_version_is_for_the_watch_and_is_not_kept() {
        let seen = seen("a", "app:1", "Running");
        assert_eq!(seen.meta().resource_version.as_deref(), Some("7"));
        assert_eq!(seen.pod.version, None);
        let value: Value = json!({"kind": Seen::kind(&()), "plural": Seen::plural(&())});
        assert_eq!(value, json!({"kind": "Pod", "plural": "pods"}));
    }

    #[test]
    fn nothing_is_known_before_the_list_is_whole_and_what_it_lacks_is_gone() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let pods = Pods::default();
        pods.take(Init);
        pods.take(InitApply(seen("a", "app:1", "Running")));
        assert_eq!((images(&pods), has_changed(&pods)), (None, false));
        pods.take(InitDone);
        assert_eq!((images(&pods), has_changed(&pods)), (Some(vec!["app:1".to_owned()]), true));
        pods.take(Apply(seen("a", "app:1", "Running")));
        assert!(!has_changed(&pods), "nothing that matters has changed");
        pods.take(Apply(seen("b", "app:2", "Pending")));
        assert!(has_changed(&pods));
        pods.take(Apply(seen("b", "app:2", "Failed")));
        assert_eq!((images(&pods), has_changed(&pods)), (Some(vec!["app:1".to_owned()]), true));
        pods.take(Delete(seen("b", "app:2", "Failed")));
        assert!(!has_changed(&pods));
        // The watch broke off, and comes back to another world.
        pods.take(Init);
        pods.take(InitApply(seen("c", "app:3", "Running")));
        assert_eq!(images(&pods), Some(vec!["app:1".to_owned()]), "the list is not whole yet");
        pods.take(InitDone);
        assert_eq!((images(&pods), has_changed(&pods)), (Some(vec!["app:3".to_owned()]), true));
    }
}
