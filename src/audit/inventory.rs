//! Which images run where: each once, however many Pods have it.

use std::collections::{BTreeMap, BTreeSet};

use super::image_id::{Runs, runs};
use crate::{
    admission::{self, LivePod},
    image::Reference,
    policy::UsedAs,
};

/// Holders of one image that are remembered. Beyond it they are only counted.
const MAX_HOLDERS: usize = 100;

/// One image as a namespace runs it: what a verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Running {
    /// The namespace.
    pub namespace: String,
    /// The reference as it was written.
    pub image: String,
    /// As what it is used.
    pub used_as: UsedAs,
    /// What the node says it runs.
    pub runs: Runs,
}

/// Who runs one image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uses {
    /// How many containers or volumes.
    pub count: usize,
    /// Who made their Pods, the first hundred.
    pub holders: BTreeSet<Holder>,
    /// Where one of the Pods names it.
    pub field: String,
}

/// Who is to be told about a Pod: the controller that made it, or else the Pod itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// `apps/v1`.
    pub api_version: String,
    /// `ReplicaSet`.
    pub kind: String,
    /// The namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// A Pod whose images cannot be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Whose it is.
    pub holder: Holder,
    /// What is wrong with it.
    pub error: admission::Error,
}

/// All images that run at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// How many Pods there are.
    pub pods: usize,
    /// Their images.
    pub images: BTreeMap<Running, Uses>,
    /// Pods whose images cannot be found.
    pub unreadable: Vec<Unreadable>,
}

impl Inventory {
    /// Counts the images of these Pods; those that have ended run none.
    pub fn of<'p>(pods: impl IntoIterator<Item = &'p LivePod>) -> Self {
        let mut inventory = Self::default();
        for pod in pods.into_iter().filter(|pod| !pod.ended) {
            inventory.add(pod);
        }
        inventory
    }

    fn add(&mut self, pod: &LivePod) {
        self.pods += 1;
        let holder = Holder::of(pod);
        let images = match &pod.images {
            Ok(images) => images,
            Err(error) => {
                self.unreadable.push(Unreadable { holder, error: error.clone() });
                return;
            }
        };
        for image in images {
            let running = Running {
                namespace: pod.namespace.clone(),
                image: image.image.clone(),
                used_as: image.kind.into(),
                runs: runs(image.image_id.as_deref()),
            };
            let uses =
                self.images.entry(running).or_insert_with(|| Uses { field: image.field.clone(), ..Uses::default() });
            uses.count += 1;
            if uses.holders.len() < MAX_HOLDERS {
                uses.holders.insert(holder.clone());
            }
        }
    }
}

impl Running {
    /// The reference that is judged. What a Pod names by tag alone is judged by what the node made of the tag; where it
    /// does not say, the tag stays, and is refused like that of any Pod (T3).
    pub fn judged(&self) -> String {
        let by_tag = Reference::parse(&self.image).is_ok_and(|reference| reference.digest.is_none());
        match (by_tag, self.runs) {
            (true, Runs::Digest(digest)) => format!("{}@sha256:{digest}", self.image),
            _ => self.image.clone(),
        }
    }
}

impl Holder {
    fn of(pod: &LivePod) -> Self {
        let namespace = pod.namespace.clone();
        match &pod.owner {
            // What a node mirrors is in no controller's hands; on the node nobody of the namespace would see it.
            Some(owner) if owner.kind != "Node" => Self {
                api_version: owner.api_version.clone(),
                kind: owner.kind.clone(),
                namespace,
                name: owner.name.clone(),
                uid: owner.uid.clone(),
            },
            _ => Self {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                namespace,
                name: pod.name.clone(),
                uid: pod.uid.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crypto::Sha256;

    fn pod(name: &str, image: &str, owner: Option<(&str, &str)>) -> Value {
        let owners = owner.map(|(kind, name)| {
            json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true}])
        });
        json!({
            "metadata": {"namespace": "prod", "name": name, "uid": name, "ownerReferences": owners},
            "spec": {"containers": [{"name": "a", "image": image}]},
        })
    }

    fn inventory(pods: &[Value]) -> Inventory {
        let pods: Vec<LivePod> = pods.iter().map(LivePod::of).collect();
        Inventory::of(&pods)
    }

    #[test]
    fn an_image_is_one_however_many_pods_of_one_controller_run_it() {
        let owner = Some(("ReplicaSet", "api-7"));
        let found =
            inventory(&[pod("api-7-a", "app:1", owner), pod("api-7-b", "app:1", owner), pod("own", "app:1", None)]);
        assert_eq!((found.pods, found.images.len()), (3, 1));
        let uses = found.images.values().next().unwrap();
        assert_eq!(uses.count, 3);
        let holders: Vec<_> = uses.holders.iter().map(|holder| format!("{} {}", holder.kind, holder.name)).collect();
        assert_eq!(holders, ["ReplicaSet api-7", "Pod own"]);
    }

    #[test]
    fn a_static_pod_is_told_about_itself_and_what_has_ended_runs_nothing() {
        let mut ended = pod("job-1", "app:1", Some(("Job", "job")));
        ended["status"] = json!({"phase": "Succeeded"});
        let found = inventory(&[ended, pod("etcd-node", "etcd:1", Some(("Node", "node")))]);
        assert_eq!((found.pods, found.images.len()), (1, 1));
        let uses = found.images.values().next().unwrap();
        assert_eq!(uses.holders.first().unwrap().kind, "Pod");
    }

    #[test]
    fn a_tag_is_judged_by_what_the_node_made_of_it() {
        let digest = Sha256::of(b"x");
        let running = |image: &str, runs| {
            let (namespace, used_as) = ("prod".to_owned(), UsedAs::Container);
            Running { namespace, image: image.to_owned(), used_as, runs }.judged()
        };
        let by_digest = format!("app@sha256:{}", Sha256::of(b"y"));
        assert_eq!(running("app:1", Runs::Digest(digest)), format!("app:1@sha256:{digest}"));
        assert_eq!(running("app:1", Runs::ById), "app:1");
        assert_eq!(running("app:1", Runs::Unsaid), "app:1");
        assert_eq!(running(&by_digest, Runs::Digest(digest)), by_digest);
        assert_eq!(running("", Runs::Digest(digest)), "");
    }

    #[test]
    fn holders_beyond_the_first_hundred_are_counted_and_not_kept() {
        let pods: Vec<Value> = (0..150).map(|number| pod(&format!("p{number}"), "app:1", None)).collect();
        let found = inventory(&pods);
        let uses = found.images.values().next().unwrap();
        assert_eq!((uses.count, uses.holders.len()), (150, MAX_HOLDERS));
    }

    #[test]
    fn a_pod_whose_images_cannot_be_found_is_noted() {
        let found = inventory(&[pod("odd", "app:1", None), json!({"metadata": {"name": "odder"}})]);
        assert_eq!(found.unreadable.len(), 1);
        assert_eq!(found.unreadable[0].holder.name, "odder");
    }
}
