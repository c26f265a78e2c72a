//! The functionaries of a layout: their keys, and what was found of each.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::{
    certificate::CertificateProblem,
    envelope::SignatureProblem,
    error::{Error, Problem},
    fields::{Object, Source},
    key::{FunctionaryKey, Persons, is_openpgp},
};
use crate::crypto::{KeyId, Material, PublicKey, openpgp};

/// The keys of a layout, by the ids under which it lists them.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    listed: BTreeMap<KeyId, FunctionaryKey>,
    /// The id of each subkey and the one under which its master is listed.
    masters: BTreeMap<KeyId, KeyId>,
    persons: Persons,
}

impl Keys {
    /// Reads the keys of a layout (in-toto 4.2.1, 4.3). One that cannot be used refuses the layout, even when no step
    /// names it: the reference does the same.
    pub(super) fn parse(source: Source<'_>, layout: &Object<'_>) -> Result<Self, Error> {
        let members = layout.object("keys")?;
        source.limit("keys", members.len(), source.limits.keys)?;
        let mut keys = Self::default();
        for (id, value) in members {
            let at = layout.at(&format!("keys.{id}"));
            let keyid = parse_id(source, &at, id)?;
            let key = parse_key(source, at, &keyid, value)?;
            keys.listed.insert(keyid, key);
        }
        // Each subkey has one master. Were its id in two places, it could not be said who signed.
        for (master, key) in &keys.listed {
            let FunctionaryKey::OpenPgp(certificate) = key else { continue };
            for subkey in certificate.subkeys() {
                let id = subkey.id();
                let at = || layout.at(&format!("keys.{master}.subkeys.{id}"));
                parse_id(source, &at(), id.as_str())?;
                let is_listed = keys.listed.contains_key(id);
                if is_listed || keys.masters.insert(id.clone(), master.clone()).is_some() {
                    return Err(source.malformed(at(), Problem::DuplicateKeyId(id.clone())));
                }
            }
        }
        keys.persons = Persons::of(keys.listed.values());
        Ok(keys)
    }

    /// Reads the functionaries of a layout over predicates (ITE-10), whose members have other names.
    pub(super) fn functionaries(source: Source<'_>, layout: &Object<'_>) -> Result<Self, Error> {
        let members = layout.object("functionaries")?;
        source.limit("keys", members.len(), source.limits.keys)?;
        let mut keys = Self::default();
        for (id, value) in members {
            let at = layout.at(&format!("functionaries.{id}"));
            let keyid = parse_id(source, &at, id)?;
            let object = Object::open(source, &*at, value)?;
            object.exactly(&["keyID", "keyType", "scheme", "keyVal"], &["keyIDHashAlgorithms"])?;
            let own = KeyId::from(object.text("keyID")?);
            if own != keyid {
                return Err(source.malformed(at, Problem::KeyIdMismatch { listed: keyid, own }));
            }
            let keyval = Object::open(source, object.at("keyVal"), object.get("keyVal")?)?;
            keyval.exactly(&["public"], &[])?;
            let key = PublicKey::from_parts(object.text("keyType")?, object.text("scheme")?, keyval.text("public")?);
            let key = key.map_err(|why| Error::UnsupportedKey { keyid: keyid.clone(), problem: why.into() })?;
            keys.listed.insert(keyid, key.into());
        }
        keys.persons = Persons::of(keys.listed.values());
        Ok(keys)
    }

    /// The key listed under that id.
    pub(super) fn get(&self, keyid: &KeyId) -> Option<&FunctionaryKey> {
        self.listed.get(keyid)
    }

    /// What a threshold counts for a key.
    pub(super) fn person(&self, key: &FunctionaryKey) -> Material {
        self.persons.person(key)
    }

    /// Whose links a step takes, in the order in which it names them, and the ids that the layout does not know.
    ///
    /// A master key stands for its subkeys. Where only a subkey is named, the master and the other subkeys are not.
    pub(super) fn signers<'a>(&'a self, pubkeys: &'a [KeyId]) -> Vec<Result<Signer<'a>, &'a KeyId>> {
        let mut signers: Vec<Result<Signer<'a>, &'a KeyId>> = Vec::new();
        for keyid in pubkeys {
            let listed = self.masters.get(keyid).unwrap_or(keyid);
            let Some(key) = self.listed.get(listed) else {
                signers.push(Err(keyid));
                continue;
            };
            let FunctionaryKey::OpenPgp(certificate) = key else {
                signers.push(Ok(Signer { key, named: keyid, ids: vec![keyid], allowed: vec![keyid] }));
                continue;
            };
            if signers.iter().flatten().any(|signer| signer.key == key) {
                continue;
            }
            let ids: Vec<&KeyId> = certificate.keys().map(openpgp::Key::id).collect();
            let allowed = match pubkeys.contains(listed) {
                true => ids.clone(),
                false => ids.iter().copied().filter(|id| pubkeys.contains(id)).collect(),
            };
            signers.push(Ok(Signer { key, named: keyid, ids, allowed }));
        }
        signers
    }
}

/// Someone whose signature is looked for.
#[derive(Debug, Clone)]
pub(super) struct Signer<'a> {
    pub key: &'a FunctionaryKey,
    /// The id by which the step, or the caller, names it.
    pub named: &'a KeyId,
    /// The ids under which its signature may stand.
    pub ids: Vec<&'a KeyId>,
    /// Those of them that may sign.
    pub allowed: Vec<&'a KeyId>,
}

fn parse_key(source: Source<'_>, at: String, keyid: &KeyId, value: &Value) -> Result<FunctionaryKey, Error> {
    let object = Object::open(source, &*at, value)?;
    // Key objects may have further members, in a Metablock too: the reference keeps them as they are.
    object.no_case_variants(&["keyid", "keytype", "scheme", "keyval"])?;
    let own = KeyId::from(object.text("keyid")?);
    if own != *keyid {
        return Err(source.malformed(at, Problem::KeyIdMismatch { listed: keyid.clone(), own }));
    }
    let unusable = |problem| Error::UnsupportedKey { keyid: keyid.clone(), problem };
    if is_openpgp(value) {
        object.no_case_variants(&["type", "method", "hashes", "creation_time", "validity_period", "subkeys"])?;
        return Ok(openpgp::Certificate::from_object(value).map_err(|why| unusable(why.into()))?.into());
    }
    let keyval = Object::open(source, object.at("keyval"), object.get("keyval")?)?;
    keyval.no_case_variants(&["public"])?;
    let key = PublicKey::from_parts(object.text("keytype")?, object.text("scheme")?, keyval.text("public")?);
    Ok(key.map_err(|why| unusable(why.into()))?.into())
}

/// Reads a key id of a layout: hex, and long enough to name a link file.
pub(super) fn parse_id(source: Source<'_>, at: &str, text: &str) -> Result<KeyId, Error> {
    if !is_keyid(text) {
        return Err(source.malformed(at, Problem::NotA("a key id of at least eight hex digits")));
    }
    Ok(KeyId::from(text))
}

/// Reads who may sign for a step, each once, in the order of the document.
pub(super) fn parse_ids(source: Source<'_>, step: &Object<'_>, list: &'static str) -> Result<Vec<KeyId>, Error> {
    let mut keyids: Vec<KeyId> = Vec::new();
    for text in step.words(list)? {
        let keyid = parse_id(source, &step.at(list), &text)?;
        if !keyids.contains(&keyid) {
            source.limit("functionaries of a step", keyids.len().saturating_add(1), source.limits.functionaries)?;
            keyids.push(keyid);
        }
    }
    Ok(keyids)
}

/// Whether a layout can list a key under this id.
pub(super) fn is_keyid(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What was found of one functionary of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionaryFinding {
    /// The key id; of one who is not authorised, the first eight characters as the file's name has them.
    pub keyid: KeyId,
    /// What was found.
    pub finding: Finding,
}

/// Whether a functionary's link counts, or why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A validly signed link, or a sublayout.
    #[error("ok")]
    Verified,
    /// A validly signed link, by a key that has another id too or by another subkey: it is heard, and counts once.
    #[error("the same functionary as {}…", .0.short())]
    SameKeyAs(KeyId),
    /// The step names a key that the layout does not list.
    #[error("key not listed in the layout")]
    NotListed,
    /// No link file of this functionary.
    #[error("no link")]
    NoLink,
    /// No Statement of this functionary, of the type and about the step that are asked for.
    #[error("no Statement")]
    NoStatement,
    /// No Statement of this functionary but a file that is named like a link.
    #[error("a link, and no Statement")]
    LinkForStatement,
    /// There is a file, and the functionary did not sign it.
    #[error("{0}")]
    Signature(#[from] SignatureProblem),
    /// There is a file, and the signer's certificate is not that of a functionary.
    #[error("{0}")]
    Certificate(#[from] CertificateProblem),
    /// There is a file, and the step does not name its signer.
    #[error("not authorised")]
    NotAuthorised,
}

impl fmt::Display for FunctionaryFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}… {}", self.keyid.short(), self.finding)
    }
}

pub(super) fn list(findings: &[FunctionaryFinding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A number of functionaries in words of a message.
pub(super) fn people(number: u32) -> String {
    format!("{number} functionar{}", if number == 1 { "y" } else { "ies" })
}
