//! Signing and writing what was changed.

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde_json::Value;

use super::{
    Document, Error, KeyRing, Publisher, SigningKey, metadata,
    verify::{delegating, quorums},
};
use crate::{crypto::KeyId, tuf::RoleName};

/// The member of a role's signed part that says for how long its next version is to hold. Clients ignore it.
const VALIDITY: &str = "x-pratique-validity";

/// The same of tuf-on-ci, in days.
const EXPIRY_PERIOD: &str = "x-tuf-on-ci-expiry-period";

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit {
    /// The roles that were signed, in that order.
    pub signed: Vec<SignedRole>,
    /// Snapshot or timestamp, if their keys are not at hand: clients see nothing of the rest until whoever has them
    /// signs.
    pub pending: Vec<RoleName>,
}

/// A role that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRole {
    /// The role.
    pub role: RoleName,
    /// Its new version.
    pub version: u64,
    /// When it expires.
    pub expires: Timestamp,
    /// The keys that signed.
    pub keyids: Vec<KeyId>,
}

impl Commit {
    /// The new version of a role, if it was signed.
    pub fn version(&self, role: &str) -> Option<u64> {
        self.signed.iter().find(|signed| signed.role.as_str() == role).map(|signed| signed.version)
    }
}

impl Publisher {
    /// Signs every changed role with the keys at hand, then snapshot and timestamp, and writes it all. Each gets the
    /// next version and a new expiry. Nothing is written when a key is missing.
    pub fn commit(&mut self) -> Result<Commit, Error> {
        self.keys.check_signers()?;
        let changed = self.changed();
        for role in &changed {
            self.prepare(role)?;
        }
        let signed = self.sign_prepared(&changed)?;
        self.publish(signed)
    }

    /// The roles that were changed, but for those that follow from the others. Root first: it says which keys the
    /// others are signed with.
    pub(super) fn changed(&self) -> Vec<RoleName> {
        let changed = self.editor.drafts().filter(|role| !is_derived(role)).cloned();
        let (mut root, others): (Vec<_>, Vec<_>) = changed.partition(|role| role.as_str() == "root");
        root.extend(others);
        root
    }

    /// Signs snapshot and timestamp over roles that have been signed, writes everything and remembers it.
    pub(super) fn publish(&mut self, signed: Vec<SignedRole>) -> Result<Commit, Error> {
        let mut commit = Commit { signed, pending: Vec::new() };
        for role in ["snapshot", "timestamp"].map(RoleName::from) {
            let (objects, entry) = self.authority(role.as_str())?;
            if !commit.pending.is_empty() || self.keys.signers(objects, entry).is_empty() {
                commit.pending.push(role);
                continue;
            }
            self.prepare(&role)?;
            commit.signed.extend(self.sign_prepared(&[role])?);
        }
        self.editor.write()?;
        let editor = &self.editor;
        let written = commit
            .signed
            .iter()
            .filter_map(|signed| Some((signed.role.clone(), editor.document(signed.role.as_str())?)));
        self.keys.remember(written)?;
        Ok(commit)
    }

    /// Sets for how long a role holds each time it is signed.
    pub fn set_validity(&mut self, role: &str, validity: SignedDuration) -> Result<(), Error> {
        set_validity(self.editor.edit(role)?, validity);
        Ok(())
    }

    /// Gives a role its next version and expiry. It is not signed yet.
    pub(super) fn prepare(&mut self, role: &RoleName) -> Result<(), Error> {
        let name = role.as_str();
        let version = self.editor.version(name)?.checked_add(1).ok_or_else(|| Error::member(role, "version"))?;
        let (validity, is_foreign) = self.validity(role)?;
        let expires = self.now.checked_add(validity).map_err(|error| Error::input(VALIDITY, error.to_string()))?;
        match name {
            "snapshot" => self.editor.draft_snapshot(version, expires)?,
            "timestamp" => self.editor.draft_timestamp(version, expires)?,
            _ => {
                self.editor.set_version(name, version)?;
                self.editor.set_expires(name, expires)?;
            }
        }
        if !is_foreign {
            set_validity(self.editor.edit(name)?, validity);
        }
        Ok(())
    }

    /// For how long the next version of a role holds, and whether another tool has said so, in its own words.
    fn validity(&self, role: &RoleName) -> Result<(SignedDuration, bool), Error> {
        let signed = self.editor.signed(role.as_str())?;
        if let Some(own) = validity(signed) {
            return Ok((own, false));
        }
        // tuf-on-ci writes days: into the roles that people sign, and into root for those that machines sign.
        let in_root = || self.editor.signed("root").ok()?.get("roles")?.get(role.as_str())?.get(EXPIRY_PERIOD);
        let days = signed.get(EXPIRY_PERIOD).or_else(in_root).and_then(Value::as_i64);
        let foreign = days.and_then(|days| SignedDuration::from_hours(24).checked_mul(i32::try_from(days).ok()?));
        let foreign = foreign.filter(SignedDuration::is_positive);
        Ok((foreign.unwrap_or_else(|| default_validity(role)), foreign.is_some()))
    }

    fn sign_prepared(&mut self, roles: &[RoleName]) -> Result<Vec<SignedRole>, Error> {
        let (mut all, mut documents) = (Vec::new(), Vec::new());
        let parents = delegating(&self.editor);
        for role in roles {
            let mut signers: Vec<(KeyId, &SigningKey)> = Vec::new();
            for quorum in quorums(&self.editor, role, &parents)? {
                for (keyid, key) in signers_of(&self.keys, role, quorum)? {
                    if signers.iter().all(|(known, _)| *known != keyid) {
                        signers.push((keyid, key));
                    }
                }
            }
            let signed = self.editor.signed(role.as_str())?;
            all.push(signed_role(role, signed, &signers)?);
            documents.push(Document::sign(signed.clone(), &signers)?);
        }
        for (role, document) in roles.iter().zip(documents) {
            self.editor.put_document(role.as_str(), document);
        }
        Ok(all)
    }
}

/// What is to be told about a role that these keys sign.
pub(super) fn signed_role<K>(role: &RoleName, signed: &Value, signers: &[(KeyId, K)]) -> Result<SignedRole, Error> {
    let expires = signed["expires"].as_str().and_then(|text| text.parse().ok());
    Ok(SignedRole {
        role: role.clone(),
        version: signed["version"].as_u64().ok_or_else(|| Error::member(role, "version"))?,
        expires: expires.ok_or_else(|| Error::member(role, "expires"))?,
        keyids: signers.iter().map(|(keyid, _)| keyid.clone()).collect(),
    })
}

/// The keys of a role that are at hand, if they are enough.
fn signers_of<'a>(
    keys: &'a KeyRing,
    role: &RoleName,
    (objects, entry): (&Value, &Value),
) -> Result<Vec<(KeyId, &'a SigningKey)>, Error> {
    let signers = keys.signers(objects, entry);
    let threshold = entry["threshold"].as_u64().and_then(|n| u32::try_from(n).ok());
    let threshold = threshold.ok_or_else(|| Error::member(role, "threshold"))?;
    let available = signers.len();
    if available < threshold as usize {
        let listed = entry["keyids"].as_array().into_iter().flatten().filter_map(Value::as_str).map(KeyId::from);
        let missing = listed.filter(|keyid| signers.iter().all(|(at_hand, _)| at_hand != keyid)).collect();
        return Err(Error::MissingKeys { role: role.clone(), threshold, available, missing });
    }
    Ok(signers)
}

/// Snapshot and timestamp follow from the other roles and are signed in every commit.
fn is_derived(role: &RoleName) -> bool {
    matches!(role.as_str(), "snapshot" | "timestamp")
}

/// Reads a length of time as people write it: `14d`, `36h`, `1y`. A day has 24 hours and a year 365 days.
pub fn parse_validity(text: &str) -> Result<SignedDuration, Error> {
    let failed = |error: jiff::Error| Error::input(text, error.to_string());
    let span: Span = text.parse().map_err(failed)?;
    let days = i64::from(span.get_years()) * 365 + i64::from(span.get_months()) * 30;
    let days = i32::try_from(days).map_err(|_| Error::input(text, "too long"))?;
    let rest = span.try_years(0).and_then(|span| span.try_months(0)).map_err(failed)?;
    let rest = rest.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(failed)?;
    let length = SignedDuration::from_hours(24).checked_mul(days).and_then(|days| days.checked_add(rest));
    length.filter(SignedDuration::is_positive).ok_or_else(|| Error::input(text, "not a length of time"))
}

pub(super) fn set_validity(signed: &mut Value, validity: SignedDuration) {
    metadata::set(signed, VALIDITY, Value::from(format!("{validity:#}")));
}

fn validity(signed: &Value) -> Option<SignedDuration> {
    parse_validity(signed.get(VALIDITY)?.as_str()?).ok()
}

/// For repositories made by other tools.
fn default_validity(role: &RoleName) -> SignedDuration {
    let plan = super::Plan::default();
    match role.as_str() {
        "root" | "targets" => plan.offline_validity,
        "snapshot" => plan.snapshot_validity,
        "timestamp" => plan.timestamp_validity,
        _ => plan.online_validity,
    }
}
