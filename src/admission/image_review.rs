//! The question of the API server's own admission plugin ImagePolicyWebhook: an ImageReview instead of an
//! AdmissionReview. It names the images of a Pod's containers and nothing else, so it is a check beside the webhook's,
//! not in its place.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Error, GroupVersionKind, GroupVersionResource, ImageKind, ImageUse, Limits, Operation, Outcome, Request,
    User, Workload,
};
use crate::verdict::Verdict;

const GROUP: &str = "imagepolicy.k8s.io";
const VERSION: &str = "v1alpha1";
const KIND: &str = "ImageReview";

/// An ImageReview (`imagepolicy.k8s.io/v1alpha1`), in the terms of an AdmissionReview.
#[derive(Debug)]
pub struct ImageReview {
    /// A creation in the Pod's namespace. What an ImageReview does not say is empty.
    pub request: Request,
    /// The images of a Pod, each taken for that of a container: of which kind they are is not said.
    pub workload: Workload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    api_version: String,
    kind: String,
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    containers: Vec<Container>,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    image: String,
}

impl ImageReview {
    /// Reads the body of a call.
    ///
    /// # Errors
    /// The body is no ImageReview, or names no image or too many.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, Error> {
        let raw: Raw = serde_json::from_slice(body).map_err(|error| Error::Unreadable { reason: error.to_string() })?;
        if raw.api_version != format!("{GROUP}/{VERSION}") || raw.kind != KIND {
            return Err(Error::UnknownReview { api_version: raw.api_version, kind: raw.kind });
        }
        let images = raw.spec.containers;
        let different = images.iter().map(|container| &container.image).collect::<BTreeSet<_>>().len();
        for (what, found, limit) in
            [("images", images.len(), limits.uses), ("different images", different, limits.images)]
        {
            if found > limit {
                return Err(Error::TooManyImages { what, found, limit });
            }
        }
        // A Pod has containers: a review without any says nothing about one.
        if images.is_empty() {
            return Err(Error::MissingField { field: "spec.containers".to_owned() });
        }
        let uses = images.into_iter().enumerate().map(|(index, container)| ImageUse {
            field: format!("spec.containers[{index}].image"),
            pointer: format!("/spec/containers/{index}/image"),
            image: container.image,
            kind: ImageKind::Container,
        });
        let names = |name: &str| (GROUP.to_owned(), VERSION.to_owned(), name.to_owned());
        let ((group, version, kind), (_, _, resource)) = (names(KIND), names("imagereviews"));
        let request = Request {
            uid: String::new(),
            kind: GroupVersionKind { group: group.clone(), version: version.clone(), kind },
            resource: GroupVersionResource { group, version, resource },
            sub_resource: None,
            name: String::new(),
            namespace: Some(raw.spec.namespace).filter(|namespace| !namespace.is_empty()),
            operation: Operation::Create,
            // Whether it is one is not said; nothing but Events depends on it, and a dry run leaves none.
            dry_run: true,
            user: User::default(),
            object: None,
            old_object: None,
        };
        Ok(Self { request, workload: Workload { uses: uses.collect(), is_pod: true, ..Workload::default() } })
    }

    /// The answer: `allowed: false` also where nothing could be judged. A call that fails would be decided by the
    /// plugin's `defaultAllow`.
    pub fn answer(&self, verdicts: &[Verdict]) -> Value {
        answer(&Answer::judged(&self.request, &self.workload, verdicts))
    }

    /// The answer where the review could not be read.
    pub fn unreadable(error: &Error) -> Value {
        answer(&Answer::unread("", error))
    }
}

fn answer(answer: &Answer) -> Value {
    let reason = match answer.outcome() {
        Outcome::Allowed => None,
        Outcome::Refused(status) => Some(&status.message),
    };
    json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": KIND, "status": {
        "allowed": reason.is_none(), "reason": reason, "auditAnnotations": answer.annotations(),
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(containers: &Value) -> Vec<u8> {
        json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview", "spec": {
            "containers": containers, "namespace": "prod", "annotations": {"x.image-policy.k8s.io/skip": "true"},
        }})
        .to_string()
        .into_bytes()
    }

    fn parse(body: &[u8]) -> Result<ImageReview, Error> {
        ImageReview::parse(body, &Limits { uses: 3, images: 2 })
    }

    #[test]
    fn an_image_review_is_read_as_the_creation_of_a_pod() {
        let review = parse(&review(&json!([{"image": "a"}, {"image": "b"}, {}]))).unwrap_err();
        assert_eq!(review, Error::TooManyImages { what: "different images", found: 3, limit: 2 });
        let review = parse(&self::review(&json!([{"image": "a"}, {}]))).unwrap();
        assert_eq!(review.request.namespace.as_deref(), Some("prod"));
        let found: Vec<_> = review.workload.uses.iter().map(|used| (&*used.field, &*used.image)).collect();
        assert_eq!(found, [("spec.containers[0].image", "a"), ("spec.containers[1].image", "")]);
        assert!(review.workload.is_pod && !review.workload.mirror);
    }

    #[test]
    fn what_is_no_image_review_is_an_error() {
        for body in ["", "{}", "[]", "{\"apiVersion\":\"imagepolicy.k8s.io/v1alpha1\",\"kind\":\"ImageReview\"}"] {
            assert!(matches!(parse(body.as_bytes()), Err(Error::Unreadable { .. })), "{body}");
        }
        let other = review(&json!([{"image": "a"}]));
        let other = String::from_utf8(other).unwrap().replace("v1alpha1", "v1");
        assert!(matches!(parse(other.as_bytes()), Err(Error::UnknownReview { .. })));
        let none = Error::MissingField { field: "spec.containers".to_owned() };
        assert_eq!(parse(&review(&json!([]))).unwrap_err(), none);
        let many = parse(&review(&json!([{"image": "a"}, {"image": "a"}, {"image": "a"}, {"image": "a"}])));
        assert_eq!(many.unwrap_err(), Error::TooManyImages { what: "images", found: 4, limit: 3 });
    }

    #[test]
    fn an_image_without_a_verdict_is_refused() {
        let review = parse(&review(&json!([{"image": "a"}]))).unwrap();
        let answer = review.answer(&[]);
        assert_eq!(answer["kind"], "ImageReview");
        assert_eq!(answer["status"]["allowed"], false);
        assert!(answer["status"]["reason"].as_str().unwrap().contains("spec.containers[0].image: a"), "{answer}");
        let unread = ImageReview::unreadable(&Error::MissingField { field: "spec.containers".to_owned() });
        assert_eq!(unread["status"]["allowed"], false);
    }
}
