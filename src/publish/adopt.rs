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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use jiff::SignedDuration;
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::publish::{NewFile, Plan, SigningKey, metadata};

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    /// A repository of another tool: members that nobody here knows, a snapshot that lists versions alone.
    struct Foreign {
        temp: TempDir,
        editor: Editor,
        ring: KeyRing,
    }

    impl Foreign {
        fn new() -> Self {
            let temp = tempfile::tempdir().unwrap();
            let plan = Plan::default();
            let ring = plan.keys_from_seed("foreign").unwrap();
            let mut keys = plan.keys_from_seed("foreign").unwrap();
            keys.save_to(&temp.path().join("keys")).unwrap();
            let (mut editor, _) = Publisher::init(&temp.path().join("repo"), keys, &plan, now()).unwrap().into_parts();
            let later = now() + SignedDuration::from_hours(24 * 30);
            for (version, role) in [(3, "root"), (7, "targets"), (41, "images"), (90, "snapshot"), (95, "timestamp")] {
                let signed = editor.edit(role).unwrap();
                metadata::set(signed, "x-foreign", json!({"kept": role}));
                signed.as_object_mut().unwrap().remove("x-pratique-validity");
                editor.set_version(role, version).unwrap();
                editor.set_expires(role, later).unwrap();
            }
            editor.edit("targets").unwrap()["delegations"]["x-foreign"] = json!(1);
            editor.edit("targets").unwrap()["x-tuf-on-ci-expiry-period"] = json!(100);
            editor.edit("root").unwrap()["roles"]["timestamp"]["x-tuf-on-ci-expiry-period"] = json!(2);
            let mut foreign = Self { temp, editor, ring };
            foreign.publish();
            foreign
        }

        fn sign(&mut self, role: &str) {
            let keys: Vec<&SigningKey> = self.ring.made_for(role);
            self.editor.sign(role, &keys).unwrap();
        }

        /// Signs and writes what stands in the editor, and takes the trust from the key folder.
        fn publish(&mut self) {
            for role in ["root", "targets", "images"] {
                self.sign(role);
            }
            let meta = json!({"targets.json": {"version": 7}, "images.json": {"version": 41, "x-foreign": 2}});
            metadata::set(self.editor.edit("snapshot").unwrap(), "meta", meta);
            self.sign("snapshot");
            let meta = json!({"snapshot.json": {"version": 90}});
            metadata::set(self.editor.edit("timestamp").unwrap(), "meta", meta);
            self.sign("timestamp");
            let _ = std::fs::remove_dir_all(self.path("repo"));
            self.editor.move_to(&self.path("repo"));
            self.editor.write().unwrap();
            let _ = std::fs::remove_file(self.path("keys/root.json"));
            let _ = std::fs::remove_file(self.path("keys/signed.json"));
        }

        fn path(&self, name: &str) -> PathBuf {
            self.temp.path().join(name)
        }

        fn adopt_at(&self, now: Timestamp) -> Result<Publisher, Error> {
            let root = folder::read(&self.path("repo/metadata/3.root.json")).unwrap();
            Publisher::adopt(&self.path("repo"), root, KeyRing::open(&self.path("keys")).unwrap(), now)
        }

        fn refusal(&self) -> String {
            self.adopt_at(now()).map(drop).unwrap_err().to_string()
        }
    }

    #[test]
    fn an_adopted_repository_goes_on_with_all_that_is_in_it() {
        let foreign = Foreign::new();
        drop(foreign.adopt_at(now()).unwrap());
        let keys = KeyRing::open(&foreign.path("keys")).unwrap();
        let mut publisher = Publisher::open(&foreign.path("repo"), keys, now()).unwrap();
        let file = NewFile { path: "some/file".to_owned(), bytes: b"x".to_vec(), ..NewFile::default() };
        publisher.add_file(&file).unwrap();
        publisher.renew("targets").unwrap();
        let commit = publisher.commit().unwrap();
        let signed: Vec<(&str, u64)> = commit.signed.iter().map(|s| (s.role.as_str(), s.version)).collect();
        assert_eq!(signed, [("images", 42), ("targets", 8), ("snapshot", 91), ("timestamp", 96)]);
        for role in ["images", "targets", "snapshot", "timestamp"] {
            assert_eq!(publisher.editor().signed(role).unwrap()["x-foreign"]["kept"], role);
        }
        let targets = publisher.editor().signed("targets").unwrap();
        assert_eq!(targets["delegations"]["x-foreign"], 1);
        // The other tool's own words say for how long, and stay the only ones.
        assert_eq!(targets["expires"], "2026-09-09T12:00:00Z");
        assert!(targets.get("x-pratique-validity").is_none());
        assert_eq!(publisher.editor().signed("timestamp").unwrap()["expires"], "2026-06-03T12:00:00Z");
        refresh(&foreign.path("repo/metadata"), &folder::read(&foreign.path("keys/root.json")).unwrap(), now())
            .unwrap();
    }

    #[test]
    fn what_did_not_change_keeps_its_entry_in_the_snapshot() {
        let foreign = Foreign::new();
        let mut publisher = foreign.adopt_at(now()).unwrap();
        publisher.commit().unwrap();
        let meta = &publisher.editor().signed("snapshot").unwrap()["meta"];
        assert_eq!(*meta, json!({"targets.json": {"version": 7}, "images.json": {"version": 41, "x-foreign": 2}}));
    }

    #[test]
    fn what_a_client_refuses_is_not_adopted() {
        let foreign = Foreign::new();
        let late = now() + SignedDuration::from_hours(24 * 31);
        let refused = foreign.adopt_at(late).map(drop).unwrap_err().to_string();
        assert!(refused.starts_with("as a client sees it: ") && refused.contains("expired"), "{refused}");
        let timestamp = foreign.path("repo/metadata/timestamp.json");
        let text = std::fs::read_to_string(&timestamp).unwrap();
        std::fs::write(&timestamp, text.replace("\"version\":95", "\"version\":96")).unwrap();
        assert!(foreign.refusal().starts_with("as a client sees it: "), "{}", foreign.refusal());
        std::fs::remove_file(&timestamp).unwrap();
        assert!(foreign.refusal().contains("timestamp is not in the repository"), "{}", foreign.refusal());
        assert!(!foreign.path("keys/root.json").exists(), "nothing is trusted after a refusal");
    }

    #[test]
    fn a_delegated_role_is_held_against_the_snapshot() {
        let mut foreign = Foreign::new();
        foreign.editor.set_version("images", 42).unwrap();
        foreign.sign("images");
        foreign.editor.write().unwrap();
        assert_eq!(foreign.refusal(), "images: v42 lies in metadata/, and v41 is listed; publish or remove it first");

        let mut foreign = Foreign::new();
        foreign.editor.set_expires("images", now()).unwrap();
        foreign.publish();
        assert_eq!(foreign.refusal(), "images: v41 has expired on 2026-06-01T12:00:00Z");

        let foreign = Foreign::new();
        let images = foreign.path("repo/metadata/41.images.json");
        let text = std::fs::read_to_string(&images).unwrap();
        std::fs::write(&images, text.replace("\"targets\":{}", "\"targets\":{\"x\":{}}")).unwrap();
        assert!(foreign.refusal().starts_with("images v41 in the repository has 0 of 1 valid signatures"));
    }

    #[test]
    fn a_repository_without_consistent_snapshots_or_a_used_key_folder_is_refused() {
        let mut foreign = Foreign::new();
        foreign.editor.edit("root").unwrap()["consistent_snapshot"] = json!(false);
        foreign.publish();
        // Files without versions in their names, as such a repository has them.
        for (from, to) in [("90.snapshot.json", "snapshot.json"), ("7.targets.json", "targets.json")] {
            std::fs::copy(foreign.path("repo/metadata").join(from), foreign.path("repo/metadata").join(to)).unwrap();
        }
        assert!(foreign.refusal().starts_with("root: no consistent snapshots"), "{}", foreign.refusal());

        let foreign = Foreign::new();
        drop(foreign.adopt_at(now()).unwrap());
        assert!(foreign.refusal().starts_with("key folder: it has a root.json already"));
    }

    #[test]
    fn files_that_are_listed_and_lie_elsewhere_are_told() {
        let mut foreign = Foreign::new();
        foreign.editor.add_target("images", "here", b"x", serde_json::Map::new()).unwrap();
        foreign.editor.list_target("images", "there", metadata::target_entry(b"y", serde_json::Map::new())).unwrap();
        foreign.publish();
        assert_eq!(foreign.adopt_at(now()).unwrap().missing_files().unwrap(), ["there"]);
    }
}
