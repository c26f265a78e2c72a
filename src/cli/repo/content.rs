//! Publishing images, files, and the layouts that they come with.

#![expect(clippy::disallowed_methods, reason = "a publisher's layouts and links are files")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::Value;

use super::{Add, AddImage, AddLayout, lint, read};
use crate::{
    crypto::{Sha256, json},
    image::{
        Reference,
        manifest::{self, Child, Manifest},
    },
    in_toto::is_attestation,
    publish::{LinkSource, NewFile, NewImage, NewLayout},
};

/// Folders within a folder of links: sublayouts within sublayouts.
const MAX_SUBLAYOUTS: usize = 8;

pub(super) fn add_layout(args: AddLayout, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut publisher = args.common.open(now)?;
    let keys = args.public_keys.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    let bytes = read(&args.layout)?;
    publisher.add_layout(NewLayout {
        path: args.path,
        bytes: bytes.clone(),
        keys,
        images: args.images,
        role: args.role,
    })?;
    args.export.finish(publisher, out)?;
    // It is published all the same: what is found is allowed, and may be meant.
    lint::say(&args.layout, &bytes, out).map(drop)
}

pub(super) fn add_image(args: AddImage, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut publisher = args.common.open(now)?;
    let reference = Reference::parse(&args.reference)?;
    let manifest = read(&args.manifest)?;
    let digest = Sha256::of(&manifest);
    if let Some(wanted) = reference.digest
        && wanted != digest
    {
        bail!("{} has the digest sha256:{digest}, the reference says sha256:{wanted}", args.manifest.display());
    }
    let links = evidence(&args.links, &args.attestations)?;
    let tags = reference.tag.map(|tag| tag.to_string()).into_iter().chain(args.tag).collect();
    let repository = reference.repository.to_string();
    let image = NewImage { repository, manifest, tags, layout: args.layout, links, role: args.role };
    let added = publisher.add_image(&image)?;
    let (children, missing) = if args.no_children {
        (Vec::new(), Vec::new())
    } else {
        children(&args.manifest, args.children.as_deref(), &image.manifest)?
    };
    let listed = if children.is_empty() { Vec::new() } else { publisher.add_children(&image, &added, &children)? };
    args.export.finish(publisher, out)?;
    for path in added.paths.iter().chain(&listed) {
        writeln!(out, "listed {path}")?;
    }
    for child in missing {
        writeln!(out, "not listed: {child}: its manifest is not here; name a folder with --children")?;
    }
    Ok(())
}

pub(super) fn add(args: Add, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut publisher = args.common.open(now)?;
    let links = evidence(&args.links, &args.attestations)?;
    let custom = match &args.custom {
        None => serde_json::Map::new(),
        Some(path) => match json::parse(&read(path)?).with_context(|| path.display().to_string())? {
            Value::Object(members) => members,
            _ => bail!("{} is not a JSON object", path.display()),
        },
    };
    let file =
        NewFile { path: args.path, bytes: read(&args.file)?, layout: args.layout, links, custom, role: args.role };
    let added = publisher.add_file(&file)?;
    args.export.finish(publisher, out)?;
    for path in &added.paths {
        writeln!(out, "listed {path}, sha256:{}", added.digest)?;
    }
    Ok(())
}

/// The manifests of an index that are in a folder, and those that are not. In a folder that was named all must be.
/// Entries for no platform, such as those that builders make for attestations, are no images that a pod could name.
fn children(beside: &Path, named: Option<&Path>, manifest: &[u8]) -> anyhow::Result<(Vec<Vec<u8>>, Vec<String>)> {
    let Manifest::Index { children } = manifest::parse(manifest)? else {
        if named.is_some() {
            bail!("{} is no index: --children is for one", beside.display());
        }
        return Ok((Vec::new(), Vec::new()));
    };
    let folder = named.or(beside.parent()).unwrap_or(Path::new("."));
    let is_image = |child: &&Child| child.platform.as_ref().is_none_or(|platform| platform.os != manifest::NO_IMAGE);
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for child in children.iter().filter(is_image) {
        let digest = child.descriptor.digest;
        match find(folder, digest)? {
            Some(bytes) => found.push(bytes),
            None if named.is_some() => bail!("{} has no file of the manifest sha256:{digest}", folder.display()),
            None => {
                let platform = child.platform.as_ref().map(|platform| format!(" ({platform})")).unwrap_or_default();
                missing.push(format!("child sha256:{digest}{platform}"));
            }
        }
    }
    Ok((found, missing))
}

/// A file that is named by its digest.
fn find(folder: &Path, digest: Sha256) -> anyhow::Result<Option<Vec<u8>>> {
    for name in [format!("{digest}"), format!("{digest}.json"), format!("sha256:{digest}"), format!("sha256-{digest}")]
    {
        let path = folder.join(name);
        if !path.is_file() {
            continue;
        }
        let bytes = read(&path)?;
        if Sha256::of(&bytes) != digest {
            bail!(
                "{} has the digest sha256:{}, and not the one that it is named by",
                path.display(),
                Sha256::of(&bytes)
            );
        }
        return Ok(Some(bytes));
    }
    Ok(None)
}

/// Reads links and attestations.
fn evidence(paths: &[PathBuf], attestations: &[PathBuf]) -> anyhow::Result<Vec<LinkSource>> {
    let mut links = Vec::new();
    for path in paths {
        collect_links(path, &mut links)?;
    }
    for path in attestations {
        let (name, bytes) = (file_name(path)?.to_owned(), read(path)?);
        if !is_attestation(&bytes) {
            bail!("{}: no file of attestations: DSSE envelopes with Statements, one or one a line", path.display());
        }
        links.push(LinkSource { name, bytes });
    }
    Ok(links)
}

/// Reads a link, or a folder of links in which the links of a sublayout are in a folder named like it.
fn collect_links(path: &Path, links: &mut Vec<LinkSource>) -> anyhow::Result<()> {
    if path.is_dir() {
        return collect_folder(path, "", MAX_SUBLAYOUTS, links);
    }
    links.push(LinkSource { name: file_name(path)?.to_owned(), bytes: read(path)? });
    Ok(())
}

fn collect_folder(dir: &Path, below: &str, deeper: usize, links: &mut Vec<LinkSource>) -> anyhow::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("cannot list {}", dir.display()))?;
    entries.sort();
    for entry in entries {
        let name = format!("{below}{}", file_name(&entry)?);
        if entry.is_dir() {
            let Some(deeper) = deeper.checked_sub(1) else {
                bail!("{}: more than {MAX_SUBLAYOUTS} folders deep", entry.display());
            };
            collect_folder(&entry, &format!("{name}/"), deeper, links)?;
        } else {
            links.push(LinkSource { name, bytes: read(&entry)? });
        }
    }
    Ok(())
}

fn file_name(path: &Path) -> anyhow::Result<&str> {
    path.file_name().and_then(|name| name.to_str()).with_context(|| format!("{}: no file name", path.display()))
}
