//! Signing again what expires soon.

use jiff::{SignedDuration, Timestamp};

use super::{Error, Publisher, verify::authority};
use crate::{crypto::KeyId, tuf::RoleName};

/// What of a repository expires soon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expiring {
    /// Roles of which enough keys are at hand. Snapshot and timestamp are not among them: they are signed in every commit.
    pub at_hand: Vec<RoleName>,
    /// Those for which keys are missing here.
    pub left: Vec<KeysElsewhere>,
}

/// A role that expires soon and whose keys are elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysElsewhere {
    /// The role.
    pub role: RoleName,
    /// Until when it has to be signed.
    pub expires: Timestamp,
    /// How many of its keys must sign.
    pub threshold: u64,
    /// How many are at hand.
    pub at_hand: usize,
    /// The keys that are not.
    pub missing: Vec<KeyId>,
}

impl Publisher {
    /// The roles that expire within a time, bins too. [`Publisher::renew`] has them signed anew.
    pub fn expiring(&mut self, within: SignedDuration) -> Result<Expiring, Error> {
        self.load_all()?;
        let until = self.now.checked_add(within).map_err(|error| Error::input("within", error.to_string()))?;
        let mut expiring = Expiring::default();
        for role in self.editor.roles() {
            if matches!(role.as_str(), "snapshot" | "timestamp") {
                continue;
            }
            let signed = self.editor.signed(role.as_str())?;
            let expires = signed["expires"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
            let expires = expires.ok_or_else(|| Error::member(&role, "expires"))?;
            if expires > until {
                continue;
            }
            let (objects, entry) = authority(&self.editor, &role).ok_or_else(|| Error::NoSuchRole(role.clone()))?;
            let signers = self.keys.signers(objects, entry);
            let threshold = entry["threshold"].as_u64().ok_or_else(|| Error::member(&role, "threshold"))?;
            if signers.len() as u64 >= threshold {
                expiring.at_hand.push(role);
                continue;
            }
            let listed = entry["keyids"].as_array().into_iter().flatten().filter_map(|id| id.as_str().map(KeyId::from));
            expiring.left.push(KeysElsewhere {
                role,
                expires,
                threshold,
                at_hand: signers.len(),
                missing: listed.filter(|keyid| signers.iter().all(|(at_hand, _)| at_hand != keyid)).collect(),
            });
        }
        Ok(expiring)
    }
}
