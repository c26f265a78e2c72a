//! Keys that are somewhere else: what is to be signed goes there as a folder and comes back with signatures.

use std::io::Write;

use anyhow::bail;
use jiff::Timestamp;

use super::{Export, ImportSignatures, Sign, minimum, report, say_signed};
use crate::publish::{Publisher, Request, ReviewedRole, SignedRole};

impl Export {
    /// Publishes what was changed, or exports it. Returns the roles with their new versions.
    pub(super) fn finish(&self, mut publisher: Publisher, out: &mut dyn Write) -> anyhow::Result<Vec<SignedRole>> {
        let Some(request) = &self.export else {
            let commit = publisher.commit()?;
            report(&commit, out)?;
            return Ok(commit.signed);
        };
        let roles = publisher.export(request)?;
        for role in &roles {
            let keys: Vec<&str> = role.keyids.iter().map(|keyid| keyid.short()).collect();
            let by = if keys.is_empty() { String::new() } else { format!(", signed by {}", keys.join(", ")) };
            writeln!(out, "to be signed: {} v{}, expires {}{by}", role.role, role.version, role.expires)?;
        }
        let request = request.display();
        writeln!(
            out,
            "nothing is published yet: have {request} signed with `pratique repo sign {request} --keys KEYS`,"
        )?;
        writeln!(
            out,
            "then publish it with `pratique repo import-signatures {} {request}`",
            publisher.editor().dir().display()
        )?;
        Ok(roles)
    }
}

/// Signs a request with the keys at hand, or only says what it changes.
pub(super) fn sign(args: &Sign, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    if !args.roles.is_empty() || args.export.export.is_some() {
        bail!("{} is a request: it is signed as it is", args.common.dir.display());
    }
    let request = Request::read(&args.common.dir)?;
    let mut keys = args.common.keys()?;
    for role in &request.review(&mut keys, args.replace, now)?.roles {
        show(role, out)?;
    }
    if args.show {
        return Ok(());
    }
    for signed in request.sign(&mut keys, args.replace, now)? {
        say_signed(&signed, out)?;
    }
    Ok(())
}

fn show(role: &ReviewedRole, out: &mut dyn Write) -> anyhow::Result<()> {
    let from = role.based_on.map_or_else(|| "new".to_owned(), |version| format!("after v{version}"));
    writeln!(out, "{} v{} ({from}), expires {}", role.role, role.version, role.expires)?;
    for set in &role.needs {
        let keys: Vec<&str> = set.keyids.iter().map(|keyid| keyid.short()).collect();
        writeln!(out, "  needs {} of {}", set.threshold, keys.join(", "))?;
    }
    for line in &role.changes {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// Takes a signed request back and publishes it.
pub(super) fn import(args: &ImportSignatures, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let request = Request::read(&args.request)?;
    let mut publisher = args.common.open(now)?;
    let revoking = publisher.revoking(&request);
    let commit = publisher.import(&request, &args.signatures)?;
    report(&commit, out)?;
    for role in revoking {
        if let Some(version) = commit.version(role.as_str()) {
            minimum(&publisher.chain(role.as_str())?, version, out)?;
        }
    }
    Ok(())
}
