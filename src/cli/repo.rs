//! `pratique repo`: makes and keeps a TUF repository of images and their supply chains.

#![expect(clippy::disallowed_methods, reason = "a publisher's layouts and links are files")]

mod args;
mod offline;
mod signer;

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use crate::{
    crypto::Sha256,
    image::Reference,
    publish::{
        Commit, KeyRing, LinkSource, NewImage, NewKey, NewLayout, NewRole, Plan, Publisher, Request, RoleKeyPlan, Side,
        SignedRole, SigningKey, metadata::Scope,
    },
    tuf::RoleChain,
};

use signer::Program;

pub use args::{
    AddImage, AddLayout, Command, Common, Delegate, Export, ImportSignatures, Init, KeyScheme, NewKeys, RetireLayout,
    Revoke, Rotate, Sign, Signer,
};

/// Folders within a folder of links: sublayouts within sublayouts.
const MAX_SUBLAYOUTS: usize = 8;

/// Does it. What the user is to know goes to `out`.
pub fn run(command: Command, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::Init(args) => init(&args, now, out),
        Command::AddLayout(args) => add_layout(args, now, out),
        Command::AddImage(args) => add_image(args, now, out),
        Command::Sign(args) => sign(&args, now, out),
        Command::ImportSignatures(args) => offline::import(&args, now, out),
        Command::Revoke(args) => revoke(&args, now, out),
        Command::RetireLayout(args) => retire_layout(&args, now, out),
        Command::Rotate(args) => rotate(&args, now, out),
        Command::Delegate(args) => delegate(args, now, out),
        Command::Status(common) => status(&common, now, out),
    }
}

fn init(args: &Init, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let plan = Plan {
        root: RoleKeyPlan { keys: args.root_keys, threshold: args.root_threshold },
        targets: RoleKeyPlan { keys: args.targets_keys, threshold: args.targets_threshold },
        online_role: args.online_role.clone(),
        scope: scope(args.paths.clone()),
        offline_validity: args.offline_validity,
        online_validity: args.online_validity,
        snapshot_validity: args.snapshot_validity,
        timestamp_validity: args.timestamp_validity,
        ..Plan::default()
    };
    let Common { dir, .. } = &args.common;
    let keys_dir = args.common.keys_dir();
    if keys_dir.exists() {
        bail!("{} already exists: name another folder for the new keys with --keys", keys_dir.display());
    }
    // Checked before a key is written, so that a refusal leaves nothing behind.
    if dir.join("metadata").exists() {
        bail!("{} already holds a repository", dir.display());
    }
    let mut keys = plan.generate_keys(args.scheme.into())?;
    keys.save_to(&keys_dir)?;
    let mut publisher = Publisher::init(dir, keys, &plan, now)?;
    report(&publisher.commit()?, out)?;
    writeln!(out, "keys: {0}/offline (move these off this machine) and {0}/online", keys_dir.display())?;
    writeln!(out, "root of trust to hand out: {}", dir.join("metadata/1.root.json").display())?;
    Ok(())
}

fn add_layout(args: AddLayout, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut publisher = args.common.open(now)?;
    let keys = args.public_keys.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    publisher.add_layout(NewLayout {
        path: args.path,
        bytes: read(&args.layout)?,
        keys,
        images: args.images,
        role: args.role,
    })?;
    args.export.finish(publisher, out).map(drop)
}

fn add_image(args: AddImage, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut publisher = args.common.open(now)?;
    let reference = Reference::parse(&args.reference)?;
    let manifest = read(&args.manifest)?;
    let digest = Sha256::of(&manifest);
    if let Some(wanted) = reference.digest
        && wanted != digest
    {
        bail!("{} has the digest sha256:{digest}, the reference says sha256:{wanted}", args.manifest.display());
    }
    let mut links = Vec::new();
    for path in &args.links {
        collect_links(path, &mut links)?;
    }
    let tags = reference.tag.map(|tag| tag.to_string()).into_iter().chain(args.tag).collect();
    let repository = reference.repository.to_string();
    let image = NewImage { repository, manifest, tags, layout: args.layout, links, role: args.role };
    let added = publisher.add_image(&image)?;
    args.export.finish(publisher, out)?;
    for path in &added.paths {
        writeln!(out, "listed {path}")?;
    }
    Ok(())
}

fn sign(args: &Sign, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    if Request::is_in(&args.common.dir)? {
        return offline::sign(args, now, out);
    }
    if args.show || args.replace {
        bail!("{} holds no request: --show and --replace are for one", args.common.dir.display());
    }
    let mut publisher = args.common.open(now)?;
    for role in &args.roles {
        publisher.renew(role)?;
    }
    args.export.finish(publisher, out).map(drop)
}

fn rotate(args: &Rotate, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut publisher = args.common.open(now)?;
    let offline = args.new.offline || matches!(args.role.as_str(), "root" | "targets");
    publisher.rotate(&args.role, side(offline), args.new.get()?, args.new.threshold)?;
    args.export.finish(publisher, out).map(drop)
}

fn delegate(args: Delegate, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut publisher = args.common.open(now)?;
    let role = NewRole {
        name: args.name,
        parent: args.parent,
        scope: scope(args.paths),
        terminating: args.terminating,
        threshold: args.new.threshold,
        validity: args.validity,
    };
    publisher.delegate(&role, side(args.new.offline), args.new.get()?)?;
    args.export.finish(publisher, out).map(drop)
}

fn revoke(args: &Revoke, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut publisher = args.common.open(now)?;
    let revoked = publisher.revoke(&args.role, parse_digest(&args.digest)?, &args.reason)?;
    let chain = publisher.chain(&args.role)?;
    let signed = args.export.finish(publisher, out)?;
    for path in &revoked.listed {
        writeln!(out, "no longer admitted: {path}")?;
    }
    let version = signed.iter().find(|signed| signed.role.as_str() == args.role).map(|signed| signed.version);
    version.map_or(Ok(()), |version| minimum(&chain, version, out))
}

/// Until its first refresh a new cluster knows nothing newer than what an attacker shows it (trust.md R6).
fn minimum(chain: &RoleChain, version: u64, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "hand out with the policy, so that no fresh cluster can be shown an older list:")?;
    writeln!(out, "  minimum: {{{chain}: {version}}}")?;
    Ok(())
}

fn retire_layout(args: &RetireLayout, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut publisher = args.common.open(now)?;
    let given: BTreeSet<Sha256> = args.digests.iter().map(|text| parse_digest(text)).collect::<Result<_, _>>()?;
    let digests = publisher.retire_layout(&args.role, &args.layout, (!given.is_empty()).then_some(given))?;
    args.export.finish(publisher, out)?;
    writeln!(out, "{} serves these digests and no others:", args.layout)?;
    for digest in digests {
        writeln!(out, "  sha256:{digest}")?;
    }
    Ok(())
}

fn status(common: &Common, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let publisher = common.open(now)?;
    for role in publisher.status()? {
        let left = role.expires.duration_since(now).as_hours();
        let expiry =
            if role.expires <= now { "EXPIRED".to_owned() } else { format!("in {}d {}h", left / 24, left % 24) };
        writeln!(
            out,
            "{} v{}: expires {} ({expiry}); {} of {} keys sign, {} at hand; {} targets",
            role.role, role.version, role.expires, role.threshold, role.keys, role.at_hand, role.targets
        )?;
    }
    Ok(())
}

impl NewKeys {
    fn get(&self) -> anyhow::Result<Vec<NewKey>> {
        if self.public_keys.is_empty() {
            return (0..self.count).map(|_| Ok(SigningKey::generate(self.scheme.into())?.into())).collect();
        }
        let read_key = |path: &PathBuf| NewKey::from_public(&read(path)?).with_context(|| path.display().to_string());
        self.public_keys.iter().map(read_key).collect()
    }
}

fn side(offline: bool) -> Side {
    if offline { Side::Offline } else { Side::Online }
}

fn scope(paths: Vec<String>) -> Scope {
    if paths.is_empty() { Scope::everything() } else { Scope::Paths(paths) }
}

impl Common {
    fn keys_dir(&self) -> PathBuf {
        // Beside the repository and not in it: the repository's folder is what gets served.
        self.keys.clone().unwrap_or_else(|| {
            let mut name = self.dir.components().as_path().as_os_str().to_owned();
            name.push(".keys");
            PathBuf::from(name)
        })
    }

    fn keys(&self) -> anyhow::Result<KeyRing> {
        let mut keys = KeyRing::open(&self.keys_dir())?;
        for Signer { keyid, command } in &self.signers {
            let program = Program::new(command, self.signer_timeout)?;
            keys.sign_elsewhere(keyid, Arc::new(program))?;
        }
        Ok(keys)
    }

    fn open(&self, now: Timestamp) -> anyhow::Result<Publisher> {
        Publisher::open(&self.dir, self.keys()?, now).with_context(|| format!("repository {}", self.dir.display()))
    }
}

fn report(commit: &Commit, out: &mut dyn Write) -> anyhow::Result<()> {
    commit.signed.iter().try_for_each(|signed| say_signed(signed, out))?;
    for role in &commit.pending {
        writeln!(out, "not signed: {role}: its keys are not here; run `pratique repo sign` where they are")?;
    }
    Ok(())
}

fn say_signed(signed: &SignedRole, out: &mut dyn Write) -> anyhow::Result<()> {
    let keys: Vec<&str> = signed.keyids.iter().map(|keyid| keyid.short()).collect();
    let by = if keys.is_empty() { "by nobody yet".to_owned() } else { format!("by {}", keys.join(", ")) };
    writeln!(out, "signed {} v{}, expires {}, {by}", signed.role, signed.version, signed.expires)?;
    Ok(())
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

fn parse_digest(text: &str) -> anyhow::Result<Sha256> {
    let hex = text.strip_prefix("sha256:").with_context(|| format!("{text:?} does not start with sha256:"))?;
    Ok(hex.parse()?)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests;
