//! Taking back a request that was signed elsewhere.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

use super::{
    Commit, Document, Error, Publisher, SignedRole,
    commit::signed_role,
    documents::public_key,
    folder,
    request::{Request, Requested, listed_file},
    targets::REVOKED,
    verify::{Parent, delegating, quorums},
};
use crate::{
    crypto::{KeyId, json as strict},
    tuf::RoleName,
};

impl Publisher {
    /// Takes a change that has been signed elsewhere, if nothing that it was made on has changed since, and enough of
    /// the keys of every role have signed; then signs snapshot and timestamp, and writes it all. `more` are files of
    /// signatures beside those in the request. Nothing is written otherwise.
    pub fn import(&mut self, request: &Request, more: &[PathBuf]) -> Result<Commit, Error> {
        for Requested { role, base, .. } in &request.roles {
            let now =
                self.editor.last_signed(role.as_str()).map(|document| (document.version(), document.fingerprint()));
            if now != base.map(|(version, digest)| (Some(version), digest)) {
                let based_on = base.map_or(0, |(version, _)| version);
                let found = now.and_then(|(version, _)| version);
                return Err(Error::Stale { role: role.clone(), based_on, found });
            }
        }
        for requested in &request.roles {
            let Requested { role, version, signed, base } = requested;
            if base.map_or(0, |(version, _)| version).checked_add(1) != Some(*version) {
                return Err(Error::member(role, "version"));
            }
            let SignedRole { expires, .. } = signed_role::<()>(role, signed, &[])?;
            if expires <= self.now {
                return Err(Error::input(
                    role.to_string(),
                    format!("v{version} has expired on {expires}: make the change again"),
                ));
            }
            self.editor.put(role.as_str(), signed.clone());
        }
        let mut signatures = request.signatures(more)?;
        let mut documents = Vec::new();
        let parents = delegating(&self.editor);
        for requested in &request.roles {
            let signatures = signatures.remove(&requested.role).unwrap_or_default();
            documents.push((requested.role.clone(), self.assemble(requested, &signatures, &parents)?));
        }
        if let Some(role) = signatures.into_keys().next() {
            return Err(Error::input(
                role.to_string(),
                "there is a signature for this role, which is not in the request",
            ));
        }
        let mut signed = Vec::new();
        for (role, (document, signers)) in documents {
            signed.push(signed_role(&role, document.signed(), &signers)?);
            self.editor.put_document(role.as_str(), document);
        }
        self.take_files(request)?;
        self.publish(signed)
    }

    /// The roles of a request that revoke something more than they do now.
    pub fn revoking<'r>(&self, request: &'r Request) -> Vec<&'r RoleName> {
        let listed = |targets: &Value, path: &str| targets["targets"].get(path).is_some();
        let revokes = |requested: &&Requested| {
            let now = self.editor.last_signed(requested.role.as_str()).map(Document::signed);
            let paths = requested.targets().map(|(path, _)| path);
            let mut new = paths.filter(|path| path.starts_with(REVOKED));
            new.any(|path| now.is_none_or(|now| !listed(now, path)))
        };
        request.roles.iter().filter(revokes).map(|requested| &requested.role).collect()
    }

    /// Takes the target files of a request. One that is listed anew and is neither there nor here is an error: clients
    /// would ask for it.
    fn take_files(&mut self, request: &Request) -> Result<(), Error> {
        let files: BTreeMap<_, _> = request.target_files()?.into_iter().collect();
        for requested in &request.roles {
            for (path, entry) in requested.targets() {
                let Some(name) = listed_file(path, entry)? else { continue };
                if !files.contains_key(&name) && !folder::exists(&self.editor.dir().join(&name))? {
                    return Err(Error::input(
                        name,
                        format!("{} lists this file, and it is not in the request", requested.role),
                    ));
                }
            }
        }
        for (name, bytes) in files {
            self.editor.add_file(&name, bytes);
        }
        Ok(())
    }

    /// A role's document, if every signature is one of its keys' and valid, and they are enough.
    fn assemble(
        &self,
        requested: &Requested,
        signatures: &BTreeMap<KeyId, Vec<u8>>,
        parents: &[Parent<'_>],
    ) -> Result<(Document, Vec<(KeyId, ())>), Error> {
        let Requested { role, version, signed, .. } = requested;
        let quorums = quorums(&self.editor, role, parents)?;
        let message = strict::canonical(signed);
        for (keyid, signature) in signatures {
            let bad =
                |reason| Error::BadSignature { role: role.clone(), version: *version, keyid: keyid.clone(), reason };
            let listed =
                |entry: &Value| entry["keyids"].as_array().is_some_and(|ids| ids.iter().any(|id| id == keyid.as_str()));
            let (objects, _) =
                quorums.iter().find(|(_, entry)| listed(entry)).ok_or_else(|| bad("is by none of its keys"))?;
            let key = public_key(&objects[keyid.as_str()]).ok_or_else(|| bad("is by a key of an unknown kind"))?;
            key.verify(&message, signature).map_err(|_| bad("is invalid"))?;
        }
        let document = Document::with_signatures(signed.clone(), signatures);
        for (objects, entry) in quorums {
            let quorum = document.quorum(objects, entry).ok_or_else(|| Error::member(role, "keyids, threshold"))?;
            if !quorum.is_met() {
                let listed =
                    entry["keyids"].as_array().into_iter().flatten().filter_map(Value::as_str).map(KeyId::from);
                return Err(Error::MissingSignatures {
                    role: role.clone(),
                    version: *version,
                    threshold: quorum.threshold(),
                    signed: quorum.count(),
                    missing: listed.filter(|keyid| !signatures.contains_key(keyid)).collect(),
                });
            }
        }
        Ok((document, signatures.keys().map(|keyid| (keyid.clone(), ())).collect()))
    }
}
