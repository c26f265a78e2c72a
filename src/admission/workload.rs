//! Which images does this object name? The one place that knows every image field of every kind.
//!
//! The object is walked as JSON along the paths that lead to images: each image comes with its exact place, a wrong
//! type on the way is an error, and no typed model can drop a field that it does not know. `fields.rs` among the tests
//! holds the walk against the whole Pod schema, so that a new image field does not slip by.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    CustomKind, Error, GroupVersionKind, GroupVersionResource, Operation, Origin, Request,
    object::read_object,
    origin,
    walk::{POD_SPEC_MEMBERS, Place, Walk, as_object, member},
};
use crate::policy::UsedAs;

/// Where an object names an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUse {
    /// The place as people write it: `spec.template.spec.initContainers[0].image`.
    pub field: String,
    /// The place as JSON Patch writes it (RFC 6901): `/spec/template/spec/initContainers/0/image`.
    pub pointer: String,
    /// The reference as it was written. Empty only in a Pod, where it is refused.
    pub image: String,
    /// What runs or mounts it.
    pub kind: ImageKind,
}

/// What an image is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageKind {
    /// `containers`.
    Container,
    /// `initContainers`, sidecars among them.
    Init,
    /// `ephemeralContainers`.
    Ephemeral,
    /// `volumes[].image`.
    Volume,
}

impl ImageKind {
    /// The word in `match.uses` of the policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Init => "init",
            Self::Ephemeral => "ephemeral",
            Self::Volume => "volume",
        }
    }
}

impl From<ImageKind> for UsedAs {
    fn from(kind: ImageKind) -> Self {
        match kind {
            ImageKind::Container => Self::Container,
            ImageKind::Init => Self::Init,
            ImageKind::Ephemeral => Self::Ephemeral,
            ImageKind::Volume => Self::Volume,
        }
    }
}

/// What is to be judged about a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    /// The images: on UPDATE only those whose entry differs from the object before.
    pub uses: Vec<ImageUse>,
    /// Whether a Pod is going to run them, so that only digests will do (trust.md T3).
    pub is_pod: bool,
    /// Whether the Pod only mirrors a static pod that already runs on its node: judged and never refused, because a
    /// refusal would only hide it.
    pub mirror: bool,
    /// Who stands behind the Pod, if one is being created.
    pub origin: Origin,
}

/// Caps on what one object may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Places that name an image.
    pub uses: usize,
    /// Different references among those that are judged.
    pub images: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { uses: 1_024, images: 64 }
    }
}

/// A kind whose images can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownKind {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The resource of a webhook rule.
    pub resource: &'static str,
    /// The members that lead to the PodSpec.
    pub pod_spec: &'static [&'static str],
    /// Which of these may be absent (as an index): a ReplicationController may have no template.
    optional: Option<usize>,
}

impl KnownKind {
    /// Whether objects of this kind are run as they are, instead of being templates.
    pub fn is_pod(&self) -> bool {
        self.kind == "Pod"
    }

    fn is(&self, kind: &GroupVersionKind, resource: &GroupVersionResource) -> bool {
        (self.group, self.version, self.kind) == (&*kind.group, &*kind.version, &*kind.kind)
            && (self.group, self.version, self.resource) == (&*resource.group, &*resource.version, &*resource.resource)
    }

    fn images_of(&self, object: &Value, limits: &Limits) -> Result<Vec<ImageUse>, Error> {
        let mut place = Place::default();
        let mut members = as_object(object, &place)?;
        for (index, name) in self.pod_spec.iter().enumerate() {
            let child = member(members, name);
            place = place.member(name);
            match child {
                Some(child) => members = as_object(child, &place)?,
                None if self.optional == Some(index) => return Ok(Vec::new()),
                None => return Err(Error::MissingField { field: place.field }),
            }
        }
        let mut walk = Walk::new(self.is_pod(), limits);
        walk.pod_spec(members, &place)?;
        Ok(walk.into_uses())
    }
}

/// Every built-in kind that names images. Other versions of them never reach a webhook with `matchPolicy: Equivalent`.
pub const KINDS: &[KnownKind] = &[
    known("", "v1", "Pod", "pods", &["spec"], None),
    known("", "v1", "ReplicationController", "replicationcontrollers", TEMPLATE, Some(1)),
    known("", "v1", "PodTemplate", "podtemplates", &["template", "spec"], None),
    known("apps", "v1", "ReplicaSet", "replicasets", TEMPLATE, None),
    known("apps", "v1", "Deployment", "deployments", TEMPLATE, None),
    known("apps", "v1", "StatefulSet", "statefulsets", TEMPLATE, None),
    known("apps", "v1", "DaemonSet", "daemonsets", TEMPLATE, None),
    known("batch", "v1", "Job", "jobs", TEMPLATE, None),
    known("batch", "v1", "CronJob", "cronjobs", &["spec", "jobTemplate", "spec", "template", "spec"], None),
];

const TEMPLATE: &[&str] = &["spec", "template", "spec"];

const fn known(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    resource: &'static str,
    pod_spec: &'static [&'static str],
    optional: Option<usize>,
) -> KnownKind {
    KnownKind { group, version, kind, resource, pod_spec, optional }
}

impl Workload {
    /// Finds what is to be judged about `request`; `custom` says where objects of other than the built-in kinds name
    /// images.
    ///
    /// # Errors
    /// The kind is unknown, or the object is not what its kind says, or names too much.
    pub fn read(request: &Request, custom: &[CustomKind], limits: &Limits) -> Result<Self, Error> {
        match request.operation {
            // Nothing starts to run by these; what is revoked must still be deletable.
            Operation::Delete | Operation::Connect => return Ok(Self::default()),
            Operation::Create | Operation::Update => {}
        }
        let kind = Kind::of(request, custom)?;
        let Some(object) = &request.object else {
            return Err(Error::NoObject { operation: request.operation.as_str() });
        };
        let object = read_object(object, &|name| kind.keeps(name))?;
        let mut uses = images_of(&object, kind, limits)?;
        if request.sub_resource.as_deref() == Some("ephemeralcontainers") {
            // The API server takes nothing but this list from such a request.
            uses.retain(|image_use| image_use.kind == ImageKind::Ephemeral);
        }
        if request.operation == Operation::Update {
            let before = images_before(request, kind, limits);
            uses.retain(|image_use| before.get(&image_use.field) != Some(&image_use.image));
        }
        let different = uses.iter().map(|image_use| &image_use.image).collect::<BTreeSet<_>>().len();
        if different > limits.images {
            return Err(Error::TooManyImages { what: "different images", found: different, limit: limits.images });
        }
        let mirror = kind.is_pod() && request.operation == Operation::Create && is_mirror(request, &object);
        let origin = if kind.is_pod() { Origin::of(request, &request.kind, &object) } else { Origin::default() };
        Ok(Self { uses, is_pod: kind.is_pod(), mirror, origin })
    }
}

/// A kind that the request is about.
#[derive(Clone, Copy)]
enum Kind<'a> {
    Known(&'static KnownKind),
    Custom(&'a CustomKind),
}

impl<'a> Kind<'a> {
    fn of(request: &Request, custom: &'a [CustomKind]) -> Result<Self, Error> {
        let (kind, resource) = (&request.kind, &request.resource);
        let known = KINDS.iter().find(|known| known.is(kind, resource)).map(Self::Known);
        known
            .or_else(|| {
                custom.iter().find(|custom| custom.kind == *kind && custom.resource == *resource).map(Self::Custom)
            })
            .ok_or_else(|| Error::UnknownKind {
                api_version: kind.api_version(),
                kind: kind.kind.clone(),
                resource: request.resource_path(),
            })
    }

    /// Whether a member of this name may lead to an image, or says where a Pod comes from.
    fn keeps(self, name: &str) -> bool {
        match self {
            Self::Known(known) => {
                known.pod_spec.contains(&name)
                    || POD_SPEC_MEMBERS.contains(&name)
                    || MIRROR.contains(&name)
                    || (known.is_pod() && origin::MEMBERS.contains(&name))
            }
            Self::Custom(custom) => custom.keeps(name),
        }
    }

    fn is_pod(self) -> bool {
        matches!(self, Self::Known(known) if known.is_pod())
    }
}

/// The entries of the object before an update. Where it cannot be read, nothing counts as known and everything is
/// judged.
fn images_before(request: &Request, kind: Kind<'_>, limits: &Limits) -> BTreeMap<String, String> {
    let Some(object) = &request.old_object else { return BTreeMap::new() };
    let object = read_object(object, &|name| kind.keeps(name));
    let uses = object.and_then(|object| images_of(&object, kind, limits)).unwrap_or_default();
    uses.into_iter().map(|image_use| (image_use.field, image_use.image)).collect()
}

/// Where a Pod says that it is a mirror.
const MIRROR: [&str; 3] = ["metadata", "annotations", "kubernetes.io/config.mirror"];

/// Only nodes may say so: the API server lets them make no other Pods, and everybody else could lie.
fn is_mirror(request: &Request, object: &Value) -> bool {
    MIRROR.iter().try_fold(object, |value, name| value.get(name)).is_some()
        && request.user.groups.contains("system:nodes")
}

fn images_of(object: &Value, kind: Kind<'_>, limits: &Limits) -> Result<Vec<ImageUse>, Error> {
    match kind {
        Kind::Known(known) => known.images_of(object, limits),
        Kind::Custom(custom) => custom.images_of(object, limits),
    }
}
