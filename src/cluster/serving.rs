//! Where a certificate that the webhook issued itself is kept, and where the API server is told to believe it.

use std::{collections::BTreeMap, future::Future};

use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        core::v1::Secret,
    },
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// The data of a Secret, by key. Never printed.
pub type Data = BTreeMap<String, Vec<u8>>;

/// Who owns `caBundle`: no other manager ever writes it, so that no chart resets it.
pub const FIELD_MANAGER: &str = "pratique-ca";

/// The Secret of the certificate, and the webhook configurations by which the API server calls us.
#[derive(Clone)]
pub struct Serving {
    /// The API server.
    pub client: Client,
    /// The namespace of the Secret.
    pub namespace: String,
    /// The name of the Secret. It has to be there: the account may change it and not create any.
    pub secret: String,
    /// The name of the validating and of the mutating webhook configuration.
    pub configurations: Vec<String>,
}

/// What is in the Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// By key.
    pub data: Data,
    /// `resourceVersion`.
    pub version: String,
}

/// Why the Secret or a webhook configuration could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Error {
    /// The object.
    pub what: String,
    /// What the API server says.
    pub why: String,
}

/// Where the authority of a certificate is kept, and where it is believed.
pub trait Place: Send + Sync {
    /// The Secret's data, and its version.
    fn read(&self) -> impl Future<Output = Result<Stored, Error>> + Send;

    /// Writes the data where the version is still this one; `false` where somebody else came first.
    fn replace(&self, data: Data, version: &str) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Has every webhook of the configurations that exist believe the authorities in `bundle` (PEM) and no others.
    fn believe(&self, bundle: &str) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Place for Serving {
    async fn read(&self) -> Result<Stored, Error> {
        let secret = self.secrets().get(&self.secret).await.map_err(|error| self.of_secret(&error))?;
        let version = secret.metadata.resource_version.unwrap_or_default();
        let data = secret.data.unwrap_or_default();
        Ok(Stored { data: data.into_iter().map(|(key, value)| (key, value.0)).collect(), version })
    }

    async fn replace(&self, data: Data, version: &str) -> Result<bool, Error> {
        // Labels and all else are kept; the API server compares the version.
        let mut secret = self.secrets().get(&self.secret).await.map_err(|error| self.of_secret(&error))?;
        secret.metadata.resource_version = Some(version.to_owned());
        secret.data = Some(data.into_iter().map(|(key, value)| (key, ByteString(value))).collect());
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match self.secrets().replace(&self.secret, &params, &secret).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(self.of_secret(&error)),
        }
    }

    async fn believe(&self, bundle: &str) -> Result<(), Error> {
        for name in &self.configurations {
            believe::<ValidatingWebhookConfiguration>(&self.client, name, bundle).await?;
            believe::<MutatingWebhookConfiguration>(&self.client, name, bundle).await?;
        }
        Ok(())
    }
}

impl Serving {
    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn of_secret(&self, error: &kube::Error) -> Error {
        Error { what: format!("Secret {}/{}", self.namespace, self.secret), why: error.to_string() }
    }
}

async fn believe<K>(client: &Client, name: &str, bundle: &str) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let failed =
        |error: &dyn std::fmt::Display| Error { what: format!("{} {name}", K::kind(&())), why: error.to_string() };
    // What is not there yet, or not any more, calls nobody.
    let Some(found) = api.get_opt(name).await.map_err(|error| failed(&error))? else { return Ok(()) };
    let found = serde_json::to_value(found).map_err(|error| failed(&error))?;
    let wanted = json!(ByteString(bundle.as_bytes().to_vec()));
    let webhooks = found.get("webhooks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let believes = |webhook: &Value| webhook.pointer("/clientConfig/caBundle") == Some(&wanted);
    if webhooks.iter().all(believes) {
        return Ok(());
    }
    let names = webhooks.iter().filter_map(|webhook| webhook.get("name"));
    let applied = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name},
        "webhooks": names.map(|name| json!({"name": name, "clientConfig": {"caBundle": wanted}})).collect::<Vec<_>>(),
    });
    // By force: whoever else wrote it has not issued our certificate.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(name, &params, &Patch::Apply(applied)).await.map_err(|error| failed(&error))?;
    tracing::info!(kind = %K::kind(&()), name, "caBundle was written");
    Ok(())
}
