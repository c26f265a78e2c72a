//! `pratique repo push`: a repository in a folder into a registry of images.

#![expect(clippy::disallowed_methods, reason = "a repository that is pushed is files")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{Push, read};
use crate::{
    cluster::secrets::InFolder,
    registry::push::{Destination, Files, push},
    repository::{credentials::Credentials, store},
    tuf::RoleName,
};

pub(super) fn run(args: &Push, out: &mut dyn Write) -> anyhow::Result<()> {
    let files = Files { metadata: metadata(&args.dir.join("metadata"))?, targets: targets(&args.dir.join("targets"))? };
    let url = args.to.trim_end_matches('/');
    let ca_bundle = args.ca.as_deref().map(read).transpose()?;
    let destination = Destination {
        metadata: format!("{url}/metadata"),
        targets: format!("{url}/targets"),
        tokens: args.tokens.clone(),
        ca_bundle,
        credentials: args.login.as_deref().map(login).transpose()?,
    };
    let pushed = crate::cli::runtime()?.block_on(push(&destination, &files))?;
    writeln!(out, "{url}: {} files pushed, {} were there", pushed.uploaded, pushed.present)?;
    Ok(())
}

/// The credentials in a folder, as a Secret is mounted.
fn login(folder: &Path) -> anyhow::Result<Credentials> {
    let host = fs::read_to_string(folder.join("host"))
        .with_context(|| format!("{}: the file host names the host that it is for", folder.display()))?;
    let host = host.trim().to_ascii_lowercase();
    let host = host.strip_suffix(":443").unwrap_or(&host);
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or(".");
    let parent = folder.parent().unwrap_or(Path::new(""));
    Ok(Credentials::new(Arc::new(InFolder(parent.to_owned())), name, host))
}

/// All roots, and of every other role the version that is listed now.
fn metadata(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for number in 1u64.. {
        let name = format!("{number}.root.json");
        let path = folder.join(&name);
        // The first ones may have been left behind: clients have theirs.
        if !path.exists() && !files.is_empty() {
            break;
        }
        if path.exists() {
            files.insert(name, read(&path)?);
        } else if number > MAX_GAP {
            bail!("{}: there is no root", folder.display());
        }
    }
    let timestamp = read(&folder.join("timestamp.json"))?;
    let (snapshot_name, snapshot) = listed(folder, "snapshot.json", version_of(&timestamp, "snapshot.json")?)?;
    let document: Value = serde_json::from_slice(&snapshot).context("snapshot.json")?;
    let roles = document.pointer("/signed/meta").and_then(Value::as_object).context("snapshot.json lists no roles")?;
    for name in roles.keys() {
        let (name, bytes) = listed(folder, name, version_of(&snapshot, name)?)?;
        files.insert(name, bytes);
    }
    files.insert(snapshot_name, snapshot);
    files.insert("timestamp.json".to_owned(), timestamp);
    Ok(files)
}

/// Versions of the root that may be missing before the first one that is there.
const MAX_GAP: u64 = 1024;

fn version_of(bytes: &[u8], name: &str) -> anyhow::Result<u64> {
    let document: Value = serde_json::from_slice(bytes).with_context(|| format!("what lists {name}"))?;
    let entry = document.pointer("/signed/meta").and_then(|meta| meta.get(name));
    entry.and_then(|entry| entry.get("version")?.as_u64()).with_context(|| format!("{name} is not listed"))
}

/// The file of a role, and its name as clients ask for it, nothing encoded.
fn listed(folder: &Path, name: &str, version: u64) -> anyhow::Result<(String, Vec<u8>)> {
    let role = name.strip_suffix(".json").unwrap_or(name);
    let encoded = store::file_name(&RoleName::from(role));
    for (asked, file) in [(format!("{version}.{name}"), format!("{version}.{encoded}")), (name.to_owned(), encoded)] {
        let path = folder.join(file);
        if path.exists() {
            return Ok((asked, read(&path)?));
        }
    }
    bail!("{}: there is no version {version} of {name}", folder.display())
}

fn targets(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        if !current.exists() {
            continue;
        }
        let entries = fs::read_dir(&current).with_context(|| format!("cannot list {}", current.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder)?.to_str().with_context(|| path.display().to_string())?;
            files.insert(name.to_owned(), read(&path)?);
        }
    }
    Ok(files)
}
