//! Keys of functionaries and owners, whatever family they are of, and which of them are one person.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::crypto::{KeyError, KeyId, Material, PublicKey, Sha256, json as strict, openpgp};

/// A key that signs layouts or links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FunctionaryKey {
    /// A key of securesystemslib: ed25519, ECDSA or RSA.
    Plain(PublicKey),
    /// An OpenPGP key with its subkeys.
    OpenPgp(Box<openpgp::Certificate>),
}

impl From<PublicKey> for FunctionaryKey {
    fn from(key: PublicKey) -> Self {
        Self::Plain(key)
    }
}

impl From<openpgp::Certificate> for FunctionaryKey {
    fn from(key: openpgp::Certificate) -> Self {
        Self::OpenPgp(Box::new(key))
    }
}

impl FunctionaryKey {
    /// What it is counted by: of an OpenPGP key, the master key.
    pub fn material(&self) -> Material {
        match self {
            Self::Plain(key) => key.material(),
            Self::OpenPgp(key) => key.master().material(),
        }
    }

    /// All key material that can sign for it.
    fn materials(&self) -> Vec<Material> {
        match self {
            Self::Plain(key) => vec![key.material()],
            Self::OpenPgp(key) => key.keys().map(openpgp::Key::material).collect(),
        }
    }

    /// The family, as the `keytype` of plain key objects names it; `openpgp` for those of OpenPGP.
    pub fn keytype(&self) -> &'static str {
        match self {
            Self::Plain(key) => key.scheme().keytype(),
            Self::OpenPgp(_) => "openpgp",
        }
    }
}

/// Which keys are one functionary: those that have any key material in common, be it of a subkey.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Persons(BTreeMap<Material, Material>);

impl Persons {
    pub(super) fn of<'a>(keys: impl IntoIterator<Item = &'a FunctionaryKey>) -> Self {
        let mut known: BTreeMap<Material, Material> = BTreeMap::new();
        for key in keys {
            let person = key.material();
            for material in key.materials() {
                // Whoever had this material before is the same person, with all that they had.
                if let Some(earlier) = known.insert(material, person) {
                    known.values_mut().filter(|other| **other == earlier).for_each(|other| *other = person);
                }
            }
        }
        Self(known)
    }

    /// What a threshold counts for this key.
    pub(super) fn person(&self, key: &FunctionaryKey) -> Material {
        let material = key.material();
        self.0.get(&material).copied().unwrap_or(material)
    }
}

/// A key with the ids under which its signatures may stand.
///
/// An id is an opaque name. A key object brings its own; a bare PEM has none, and goes by any id that the reference
/// implementations compute for it. An OpenPGP key goes by the ids of its subkeys too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutKey {
    ids: Vec<KeyId>,
    key: FunctionaryKey,
}

/// A key file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutKeyError {
    /// Neither a PEM, JSON nor OpenPGP.
    #[error("neither a PEM public key, a key object of securesystemslib nor an OpenPGP certificate")]
    Unknown,
    /// JSON that is not a key object.
    #[error("the key object has no text at {0}")]
    Member(&'static str),
    /// An OpenPGP key that cannot be used.
    #[error(transparent)]
    OpenPgp(#[from] openpgp::Unusable),
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl LayoutKey {
    /// A key that goes by exactly one id.
    pub fn new(keyid: KeyId, key: PublicKey) -> Self {
        Self { ids: vec![keyid], key: key.into() }
    }

    /// Reads a key file: a PEM SPKI; in JSON a securesystemslib key object or in-toto's form of an OpenPGP key; or an
    /// OpenPGP certificate, armoured or not.
    ///
    /// # Errors
    /// Another file, or a key that cannot be used.
    pub fn parse(bytes: &[u8]) -> Result<Self, LayoutKeyError> {
        // The first byte of a packet has the highest bit set, which no text begins with.
        let is_packet = bytes.first().is_some_and(|first| first & 0x80 != 0);
        if is_packet || bytes.trim_ascii_start().starts_with(b"-----BEGIN PGP ") {
            return Ok(openpgp::Certificate::from_file(bytes)?.into());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| LayoutKeyError::Unknown)?;
        if text.trim_start().starts_with("-----BEGIN ") {
            return Self::from_pem(text);
        }
        Self::from_object(&strict::parse(bytes).map_err(|_| LayoutKeyError::Unknown)?)
    }

    /// Reads a PEM SPKI.
    ///
    /// # Errors
    /// Another file, or a key that cannot be used.
    pub fn from_pem(text: &str) -> Result<Self, LayoutKeyError> {
        let key = PublicKey::from_pem(text)?;
        let block = pem::parse(text).map_err(|_| KeyError::NotPem)?;
        let public = match key.scheme().keytype() {
            "ed25519" => hex::encode(block.contents().get(12..).unwrap_or_default()),
            _ => pem::encode_config(&block, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)),
        };
        Ok(Self { ids: computed_ids(&key, &public), key: key.into() })
    }

    /// Reads a key object: `{keytype, scheme, keyval: {public}}`, with its `keyid` if it has one; or in-toto's form of
    /// an OpenPGP key.
    ///
    /// # Errors
    /// Another object, or a key that cannot be used.
    pub fn from_object(object: &Value) -> Result<Self, LayoutKeyError> {
        if is_openpgp(object) {
            return Ok(openpgp::Certificate::from_object(object)?.into());
        }
        let text = |at: &'static str| object.pointer(at).and_then(Value::as_str).ok_or(LayoutKeyError::Member(at));
        let public = text("/keyval/public")?;
        let key = PublicKey::from_parts(text("/keytype")?, text("/scheme")?, public)?;
        let ids = match object.get("keyid") {
            Some(_) => vec![KeyId::from(text("/keyid")?)],
            None => computed_ids(&key, public),
        };
        Ok(Self { ids, key: key.into() })
    }

    /// The ids it goes by; never empty, the one that the reference in python computes first.
    pub fn ids(&self) -> &[KeyId] {
        &self.ids
    }

    /// The key itself.
    pub fn key(&self) -> &FunctionaryKey {
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

impl From<openpgp::Certificate> for LayoutKey {
    fn from(key: openpgp::Certificate) -> Self {
        Self { ids: key.keys().map(|key| key.id().clone()).collect(), key: key.into() }
    }
}

/// in-toto's JSON form of an OpenPGP key has `type` and `method` in place of `keytype` and `scheme`.
pub(super) fn is_openpgp(object: &Value) -> bool {
    object.get("keytype").is_none() && object.get("method").is_some()
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
