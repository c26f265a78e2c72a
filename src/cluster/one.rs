//! One ConfigMap, followed by its name.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt as _,
        utils::Backoff,
        watcher::{self, DefaultBackoff, watcher},
    },
};

use crate::repository::transport::between;

/// The longest pause: an edit that was made during an outage is to be in force soon after it.
const LONGEST: Duration = Duration::from_secs(10);

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
    watcher(api, one).backoff(Pauses(DefaultBackoff::default())).filter_map(move |change| {
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

/// Pauses that grow, but not for long.
struct Pauses(DefaultBackoff);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| if pause > LONGEST { between(LONGEST / 2, LONGEST) } else { pause })
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_never_long() {
        let pauses = || Pauses(DefaultBackoff::default()).take(50);
        assert!(pauses().all(|pause| pause <= LONGEST));
        assert!(pauses().next().is_some_and(|first| first < LONGEST / 2));
        // They do not end either.
        assert_eq!(pauses().skip(10).filter(|pause| *pause >= LONGEST / 2).count(), 40);
    }
}
