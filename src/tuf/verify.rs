//! Who must sign a file, and the one function that checks it for every role, top-level or delegated.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    ops::Deref,
    sync::Arc,
};

use serde_json::Value;

use super::{
    Error,
    metadata::{
        Body, Header, Signed,
        read::{self, Members, Misshapen},
    },
    name::Role,
};
use crate::crypto::{KeyError, KeyId, Material, PublicKey, Quorum, Sha256, canonical::Reader};

/// The keys of a root or of a targets role, by key id. Key ids are opaque (TAP 12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys(Arc<BTreeMap<KeyId, Key>>);

/// A key as written. One that cannot be used does not spoil the file; it just never counts (TUF 4.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Written { keytype: String, scheme: String, public: String },
    Misshapen,
}

impl Key {
    fn read(value: Value) -> Result<Self, Misshapen> {
        let mut members = Members::of(value)?;
        Ok(Self::Written {
            keytype: members.required("keytype", read::text)?,
            scheme: members.required("scheme", read::text)?,
            public: members.required("keyval", |value| Members::of(value)?.required("public", read::text))?,
        })
    }

    fn public(&self) -> Result<PublicKey, Rejection> {
        match self {
            Self::Written { keytype, scheme, public } => {
                PublicKey::from_parts(keytype, scheme, public).map_err(Rejection::UnusableKey)
            }
            Self::Misshapen => Err(Rejection::MisshapenKey),
        }
    }
}

impl Keys {
    pub(super) fn read(value: Value) -> Result<Self, Misshapen> {
        let keys =
            read::map(|keyid, value| Ok((KeyId::from(keyid), Key::read(value).unwrap_or(Key::Misshapen))))(value)?;
        Ok(Self(Arc::new(keys)))
    }

    /// The same of canonical JSON.
    pub(super) fn read_in_place(reader: &mut Reader<'_>) -> Option<Self> {
        Self::read(reader.value()?).ok()
    }
}

/// The key ids of a role and how many distinct keys of them must sign (TUF 4.3, 4.5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoleKeys {
    keyids: Arc<BTreeSet<KeyId>>,
    threshold: NonZeroU32,
}

impl RoleKeys {
    pub(super) fn read(value: Value) -> Result<Self, Misshapen> {
        Self::take(&mut Members::of(value)?)
    }

    /// The key ids and the threshold as they were read in place, in one with `before` where they are the same.
    pub(super) fn of(keyids: &[&str], threshold: u64, before: Option<&Self>) -> Option<Self> {
        let threshold = NonZeroU32::new(u32::try_from(threshold).ok()?)?;
        let is_same = |known: &&Self| {
            known.threshold == threshold && known.keyids.iter().map(KeyId::as_str).eq(keyids.iter().copied())
        };
        Some(
            before.filter(is_same).cloned().unwrap_or_else(|| Self {
                keyids: Arc::new(keyids.iter().copied().map(KeyId::from).collect()),
                threshold,
            }),
        )
    }

    pub(super) fn take(members: &mut Members) -> Result<Self, Misshapen> {
        let keyids = members.required("keyids", read::list(|value| Ok(KeyId::from(read::text(value)?.as_str()))))?;
        Ok(Self {
            keyids: Arc::new(keyids.into_iter().collect()),
            // TUF 4.3, THRESHOLD: an integer greater than zero.
            threshold: members.required("threshold", |value| {
                let threshold = value.as_u64().and_then(|threshold| u32::try_from(threshold).ok());
                threshold.and_then(NonZeroU32::new).ok_or_else(|| Misshapen::new("not an integer of 1 to 2^32-1"))
            })?,
        })
    }
}

/// The keys that may sign for a role, and how many of them must. For comparing roles with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signers {
    /// The distinct usable keys.
    pub materials: BTreeSet<Material>,
    /// Under which id each of them is listed.
    pub ids: BTreeMap<Material, KeyId>,
    /// How many of them must sign.
    pub threshold: NonZeroU32,
}

impl Signers {
    /// Whether whoever holds these keys can sign for the role.
    pub fn can_be_met_by(&self, materials: &BTreeSet<Material>) -> bool {
        let held = self.materials.intersection(materials).count();
        u64::try_from(held).is_ok_and(|held| held >= u64::from(self.threshold.get()))
    }

    /// Whether whatever meets `other` meets this as well.
    pub(super) fn accepts_all_of(&self, other: &Self) -> bool {
        self.threshold <= other.threshold && self.materials.is_superset(&other.materials)
    }
}

impl Keys {
    /// The usable ones of a role's keys.
    pub(super) fn signers(&self, role: &RoleKeys) -> Signers {
        let key = |keyid: &KeyId| Some((self.0.get(keyid)?.public().ok()?.material(), keyid.clone()));
        // Of a key under several ids the first counts.
        let ids: BTreeMap<Material, KeyId> = role.keyids.iter().rev().filter_map(key).collect();
        Signers { materials: ids.keys().copied().collect(), ids, threshold: role.threshold }
    }
}

/// One file's say in who signs another: keys and role out of a root or a targets file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Authority<'a> {
    /// Which file says so.
    pub(super) role: &'a Role,
    pub(super) version: u64,
    pub(super) keys: &'a Keys,
    pub(super) signers: &'a RoleKeys,
}

impl Authority<'_> {
    /// Verifies one signature that claims to be by `keyid`.
    fn verify(&self, keyid: &KeyId, sig: &str, message: &[u8]) -> Result<Material, Rejection> {
        if !self.signers.keyids.contains(keyid) {
            return Err(Rejection::NotAuthorised);
        }
        let key = self.keys.0.get(keyid).ok_or(Rejection::NoSuchKey)?.public()?;
        let sig = hex::decode(sig).map_err(|_| Rejection::NotHex)?;
        key.verify(message, &sig).map_err(|_| Rejection::Invalid)?;
        Ok(key.material())
    }
}

/// Why a signature did not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The role's key ids do not name it.
    #[error("not authorised")]
    NotAuthorised,
    /// The role names a key that its file does not hold.
    #[error("key not listed")]
    NoSuchKey,
    /// The key object has no usable shape.
    #[error("key unreadable")]
    MisshapenKey,
    /// The key cannot be used.
    #[error("{0}")]
    UnusableKey(KeyError),
    /// The signature is not hex.
    #[error("signature is not hex")]
    NotHex,
    /// The signature does not fit key and file.
    #[error("signature invalid")]
    Invalid,
    /// The signature is good, but its key has already been counted under another key id.
    #[error("the same key as {0}")]
    SameKeyAs(KeyId),
}

/// A file whose signatures were verified. Only this module makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    body: T,
    sha256: Sha256,
    length: u64,
}

impl<T> Verified<T> {
    /// The digest of the file's bytes.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The length of the file in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl<T: Body> Verified<T> {
    /// Version and expiry.
    pub fn header(&self) -> Header {
        self.body.header()
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.body
    }
}

/// How many signatures that did not count an error names.
const REJECTED_IN_ERRORS: usize = 16;

impl<T> Signed<T> {
    /// TUF 4.3, 5.3.4, 5.4.2, 5.5.3, 5.6.3: enough distinct keys of the role have signed. Signatures that do not count
    /// are skipped, whatever is wrong with them.
    pub(super) fn check(&self, role: &Role, authority: Authority<'_>) -> Result<(), Error> {
        let mut quorum = Quorum::new(authority.signers.threshold);
        let mut counted: BTreeMap<Material, KeyId> = BTreeMap::new();
        let mut rejected = Vec::new();
        for signature in &self.signatures {
            match authority.verify(&signature.keyid, &signature.sig, self.canonical.as_slice()) {
                Ok(material) => match counted.get(&material) {
                    Some(first) => rejected.push((signature.keyid.clone(), Rejection::SameKeyAs(first.clone()))),
                    None => {
                        quorum.add(material, &signature.keyid);
                        counted.insert(material, signature.keyid.clone());
                    }
                },
                Err(rejection) => rejected.push((signature.keyid.clone(), rejection)),
            }
        }
        rejected.truncate(REJECTED_IN_ERRORS);
        if quorum.is_met() {
            return Ok(());
        }
        Err(Error::Threshold {
            role: role.clone(),
            authority: authority.role.clone(),
            authority_version: authority.version,
            threshold: quorum.threshold(),
            verified: quorum.keyids().cloned().collect(),
            rejected,
        })
    }

    /// Checks the signatures and, if they suffice, seals the file.
    pub(super) fn verify(self, role: &Role, authority: Authority<'_>) -> Result<Verified<T>, Error> {
        self.check(role, authority)?;
        Ok(Verified { body: self.body, sha256: self.sha256, length: self.length })
    }

    /// Checks the signatures against keys that stand in the file itself, as a root's do.
    pub(super) fn verify_by_itself(
        self,
        role: &Role,
        authority: impl for<'a> Fn(&'a T) -> Authority<'a>,
    ) -> Result<Verified<T>, Error> {
        self.check(role, authority(&self.body))?;
        Ok(Verified { body: self.body, sha256: self.sha256, length: self.length })
    }
}
