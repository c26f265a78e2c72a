//! A repository's metadata in memory, changed without restraint.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Document, Error, SigningKey, delegations, folder, metadata, sign};
use crate::{
    crypto::{KeyId, Sha256},
    tuf::RoleName,
};

/// A repository in memory. It does what it is told: any role, version, expiry, target and key. What must not be done
/// is [`super::Publisher`]'s business; a thief's repository is built here.
///
/// A role is a draft after [`Editor::put`] or [`Editor::edit`] and a document after [`Editor::sign`].
#[derive(Debug, Clone)]
pub struct Editor {
    dir: PathBuf,
    drafts: BTreeMap<RoleName, Value>,
    documents: BTreeMap<RoleName, Document>,
    /// Documents that are not on disk yet.
    unwritten: BTreeSet<RoleName>,
    /// Target files that are not on disk yet, by file name below the folder.
    files: BTreeMap<String, Vec<u8>>,
    /// The highest version on disk of every role, by its name as files have it.
    on_disk: BTreeMap<String, u64>,
}

impl Editor {
    /// A repository without roles, to be written to `dir`.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            drafts: BTreeMap::new(),
            documents: BTreeMap::new(),
            unwritten: BTreeSet::new(),
            files: BTreeMap::new(),
            on_disk: BTreeMap::new(),
        }
    }

    /// Reads the newest version of every role that is on disk: root, timestamp, snapshot, targets, and what they
    /// delegate to, but for bins, which [`Editor::load`] reads. Nothing is verified.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let mut editor = Self::new(dir);
        let metadata = dir.join("metadata");
        editor.on_disk = newest_versions(&folder::names(&metadata)?);
        let mut wanted: Vec<RoleName> = ["root", "snapshot", "targets"].map(RoleName::from).into();
        while let Some(role) = wanted.pop() {
            // A delegation may be there before the role it names.
            if editor.load(&role)? {
                wanted.extend(delegations::read_at_once(editor.signed(role.as_str())?));
            }
        }
        let timestamp = metadata.join("timestamp.json");
        if let Some(bytes) = folder::read_if_there(&timestamp)? {
            let role = RoleName::from("timestamp");
            let document = Document::parse(&role, bytes)?;
            editor.documents.insert(role, document);
        }
        for role in ["root", "targets"].map(RoleName::from) {
            if !editor.documents.contains_key(&role) {
                return Err(Error::NoSuchRole(role));
            }
        }
        Ok(editor)
    }

    /// Reads a role that is on disk and was not read yet; `false` if it is not on disk, or is here already.
    pub fn load(&mut self, role: &RoleName) -> Result<bool, Error> {
        if self.documents.contains_key(role) || self.drafts.contains_key(role) {
            return Ok(false);
        }
        let Some(version) = self.on_disk.get(&file_stem(role)) else { return Ok(false) };
        let bytes = folder::read(&self.dir.join(metadata_file(role, *version)))?;
        self.documents.insert(role.clone(), Document::parse(role, bytes)?);
        Ok(true)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// From now on writes go to another folder, and everything is written there.
    pub fn move_to(&mut self, dir: &Path) {
        dir.clone_into(&mut self.dir);
        self.unwritten = self.documents.keys().cloned().collect();
    }

    /// The roles that are there, signed or not.
    pub fn roles(&self) -> BTreeSet<RoleName> {
        self.documents.keys().chain(self.drafts.keys()).cloned().collect()
    }

    /// The roles that delegate to others, with what they sign.
    pub(super) fn delegating(&self) -> impl Iterator<Item = (&RoleName, &Value)> {
        let documents = self.documents.iter().filter(|(role, _)| !self.drafts.contains_key(*role));
        let all = self.drafts.iter().chain(documents.map(|(role, document)| (role, document.signed())));
        all.filter(|(_, signed)| signed.get("delegations").is_some())
    }

    /// What a role signs: its draft if there is one, else its document.
    pub fn signed(&self, role: &str) -> Result<&Value, Error> {
        let role = RoleName::from(role);
        let draft = self.drafts.get(&role).or_else(|| self.documents.get(&role).map(Document::signed));
        draft.ok_or(Error::NoSuchRole(role))
    }

    /// The version of a role's draft or document.
    pub fn version(&self, role: &str) -> Result<u64, Error> {
        self.signed(role)?["version"].as_u64().ok_or_else(|| Error::member(&role.into(), "version"))
    }

    /// A role's document, if it is signed as it stands.
    pub fn document(&self, role: &str) -> Option<&Document> {
        let role = RoleName::from(role);
        if self.drafts.contains_key(&role) { None } else { self.documents.get(&role) }
    }

    /// The document that a role's draft was made from, or the role's document if there is no draft.
    pub fn last_signed(&self, role: &str) -> Option<&Document> {
        self.documents.get(&RoleName::from(role))
    }

    /// Roles that were changed and not signed since.
    pub fn drafts(&self) -> impl Iterator<Item = &RoleName> {
        self.drafts.keys()
    }

    /// Makes or replaces a role.
    pub fn put(&mut self, role: &str, signed: Value) {
        self.drafts.insert(role.into(), signed);
    }

    /// Puts a document as it is: one of another repository, an old one, one with signatures of others.
    pub fn put_document(&mut self, role: &str, document: Document) {
        let role = RoleName::from(role);
        self.drafts.remove(&role);
        self.unwritten.insert(role.clone());
        self.documents.insert(role, document);
    }

    /// A role to be changed in place. It must be signed again.
    pub fn edit(&mut self, role: &str) -> Result<&mut Value, Error> {
        let signed = self.signed(role)?.clone();
        Ok(self.drafts.entry(role.into()).or_insert(signed))
    }

    /// Sets a role's version.
    pub fn set_version(&mut self, role: &str, version: u64) -> Result<(), Error> {
        metadata::set(self.edit(role)?, "version", version.into());
        Ok(())
    }

    /// Sets when a role expires.
    pub fn set_expires(&mut self, role: &str, expires: Timestamp) -> Result<(), Error> {
        metadata::set(self.edit(role)?, "expires", metadata::instant(expires).into());
        Ok(())
    }

    /// Lists a target in a role, replacing one of the same path, and keeps its file to be written.
    pub fn add_target(
        &mut self,
        role: &str,
        path: &str,
        bytes: &[u8],
        custom: Map<String, Value>,
    ) -> Result<(), Error> {
        let file = target_file(path, &Sha256::of(bytes).to_string())?;
        self.list_target(role, path, metadata::target_entry(bytes, custom))?;
        self.files.insert(file, bytes.to_vec());
        Ok(())
    }

    /// Lists a target with any entry, without a file.
    pub fn list_target(&mut self, role: &str, path: &str, entry: Value) -> Result<(), Error> {
        let targets = self.edit(role)?.get_mut("targets").and_then(Value::as_object_mut);
        targets.ok_or_else(|| Error::member(&role.into(), "targets"))?.insert(path.to_owned(), entry);
        Ok(())
    }

    /// Takes a target off a role's list; `false` if it was not on it. Its file stays.
    pub fn remove_target(&mut self, role: &str, path: &str) -> Result<bool, Error> {
        let targets = self.edit(role)?.get_mut("targets").and_then(Value::as_object_mut);
        Ok(targets.ok_or_else(|| Error::member(&role.into(), "targets"))?.remove(path).is_some())
    }

    /// Keeps any file to be written, by its name below the folder.
    pub fn add_file(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.insert(name.to_owned(), bytes);
    }

    /// Target files that are not on disk yet, by their names below the folder.
    pub(super) fn new_files(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.files.iter()
    }

    /// Signs a role with any keys, under their default ids. With none it is left without signatures.
    pub fn sign(&mut self, role: &str, keys: &[&SigningKey]) -> Result<(), Error> {
        self.sign_as(role, &sign::named(keys)?)
    }

    /// Signs a role with any keys, under any ids.
    pub fn sign_as(&mut self, role: &str, keys: &[(KeyId, &SigningKey)]) -> Result<(), Error> {
        let document = Document::sign(self.signed(role)?.clone(), keys)?;
        self.put_document(role, document);
        Ok(())
    }

    /// Makes a draft of the snapshot that lists every signed targets role as it stands. What else the snapshot holds
    /// stays in it.
    pub fn draft_snapshot(&mut self, version: u64, expires: Timestamp) -> Result<(), Error> {
        let old = self.signed("snapshot").ok();
        // A role that disappears is a rollback to every client (TUF 5.5.5), so what was listed stays listed.
        let mut meta = old.and_then(|signed| signed["meta"].as_object().cloned()).unwrap_or_default();
        for (role, document) in &self.documents {
            if matches!(role.as_str(), "root" | "timestamp" | "snapshot") {
                continue;
            }
            let version = document.version().ok_or_else(|| Error::member(role, "version"))?;
            let name = format!("{role}.json");
            // What did not change keeps its entry: another tool may list less, or more, than is listed here.
            let is_listed = meta.get(&name).is_some_and(|entry| entry["version"] == version);
            if !is_listed || self.unwritten.contains(role) {
                meta.insert(name, metadata::meta_entry(version, document.bytes()));
            }
        }
        let new = metadata::snapshot(version, expires, meta);
        let draft = metadata::over(old, new);
        self.put("snapshot", draft);
        Ok(())
    }

    /// Makes a draft of the timestamp that names the signed snapshot.
    pub fn draft_timestamp(&mut self, version: u64, expires: Timestamp) -> Result<(), Error> {
        let snapshot = self.document("snapshot").ok_or_else(|| Error::Unsigned("snapshot".into()))?;
        let listed = snapshot.version().ok_or_else(|| Error::member(&"snapshot".into(), "version"))?;
        let entry = metadata::meta_entry(listed, snapshot.bytes());
        let new = metadata::timestamp(version, expires, entry);
        let draft = metadata::over(self.signed("timestamp").ok(), new);
        self.put("timestamp", draft);
        Ok(())
    }

    /// What [`Editor::write`] would write, by file name below the folder, in the order in which the names appear:
    /// target files, delegated roles, targets, snapshot, root, and last the timestamp.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        if let Some(role) = self.drafts.keys().next() {
            return Err(Error::Unsigned(role.clone()));
        }
        let mut files: Vec<_> = self.files.iter().map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
        let mut roles: Vec<&RoleName> = self.unwritten.iter().collect();
        roles.sort_by_key(|role| match role.as_str() {
            "targets" => 1,
            "snapshot" => 2,
            "root" => 3,
            "timestamp" => 4,
            _ => 0,
        });
        for role in roles {
            if let Some(document) = self.documents.get(role) {
                let version = document.version().ok_or_else(|| Error::member(role, "version"))?;
                files.push((metadata_file(role, version), document.bytes().to_vec()));
            }
        }
        Ok(files)
    }

    /// Writes what is new. Files appear one by one but each whole, the timestamp last: a reader sees the repository as
    /// it was or as it is.
    pub fn write(&mut self) -> Result<(), Error> {
        folder::write_all(&self.dir, &self.files()?)?;
        self.files.clear();
        self.unwritten.clear();
        Ok(())
    }
}

/// The file of a role below a repository's folder (TUF 6.2).
pub(super) fn metadata_file(role: &RoleName, version: u64) -> String {
    match role.as_str() {
        "timestamp" => "metadata/timestamp.json".to_owned(),
        _ => format!("metadata/{version}.{}.json", file_stem(role)),
    }
}

/// The file of a target below a repository's folder: its hash is put before the last segment (TUF 6.2).
pub(super) fn target_file(path: &str, hash: &str) -> Result<String, Error> {
    let unsafe_segment = |segment: &str| matches!(segment, "" | "." | "..") || segment.contains(['\0', '\\']);
    if path.split('/').any(unsafe_segment) {
        return Err(Error::TargetPath(path.to_owned()));
    }
    Ok(match path.rsplit_once('/') {
        Some((folder, name)) => format!("targets/{folder}/{hash}.{name}"),
        None => format!("targets/{hash}.{path}"),
    })
}

/// A role's name with everything but letters, digits, `-`, `.`, `_` and `~` percent-encoded, as every client asks for
/// it; so no name leads out of the folder.
pub(super) fn file_stem(role: &RoleName) -> String {
    let mut out = String::new();
    for byte in role.as_str().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The highest version of each `<version>.<stem>.json`.
fn newest_versions(names: &[String]) -> BTreeMap<String, u64> {
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    for name in names {
        let parts = name.strip_suffix(".json").and_then(|name| name.split_once('.'));
        let Some((version, stem)) = parts.and_then(|(version, stem)| Some((version.parse::<u64>().ok()?, stem))) else {
            continue;
        };
        match newest.get_mut(stem) {
            Some(highest) => *highest = version.max(*highest),
            None => drop(newest.insert(stem.to_owned(), version)),
        }
    }
    newest
}

#[cfg(test)]
mod tests;
