//! Keys that sign layouts and links, and what was found of each functionary.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};

use super::{
    envelope::SignatureProblem,
    error::{Error, KeyProblem, Problem},
    fields::{Object, Source},
};
use crate::crypto::{KeyError, KeyId, PublicKey, Sha256, json as strict};

/// A key with the ids under which its signatures may stand.
///
/// An id is an opaque name. A key object brings its own; a bare PEM has none, and goes by any id that the reference
/// implementations compute for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutKey {
    ids: Vec<KeyId>,
    key: PublicKey,
}

/// A key file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutKeyError {
    /// Neither a PEM nor JSON.
    #[error("neither a PEM public key nor a securesystemslib key object")]
    Unknown,
    /// JSON that is not a key object.
    #[error("the key object has no text at {0}")]
    Member(&'static str),
    /// An OpenPGP key.
    #[error("OpenPGP keys are not supported")]
    OpenPgp,
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl LayoutKey {
    /// A key that goes by exactly one id.
    pub fn new(keyid: KeyId, key: PublicKey) -> Self {
        Self { ids: vec![keyid], key }
    }

    /// Reads a key file: a PEM SPKI or a securesystemslib key object in JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, LayoutKeyError> {
        let text = std::str::from_utf8(bytes).map_err(|_| LayoutKeyError::Unknown)?;
        if text.contains("-----BEGIN PGP ") {
            return Err(LayoutKeyError::OpenPgp);
        }
        if text.trim_start().starts_with("-----BEGIN ") {
            return Self::from_pem(text);
        }
        Self::from_object(&strict::parse(bytes).map_err(|_| LayoutKeyError::Unknown)?)
    }

    /// Reads a PEM SPKI.
    pub fn from_pem(text: &str) -> Result<Self, LayoutKeyError> {
        let key = PublicKey::from_pem(text)?;
        let block = pem::parse(text).map_err(|_| KeyError::NotPem)?;
        let public = match key.scheme().keytype() {
            "ed25519" => hex::encode(block.contents().get(12..).unwrap_or_default()),
            _ => pem::encode_config(&block, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)),
        };
        Ok(Self { ids: computed_ids(&key, &public), key })
    }

    /// Reads a key object: `{keytype, scheme, keyval: {public}}`, with its `keyid` if it has one.
    pub fn from_object(object: &Value) -> Result<Self, LayoutKeyError> {
        if is_openpgp(object) {
            return Err(LayoutKeyError::OpenPgp);
        }
        let text = |at: &'static str| object.pointer(at).and_then(Value::as_str).ok_or(LayoutKeyError::Member(at));
        let public = text("/keyval/public")?;
        let key = PublicKey::from_parts(text("/keytype")?, text("/scheme")?, public)?;
        let ids = match object.get("keyid") {
            Some(_) => vec![KeyId::from(text("/keyid")?)],
            None => computed_ids(&key, public),
        };
        Ok(Self { ids, key })
    }

    /// The ids it goes by; never empty, the one that the reference in python computes first.
    pub fn ids(&self) -> &[KeyId] {
        &self.ids
    }

    /// The key itself.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether `keyid` is one of its ids.
    pub fn is_called(&self, keyid: &KeyId) -> bool {
        self.ids.contains(keyid)
    }

    /// The id to name it by.
    pub(super) fn name(&self) -> KeyId {
        self.ids.first().cloned().unwrap_or_else(|| KeyId::from(""))
    }
}

/// The ids that in-toto-python (from 2.1, and before) and in-toto-golang compute for one key: a hash over the key
/// object, which they fill differently.
fn computed_ids(key: &PublicKey, public: &str) -> Vec<KeyId> {
    let keytype = key.scheme().keytype();
    let mut schemes = vec![key.scheme().as_str()];
    // in-toto-golang writes this scheme for every curve.
    if keytype == "ecdsa" && schemes != ["ecdsa-sha2-nistp256"] {
        schemes.push("ecdsa-sha2-nistp256");
    }
    let mut ids = Vec::new();
    for scheme in schemes {
        for public in [public, public.trim_end()] {
            let keyval = json!({"public": public});
            let object = json!({"keytype": keytype, "scheme": scheme, "keyval": keyval});
            let algorithms = ["sha256", "sha512"];
            let older =
                json!({"keytype": keytype, "scheme": scheme, "keyval": keyval, "keyid_hash_algorithms": algorithms});
            for object in [object, older] {
                let id = KeyId::from(Sha256::of(&strict::canonical(&object)).to_string().as_str());
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
    }
    ids
}

/// Reads the keys of a layout (in-toto 4.2.1, 4.3). One that cannot be used refuses the layout, even when no step names
/// it: the reference does the same.
pub(super) fn parse_keys(source: Source<'_>, layout: &Object<'_>) -> Result<BTreeMap<KeyId, PublicKey>, Error> {
    let listed = layout.object("keys")?;
    source.limit("keys", listed.len(), source.limits.keys)?;
    let mut keys = BTreeMap::new();
    for (id, value) in listed {
        let at = layout.at(&format!("keys.{id}"));
        let keyid = parse_id(source, &at, id)?;
        let object = Object::open(source, &*at, value)?;
        // Key objects may have further members, in a Metablock too: the reference keeps them as they are.
        object.no_case_variants(&["keyid", "keytype", "scheme", "keyval"])?;
        let own = KeyId::from(object.text("keyid")?);
        if own != keyid {
            return Err(source.malformed(at, Problem::KeyIdMismatch { listed: keyid, own }));
        }
        if is_openpgp(value) {
            return Err(Error::UnsupportedKey { keyid, problem: KeyProblem::OpenPgp });
        }
        let keyval = Object::open(source, object.at("keyval"), object.get("keyval")?)?;
        keyval.no_case_variants(&["public"])?;
        let key = PublicKey::from_parts(object.text("keytype")?, object.text("scheme")?, keyval.text("public")?);
        let key = key.map_err(|error| Error::UnsupportedKey { keyid: keyid.clone(), problem: error.into() })?;
        keys.insert(keyid, key);
    }
    Ok(keys)
}

/// Reads a key id of a layout: hex, and long enough to name a link file.
pub(super) fn parse_id(source: Source<'_>, at: &str, text: &str) -> Result<KeyId, Error> {
    if !is_keyid(text) {
        return Err(source.malformed(at, Problem::NotA("a key id of at least eight hex digits")));
    }
    Ok(KeyId::from(text))
}

/// Whether a layout can list a key under this id.
pub(super) fn is_keyid(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// in-toto's JSON form of an OpenPGP key has `type` and `method` in place of `keytype` and `scheme`.
fn is_openpgp(object: &Value) -> bool {
    object.get("keytype").is_none() && object.get("method").is_some()
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
    /// A validly signed link, by a key that has another id too: it is heard, and counts once.
    #[error("the same key as {}…", .0.short())]
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
