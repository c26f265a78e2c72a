//! A change that waits for keys on other machines: a folder that is carried to the signers and back.
//!
//! ```text
//! request.json               which roles, which versions, made on what, by which keys
//! drafts/<version>.<role>.json    what is to be signed, as JSON
//! to-sign/<version>.<role>   exactly the bytes that are to be signed: the same in the canonical form of TUF 4.1, which
//!                            is no JSON where a text has line breaks
//! changes.txt                what changes, for people; a signer's own program computes it again
//! base/metadata/…            the signed metadata that the change is made on
//! files/targets/…            new target files
//! signatures/<keyid>.json    what came back
//! ```
//!
//! Nothing in it is believed: who signs verifies the base from his own root of trust ([`Review`](super::Review)), and
//! who publishes takes only what the role's keys have signed ([`Publisher::import`]).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    Document, Error, Publisher, SignedRole,
    commit::signed_role,
    diff,
    documents::fingerprint,
    editor::{file_stem, metadata_file, target_file},
    folder, sign,
    verify::{delegating, quorums},
};
use crate::{
    crypto::{KeyId, Sha256, json as strict},
    tuf::RoleName,
};

const REQUEST: &str = "request.json";
const FORMAT: u64 = 1;

/// A change to be signed, as it lies in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub(super) dir: PathBuf,
    pub(super) roles: Vec<Requested>,
}

/// A role to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requested {
    pub(super) role: RoleName,
    pub(super) version: u64,
    /// What is to be signed.
    pub(super) signed: Value,
    /// Version and digest of the signed part that it was made on.
    pub(super) base: Option<(u64, Sha256)>,
}

impl Requested {
    pub(super) fn digest(&self) -> Sha256 {
        fingerprint(&self.signed)
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.signed.get("targets").and_then(Value::as_object).into_iter().flatten()
    }
}

impl Request {
    /// Whether a folder holds a request.
    pub fn is_in(dir: &Path) -> Result<bool, Error> {
        folder::exists(&dir.join(REQUEST))
    }

    /// Reads a request. Nothing in it is verified yet, but that the bytes to be signed are what they are said to be.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(REQUEST);
        let failed = |reason: String| Error::input(path.display().to_string(), reason);
        let request = &strict::parse(&folder::read(&path)?).map_err(|error| failed(error.to_string()))?;
        if request["format"] != FORMAT {
            return Err(failed(format!("format {} is not {FORMAT}", request["format"])));
        }
        let entries = request["roles"].as_array().ok_or_else(|| failed("no list of roles".to_owned()))?;
        let roles = entries.iter().map(|entry| {
            let role = RoleName::from(entry["role"].as_str()?);
            let version = entry["version"].as_u64()?;
            let base = match &entry["base"] {
                Value::Null => None,
                base => Some((base["version"].as_u64()?, base["sha256"].as_str()?.parse().ok()?)),
            };
            Some((role, version, base))
        });
        let roles: Option<Vec<_>> = roles.collect();
        let roles = roles.filter(|roles| !roles.is_empty()).ok_or_else(|| failed("not a list of roles".to_owned()))?;
        let read = |(role, version, base)| -> Result<Requested, Error> {
            let path = dir.join(draft(&role, version));
            let failed = |reason: &str| Error::input(path.display().to_string(), reason);
            let signed = strict::parse(&folder::read(&path)?).map_err(|error| failed(&error.to_string()))?;
            if strict::canonical(&signed) != folder::read(&dir.join(to_sign(&role, version)))? {
                return Err(failed("its canonical form differs from to-sign/: other bytes would be signed than shown"));
            }
            let wanted = if role.as_str() == "root" { "root" } else { "targets" };
            let member = |name: &str| signed.get(name).unwrap_or(&Value::Null);
            if *member("_type") != wanted || *member("version") != version {
                return Err(failed(&format!("not {wanted} metadata of version {version}")));
            }
            Ok(Requested { role, version, signed, base })
        };
        Ok(Self { dir: dir.to_owned(), roles: roles.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    /// The roles that are to be signed.
    pub fn roles(&self) -> impl Iterator<Item = &RoleName> {
        self.roles.iter().map(|requested| &requested.role)
    }

    /// The signatures that are in the folder and in further files of the same form: by role, then by key.
    pub(super) fn signatures(&self, more: &[PathBuf]) -> Result<BTreeMap<RoleName, BTreeMap<KeyId, Vec<u8>>>, Error> {
        let folder = self.dir.join("signatures");
        let mut paths = Vec::new();
        if folder::exists(&folder)? {
            let names = folder::names(&folder)?.into_iter().filter(|name| name.ends_with(".json"));
            paths.extend(names.map(|name| folder.join(name)));
        }
        paths.extend(more.iter().cloned());
        let mut found: BTreeMap<RoleName, BTreeMap<KeyId, Vec<u8>>> = BTreeMap::new();
        for path in paths {
            let failed = |reason: String| Error::input(path.display().to_string(), reason);
            let file = strict::parse(&folder::read(&path)?).map_err(|error| failed(error.to_string()))?;
            let entries = parse_signatures(&file).ok_or_else(|| failed("not a file of signatures".to_owned()))?;
            for (role, keyid, signature) in entries {
                found.entry(role).or_default().insert(keyid, signature);
            }
        }
        Ok(found)
    }

    /// The target files that come with the change, by their names below the repository. Each is what its role lists.
    pub(super) fn target_files(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut files = Vec::new();
        for requested in &self.roles {
            for (path, entry) in requested.targets() {
                let Some(name) = listed_file(path, entry)? else { continue };
                let Some(bytes) = folder::read_if_there(&self.dir.join("files").join(&name))? else { continue };
                let digest = Sha256::of(&bytes).to_string();
                if entry.pointer("/hashes/sha256") != Some(&digest.into()) || entry["length"] != bytes.len() {
                    return Err(Error::input(name, "the file in the request is not the one that is listed"));
                }
                files.push((name, bytes));
            }
        }
        Ok(files)
    }

    /// Puts signatures into the folder, one file for each key.
    pub(super) fn add_signatures(&self, signatures: &[(RoleName, KeyId, Vec<u8>)]) -> Result<(), Error> {
        folder::write_all(&self.dir, &signature_files(signatures))
    }
}

/// The file of a target below the repository, if it is listed with a SHA-256.
pub(super) fn listed_file(path: &str, entry: &Value) -> Result<Option<String>, Error> {
    entry.pointer("/hashes/sha256").and_then(Value::as_str).map(|hash| target_file(path, hash)).transpose()
}

fn to_sign(role: &RoleName, version: u64) -> String {
    format!("to-sign/{version}.{}", file_stem(role))
}

fn draft(role: &RoleName, version: u64) -> String {
    format!("drafts/{version}.{}.json", file_stem(role))
}

fn parse_signatures(file: &Value) -> Option<Vec<(RoleName, KeyId, Vec<u8>)>> {
    let entry = |entry: &Value| {
        let signature = hex::decode(entry["sig"].as_str()?).ok()?;
        Some((RoleName::from(entry["role"].as_str()?), KeyId::from(entry["keyid"].as_str()?), signature))
    };
    file["signatures"].as_array()?.iter().map(entry).collect()
}

fn signature_files(signatures: &[(RoleName, KeyId, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let mut by_key: BTreeMap<&KeyId, Vec<Value>> = BTreeMap::new();
    for (role, keyid, signature) in signatures {
        let entry = json!({"role": role.as_str(), "keyid": keyid.as_str(), "sig": hex::encode(signature)});
        by_key.entry(keyid).or_default().push(entry);
    }
    let file = |(keyid, entries): (&KeyId, Vec<Value>)| {
        let name = format!("signatures/{}.json", file_stem(&RoleName::from(keyid.as_str())));
        (name, json!({"signatures": entries}).to_string().into_bytes())
    };
    by_key.into_iter().map(file).collect()
}

impl Publisher {
    /// Writes what was changed, as it is to be signed, to a new folder `to`, with the signatures of the keys that are
    /// at hand here. The repository stays as it is until [`Publisher::import`].
    pub fn export(&mut self, to: &Path) -> Result<Vec<SignedRole>, Error> {
        if folder::exists(to)? {
            return Err(Error::Exists(to.to_owned()));
        }
        let changed = self.changed();
        if changed.is_empty() {
            return Err(Error::input("request", "nothing is changed, so there is nothing to be signed"));
        }
        self.keys.check_signers()?;
        for role in &changed {
            self.prepare(role)?;
        }
        let mut files = self.base_files(&changed)?;
        files.extend(self.editor.new_files().map(|(name, bytes)| (format!("files/{name}"), bytes.clone())));
        let (mut entries, mut text, mut signatures, mut exported) = (Vec::new(), String::new(), Vec::new(), Vec::new());
        let parents = delegating(&self.editor);
        for role in &changed {
            let signed = self.editor.signed(role.as_str())?;
            let version = self.editor.version(role.as_str())?;
            let quorums = quorums(&self.editor, role, &parents)?;
            let signers = self.keys.all_signers(&quorums);
            for (keyid, sig) in sign::raw(signed, &signers).map_err(Error::from)? {
                signatures.push((role.clone(), keyid, sig));
            }
            let before = self.editor.last_signed(role.as_str());
            entries.push(request_entry(role, version, signed, before, &quorums));
            text.push_str(&format!("{role} v{version}, expires {}\n", diff::printable(&signed["expires"].to_string())));
            for line in diff::changes(before.map(Document::signed), signed) {
                text.push_str(&format!("  {line}\n"));
            }
            exported.push(signed_role(role, signed, &signers)?);
            files.push((draft(role, version), signed.to_string().into_bytes()));
            files.push((to_sign(role, version), strict::canonical(signed)));
        }
        files.extend(signature_files(&signatures));
        files.push(("changes.txt".to_owned(), text.into_bytes()));
        // Last: a folder without it is no request.
        files.push((REQUEST.to_owned(), json!({"format": FORMAT, "roles": entries}).to_string().into_bytes()));
        folder::write_all(to, &files)?;
        Ok(exported)
    }

    /// The metadata that a signer verifies the change from: all roots, and every role from `targets` down to those
    /// that are changed.
    fn base_files(&self, changed: &[RoleName]) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut files = Vec::new();
        for name in folder::names(&self.editor.dir().join("metadata"))? {
            if name.strip_suffix(".root.json").is_some_and(|version| version.parse::<u64>().is_ok()) {
                let bytes = folder::read(&self.editor.dir().join("metadata").join(&name))?;
                files.push((format!("base/metadata/{name}"), bytes));
            }
        }
        let mut roles = std::collections::BTreeSet::from([RoleName::from("targets")]);
        for role in changed.iter().filter(|role| role.as_str() != "root") {
            roles.extend(self.delegations(role.as_str())?.into_iter().map(|(role, _)| role));
        }
        for role in roles {
            let Some(document) = self.editor.last_signed(role.as_str()) else { continue };
            let version = document.version().ok_or_else(|| Error::member(&role, "version"))?;
            files.push((format!("base/{}", metadata_file(&role, version)), document.bytes().to_vec()));
        }
        Ok(files)
    }
}

fn request_entry(
    role: &RoleName,
    version: u64,
    signed: &Value,
    before: Option<&Document>,
    quorums: &[(&Value, &Value)],
) -> Value {
    let base = before.map(|before| json!({"version": before.version(), "sha256": before.fingerprint().to_string()}));
    let signers: Vec<Value> =
        quorums.iter().map(|(_, entry)| json!({"threshold": entry["threshold"], "keyids": entry["keyids"]})).collect();
    json!({
        "role": role.as_str(), "version": version, "expires": signed["expires"], "base": base, "signers": signers,
        "file": to_sign(role, version), "sha256": fingerprint(signed).to_string(),
    })
}

#[cfg(test)]
mod tests;
