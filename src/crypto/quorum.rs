//! The one rule of every threshold in this program.

use std::{collections::BTreeMap, num::NonZeroU32};

use super::{KeyId, Material};

/// Who has signed so far, against how many must.
///
/// Signers are counted by distinct **key material**: one public key under two key ids, or two spellings of one key,
/// count once (TUF 4.3, in-toto 4.3.3; the advisories behind it are CVE-2020-6174, GHSA-3633-5h82-39pq and kin).
#[derive(Debug, Clone)]
pub struct Quorum {
    threshold: NonZeroU32,
    signers: BTreeMap<Material, KeyId>,
}

impl Quorum {
    /// A quorum of which nobody has signed yet.
    pub fn new(threshold: NonZeroU32) -> Self {
        Self { threshold, signers: BTreeMap::new() }
    }

    /// Counts a key **whose signature was verified**.
    pub fn add(&mut self, material: Material, keyid: &KeyId) {
        self.signers.entry(material).or_insert_with(|| keyid.clone());
    }

    /// How many distinct keys must sign.
    pub fn threshold(&self) -> u32 {
        self.threshold.get()
    }

    /// How many distinct keys have signed.
    pub fn count(&self) -> usize {
        self.signers.len()
    }

    /// Whether enough distinct keys have signed.
    pub fn is_met(&self) -> bool {
        u64::try_from(self.count()).is_ok_and(|count| count >= u64::from(self.threshold.get()))
    }

    /// The first key id under which each distinct key signed.
    pub fn keyids(&self) -> impl Iterator<Item = &KeyId> {
        self.signers.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_under_two_ids_counts_once() {
        let mut quorum = Quorum::new(NonZeroU32::new(2).unwrap());
        quorum.add(Material::for_tests(1), &KeyId::from("a"));
        quorum.add(Material::for_tests(1), &KeyId::from("b"));
        assert!(!quorum.is_met());
        quorum.add(Material::for_tests(2), &KeyId::from("c"));
        assert!(quorum.is_met());
        assert_eq!(quorum.count(), 2);
    }
}
