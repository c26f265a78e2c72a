//! Signing a request on a machine that has keys and no repository.
//!
//! The machine that wrote the request is online, and may be a thief's. So nothing that it says is shown: what changes is
//! computed here, from the bytes that will be signed and from metadata that verifies from the signer's own root of trust.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Document, Editor, Error, KeyRing, SignedRole,
    commit::signed_role,
    diff,
    request::{Request, Requested},
    sign,
    verify::{delegating, quorums, verify},
};
use crate::{crypto::KeyId, tuf::RoleName};

/// A request whose base verifies from the signer's own root of trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// What would be signed.
    pub roles: Vec<ReviewedRole>,
}

/// What a signer is to see of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewedRole {
    /// The role.
    pub role: RoleName,
    /// The version to be signed.
    pub version: u64,
    /// The verified version that it is made on; none for a new role.
    pub based_on: Option<u64>,
    /// When it expires.
    pub expires: Timestamp,
    /// What differs from the version before, one line for each member, in printable ASCII.
    pub changes: Vec<String>,
    /// The sets of keys of each of which enough must sign.
    pub needs: Vec<SignerSet>,
    /// Those of them that are at hand.
    pub at_hand: Vec<KeyId>,
}

/// Keys of which some must sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerSet {
    /// How many.
    pub threshold: u64,
    /// Which.
    pub keyids: Vec<KeyId>,
}

impl Request {
    /// Verifies what the request is made on, and says what it changes. The key folder needs the signer's `root.json`.
    ///
    /// # Errors
    /// A base that does not verify or that is older than what these keys signed; a role that does not follow its base
    /// by one version, or has expired; a target file that is not the one that is listed; another text than these keys
    /// signed under that version before ([`Error::SignedOther`], which `replace` lifts).
    pub fn review(&self, keys: &mut KeyRing, replace: bool, now: Timestamp) -> Result<Review, Error> {
        let editor = self.verified(keys)?;
        // What is listed and comes along must be the same thing.
        self.target_files()?;
        let parents = delegating(&editor);
        let roles = self.roles.iter().map(|requested| {
            let Requested { role, version, signed, .. } = requested;
            let before = editor.last_signed(role.as_str());
            let based_on = before.and_then(Document::version);
            if based_on.unwrap_or(0).checked_add(1) != Some(*version) {
                let reason = format!("v{version} does not follow v{}", based_on.unwrap_or(0));
                return Err(Error::input(role.to_string(), reason));
            }
            keys.memory().check_next(role, (*version, requested.digest()), replace)?;
            let quorums = quorums(&editor, role, &parents)?;
            let SignedRole { expires, .. } = signed_role::<()>(role, signed, &[])?;
            if expires <= now {
                return Err(Error::input(role.to_string(), format!("v{version} has expired on {expires}")));
            }
            Ok(ReviewedRole {
                role: role.clone(),
                version: *version,
                based_on,
                expires,
                changes: diff::changes(before.map(Document::signed), signed),
                needs: quorums.iter().map(|(_, entry)| signer_set(entry)).collect(),
                at_hand: keys.all_signers(&quorums).into_iter().map(|(keyid, _)| keyid).collect(),
            })
        });
        Ok(Review { roles: roles.collect::<Result<_, _>>()? })
    }

    /// Signs every role with the keys at hand, puts the signatures into the folder of the request and remembers what
    /// was signed. Returns what was signed.
    ///
    /// # Errors
    /// Those of [`Request::review`], and keys none of which may sign any of it. Nothing is written then.
    pub fn sign(&self, keys: &mut KeyRing, replace: bool, now: Timestamp) -> Result<Vec<SignedRole>, Error> {
        self.review(keys, replace, now)?;
        let editor = self.verified(keys)?;
        keys.check_signers()?;
        let parents = delegating(&editor);
        let (mut signatures, mut done) = (Vec::new(), Vec::new());
        for Requested { role, signed, .. } in &self.roles {
            let signers = keys.all_signers(&quorums(&editor, role, &parents)?);
            if signers.is_empty() {
                continue;
            }
            let made = sign::raw(signed, &signers)?;
            signatures.extend(made.into_iter().map(|(keyid, signature)| (role.clone(), keyid, signature)));
            done.push(signed_role(role, signed, &signers)?);
        }
        if done.is_empty() {
            return Err(Error::input("keys", "none of those at hand may sign any role of this request"));
        }
        // Remembered first: a signature that exists and is not remembered would be the dangerous half.
        let is_done = |requested: &&Requested| done.iter().any(|signed| signed.role == requested.role);
        let remembered: Vec<_> = self.roles.iter().filter(is_done).collect();
        keys.remember_requests(remembered.iter().map(|request| (&request.role, request.version, request.digest())))?;
        self.add_signatures(&signatures)?;
        Ok(done)
    }

    /// The base, verified, with what is to be signed as drafts on it.
    fn verified(&self, keys: &mut KeyRing) -> Result<Editor, Error> {
        let base = self.dir.join("base");
        let mut editor = Editor::open(&base)?;
        verify(&base, &editor, keys)?;
        for requested in &self.roles {
            editor.put(requested.role.as_str(), requested.signed.clone());
        }
        keys.meet_all(&editor);
        Ok(editor)
    }
}

fn signer_set(entry: &Value) -> SignerSet {
    SignerSet {
        threshold: entry["threshold"].as_u64().unwrap_or_default(),
        keyids: entry["keyids"].as_array().into_iter().flatten().filter_map(Value::as_str).map(KeyId::from).collect(),
    }
}
