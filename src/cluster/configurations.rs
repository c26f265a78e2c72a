//! The webhook configurations: there last and gone first, because `verify.pratique.dev` refuses while nobody answers.

use std::time::Duration;

use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apps::v1::Deployment,
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

/// Who applies the configurations.
pub const FIELD_MANAGER: &str = "pratique-chart";

/// How long between two looks at a Deployment.
const PAUSE: Duration = Duration::from_secs(1);

/// Applications in a row that came too late: others write only `caBundle`, and seldom.
const ATTEMPTS: usize = 5;

/// The configurations of one name, as they are to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Configurations {
    name: String,
    validating: Value,
    /// None where no tag is pinned.
    mutating: Option<Value>,
}

/// Why the configurations are not as they are to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An object that is none of ours.
    #[error("the manifest has {found}, and not only a validating and a mutating webhook configuration called {name:?}")]
    Foreign {
        /// Kind and name of the object.
        found: String,
        /// The name that both have.
        name: String,
    },
    /// Nothing would be verified.
    #[error("the manifest has no ValidatingWebhookConfiguration {name:?}")]
    NoValidating {
        /// Its name.
        name: String,
    },
    /// The pods did not become ready in time.
    #[error("Deployment {name} is not available after {seconds} s: {why}")]
    NotAvailable {
        /// Namespace and name.
        name: String,
        /// How long it was waited for.
        seconds: u64,
        /// What its status says.
        why: String,
    },
    /// What the API server says.
    #[error("{what}: {why}")]
    Api {
        /// The object.
        what: String,
        /// What the API server says.
        why: String,
    },
}

impl Configurations {
    /// Takes the objects of a manifest: a ValidatingWebhookConfiguration of this name, and at most one mutating one.
    pub fn new(name: &str, objects: Vec<Value>) -> Result<Self, Error> {
        let (mut validating, mut mutating) = (None, None);
        for object in objects {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (kind, found) = (text("/kind"), text("/metadata/name"));
            let slot = match kind.as_str() {
                "ValidatingWebhookConfiguration" => &mut validating,
                "MutatingWebhookConfiguration" => &mut mutating,
                _ => return Err(Error::Foreign { found: format!("{kind} {found:?}"), name: name.to_owned() }),
            };
            if found != name || slot.is_some() {
                return Err(Error::Foreign { found: format!("{kind} {found:?}"), name: name.to_owned() });
            }
            *slot = Some(object);
        }
        let validating = validating.ok_or_else(|| Error::NoValidating { name: name.to_owned() })?;
        Ok(Self { name: name.to_owned(), validating, mutating })
    }

    /// Applies them. An entry that is there keeps its `caBundle`; a new one gets `ca` (PEM), where the manifest has
    /// none. Entries and configurations that are no longer wanted go. At no moment is anything unverified that was and
    /// is to be verified.
    pub async fn apply(&self, client: &Client, ca: Option<&str>) -> Result<(), Error> {
        apply::<ValidatingWebhookConfiguration>(client, &self.name, &self.validating, ca).await?;
        match &self.mutating {
            Some(mutating) => apply::<MutatingWebhookConfiguration>(client, &self.name, mutating, ca).await,
            None => remove_one::<MutatingWebhookConfiguration>(client, &self.name).await,
        }
    }
}

/// Deletes the configurations of this name, the refusing one first. What is not there is as good as deleted.
pub async fn remove(client: &Client, name: &str) -> Result<(), Error> {
    remove_one::<ValidatingWebhookConfiguration>(client, name).await?;
    remove_one::<MutatingWebhookConfiguration>(client, name).await
}

/// Waits until a Deployment has pods of its newest template and as many available as it wants.
pub async fn available(client: &Client, namespace: &str, name: &str, timeout: Duration) -> Result<(), Error> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let deadline = Instant::now() + timeout;
    loop {
        let why = match api.get(name).await {
            Ok(deployment) => match unavailable(&deployment) {
                None => return Ok(()),
                Some(why) => why,
            },
            Err(error) => error.to_string(),
        };
        if Instant::now() + PAUSE > deadline {
            let name = format!("{namespace}/{name}");
            return Err(Error::NotAvailable { name, seconds: timeout.as_secs(), why });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Why the Deployment does not do its work yet.
fn unavailable(deployment: &Deployment) -> Option<String> {
    let Some(status) = &deployment.status else { return Some("it has no status yet".to_owned()) };
    if status.observed_generation < deployment.metadata.generation {
        return Some("its newest version has not been seen by its controller yet".to_owned());
    }
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let (updated, available) = (status.updated_replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
    // None at all would refuse everything.
    (updated < wanted || available < wanted.max(1))
        .then(|| format!("{wanted} pods are wanted, {updated} are up to date, {available} are available"))
}

async fn apply<K>(client: &Client, name: &str, wanted: &Value, ca: Option<&str>) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let failed = |error: &dyn std::fmt::Display| failed::<K>(name, error);
    let mut attempt = 1;
    loop {
        let found = api.get_opt(name).await.map_err(|error| failed(&error))?;
        let version = found.as_ref().and_then(|found| found.meta().resource_version.clone());
        let found = serde_json::to_value(found).map_err(|error| failed(&error))?;
        let result = async {
            // What somebody else owns a field of would stay, and only that field of it: no valid entry.
            let surplus = surplus(&found, wanted);
            let version = match &version {
                Some(version) if !surplus.is_empty() => remove_entries(&api, name, version, &surplus).await?,
                _ => version.clone(),
            };
            let applied = with_authorities(wanted, &found, ca, version.as_deref());
            let params = PatchParams::apply(FIELD_MANAGER).force();
            api.patch(name, &params, &Patch::Apply(applied)).await.map(drop)
        };
        match result.await {
            Ok(()) => return Ok(()),
            // Written between our reading and our writing.
            Err(kube::Error::Api(status)) if status.code == 409 && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(failed(&error)),
        }
    }
}

/// The places of the entries that are there and not wanted, the last first.
fn surplus(found: &Value, wanted: &Value) -> Vec<usize> {
    let wanted: Vec<_> = entries(wanted).iter().map(|entry| entry.get("name")).collect();
    let places = entries(found).iter().enumerate().filter(|(_, entry)| !wanted.contains(&entry.get("name")));
    places.map(|(place, _)| place).rev().collect()
}

/// Removes entries by their places in exactly this version; the version after that.
async fn remove_entries<K>(api: &Api<K>, name: &str, version: &str, places: &[usize]) -> kube::Result<Option<String>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let mut patch = vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})];
    patch.extend(places.iter().map(|place| json!({"op": "remove", "path": format!("/webhooks/{place}")})));
    let patch = serde_json::from_value(Value::Array(patch)).map_err(kube::Error::SerdeError)?;
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patched = api.patch(name, &params, &Patch::<()>::Json(patch)).await?;
    Ok(patched.meta().resource_version.clone())
}

/// The wanted object, in which each entry believes whom it believed before.
fn with_authorities(wanted: &Value, found: &Value, ca: Option<&str>, version: Option<&str>) -> Value {
    let mut applied = wanted.clone();
    if let (Some(metadata), Some(version)) = (applied.get_mut("metadata").and_then(Value::as_object_mut), version) {
        metadata.insert("resourceVersion".to_owned(), version.into());
    }
    let new = ca.map(|pem| json!(k8s_openapi::ByteString(pem.as_bytes().to_vec())));
    for entry in applied.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
        let there = entries(found).iter().find(|other| other.get("name") == entry.get("name"));
        let believed = there.and_then(|other| other.pointer("/clientConfig/caBundle"));
        let believed = believed.filter(|bundle| bundle.as_str().is_some_and(|text| !text.is_empty()));
        let Some(client) = entry.get_mut("clientConfig").and_then(Value::as_object_mut) else { continue };
        set_authority(client, believed.or(new.as_ref()));
    }
    applied
}

/// What the manifest itself says comes first.
fn set_authority(client: &mut Map<String, Value>, bundle: Option<&Value>) {
    if let Some(bundle) = bundle
        && !client.contains_key("caBundle")
    {
        client.insert("caBundle".to_owned(), bundle.clone());
    }
}

fn entries(configuration: &Value) -> &[Value] {
    configuration.get("webhooks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

async fn remove_one<K>(client: &Client, name: &str) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    match Api::<K>::all(client.clone()).delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(failed::<K>(name, &error)),
    }
}

fn failed<K: Resource<DynamicType = ()>>(name: &str, error: &dyn std::fmt::Display) -> Error {
    Error::Api { what: format!("{} {name}", K::kind(&())), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str) -> Value {
        json!({"kind": kind, "metadata": {"name": name}})
    }

    #[test]
    fn takes_only_what_it_is_for() {
        const VALIDATING: &str = "ValidatingWebhookConfiguration";
        const MUTATING: &str = "MutatingWebhookConfiguration";
        let new = |objects| Configurations::new("pratique", objects);
        assert!(new(vec![object(VALIDATING, "pratique"), object(MUTATING, "pratique")]).is_ok());
        assert!(new(vec![object(VALIDATING, "pratique")]).unwrap().mutating.is_none());
        assert!(matches!(new(vec![object(MUTATING, "pratique")]), Err(Error::NoValidating { .. })));
        for foreign in [object(VALIDATING, "other"), object("ClusterRole", "pratique"), json!(null)] {
            let refused = new(vec![object(VALIDATING, "pratique"), foreign]);
            assert!(matches!(refused, Err(Error::Foreign { .. })), "{refused:?}");
        }
    }

    #[test]
    fn an_entry_keeps_its_authority_and_a_new_one_gets_the_given_one() {
        let entry = |name: &str, ca: Option<&str>| match ca {
            Some(ca) => json!({"name": name, "clientConfig": {"caBundle": ca}}),
            None => json!({"name": name, "clientConfig": {}}),
        };
        let wanted =
            json!({"metadata": {}, "webhooks": [entry("a", None), entry("b", None), entry("c", Some("Yw=="))]});
        let found =
            json!({"webhooks": [entry("old", Some("b2xk")), entry("a", Some("YQ==")), entry("c", Some("eA=="))]});
        let applied = with_authorities(&wanted, &found, Some("new"), Some("7"));
        let expected = [entry("a", Some("YQ==")), entry("b", Some("bmV3")), entry("c", Some("Yw=="))];
        assert_eq!(applied, json!({"metadata": {"resourceVersion": "7"}, "webhooks": expected}));
        assert_eq!(surplus(&found, &wanted), [0]);
    }
}
