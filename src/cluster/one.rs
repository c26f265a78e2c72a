//! One ConfigMap, followed by its name.

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, watcher},
};

/// The ConfigMap as it is and as it becomes, for ever; `None` where there is none. While the API server is away, errors
/// come in its place, with growing pauses.
pub fn follow(
    client: Client,
    namespace: &str,
    name: &str,
) -> impl Stream<Item = Result<Option<ConfigMap>, watcher::Error>> + Send + use<> {
    let api = Api::<ConfigMap>::namespaced(client, namespace);
    // By name, for the account may watch no other.
    let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut listed = None;
    watcher(api, one).default_backoff().filter_map(move |change| {
        let news = match change {
            Ok(watcher::Event::Apply(map)) => Some(Ok(Some(map))),
            Ok(watcher::Event::Delete(_)) => Some(Ok(None)),
            // A list begins, goes on, and is whole: only then is what it does not hold not there.
            Ok(watcher::Event::Init) => {
                listed = None;
                None
            }
            Ok(watcher::Event::InitApply(map)) => {
                listed = Some(map);
                None
            }
            Ok(watcher::Event::InitDone) => Some(Ok(listed.take())),
            Err(error) => Some(Err(error)),
        };
        futures::future::ready(news)
    })
}
