//! The private keys at hand, and what they last signed.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Document, Editor, Error, ExternalSigner, NewKey, SigningKey, documents::public_key, folder, memory::Memory,
};
use crate::{
    crypto::{KeyId, Material, Sha256},
    tuf::RoleName,
};

/// Where a key is kept, and so what a break-in takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// With people: root, the top-level targets role.
    Offline,
    /// With machines: timestamp, snapshot, roles that sign every build.
    Online,
}

impl Side {
    fn folder(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Online => "online",
        }
    }
}

/// Private keys, the root of trust to start from, and the versions that these keys last signed.
///
/// On disk: `offline/*.pem`, `online/*.pem` (a signer has the folder it needs), `root.json`, `signed.json` and, for what
/// was signed on request, `requested.json`. These are why nobody who can merely write the repository's folder gets his text signed: metadata that does not
/// chain from this root, or is older than what was signed before, is not built upon.
#[derive(Default)]
pub struct KeyRing {
    dir: Option<PathBuf>,
    keys: Vec<Held>,
    /// Signers of keys elsewhere. They become keys when metadata shows the public halves.
    signers: Vec<(Which, Arc<dyn ExternalSigner>)>,
    elsewhere: Vec<(Material, KeyId, SigningKey)>,
    root: Option<Document>,
    memory: Memory,
}

/// Which key a signer signs with.
enum Which {
    /// The one whose id starts so.
    Id(String),
    /// This one, whatever its id is.
    Key(Material),
}

impl Which {
    fn fits(&self, keyid: &str, material: Material) -> bool {
        match self {
            Self::Id(start) => keyid.starts_with(start.as_str()),
            Self::Key(wanted) => *wanted == material,
        }
    }
}

struct Held {
    side: Side,
    name: String,
    material: Material,
    key: SigningKey,
}

impl KeyRing {
    /// No keys, in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a key folder.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let mut ring = Self { dir: Some(dir.to_owned()), ..Self::default() };
        for side in [Side::Offline, Side::Online] {
            let folder = dir.join(side.folder());
            if !folder::exists(&folder)? {
                continue;
            }
            for file in folder::names(&folder)? {
                let Some(name) = file.strip_suffix(".pem") else { continue };
                let path = folder.join(&file);
                let text = String::from_utf8(folder::read(&path)?)
                    .map_err(|_| Error::input(path.display().to_string(), "not a PEM file"))?;
                let failed = |source| Error::Key { name: path.display().to_string(), source };
                ring.add(side, name, SigningKey::from_pem(&text).map_err(failed)?)?;
            }
        }
        if let Some(bytes) = folder::read_if_there(&dir.join("root.json"))? {
            ring.root = Some(Document::parse(&"root".into(), bytes)?);
        }
        ring.memory = Memory::open(dir)?;
        Ok(ring)
    }

    /// Adds a key. Its name is that of the role it was made for and a number: `root-1`.
    pub fn add(&mut self, side: Side, name: &str, key: SigningKey) -> Result<(), Error> {
        let public = key.public().map_err(|source| Error::Key { name: name.to_owned(), source })?;
        self.keys.push(Held { side, name: name.to_owned(), material: public.material(), key });
        Ok(())
    }

    /// Adds keys under the next free numbers of a role and writes them to the folder, if there is one.
    pub(super) fn add_new(&mut self, side: Side, role: &str, keys: Vec<SigningKey>) -> Result<(), Error> {
        let mut number = 0;
        for key in keys {
            let name = loop {
                number += 1;
                let name = format!("{role}-{number}");
                if self.get(&name).is_none()
                    && !self.path(side, &name).map_or(Ok(false), |path| folder::exists(&path))?
                {
                    break name;
                }
            };
            if let Some(path) = self.path(side, &name) {
                let failed = |source| Error::Key { name: name.clone(), source };
                folder::write_private(&path, key.to_pem().map_err(failed)?.as_bytes())?;
            }
            self.add(side, &name, key)?;
        }
        Ok(())
    }

    fn path(&self, side: Side, name: &str) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.join(side.folder()).join(format!("{name}.pem")))
    }

    /// From now on what is signed is remembered in `dir`; writes the keys there. Existing files are never replaced.
    pub fn save_to(&mut self, dir: &Path) -> Result<(), Error> {
        for held in &self.keys {
            let path = dir.join(held.side.folder()).join(format!("{}.pem", held.name));
            if folder::exists(&path)? {
                return Err(Error::Exists(path));
            }
        }
        for held in &self.keys {
            let failed = |source| Error::Key { name: held.name.clone(), source };
            let path = dir.join(held.side.folder()).join(format!("{}.pem", held.name));
            folder::write_private(&path, held.key.to_pem().map_err(failed)?.as_bytes())?;
        }
        self.dir = Some(dir.to_owned());
        self.save_memory()
    }

    /// A key by its name: for tests and demonstrations, which play the thief.
    pub fn get(&self, name: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|held| held.name == name).map(|held| &held.key)
    }

    /// All keys of one side: what a break-in there takes.
    pub fn side(&self, side: Side) -> Vec<&SigningKey> {
        self.keys.iter().filter(|held| held.side == side).map(|held| &held.key).collect()
    }

    /// The keys that were made for a role: those named `<role>-<number>`.
    pub fn made_for(&self, role: &str) -> Vec<&SigningKey> {
        let fits = |name: &str| {
            name.strip_prefix(role).and_then(|rest| rest.strip_prefix('-')).is_some_and(|n| n.parse::<u32>().is_ok())
        };
        self.keys.iter().filter(|held| fits(&held.name)).map(|held| &held.key).collect()
    }

    /// The root of trust from which the repository is verified before it is changed.
    pub fn root(&self) -> Option<&Document> {
        self.root.as_ref()
    }

    /// Sets the root of trust.
    pub fn trust(&mut self, root: Document) {
        self.root = Some(root);
    }

    /// Has a key signed elsewhere: the one whose id is `keyid`, or starts with it if that has at least eight characters.
    pub fn sign_elsewhere(&mut self, keyid: &str, signer: Arc<dyn ExternalSigner>) -> Result<(), Error> {
        if keyid.len() < 8 {
            return Err(Error::input(format!("signer {keyid:?}"), "give at least eight characters of the key id"));
        }
        self.signers.push((Which::Id(keyid.to_owned()), signer));
        Ok(())
    }

    /// The same for the key of a public key file, whatever id metadata gives it.
    pub fn sign_elsewhere_with(&mut self, public: &NewKey, signer: Arc<dyn ExternalSigner>) -> Result<(), Error> {
        let key =
            public_key(&public.object()?).ok_or_else(|| Error::input("public key", "of a kind that is not known"))?;
        self.signers.push((Which::Key(key.material()), signer));
        Ok(())
    }

    /// Finds keys that sign elsewhere among the key objects of metadata.
    pub(super) fn meet(&mut self, objects: &Value) {
        for (keyid, object) in objects.as_object().into_iter().flatten() {
            for (wanted, signer) in &self.signers {
                let Some(material) = public_key(object).map(|key| key.material()) else { continue };
                let known = self.elsewhere.iter().any(|(known, ..)| *known == material);
                if !known && wanted.fits(keyid, material) {
                    let keyid = KeyId::from(keyid.as_str());
                    let key = SigningKey::elsewhere(&keyid, object, signer.clone());
                    self.elsewhere.extend(key.map(|key| (material, keyid, key)));
                }
            }
        }
    }

    /// Refuses a signer for a key that nothing lists: it was meant for something.
    pub(super) fn check_signers(&self) -> Result<(), Error> {
        let is_met =
            |which: &Which| self.elsewhere.iter().any(|(material, keyid, _)| which.fits(keyid.as_str(), *material));
        match self.signers.iter().find(|(which, _)| !is_met(which)) {
            Some((Which::Id(start), _)) => Err(Error::input(format!("signer {start}"), "no role has a key of this id")),
            Some((Which::Key(_), _)) => Err(Error::input("signer", "no role has the key of this file")),
            None => Ok(()),
        }
    }

    /// The same among all key objects of a repository.
    pub(super) fn meet_all(&mut self, editor: &Editor) {
        if self.signers.is_empty() {
            return;
        }
        for role in editor.roles() {
            let Ok(signed) = editor.signed(role.as_str()) else { continue };
            self.meet(&signed["keys"]);
            self.meet(signed.pointer("/delegations/keys").unwrap_or(&Value::Null));
        }
    }

    /// The keys of a role that are at hand, under the ids that metadata gives them. They are found by key material,
    /// as other tools compute other ids.
    pub(super) fn signers(&self, keys: &Value, role: &Value) -> Vec<(KeyId, &SigningKey)> {
        let mut found = Vec::new();
        let mut used = BTreeSet::new();
        for keyid in role["keyids"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let Some(material) = public_key(&keys[keyid]).map(|key| key.material()) else { continue };
            let here = self.keys.iter().map(|held| (held.material, &held.key));
            let elsewhere = self.elsewhere.iter().map(|(material, _, key)| (*material, key));
            if let Some((_, key)) = here.chain(elsewhere).find(|(held, _)| *held == material)
                && used.insert(material)
            {
                found.push((KeyId::from(keyid), key));
            }
        }
        found
    }

    /// The keys of several sets that are at hand, each once.
    pub(super) fn all_signers(&self, sets: &[(&Value, &Value)]) -> Vec<(KeyId, &SigningKey)> {
        let mut signers: Vec<(KeyId, &SigningKey)> = Vec::new();
        for (keyid, key) in sets.iter().flat_map(|(objects, entry)| self.signers(objects, entry)) {
            if signers.iter().all(|(known, _)| *known != keyid) {
                signers.push((keyid, key));
            }
        }
        signers
    }

    /// Refuses a document that is older than, or differs from, what these keys signed.
    pub(super) fn check(&self, role: &RoleName, document: &Document) -> Result<(), Error> {
        self.memory.check(role, document)
    }

    /// What these keys signed before.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Remembers what has been signed and written.
    pub(super) fn remember<'a>(
        &mut self,
        documents: impl Iterator<Item = (RoleName, &'a Document)>,
    ) -> Result<(), Error> {
        for (role, document) in documents {
            if role.as_str() == "root" {
                self.root = Some(document.clone());
            }
            self.memory.remember(role, document)?;
        }
        self.save_memory()
    }

    /// Remembers what is signed for others to publish.
    pub(super) fn remember_requests<'a>(
        &mut self,
        requests: impl Iterator<Item = (&'a RoleName, u64, Sha256)>,
    ) -> Result<(), Error> {
        for (role, version, digest) in requests {
            self.memory.remember_request(role, version, digest);
        }
        self.save_memory()
    }

    fn save_memory(&self) -> Result<(), Error> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let mut files = self.memory.files();
        files.extend(self.root.as_ref().map(|root| ("root.json".to_owned(), root.bytes().to_vec())));
        folder::write_all(dir, &files)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_kept_apart_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut ring = KeyRing::new();
        ring.add(Side::Offline, "root-1", SigningKey::ed25519_from_seed([1; 32])).unwrap();
        ring.add(Side::Online, "images-1", SigningKey::ed25519_from_seed([2; 32])).unwrap();
        ring.add(Side::Online, "images-b-1", SigningKey::ed25519_from_seed([3; 32])).unwrap();
        ring.save_to(dir.path()).unwrap();
        let read = KeyRing::open(dir.path()).unwrap();
        assert_eq!((read.side(Side::Offline).len(), read.side(Side::Online).len()), (1, 2));
        assert_eq!(read.made_for("images").len(), 1);
        let keyid = |ring: &KeyRing| ring.get("images-1").unwrap().keyid().unwrap();
        assert_eq!(keyid(&read), keyid(&ring));
        assert!(matches!(ring.save_to(dir.path()), Err(Error::Exists(_))));
    }

    #[test]
    fn one_key_listed_under_two_ids_signs_once() {
        let mut ring = KeyRing::new();
        let key = SigningKey::ed25519_from_seed([1; 32]);
        let object = key.key_object().unwrap();
        ring.add(Side::Offline, "root-1", key).unwrap();
        let signers = ring.signers(&json!({"a": object, "b": object}), &json!({"keyids": ["a", "b"]}));
        assert_eq!(signers.iter().map(|(keyid, _)| keyid.as_str()).collect::<Vec<_>>(), ["a"]);
    }
}
