//! One role's metadata file.

use std::{collections::BTreeMap, num::NonZeroU32};

use serde_json::{Value, json};

use super::{Error, SigningKey, sign};
use crate::{
    crypto::{KeyId, PublicKey, Quorum, Sha256, json as strict},
    tuf::RoleName,
};

/// A signed metadata file: its value and the very bytes that are, or will be, on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    value: Value,
    bytes: Vec<u8>,
}

impl Document {
    /// Reads a file. Nothing in it is verified.
    pub fn parse(role: &RoleName, bytes: Vec<u8>) -> Result<Self, Error> {
        let value = strict::parse(&bytes).map_err(|source| Error::Json { name: format!("{role} metadata"), source })?;
        let document = Self { value, bytes };
        if document.version().is_none() {
            return Err(Error::member(role, "signed.version"));
        }
        Ok(document)
    }

    /// Signs with each key under the id beside it, whatever role it belongs to.
    pub fn sign(signed: Value, keys: &[(KeyId, &SigningKey)]) -> Result<Self, Error> {
        let signatures = sign::signatures(&signed, keys)?;
        Ok(Self::from_value(json!({"signatures": signatures, "signed": signed})))
    }

    /// A document with signatures that were made elsewhere, by key id. None of them is verified.
    pub(super) fn with_signatures(signed: Value, signatures: &BTreeMap<KeyId, Vec<u8>>) -> Self {
        let signature = |(keyid, sig): (&KeyId, &Vec<u8>)| json!({"keyid": keyid.as_str(), "sig": hex::encode(sig)});
        let signatures: Vec<Value> = signatures.iter().map(signature).collect();
        Self::from_value(json!({"signatures": signatures, "signed": signed}))
    }

    fn from_value(value: Value) -> Self {
        let bytes = value.to_string().into_bytes();
        Self { value, bytes }
    }

    /// The same document with further signatures; one by the same key id is replaced.
    pub fn countersign(&self, keys: &[(KeyId, &SigningKey)]) -> Result<Self, Error> {
        let new = sign::signatures(self.signed(), keys)?;
        let replaced = |old: &&Value| keys.iter().any(|(keyid, _)| old["keyid"] == keyid.as_str());
        let mut signatures: Vec<Value> = self.signatures().iter().filter(|old| !replaced(old)).cloned().collect();
        signatures.extend(new);
        Ok(Self::from_value(json!({"signatures": signatures, "signed": self.signed()})))
    }

    /// What is signed.
    pub fn signed(&self) -> &Value {
        self.value.get("signed").unwrap_or(&Value::Null)
    }

    fn signatures(&self) -> &[Value] {
        self.value.get("signatures").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is signed, without the signatures: a further one does not make it another document.
    pub(super) fn fingerprint(&self) -> Sha256 {
        fingerprint(self.signed())
    }

    /// `signed.version`.
    pub fn version(&self) -> Option<u64> {
        self.signed()["version"].as_u64()
    }

    /// Counts the keys of `role` that have signed. `keys` and `role` are as metadata has them: key objects by id, and
    /// an object with `keyids` and `threshold`.
    pub(super) fn quorum(&self, keys: &Value, role: &Value) -> Option<Quorum> {
        let threshold = u32::try_from(role["threshold"].as_u64()?).ok().and_then(NonZeroU32::new)?;
        let mut quorum = Quorum::new(threshold);
        let message = strict::canonical(self.signed());
        let listed = role["keyids"].as_array()?;
        for signature in self.signatures() {
            let Some(keyid) = signature["keyid"].as_str().filter(|id| listed.iter().any(|key| key == id)) else {
                continue;
            };
            let Some(key) = public_key(&keys[keyid]) else { continue };
            let Some(bytes) = signature["sig"].as_str().and_then(|text| hex::decode(text).ok()) else { continue };
            if key.verify(&message, &bytes).is_ok() {
                quorum.add(key.material(), &KeyId::from(keyid));
            }
        }
        Some(quorum)
    }
}

/// The digest of the very bytes that are signed.
pub(super) fn fingerprint(signed: &Value) -> Sha256 {
    Sha256::of(&strict::canonical(signed))
}

/// Reads a key object; `None` where this program cannot use it.
pub(super) fn public_key(object: &Value) -> Option<PublicKey> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    PublicKey::from_parts(text("/keytype")?, text("/scheme")?, text("/keyval/public")?).ok()
}
