//! Where are the credentials for repositories? In Secrets of our own namespace; outside of a cluster in folders, as
//! Kubernetes mounts a Secret: a file for each key.

#![expect(clippy::disallowed_methods, reason = "outside a cluster a Secret is a folder of files")]

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use crate::repository::credentials::{KEYS, SecretData, SecretError, Secrets};

/// Bytes of one value: no credentials that go into a header have more.
const MAX_BYTES: u64 = 64 << 10;

/// The Secrets of one namespace, each by its name. The account may get those that the chart lists, and no others.
#[derive(Clone)]
pub struct InNamespace {
    client: Client,
    namespace: String,
}

impl InNamespace {
    /// Reads with the rights of `client`.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }
}

impl std::fmt::Debug for InNamespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InNamespace({})", self.namespace)
    }
}

#[async_trait::async_trait]
impl Secrets for InNamespace {
    async fn read(&self, name: &str) -> Result<SecretData, SecretError> {
        let place = || format!("Secret {}/{name}", self.namespace);
        let found = Api::<Secret>::namespaced(self.client.clone(), &self.namespace).get_opt(name).await;
        let found = found.map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 403 => SecretError::Forbidden { place: place() },
            _ => SecretError::Unreadable { place: place(), why: error.to_string() },
        })?;
        let data = found.ok_or_else(|| SecretError::Missing { place: place() })?.data.unwrap_or_default();
        let known = |key: &str| KEYS.contains(&key);
        Ok(data.into_iter().filter(|(key, _)| known(key)).map(|(key, value)| (key, value.0)).collect())
    }
}

/// Folders beside a policy, each called as its Secret.
#[derive(Debug, Clone)]
pub struct InFolder(pub PathBuf);

#[async_trait::async_trait]
impl Secrets for InFolder {
    async fn read(&self, name: &str) -> Result<SecretData, SecretError> {
        let folder = self.0.join(name);
        let place = format!("Secret {name}: outside of a cluster it is the folder {}", folder.display());
        let read = tokio::task::spawn_blocking(move || read(&folder)).await;
        match read.map_err(io::Error::other).flatten() {
            Ok(Some(data)) => Ok(data),
            Ok(None) => Err(SecretError::Missing { place }),
            Err(error) => Err(SecretError::Unreadable { place, why: error.to_string() }),
        }
    }
}

fn read(folder: &Path) -> io::Result<Option<SecretData>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut data = SecretData::new();
    for key in KEYS {
        let file = folder.join(key);
        if !file.is_file() {
            continue;
        }
        let mut value = Vec::new();
        fs::File::open(file)?.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut value)?;
        if u64::try_from(value.len()).unwrap_or(u64::MAX) > MAX_BYTES {
            return Err(io::Error::other(format!("{key:?} has more than {MAX_BYTES} bytes")));
        }
        data.insert(key.to_owned(), value);
    }
    Ok(Some(data))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;

    use super::*;
    use crate::cluster::testing::ApiServer;

    fn data(values: &[(&str, &str)]) -> SecretData {
        values.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[tokio::test]
    async fn a_secret_is_read_by_its_name_and_only_the_keys_that_matter() {
        let server = ApiServer::start().await;
        let secrets = InNamespace::new(server.client(), "pratique");
        let missing = SecretError::Missing { place: "Secret pratique/tuf".into() };
        assert_eq!(secrets.read("tuf").await, Err(missing));
        let mut secret = Secret::default();
        secret.metadata.name = Some("tuf".into());
        let values = [("host", "tuf.example"), ("tls.key", "s3cret"), ("ca.crt", "x")];
        secret.data =
            Some(BTreeMap::from(values.map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec())))));
        server.put_secret(&secret);
        assert_eq!(secrets.read("tuf").await, Ok(data(&values[..2])));
        server.forbid();
        assert_eq!(secrets.read("tuf").await, Err(SecretError::Forbidden { place: "Secret pratique/tuf".into() }));
    }

    #[tokio::test]
    async fn outside_of_a_cluster_a_secret_is_a_folder_with_a_file_for_each_key() {
        let temp = tempfile::tempdir().unwrap();
        let secrets = InFolder(temp.path().to_owned());
        let error = secrets.read("tuf").await.unwrap_err().to_string();
        let folder = temp.path().join("tuf");
        let wanted = format!("there is no Secret tuf: outside of a cluster it is the folder {}", folder.display());
        assert_eq!(error, wanted);
        fs::create_dir(&folder).unwrap();
        assert_eq!(secrets.read("tuf").await, Ok(data(&[])));
        fs::write(folder.join("host"), "tuf.example").unwrap();
        fs::write(folder.join("other"), "x").unwrap();
        assert_eq!(secrets.read("tuf").await, Ok(data(&[("host", "tuf.example")])));
        fs::write(folder.join("token"), vec![b'x'; usize::try_from(MAX_BYTES).unwrap() + 1]).unwrap();
        assert!(matches!(secrets.read("tuf").await, Err(SecretError::Unreadable { .. })));
    }
}
