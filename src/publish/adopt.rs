//! Taking over a repository that another tool has made.

use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::{Document, Editor, Error, KeyRing, Publisher, folder};
use crate::{
    crypto::Sha256,
    tuf::{FetchError, Refresh, RoleName, Settings, Stored},
};

impl Publisher {
    /// Takes over the repository in `dir`: goes through the client's workflow from the root that is given, as a cluster
    /// would at `now`, then holds every delegated role against the snapshot. From then on the key folder has that trust
    /// and remembers these versions; the repository itself is not changed.
    ///
    /// # Errors
    /// Whatever a client would refuse; metadata that lies there and is not listed; a repository without consistent
    /// snapshots (TUF 6.2); a key folder that has a root of trust already.
    pub fn adopt(dir: &Path, root: Vec<u8>, mut keys: KeyRing, now: Timestamp) -> Result<Self, Error> {
        if keys.root().is_some() {
            return Err(Error::input("key folder", "it has a root.json already: a folder is for one repository"));
        }
        let metadata = dir.join("metadata");
        if !folder::exists(&metadata)? {
            return Err(Error::input(
                dir.display().to_string(),
                "no metadata/ in it; a repository has metadata/ and targets/ in one folder",
            ));
        }
        refresh(&metadata, &root, now)?;
        keys.trust(Document::parse(&"root".into(), root)?);
        let mut publisher = Self::open(dir, keys, now)?;
        publisher.load_all()?;
        publisher.check_adopted()?;
        publisher.remember_all()?;
        Ok(publisher)
    }

    /// Beyond the signatures: that every role is the one that the snapshot lists (TUF 5.6.2 to 5.6.5).
    fn check_adopted(&self) -> Result<(), Error> {
        let root = self.editor.signed("root")?;
        if root["consistent_snapshot"] != true {
            let reason = "no consistent snapshots; have the old tool move to them (TUF 6.2) first";
            return Err(Error::input("root", reason));
        }
        let meta = &self.editor.signed("snapshot")?["meta"];
        for role in self.editor.roles() {
            if matches!(role.as_str(), "root" | "timestamp" | "snapshot") {
                continue;
            }
            let listed = &meta[format!("{role}.json")];
            check_listed(&self.editor, &role, listed, self.now)?;
        }
        let listed = self.editor.signed("timestamp")?.pointer("/meta/snapshot.json").unwrap_or(&Value::Null);
        check_listed(&self.editor, &"snapshot".into(), listed, self.now)?;
        Ok(())
    }

    /// Target files that are listed and do not lie below the folder, by their paths.
    pub fn missing_files(&self) -> Result<Vec<String>, Error> {
        let mut missing = Vec::new();
        for role in self.editor.roles() {
            let targets = self.editor.signed(role.as_str())?["targets"].as_object();
            for (path, entry) in targets.into_iter().flatten() {
                let hashes = entry["hashes"].as_object().into_iter().flatten();
                let mut found = false;
                for hash in hashes.filter_map(|(_, hash)| hash.as_str()) {
                    let name = super::editor::target_file(path, hash);
                    found = found || matches!(&name, Ok(name) if folder::exists(&self.editor.dir().join(name))?);
                }
                if !found {
                    missing.push(path.clone());
                }
            }
        }
        Ok(missing)
    }
}

/// The client's workflow over the files of a folder.
fn refresh(metadata: &Path, root: &[u8], now: Timestamp) -> Result<(), Error> {
    let failed = |error: crate::tuf::Error| Error::input("as a client sees it", error.to_string());
    let mut refresh = Refresh::start(root, Stored::default(), Settings::default(), now).map_err(failed)?;
    while let Some(request) = refresh.next() {
        let fetched = match folder::read_if_there(&metadata.join(&request.path))? {
            None => Err(FetchError::NotFound),
            Some(bytes) if bytes.len() as u64 > request.max_bytes => {
                Err(FetchError::TooLarge { limit: request.max_bytes })
            }
            Some(bytes) => Ok(bytes),
        };
        refresh.supply(fetched).map_err(failed)?;
    }
    refresh.finish().map(drop).map_err(failed)
}

fn check_listed(editor: &Editor, role: &RoleName, listed: &Value, now: Timestamp) -> Result<(), Error> {
    let failed = |reason: String| Error::input(role.to_string(), reason);
    let document = editor.document(role.as_str()).ok_or_else(|| Error::NoSuchRole(role.clone()))?;
    let version = document.version().ok_or_else(|| Error::member(role, "version"))?;
    let Some(wanted) = listed["version"].as_u64() else {
        return Err(failed(format!("v{version} lies in metadata/, and the snapshot does not list the role")));
    };
    if version != wanted {
        return Err(failed(format!(
            "v{version} lies in metadata/, and v{wanted} is listed; publish or remove it first"
        )));
    }
    let sha256 = Sha256::of(document.bytes()).to_string();
    let fits = |pointer: &str, found: Value| listed.pointer(pointer).is_none_or(|listed| *listed == found);
    if !fits("/length", document.bytes().len().into()) || !fits("/hashes/sha256", sha256.into()) {
        return Err(failed(format!("v{version} is not the file that is listed")));
    }
    let expires = document.signed()["expires"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let expires = expires.ok_or_else(|| Error::member(role, "expires"))?;
    if expires <= now {
        return Err(failed(format!("v{version} has expired on {expires}")));
    }
    Ok(())
}
