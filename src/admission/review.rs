//! What does the API server ask? The envelope of an AdmissionReview; the object in it is read by `workload`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Error;

/// The request of an AdmissionReview (`admission.k8s.io/v1`).
#[derive(Debug, Clone)]
pub struct Request {
    /// Ties the answer to the request.
    pub uid: String,
    /// What the object is, after the conversion that `matchPolicy: Equivalent` makes.
    pub kind: GroupVersionKind,
    /// Which resource it is written to.
    pub resource: GroupVersionResource,
    /// Its subresource, if it is one.
    pub sub_resource: Option<String>,
    /// Name of the object; empty where the API server is to make one.
    pub name: String,
    /// Namespace of the object, if it has one.
    pub namespace: Option<String>,
    /// What is done to it.
    pub operation: Operation,
    /// Whether the request leaves nothing behind.
    pub dry_run: bool,
    /// Who asks.
    pub user: User,
    /// The object as JSON, not read yet.
    pub(super) object: Option<Box<RawValue>>,
    /// The object before an update as JSON, not read yet.
    pub(super) old_object: Option<Box<RawValue>>,
}

/// Group, version and kind of an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GroupVersionKind {
    /// The group; empty for the core.
    #[serde(default)]
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
}

impl GroupVersionKind {
    /// `apps/v1`, or `v1` for the core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Group, version and resource of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct GroupVersionResource {
    /// The group; empty for the core.
    #[serde(default)]
    pub group: String,
    /// The version.
    pub version: String,
    /// The resource, in the plural.
    pub resource: String,
}

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
    /// A connection to it is opened.
    Connect,
}

impl Operation {
    /// The name that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who asks, as the API server authenticated them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub username: String,
    /// The identifier, where there is one.
    pub uid: String,
    /// The groups.
    pub groups: BTreeSet<String>,
    /// What else the authenticator said.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Request {
    /// Reads the body of a call.
    ///
    /// # Errors
    /// The body is not an AdmissionReview of `admission.k8s.io/v1` with a request. Without a uid there is nothing that
    /// an answer could name, so this is an error of the HTTP call.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let unreadable = |error: serde_json::Error| Error::Unreadable { reason: error.to_string() };
        let is_ours = |types: &Types| types.api_version == "admission.k8s.io/v1" && types.kind == "AdmissionReview";
        let unknown = |types: Types| Error::UnknownReview { api_version: types.api_version, kind: types.kind };
        // In one pass: reading is most of what a review costs that was judged before.
        let review: RawReview<'_> = serde_json::from_slice(body).map_err(|error| {
            // What another version of a review looks like nobody knows.
            let types = serde_json::from_slice(body).ok().filter(|types| !is_ours(types));
            types.map_or_else(|| unreadable(error), unknown)
        })?;
        let types = Types { api_version: review.api_version, kind: review.kind };
        if !is_ours(&types) {
            return Err(unknown(types));
        }
        let raw = review.request;
        if raw.uid.is_empty() {
            return Err(Error::Unreadable { reason: "the request has no uid".to_owned() });
        }
        let not_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Self {
            uid: raw.uid,
            kind: raw.kind,
            resource: raw.resource,
            sub_resource: not_empty(raw.sub_resource),
            name: raw.name.unwrap_or_default(),
            namespace: not_empty(raw.namespace),
            operation: raw.operation,
            dry_run: raw.dry_run.unwrap_or(false),
            user: User {
                username: raw.user_info.username.unwrap_or_default(),
                uid: raw.user_info.uid.unwrap_or_default(),
                groups: raw.user_info.groups.unwrap_or_default(),
                extra: raw
                    .user_info
                    .extra
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(key, values)| (key, values.unwrap_or_default()))
                    .collect(),
            },
            object: raw.object.map(ToOwned::to_owned),
            old_object: raw.old_object.map(ToOwned::to_owned),
        })
    }

    /// The resource with its subresource: `pods/ephemeralcontainers`.
    pub fn resource_path(&self) -> String {
        match &self.sub_resource {
            Some(sub_resource) => format!("{}/{sub_resource}", self.resource.resource),
            None => self.resource.resource.clone(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Types {
    api_version: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReview<'a> {
    api_version: String,
    kind: String,
    #[serde(borrow)]
    request: RawRequest<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRequest<'a> {
    uid: String,
    kind: GroupVersionKind,
    resource: GroupVersionResource,
    sub_resource: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    operation: Operation,
    dry_run: Option<bool>,
    #[serde(default)]
    user_info: RawUser,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    old_object: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct RawUser {
    username: Option<String>,
    uid: Option<String>,
    groups: Option<BTreeSet<String>>,
    extra: Option<BTreeMap<String, Option<Vec<String>>>>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn review() -> serde_json::Value {
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
                "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
                "requestKind": {"group": "apps", "version": "v1beta1", "kind": "Deployment"},
                "name": "api",
                "namespace": "prod",
                "operation": "UPDATE",
                "userInfo": {"username": "ann", "groups": ["dev", "system:authenticated"], "extra": {"k": ["v"]}},
                "object": {"kind": "Deployment"},
                "oldObject": null,
                "dryRun": true,
                "options": {"kind": "UpdateOptions"},
            },
        })
    }

    fn parse(review: &serde_json::Value) -> Result<Request, Error> {
        Request::parse(&serde_json::to_vec(review).unwrap())
    }

    #[test]
    fn the_envelope_is_read() {
        let request = parse(&review()).unwrap();
        assert_eq!(request.uid, "705ab4f5-6393-11e8-b7cc-42010a800002");
        assert_eq!(request.kind.api_version(), "apps/v1");
        assert_eq!(request.resource_path(), "deployments");
        assert_eq!(request.namespace.as_deref(), Some("prod"));
        assert_eq!(request.operation, Operation::Update);
        assert!(request.dry_run);
        assert!(request.user.groups.contains("dev"));
        assert_eq!(request.user.extra, BTreeMap::from([("k".into(), vec!["v".into()])]));
        assert!(request.object.is_some());
        assert!(request.old_object.is_none());
    }

    #[test]
    fn another_version_of_the_review_is_refused_by_name() {
        let mut old = review();
        old["apiVersion"] = json!("admission.k8s.io/v1beta1");
        assert_eq!(
            parse(&old).unwrap_err(),
            Error::UnknownReview { api_version: "admission.k8s.io/v1beta1".into(), kind: "AdmissionReview".into() }
        );
        let mut other = review();
        other["kind"] = json!("ImageReview");
        assert!(matches!(parse(&other), Err(Error::UnknownReview { .. })));
    }

    #[test]
    fn what_is_not_a_review_is_unreadable() {
        for body in [&b""[..], b"null", b"[]", b"{}", b"\xff\xfe", b"{\"apiVersion\":\"admission.k8s.io/v1\"", b"{} x"]
        {
            assert!(matches!(Request::parse(body), Err(Error::Unreadable { .. })), "{body:?}");
        }
    }

    #[test]
    fn every_field_of_the_envelope_that_matters_must_be_there_and_of_its_type() {
        for field in ["uid", "kind", "resource", "operation"] {
            let mut without = review();
            without["request"].as_object_mut().unwrap().remove(field);
            assert!(parse(&without).is_err(), "{field} missing");
            let mut wrong = review();
            wrong["request"][field] = json!(7);
            assert!(parse(&wrong).is_err(), "{field} wrong");
        }
        for field in ["subResource", "namespace", "dryRun", "userInfo", "name"] {
            let mut wrong = review();
            wrong["request"][field] = json!([{}]);
            assert!(parse(&wrong).is_err(), "{field} wrong");
        }
        let mut no_request = review();
        no_request.as_object_mut().unwrap().remove("request");
        assert!(parse(&no_request).is_err());
        let mut unknown = review();
        unknown["request"]["operation"] = json!("PATCH");
        assert!(parse(&unknown).is_err());
        let mut no_uid = review();
        no_uid["request"]["uid"] = json!("");
        assert!(parse(&no_uid).is_err());
    }

    #[test]
    fn a_member_that_stands_twice_is_refused() {
        let text = serde_json::to_string(&review()).unwrap();
        let twice = text.replacen("\"operation\":", "\"operation\":\"DELETE\",\"operation\":", 1);
        assert!(matches!(Request::parse(twice.as_bytes()), Err(Error::Unreadable { .. })));
    }

    #[test]
    fn a_deep_object_is_no_reason_not_to_read_the_envelope() {
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        let text = serde_json::to_string(&review()).unwrap().replace("{\"kind\":\"Deployment\"}", &deep);
        assert_eq!(Request::parse(text.as_bytes()).unwrap().name, "api");
    }
}
