//! May this user do that? The API server's own answer (SubjectAccessReview).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, timeout_at};

/// The right that breaking the glass needs: `use` of `breakglass.pratique.dev` in the namespace. It is a resource of our
/// own, so that no right to Pods, however wide, has it by accident.
pub const BREAK_GLASS: (&str, &str, &str) = ("use", "pratique.dev", "breakglass");

/// Who asks, as the API server authenticated them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asking {
    /// The name.
    pub username: String,
    /// The identifier.
    pub uid: String,
    /// The groups.
    pub groups: BTreeSet<String>,
    /// What else the authenticator said.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Why there is no answer. It is never a yes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The API server refused to answer, or was not there.
    #[error("the API server did not say who may break the glass: {0}")]
    Unanswered(String),
    /// It did not answer in time.
    #[error("the API server did not say in time who may break the glass")]
    TooSlow,
}

/// Asks the API server.
#[derive(Clone)]
pub struct Access {
    client: Client,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access")
    }
}

impl Access {
    /// Asks with the rights of `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Whether somebody may break the glass in a namespace.
    ///
    /// # Errors
    /// There is no answer by `deadline`, or one with an error in it.
    pub async fn may_break_glass(
        &self,
        asking: Asking,
        namespace: &str,
        deadline: Instant,
    ) -> Result<bool, AccessError> {
        let (verb, group, resource) = BREAK_GLASS;
        let attributes = ResourceAttributes {
            namespace: Some(namespace.to_owned()),
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(asking.username),
            uid: (!asking.uid.is_empty()).then_some(asking.uid),
            groups: Some(asking.groups.into_iter().collect()),
            extra: Some(asking.extra),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let parameters = PostParams::default();
        let answer = timeout_at(deadline, api.create(&parameters, &review)).await.map_err(|_| AccessError::TooSlow)?;
        let status = answer.map_err(|error| AccessError::Unanswered(error.to_string()))?.status;
        let status = status.ok_or_else(|| AccessError::Unanswered("the answer has no status".to_owned()))?;
        match status.evaluation_error.filter(|error| !error.is_empty()) {
            Some(error) => Err(AccessError::Unanswered(error)),
            None => Ok(status.allowed && status.denied != Some(true)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::cluster::testing::ApiServer;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn ann() -> Asking {
        Asking {
            username: "ann".into(),
            uid: "7".into(),
            groups: BTreeSet::from(["dev".into()]),
            extra: BTreeMap::from([("scopes".into(), vec!["user:info".into()])]),
        }
    }

    #[tokio::test]
    async fn the_api_server_is_asked_about_the_user_with_all_that_is_known_of_them() {
        let server = ApiServer::start().await;
        server.grant(json!({"allowed": true}));
        assert_eq!(Access::new(server.client()).may_break_glass(ann(), "prod", soon()).await, Ok(true));
        let posted = server.posted();
        let [(path, body)] = &posted[..] else { panic!("{posted:?}") };
        assert_eq!(path, "/apis/authorization.k8s.io/v1/subjectaccessreviews");
        assert_eq!(
            body["spec"],
            json!({
                "user": "ann", "uid": "7", "groups": ["dev"], "extra": {"scopes": ["user:info"]},
                "resourceAttributes": {"namespace": "prod", "verb": "use", "group": "pratique.dev", "resource": "breakglass"},
            })
        );
    }

    #[tokio::test]
    async fn whatever_is_no_clear_yes_is_none() {
        let server = ApiServer::start().await;
        let access = Access::new(server.client());
        for status in [json!({"allowed": false}), json!({"allowed": true, "denied": true})] {
            server.grant(status);
            assert_eq!(access.may_break_glass(ann(), "prod", soon()).await, Ok(false));
        }
        server.grant(json!({"allowed": true, "evaluationError": "a role is missing"}));
        let odd = access.may_break_glass(ann(), "prod", soon()).await;
        assert_eq!(odd, Err(AccessError::Unanswered("a role is missing".into())));
        let late = access.may_break_glass(ann(), "prod", Instant::now() - Duration::from_millis(1)).await;
        assert_eq!(late, Err(AccessError::TooSlow));
        server.forbid();
        assert!(matches!(access.may_break_glass(ann(), "prod", soon()).await, Err(AccessError::Unanswered(_))));
    }
}
