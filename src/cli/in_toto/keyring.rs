//! Keys from a GnuPG keyring, as `in-toto-verify --gpg` takes them: exported by gpg itself, read by ourselves.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};

use crate::{crypto::openpgp::Certificate, in_toto::LayoutKey};

/// An exported key; people with many certifications on theirs have large ones.
const MAX_BYTES: usize = 4 << 20;

/// Exports the key with that id, or with a subkey of that id.
pub(super) fn export(id: &str, home: Option<&Path>) -> anyhow::Result<LayoutKey> {
    // Anything else could be a name, which several keys may have, or an option.
    let is_id = (8..=40).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(is_id, "--gpg {id}: not a key id of 8 to 40 hex digits");
    let mut gpg = Command::new("gpg");
    if let Some(home) = home {
        gpg.arg("--homedir").arg(home);
    }
    gpg.args(["--batch", "--no-tty", "--quiet", "--export", "--", id]).stdin(Stdio::null());
    let output = gpg.output().context("cannot run gpg")?;
    if !output.status.success() {
        bail!("gpg --export {id} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    ensure!(!output.stdout.is_empty(), "gpg has no key {id}");
    ensure!(output.stdout.len() <= MAX_BYTES, "key {id}: larger than {MAX_BYTES} bytes");
    let certificate = Certificate::from_file(&output.stdout).with_context(|| format!("key {id}"))?;
    let id = id.to_ascii_lowercase();
    ensure!(
        certificate.keys().any(|key| key.id().as_str().ends_with(&id)),
        "key {id}: neither the master key nor a subkey that may sign"
    );
    Ok(certificate.into())
}
