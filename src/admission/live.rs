//! A Pod that is there: which images it names, and which the node says that it runs.
//!
//! Of the object only what leads to that is read, so that a cluster full of Pods fits into memory.

use serde::{Deserialize, Deserializer, de::DeserializeSeed as _};
use serde_json::Value;

use super::{
    Error, ImageKind, ImageUse, Limits,
    object::Sieve,
    walk::{POD_SPEC_MEMBERS, Place, Walk, as_object, member},
};

/// What is kept of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid; empty where it was never created.
    pub uid: String,
    /// `resourceVersion`, where the API server gave one.
    pub version: Option<String>,
    /// Who made it and is to be told about it.
    pub owner: Option<Owner>,
    /// Whether all its containers have ended for good, so that it runs nothing any more.
    pub ended: bool,
    /// Its images, or why they cannot be found.
    pub images: Result<Vec<LiveImage>, Error>,
}

/// The controller of a Pod, as its `ownerReferences` say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// `apps/v1`.
    pub api_version: String,
    /// `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// One image of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveImage {
    /// The place as people write it: `spec.containers[0].image`.
    pub field: String,
    /// The reference as it was written.
    pub image: String,
    /// What runs or mounts it.
    pub kind: ImageKind,
    /// What the node says it runs (`imageID` of the container's status); `None` before it has said so.
    pub image_id: Option<String>,
}

/// The members at which [`LivePod`] looks, besides those of the walk.
const MEMBERS: [&str; 19] = [
    "metadata",
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "ownerReferences",
    "apiVersion",
    "kind",
    "controller",
    "spec",
    "status",
    "phase",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "imageID",
    "volumeMounts",
    "volumeStatus",
    "imageRef",
];

impl<'de> Deserialize<'de> for LivePod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keeps = |name: &str| MEMBERS.contains(&name) || POD_SPEC_MEMBERS.contains(&name);
        Ok(Self::of(&Sieve::new(&keeps).deserialize(deserializer)?))
    }
}

impl LivePod {
    /// Reads a Pod.
    pub fn of(pod: &Value) -> Self {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let phase = text("/status/phase").unwrap_or_default();
        Self {
            namespace: text("/metadata/namespace").unwrap_or_default(),
            name: text("/metadata/name").unwrap_or_default(),
            uid: text("/metadata/uid").unwrap_or_default(),
            version: text("/metadata/resourceVersion"),
            owner: owner(pod),
            ended: phase == "Succeeded" || phase == "Failed",
            images: images(pod),
        }
    }
}

pub(super) fn owner(pod: &Value) -> Option<Owner> {
    let owners = pod.pointer("/metadata/ownerReferences")?.as_array()?;
    let controls = |owner: &&Value| owner.get("controller").and_then(Value::as_bool) == Some(true);
    let owner = owners.iter().find(controls)?;
    let text = |name: &str| owner.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Owner { api_version: text("apiVersion")?, kind: text("kind")?, name: text("name")?, uid: text("uid")? })
}

fn images(pod: &Value) -> Result<Vec<LiveImage>, Error> {
    let place = Place::default();
    let members = as_object(pod, &place)?;
    let place = place.member("spec");
    let spec = member(members, "spec").ok_or_else(|| Error::MissingField { field: place.field.clone() })?;
    let limits = Limits::default();
    let mut walk = Walk::new(true, &limits);
    walk.pod_spec(as_object(spec, &place)?, &place)?;
    let found = walk.into_uses().into_iter().map(|image_use| {
        let image_id = image_id(pod, &image_use);
        LiveImage { field: image_use.field, image: image_use.image, kind: image_use.kind, image_id }
    });
    Ok(found.collect())
}

/// What the status says about the container or the volume of that name.
fn image_id(pod: &Value, image_use: &ImageUse) -> Option<String> {
    let named = pod.pointer(image_use.pointer.strip_suffix(match image_use.kind {
        ImageKind::Volume => "/image/reference",
        ImageKind::Container | ImageKind::Init | ImageKind::Ephemeral => "/image",
    })?)?;
    let name = named.get("name")?.as_str()?;
    let is_named = |item: &&Value| item.get("name").and_then(Value::as_str) == Some(name);
    let list = |member: &str| pod.get("status")?.get(member)?.as_array();
    let statuses = match image_use.kind {
        ImageKind::Container => list("containerStatuses")?,
        ImageKind::Init => list("initContainerStatuses")?,
        ImageKind::Ephemeral => list("ephemeralContainerStatuses")?,
        ImageKind::Volume => {
            let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
            let containers = lists.into_iter().filter_map(list).flatten();
            let mut mounts = containers.filter_map(|status| status.get("volumeMounts")?.as_array()).flatten();
            let id = mounts.find(is_named)?.pointer("/volumeStatus/image/imageRef")?.as_str()?;
            return Some(id.to_owned()).filter(|id| !id.is_empty());
        }
    };
    let id = statuses.iter().find(is_named)?.get("imageID")?.as_str()?;
    Some(id.to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": "prod", "name": "api-7", "uid": "u-1", "resourceVersion": "41",
                "labels": {"name": "not this one"}, "managedFields": [{}],
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Team", "name": "a", "uid": "u-2"},
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "api", "uid": "u-3", "controller": true},
                ],
            },
            "spec": {
                "containers": [
                    {"name": "api", "image": "app:1", "env": [{"name": "imageID", "value": "x"}]},
                    {"name": "side", "image": "side:1"},
                ],
                "initContainers": [{"name": "init", "image": "init:1"}],
                "volumes": [{"name": "data", "image": {"reference": "data:1"}}, {"name": "empty", "emptyDir": {}}],
            },
            "status": {
                "phase": "Running",
                "containerStatuses": [
                    {"name": "side", "image": "side:1", "imageID": ""},
                    {"name": "api", "image": "app:1", "imageID": "docker.io/library/app@sha256:aa", "volumeMounts": [
                        {"name": "data", "mountPath": "/data", "volumeStatus": {"image": {"imageRef": "data@sha256:bb"}}},
                    ]},
                ],
                "initContainerStatuses": [{"name": "init", "imageID": "sha256:cc"}],
            },
        })
    }

    #[test]
    fn each_image_comes_with_what_the_node_says_it_runs() {
        let live: LivePod = serde_json::from_str(&pod().to_string()).unwrap();
        assert_eq!(live, LivePod::of(&pod()), "what is left out when it is read leads to no image");
        assert_eq!((live.namespace.as_str(), live.name.as_str(), live.uid.as_str()), ("prod", "api-7", "u-1"));
        assert_eq!(live.version.as_deref(), Some("41"));
        assert_eq!(live.owner.unwrap().kind, "ReplicaSet");
        assert!(!live.ended);
        let images = live.images.unwrap();
        let found: Vec<_> =
            images.iter().map(|image| (&*image.field, &*image.image, image.image_id.as_deref())).collect();
        assert_eq!(
            found,
            [
                ("spec.initContainers[0].image", "init:1", Some("sha256:cc")),
                ("spec.containers[0].image", "app:1", Some("docker.io/library/app@sha256:aa")),
                ("spec.containers[1].image", "side:1", None),
                ("spec.volumes[0].image.reference", "data:1", Some("data@sha256:bb")),
            ]
        );
    }

    #[test]
    fn a_pod_that_has_ended_runs_nothing() {
        for (phase, ended) in [("Succeeded", true), ("Failed", true), ("Pending", false), ("Running", false)] {
            let mut pod = pod();
            pod["status"]["phase"] = json!(phase);
            assert_eq!(LivePod::of(&pod).ended, ended, "{phase}");
        }
    }

    #[test]
    fn a_pod_whose_images_cannot_be_found_is_not_one_without_images() {
        let mut pod = pod();
        pod["spec"]["containers"][0]["image"] = json!(7);
        assert!(matches!(LivePod::of(&pod).images, Err(Error::WrongType { .. })));
        assert!(matches!(LivePod::of(&json!({})).images, Err(Error::MissingField { .. })));
    }
}
