//! Signing again what expires soon.

use jiff::{SignedDuration, Timestamp};

use super::{
    Error, Publisher,
    verify::{authority_under, delegating},
};
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
        let parents = delegating(&self.editor);
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
            let (objects, entry) =
                authority_under(&self.editor, &role, &parents).ok_or_else(|| Error::NoSuchRole(role.clone()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::{KeyRing, Plan};

    #[test]
    fn what_expires_soon_is_found_and_told_apart_by_whose_keys_it_takes() {
        let now: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        let day = SignedDuration::from_hours(24);
        let temp = tempfile::tempdir().unwrap();
        let plan = Plan::default();
        let mut keys = plan.keys_from_seed("test").unwrap();
        keys.save_to(&temp.path().join("keys")).unwrap();
        Publisher::init(&temp.path().join("repo"), keys, &plan, now).unwrap().commit().unwrap();
        std::fs::remove_file(temp.path().join("keys/offline/targets-1.pem")).unwrap();
        let keys = KeyRing::open(&temp.path().join("keys")).unwrap();
        let mut publisher = Publisher::open(&temp.path().join("repo"), keys, now).unwrap();

        let mut found = |days: i32| {
            let Expiring { at_hand, left } = publisher.expiring(day * days).unwrap();
            let names =
                |roles: Vec<&RoleName>| roles.into_iter().map(RoleName::to_string).collect::<Vec<_>>().join(" ");
            (names(at_hand.iter().collect()), names(left.iter().map(|left| &left.role).collect()))
        };
        assert_eq!(found(13), (String::new(), String::new()));
        assert_eq!(found(14), ("images".to_owned(), String::new()), "the instant itself counts");
        assert_eq!(found(366), ("images root".to_owned(), "targets".to_owned()));
        let left = publisher.expiring(day * 366).unwrap().left.remove(0);
        assert_eq!((left.threshold, left.at_hand, left.missing.len()), (1, 0, 1));
    }
}
