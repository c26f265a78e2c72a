//! The role trees of in-toto ITE-2 and ITE-3.

use jiff::SignedDuration;

use super::{
    Error, NewRole, Publisher, Side, SigningKey,
    metadata::{RoleKeys, Scope},
    verify::authority,
};
use crate::crypto::KeyId;

/// Segments that the path of an image or of its evidence may have.
const MAX_SEGMENTS: usize = 8;

impl Scope {
    /// Everything that has a folder, as patterns: one for each depth, as `*` stops at `/`. The scope of the online role
    /// of ITE-2 for clients that cannot read [`Scope::everything`].
    pub fn every_depth() -> Self {
        Self::Paths((2..=MAX_SEGMENTS).map(|segments| vec!["*"; segments].join("/")).collect())
    }
}

impl Publisher {
    /// Delegates to the two levels of ITE-3: `wheels-signer` for files below `simple/` and `in-toto-metadata-signer` for
    /// links, signed with the keys of `targets`; below them one role for each first letter of a package, and one for
    /// each first digit of the digest below which links are listed, which share the online key `key`.
    pub fn delegate_ite3(
        &mut self,
        key: SigningKey,
        online: SignedDuration,
        offline: SignedDuration,
    ) -> Result<(), Error> {
        let people = self.keys_of("targets")?;
        let machine = RoleKeys::of(&[&key], 1)?;
        let packages = |first: &str| vec![format!("simple/{first}*/index.html"), format!("simple/{first}*/*.whl")];
        let links =
            |first: &str| vec![format!("in-toto-metadata/{first}*/*"), format!("in-toto-metadata/{first}*/*/*")];
        let index = || "simple/index.html".to_owned();
        let with_index = |mut paths: Vec<String>| {
            paths.insert(0, index());
            paths
        };
        let role = |parent: &str, name: String, paths: Vec<String>, validity| NewRole {
            name,
            parent: parent.to_owned(),
            scope: Scope::Paths(paths),
            terminating: true,
            threshold: 1,
            validity,
        };
        let (wheels, metadata) = ("wheels-signer", "in-toto-metadata-signer");
        self.delegate_to(&role("targets", wheels.to_owned(), with_index(packages("")), offline), &people)?;
        self.delegate_to(&role("targets", metadata.to_owned(), links(""), offline), &people)?;
        for first in ('a'..='z').chain('0'..='9') {
            let paths = packages(&first.to_string());
            let paths = if first == 'a' { with_index(paths) } else { paths };
            self.delegate_to(&role(wheels, format!("{wheels}-{first}"), paths, online), &machine)?;
        }
        for first in ('0'..='9').chain('a'..='f') {
            let paths = links(&first.to_string());
            self.delegate_to(&role(metadata, format!("{metadata}-{first}"), paths, online), &machine)?;
        }
        self.keys.add_new(Side::Online, "online", vec![key])
    }

    /// The keys of a role, as they are listed for it.
    fn keys_of(&self, role: &str) -> Result<RoleKeys, Error> {
        let (objects, entry) = authority(&self.editor, &role.into()).ok_or_else(|| Error::NoSuchRole(role.into()))?;
        let threshold = entry["threshold"].as_u64().and_then(|threshold| u32::try_from(threshold).ok());
        let threshold = threshold.ok_or_else(|| Error::member(&role.into(), "threshold"))?;
        let ids = entry["keyids"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
        Ok(RoleKeys { keys: ids.map(|id| (KeyId::from(id), objects[id].clone())).collect(), threshold })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::publish::{KeyRing, NewFile, Plan, RoleKeyPlan};

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn every_file_and_link_of_ite3_has_its_role() {
        let temp = tempfile::tempdir().unwrap();
        let plan =
            Plan { targets: RoleKeyPlan { keys: 3, threshold: 2 }, online_role: String::new(), ..Plan::default() };
        let mut keys = plan.keys_from_seed("test").unwrap();
        keys.save_to(&temp.path().join("keys")).unwrap();
        let mut publisher = Publisher::init(&temp.path().join("repo"), keys, &plan, now()).unwrap();
        let day = SignedDuration::from_hours(24);
        publisher.delegate_ite3(SigningKey::ed25519_from_seed([1; 32]), day, day * 365).unwrap();
        let commit = publisher.commit().unwrap();
        assert_eq!(commit.signed.len(), 4 + 2 + 36 + 16);
        let signers =
            |role: &str| commit.signed.iter().find(|signed| signed.role.as_str() == role).unwrap().keyids.len();
        assert_eq!((signers("wheels-signer"), signers("wheels-signer-q")), (3, 1));
        drop(publisher);

        let keys = KeyRing::open(&temp.path().join("keys")).unwrap();
        let mut publisher = Publisher::open(&temp.path().join("repo"), keys, now()).unwrap();
        for (path, role) in [
            ("simple/index.html", "wheels-signer-a"),
            ("simple/datadog-nginx/index.html", "wheels-signer-d"),
            ("simple/datadog-nginx/datadog_nginx-1.0.0-py3-none-any.whl", "wheels-signer-d"),
            ("simple/3to2/3to2-1.1.1-py3-none-any.whl", "wheels-signer-3"),
            ("in-toto-metadata/7f0c/build.4a81d2c0.link", "in-toto-metadata-signer-7"),
            ("in-toto-metadata/7f0c/test.4a81d2c0/fetch.77d00000.link", "in-toto-metadata-signer-7"),
        ] {
            let file = NewFile { path: path.to_owned(), bytes: b"x".to_vec(), ..NewFile::default() };
            publisher.add_file(&file).unwrap();
            assert!(publisher.editor().signed(role).unwrap()["targets"][path].is_object(), "{path}");
        }
        let outside = NewFile { path: "simple/nginx/deep/er.whl".to_owned(), ..NewFile::default() };
        assert!(matches!(publisher.add_file(&outside), Err(Error::NotDelegated { .. } | Error::NoRoleFor(_))));
    }

    #[test]
    fn every_depth_is_covered_and_the_top_is_not() {
        let plan = Plan { scope: Scope::every_depth(), ..Plan::default() };
        let temp = tempfile::tempdir().unwrap();
        let keys = plan.keys_from_seed("test").unwrap();
        let publisher = Publisher::init(&temp.path().join("repo"), keys, &plan, now()).unwrap();
        for path in ["localhost:5000/app:1", "registry.example/a/b/c/d@sha256:00", "in-toto-metadata/x/s.0/y.link"] {
            assert_eq!(publisher.check_delegated("images", path), Ok(()), "{path}");
        }
        assert!(publisher.check_delegated("images", "root.layout").is_err());
    }
}
