//! Verifying what is already there, before anything is signed on top of it.

use std::path::Path;

use serde_json::Value;

use super::{Document, Editor, Error, KeyRing, delegations::entry_of, folder, roles::is_top_level};
use crate::tuf::RoleName;

/// Verifies every role that is loaded, from the root that the keys came with.
pub(super) fn verify(dir: &Path, editor: &Editor, keys: &KeyRing) -> Result<(), Error> {
    let root = verify_roots(dir, keys)?;
    if editor.document("root") != Some(&root) {
        return Err(Error::input(
            "root",
            "a newer root lies in the repository that does not follow from the trusted one",
        ));
    }
    editor.roles().iter().try_for_each(|role| verify_role(editor, keys, role))
}

/// Verifies one role by the keys that the role above it lists, and holds it against what these keys last signed.
pub(super) fn verify_role(editor: &Editor, keys: &KeyRing, role: &RoleName) -> Result<(), Error> {
    let Some(document) = editor.document(role.as_str()) else { return Ok(()) };
    let Some((objects, entry)) = authority(editor, role) else { return Err(Error::NoSuchRole(role.clone())) };
    check_quorum(role, document, objects, entry)?;
    keys.check(role, document)
}

/// Verifies roles to which one delegates, without a search for who does.
pub(super) fn verify_below(
    editor: &Editor,
    keys: &KeyRing,
    parent: &RoleName,
    roles: &[RoleName],
) -> Result<(), Error> {
    let signed = editor.signed(parent.as_str())?;
    let objects = signed.pointer("/delegations/keys").unwrap_or(&Value::Null);
    for role in roles {
        let Some(document) = editor.document(role.as_str()) else { continue };
        let entry = entry_of(signed, role).ok_or_else(|| Error::NoSuchRole(role.clone()))?;
        check_quorum(role, document, objects, entry)?;
        keys.check(role, document)?;
    }
    Ok(())
}

/// Steps from the trusted root to the newest one, each signed by its predecessor's keys and its own (TUF 5.3.4).
fn verify_roots(dir: &Path, keys: &KeyRing) -> Result<Document, Error> {
    let role = RoleName::from("root");
    let missing = || Error::input("key folder", "no root.json in it to start verifying the repository from");
    let mut trusted = keys.root().ok_or_else(missing)?.clone();
    check_root(&trusted, &trusted)?;
    loop {
        let version = trusted.version().unwrap_or(u64::MAX);
        let path = dir.join(format!("metadata/{}.root.json", version.saturating_add(1)));
        if version == u64::MAX || !folder::exists(&path)? {
            return Ok(trusted);
        }
        let next = Document::parse(&role, folder::read(&path)?)?;
        check_root(&next, &trusted)?;
        check_root(&next, &next)?;
        if next.version() != Some(version + 1) {
            return Err(Error::input(path.display().to_string(), "holds a root of another version"));
        }
        trusted = next;
    }
}

/// Whether a root is signed by the keys that another one, or it itself, lists for root.
pub(super) fn check_root(document: &Document, by: &Document) -> Result<(), Error> {
    let signed = by.signed();
    check_quorum(&"root".into(), document, &signed["keys"], signed.pointer("/roles/root").unwrap_or(&Value::Null))
}

fn check_quorum(role: &RoleName, document: &Document, objects: &Value, entry: &Value) -> Result<(), Error> {
    let quorum = document.quorum(objects, entry).ok_or_else(|| Error::member(role, "keyids, threshold"))?;
    if quorum.is_met() {
        return Ok(());
    }
    Err(Error::Unverified {
        role: role.clone(),
        version: document.version().unwrap_or_default(),
        verified: quorum.count(),
        threshold: quorum.threshold(),
    })
}

/// The key objects and the entry (key ids, threshold) by which a role is verified. The entry of a delegated role is
/// that of the first role that delegates to it.
pub(super) fn authority<'a>(editor: &'a Editor, role: &RoleName) -> Option<(&'a Value, &'a Value)> {
    authority_under(editor, role, &delegating(editor))
}

/// The same where it is known who delegates: [`delegating`].
pub(super) fn authority_under<'a>(
    editor: &'a Editor,
    role: &RoleName,
    parents: &[Parent<'a>],
) -> Option<(&'a Value, &'a Value)> {
    if is_top_level(role.as_str()) {
        let root = editor.signed("root").ok()?;
        return Some((&root["keys"], root.get("roles")?.get(role.as_str())?));
    }
    let (parent, entry) = parents.iter().find_map(|(_, signed)| Some((signed, entry_of(signed, role)?)))?;
    Some((parent.pointer("/delegations/keys")?, entry))
}

/// A role that delegates, and what it signs.
pub(super) type Parent<'a> = (&'a RoleName, &'a Value);

/// The roles that delegate, `targets` before the others. Found once for many roles: there may be thousands of bins.
pub(super) fn delegating(editor: &Editor) -> Vec<Parent<'_>> {
    let mut parents: Vec<Parent<'_>> = editor.delegating().collect();
    parents.sort_by_key(|(role, _)| (role.as_str() != "targets", *role));
    parents
}

/// The first role that delegates to `role`, `targets` before the others, and the entry in it.
pub(super) fn delegator<'a>(editor: &'a Editor, role: &RoleName) -> Option<(RoleName, &'a Value)> {
    delegating(editor).into_iter().find_map(|(parent, signed)| Some((parent.clone(), entry_of(signed, role)?)))
}

/// The sets of keys of each of which enough must sign a role's draft: its own, and for a root also those of the root
/// before it (TUF 5.3.4). `parents` are [`delegating`].
pub(super) fn quorums<'a>(
    editor: &'a Editor,
    role: &RoleName,
    parents: &[Parent<'a>],
) -> Result<Vec<(&'a Value, &'a Value)>, Error> {
    let authority = authority_under(editor, role, parents);
    let mut quorums = vec![authority.ok_or_else(|| Error::NoSuchRole(role.clone()))?];
    if role.as_str() == "root"
        && let Some(before) = editor.last_signed("root").map(Document::signed)
    {
        let entry = before.pointer("/roles/root").ok_or_else(|| Error::member(role, "roles.root"))?;
        quorums.push((&before["keys"], entry));
    }
    Ok(quorums)
}
