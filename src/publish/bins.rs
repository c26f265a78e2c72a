//! Spreading the paths of a role over many small roles, so that one change rewrites one small file (PEP 458, TAP 15).

use std::collections::BTreeSet;

use super::{
    Bins, Error, NewKey, NewRole, Publisher, Side,
    commit::set_validity,
    delegations::{all_new, bin_prefixes, bins_named},
    init::check_role_name,
    metadata::{self, Scope},
};
use crate::tuf::RoleName;

/// The bins of one name below a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinGroup {
    /// What their names start with.
    pub prefix: String,
    /// The role that delegates to them.
    pub parent: RoleName,
    /// The bins, in the order of their numbers.
    pub bins: Vec<RoleName>,
}

impl Publisher {
    /// Delegates to bins, which share their keys, and makes them, empty. `new.name` is what their names start with;
    /// `new.scope` is not looked at, as bins cover every path. Succinct bins must be all that a role delegates to.
    pub fn delegate_bins<K: Into<NewKey>>(
        &mut self,
        new: &NewRole,
        bins: Bins,
        side: Side,
        keys: Vec<K>,
    ) -> Result<Vec<RoleName>, Error> {
        check_role_name(&new.name)?;
        let plan = bins.plan(&new.name)?;
        let parent = RoleName::from(new.parent.as_str());
        self.load(&parent)?;
        all_new(&self.editor.roles(), plan.iter().map(|(name, _)| name.clone()))?;
        let keys: Vec<NewKey> = keys.into_iter().map(Into::into).collect();
        let listed = super::roles::listed(&new.name, &keys, new.threshold)?;
        super::roles::check_parent(&new.parent)?;
        let delegator = self.editor.edit(&new.parent)?;
        let other = |member: &str| delegator.pointer(&format!("/delegations/{member}")).is_some();
        match bins {
            Bins::HashPrefixes(_) if other("succinct_roles") => {
                return Err(Error::input(new.parent.clone(), "it delegates to succinct bins, and so to nothing else"));
            }
            Bins::HashPrefixes(_) => {
                let scopes: Vec<(RoleName, Scope)> =
                    plan.into_iter().map(|(name, prefixes)| (name, Scope::HashPrefixes(prefixes))).collect();
                let entries = scopes.iter().map(|(name, scope)| (name.as_str(), scope));
                metadata::delegate_all(delegator, &listed, new.terminating, entries);
            }
            Bins::Succinct(_) if other("roles") || other("succinct_roles") => {
                return Err(Error::input(new.parent.clone(), "succinct bins must be all that a role delegates to"));
            }
            Bins::Succinct(bits) => metadata::delegate_succinct(delegator, &new.name, &listed, bits),
        }
        let names = bins_named(delegator, &new.name);
        for name in &names {
            let mut signed = metadata::targets(0, self.now);
            set_validity(&mut signed, new.validity);
            self.editor.put(name.as_str(), signed);
        }
        self.take_keys(side, &new.name, keys, &listed)?;
        Ok(names)
    }

    /// All bins that there are, read or not, by their names.
    pub fn bin_groups(&self) -> Vec<BinGroup> {
        let mut prefixes = BTreeSet::new();
        for parent in self.editor.roles() {
            let Ok(signed) = self.editor.signed(parent.as_str()) else { continue };
            prefixes.extend(bin_prefixes(signed));
        }
        prefixes.iter().filter_map(|prefix| self.bin_group(prefix)).collect()
    }

    /// The bins whose names start so, if there are any.
    pub fn bin_group(&self, prefix: &str) -> Option<BinGroup> {
        self.editor.roles().into_iter().find_map(|parent| {
            let bins = bins_named(self.editor.signed(parent.as_str()).ok()?, prefix);
            (bins.len() > 1).then(|| BinGroup { prefix: prefix.to_owned(), parent, bins })
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use serde_json::Map;
    use tempfile::TempDir;

    use super::*;
    use crate::publish::{KeyRing, NewFile, Plan, SigningKey};

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn open(temp: &TempDir) -> Publisher {
        Publisher::open(&temp.path().join("repo"), KeyRing::open(&temp.path().join("keys")).unwrap(), now()).unwrap()
    }

    fn new(parent: &str) -> NewRole {
        NewRole {
            name: "bin".to_owned(),
            parent: parent.to_owned(),
            scope: Scope::everything(),
            terminating: true,
            threshold: 1,
            validity: SignedDuration::from_hours(24),
        }
    }

    fn repository(bins: Bins) -> TempDir {
        let temp = tempfile::tempdir().unwrap();
        let plan = Plan::default();
        let mut keys = plan.keys_from_seed("test").unwrap();
        keys.save_to(&temp.path().join("keys")).unwrap();
        Publisher::init(&temp.path().join("repo"), keys, &plan, now()).unwrap().commit().unwrap();
        let mut publisher = open(&temp);
        let key = SigningKey::ed25519_from_seed([1; 32]);
        publisher.delegate_bins(&new("images"), bins, Side::Online, vec![key]).unwrap();
        publisher.commit().unwrap();
        temp
    }

    fn file(path: &str) -> NewFile {
        NewFile { path: path.to_owned(), bytes: b"content".to_vec(), ..NewFile::default() }
    }

    #[test]
    fn a_file_is_listed_in_its_bin_and_nothing_else_is_signed_again() {
        for bins in [Bins::HashPrefixes(512), Bins::Succinct(9)] {
            let temp = repository(bins);
            for role in [None, Some("images".to_owned())] {
                let mut publisher = open(&temp);
                let before = publisher.editor().roles().len();
                assert_eq!(before, 5, "the bins are not read");
                let path = format!("some/file-{}", role.is_some());
                publisher.add_file(&NewFile { role, ..file(&path) }).unwrap();
                let commit = publisher.commit().unwrap();
                let signed: Vec<&str> = commit.signed.iter().map(|signed| signed.role.as_str()).collect();
                let hash = crate::crypto::Sha256::of(path.as_bytes()).to_string();
                let bin = u32::from_str_radix(&hash[..3], 16).unwrap() >> 3;
                let bin = format!("bin-{bin:03x}");
                assert_eq!(signed, [bin.as_str(), "snapshot", "timestamp"], "{bins:?}");
                let snapshot = publisher.editor().signed("snapshot").unwrap();
                assert_eq!(snapshot["meta"].as_object().unwrap().len(), 514);
                assert_eq!(snapshot["meta"][format!("{bin}.json")]["version"], commit.version(&bin).unwrap());
            }
        }
    }

    #[test]
    fn a_bin_that_was_changed_on_the_web_server_is_not_built_upon() {
        let temp = repository(Bins::HashPrefixes(512));
        let hash = crate::crypto::Sha256::of(b"some/file").to_string();
        let bin = u32::from_str_radix(&hash[..3], 16).unwrap() >> 3;
        let file_name = temp.path().join(format!("repo/metadata/1.bin-{bin:03x}.json"));
        let text = std::fs::read_to_string(&file_name).unwrap();
        std::fs::write(&file_name, text.replace("\"targets\":{}", "\"targets\":{\"evil\":{}}")).unwrap();
        let refused = open(&temp).add_file(&file("some/file"));
        assert!(matches!(refused, Err(Error::Unverified { verified: 0, .. })), "{refused:?}");
    }

    #[test]
    fn what_is_listed_in_bins_is_found_by_who_revokes() {
        let temp = repository(Bins::Succinct(9));
        let mut publisher = open(&temp);
        let custom = Map::from_iter([("in-toto".to_owned(), serde_json::json!([]))]);
        publisher.add_file(&NewFile { custom, ..file("registry.example/app:1") }).unwrap();
        publisher.commit().unwrap();
        drop(publisher);
        let revoked = open(&temp).revoke("targets", crate::crypto::Sha256::of(b"content"), "a hole").unwrap();
        assert_eq!(revoked.listed.into_iter().collect::<Vec<_>>(), ["registry.example/app:1"]);
    }

    #[test]
    fn bins_get_new_keys_together() {
        for bins in [Bins::HashPrefixes(512), Bins::Succinct(9)] {
            let temp = repository(bins);
            let mut publisher = open(&temp);
            publisher.rotate("bin", Side::Online, vec![SigningKey::ed25519_from_seed([2; 32])], 1).unwrap();
            let commit = publisher.commit().unwrap();
            assert_eq!(commit.signed.len(), 512 + 3, "{bins:?}");
            drop(publisher);
            let mut publisher = open(&temp);
            publisher.add_file(&file("x")).unwrap();
            assert_eq!(publisher.commit().unwrap().signed.len(), 3);
        }
    }

    #[test]
    fn bins_that_clients_could_not_read_are_not_made() {
        let temp = repository(Bins::HashPrefixes(2));
        let mut publisher = open(&temp);
        let mut delegate = |parent: &str, bins| {
            publisher.delegate_bins(&new(parent), bins, Side::Online, vec![SigningKey::ed25519_from_seed([3; 32])])
        };
        assert_eq!(delegate("images", Bins::HashPrefixes(2)), Err(Error::RoleExists("bin-0".into())));
        assert!(matches!(delegate("images", Bins::Succinct(8)), Err(Error::Input { what, .. }) if what == "images"));
        assert!(matches!(delegate("root", Bins::Succinct(8)), Err(Error::Input { .. })));
        assert!(matches!(delegate("targets", Bins::HashPrefixes(3)), Err(Error::Input { .. })));
    }
}
