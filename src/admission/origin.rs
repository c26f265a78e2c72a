//! Where does a Pod come from: somebody's own hands, or a controller?

use serde_json::{Map, Value};

use super::{GroupVersionKind, Operation, Owner, Request, live::owner};

/// The annotation by which somebody who may do so asks for a Pod to run that would be refused. Its value is the reason.
pub const BREAK_GLASS: &str = "pratique.dev/break-glass";

/// Bytes of a reason.
const MAX_REASON: usize = 256;

/// Members at which is looked here.
pub(super) const MEMBERS: [&str; 9] =
    ["metadata", "annotations", BREAK_GLASS, "ownerReferences", "apiVersion", "kind", "name", "uid", "controller"];

/// Who stands behind a Pod that is being created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The reason for which a Pod that nobody owns asks to run whatever the verdict is. A template's annotation reaches
    /// only Pods that are owned, so it is never inherited: there the user is the controller.
    pub break_glass: Option<String>,
    /// The object whose controller made the Pod.
    pub controller: Option<Owner>,
}

impl Origin {
    /// Reads it from the Pod that `request` creates.
    pub(super) fn of(request: &Request, kind: &GroupVersionKind, object: &Value) -> Self {
        if request.operation != Operation::Create || request.sub_resource.is_some() || kind.kind != "Pod" {
            return Self::default();
        }
        let Some(metadata) = object.get("metadata").and_then(Value::as_object) else { return Self::default() };
        let controller = owner(object);
        let break_glass = if is_owned(metadata) { None } else { reason(metadata) };
        Self { break_glass, controller }
    }
}

/// Anything that may be an owner counts as one.
fn is_owned(metadata: &Map<String, Value>) -> bool {
    match metadata.get("ownerReferences") {
        None | Some(Value::Null) => false,
        Some(Value::Array(owners)) => !owners.is_empty(),
        Some(_) => true,
    }
}

fn reason(metadata: &Map<String, Value>) -> Option<String> {
    let reason = metadata.get("annotations")?.get(BREAK_GLASS)?.as_str()?.trim();
    (!reason.is_empty() && reason.len() <= MAX_REASON).then(|| reason.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::admission::{Limits, Origin, Request, Workload};

    fn origin(operation: &str, sub_resource: &str, metadata: &Value) -> Origin {
        let object = json!({"metadata": metadata, "spec": {"containers": []}});
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "operation": operation, "subResource": sub_resource, "namespace": "prod", "object": object,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
        }});
        let request = Request::parse(review.to_string().as_bytes()).unwrap();
        Workload::read(&request, &[], &Limits::default()).unwrap().origin
    }

    use super::*;

    #[test]
    fn only_a_pod_that_nobody_owns_and_that_is_being_created_can_ask() {
        let annotations = json!({BREAK_GLASS: " the registry is down "});
        let asking = json!({"annotations": annotations});
        assert_eq!(origin("CREATE", "", &asking).break_glass.as_deref(), Some("the registry is down"));
        assert_eq!(origin("UPDATE", "", &asking), Origin::default());
        assert_eq!(origin("UPDATE", "ephemeralcontainers", &asking), Origin::default());
        assert_eq!(origin("CREATE", "ephemeralcontainers", &asking), Origin::default());
        let owner =
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app", "uid": "7", "controller": true});
        for owners in [json!([owner]), json!([{}]), json!({}), json!("x")] {
            let owned = json!({"annotations": annotations, "ownerReferences": owners});
            assert_eq!(origin("CREATE", "", &owned).break_glass, None, "{owners}");
        }
        for owners in [json!([]), json!(null)] {
            let free = json!({"annotations": annotations, "ownerReferences": owners});
            assert!(origin("CREATE", "", &free).break_glass.is_some(), "{owners}");
        }
    }

    #[test]
    fn a_reason_is_a_short_text() {
        for value in [json!(""), json!("  "), json!(true), json!("x".repeat(257)), json!(null)] {
            let asking = json!({"annotations": {BREAK_GLASS: value}});
            assert_eq!(origin("CREATE", "", &asking).break_glass, None, "{value}");
        }
    }

    #[test]
    fn the_owner_is_the_one_that_controls() {
        let owners = json!([
            {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1"},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app", "uid": "7", "controller": true},
        ]);
        let origin = origin("CREATE", "", &json!({"ownerReferences": owners}));
        let controller = origin.controller.unwrap();
        assert_eq!(
            (controller.kind.as_str(), controller.name.as_str(), controller.uid.as_str()),
            ("ReplicaSet", "app", "7")
        );
    }
}
