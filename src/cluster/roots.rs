//! Where is the one thing that is handed out: the `root.json` with which trust in a repository begins?

#![expect(clippy::disallowed_methods, reason = "a folder of roots is files")]

use std::{
    fs,
    io::{self, Read},
    path::PathBuf,
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use crate::tuf::Limits;

/// Where the roots of trust are. Each has a key, which the policy names.
#[derive(Clone)]
pub enum Roots {
    /// Files in a folder.
    Folder(PathBuf),
    /// Keys of an immutable ConfigMap.
    ConfigMap {
        /// The API server.
        client: Client,
        /// The namespace of the webhook.
        namespace: String,
        /// The name of the ConfigMap.
        name: String,
    },
}

/// Why a root of trust cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The key could name something else than a key.
    #[error("{key:?} is not the name of a root: letters, digits, \"-\", \"_\" and \".\"")]
    BadKey {
        /// The key.
        key: String,
    },
    /// There is no such root.
    #[error("{place} has no {key:?}")]
    Missing {
        /// The folder or ConfigMap.
        place: String,
        /// The key.
        key: String,
    },
    /// Whoever may edit it could replace the root of trust unseen.
    #[error("{place} is not immutable, so it cannot hold a root of trust")]
    NotImmutable {
        /// The ConfigMap.
        place: String,
    },
    /// More than any root has.
    #[error("{key:?} in {place} has more than {limit} bytes")]
    TooLarge {
        /// The folder or ConfigMap.
        place: String,
        /// The key.
        key: String,
        /// The cap.
        limit: u64,
    },
    /// It could not be read.
    #[error("{place}: {why}")]
    Unreadable {
        /// The folder or ConfigMap.
        place: String,
        /// What the system or the API server says.
        why: String,
    },
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadKey { .. } | Self::Missing { .. } | Self::TooLarge { .. } => "trust/no-root",
            Self::NotImmutable { .. } => "trust/root-not-immutable",
            Self::Unreadable { .. } => "internal/root-unreadable",
        }
    }
}

impl Roots {
    /// The root under `key`, as it is there. Not verified.
    pub async fn load(&self, key: &str, limits: &Limits) -> Result<Vec<u8>, Error> {
        // What Kubernetes allows as a key of a ConfigMap; it is also the name of one file.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if key.is_empty() || key.starts_with("..") || key == "." || !key.bytes().all(plain) {
            return Err(Error::BadKey { key: key.to_owned() });
        }
        let limit = limits.root_bytes;
        let root = match self {
            Self::Folder(dir) => {
                let path = dir.join(key);
                let read = tokio::task::spawn_blocking(move || read(&path, limit)).await;
                read.map_err(io::Error::other).flatten().map_err(|error| self.unreadable(&error))?
            }
            Self::ConfigMap { client, namespace, name } => {
                let found = Api::<ConfigMap>::namespaced(client.clone(), namespace).get_opt(name).await;
                let found = found.map_err(|error| self.unreadable(&error))?.unwrap_or_default();
                if found.metadata.name.is_some() && found.immutable != Some(true) {
                    return Err(Error::NotImmutable { place: self.place() });
                }
                let text = found.data.unwrap_or_default().remove(key).map(String::into_bytes);
                text.or_else(|| found.binary_data.unwrap_or_default().remove(key).map(|bytes| bytes.0))
            }
        };
        match root {
            None => Err(Error::Missing { place: self.place(), key: key.to_owned() }),
            Some(root) if u64::try_from(root.len()).is_ok_and(|length| length <= limit) => Ok(root),
            Some(_) => Err(Error::TooLarge { place: self.place(), key: key.to_owned(), limit }),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Folder(dir) => dir.display().to_string(),
            Self::ConfigMap { namespace, name, .. } => format!("ConfigMap {namespace}/{name}"),
        }
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> Error {
        Error::Unreadable { place: self.place(), why: error.to_string() }
    }
}

impl std::fmt::Debug for Roots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Roots({})", self.place())
    }
}

/// The file, or one byte more than `limit` of it.
fn read(path: &PathBuf, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(found) if found.is_file() => {}
        _ => return Ok(None),
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::ObjectMeta};

    use super::*;
    use crate::cluster::testing::ApiServer;

    fn limits() -> Limits {
        Limits { root_bytes: 10, ..Limits::default() }
    }

    #[tokio::test]
    async fn reads_a_root_from_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("acme.root.json"), "{}").unwrap();
        fs::write(dir.path().join("long.json"), "0123456789a").unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        let roots = Roots::Folder(dir.path().to_owned());
        let load = async |key: &str| roots.load(key, &limits()).await;
        assert_eq!(load("acme.root.json").await.unwrap(), b"{}");
        assert!(matches!(load("other.json").await, Err(Error::Missing { .. })));
        assert!(matches!(load("folder").await, Err(Error::Missing { .. })));
        assert!(matches!(load("long.json").await, Err(Error::TooLarge { limit: 10, .. })));
        for key in ["", ".", "..", "..data", "../acme.root.json", "a/b", "/etc/passwd", "a b", "a\0"] {
            assert_eq!(load(key).await, Err(Error::BadKey { key: key.to_owned() }));
        }
    }

    #[tokio::test]
    async fn reads_a_root_from_an_immutable_config_map_and_from_no_other() {
        let server = ApiServer::start().await;
        let roots = Roots::ConfigMap {
            client: server.client(),
            namespace: "pratique".to_owned(),
            name: "pratique-roots-1".to_owned(),
        };
        let load = async |key: &str| roots.load(key, &limits()).await;
        let place = "ConfigMap pratique/pratique-roots-1".to_owned();
        let missing = |key: &str| Err(Error::Missing { place: place.clone(), key: key.to_owned() });
        assert_eq!(load("acme.json").await, missing("acme.json"));
        let mut map = ConfigMap {
            metadata: ObjectMeta { name: Some("pratique-roots-1".to_owned()), ..ObjectMeta::default() },
            data: Some(BTreeMap::from([("acme.json".to_owned(), "{}".to_owned())])),
            binary_data: Some(BTreeMap::from([("bin.json".to_owned(), ByteString(b"{ }".to_vec()))])),
            immutable: None,
        };
        server.put(&map);
        assert_eq!(load("acme.json").await, Err(Error::NotImmutable { place: place.clone() }));
        map.immutable = Some(true);
        server.put(&map);
        assert_eq!(load("acme.json").await.unwrap(), b"{}");
        assert_eq!(load("bin.json").await.unwrap(), b"{ }");
        assert_eq!(load("other.json").await, missing("other.json"));
        server.forbid();
        assert!(matches!(load("acme.json").await, Err(Error::Unreadable { .. })));
    }
}
