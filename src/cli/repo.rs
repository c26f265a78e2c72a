//! `pratique repo`: makes and keeps a TUF repository of images and their supply chains.

#![expect(clippy::disallowed_methods, reason = "a publisher's layouts and links are files")]

mod args;
mod content;
mod lint;
mod offline;
mod push;
mod signer;
mod upkeep;

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
    publish::{
        Bins, Commit, KeyRing, NewKey, NewRole, Plan, Publisher, Request, RoleKeyPlan, Side, SignedRole, SigningKey,
        metadata::Scope,
    },
    tuf::RoleChain,
};

use signer::Program;

pub use args::{
    Add, AddImage, AddLayout, Adopt, Command, Common, Delegate, Export, ImportSignatures, Init, KeyScheme, Lint,
    NewKeys, Preset, Push, Renew, RetireLayout, Revoke, Rotate, Sign, Signer,
};

/// Does it. What the user is to know goes to `out`. The exit code is 1 where something expires soon that could not be
/// renewed, or a layout says what its author hardly means, and else 0.
pub fn run(command: Command, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    match command {
        Command::Init(args) => init(&args, now, out),
        Command::AddLayout(args) => content::add_layout(args, now, out),
        Command::AddImage(args) => content::add_image(args, now, out),
        Command::Add(args) => content::add(args, now, out),
        Command::Adopt(args) => upkeep::adopt(args, now, out),
        Command::Renew(args) => return upkeep::renew(&args, now, out),
        Command::Lint(args) => return lint::run(&args, out),
        Command::Sign(args) => sign(&args, now, out),
        Command::ImportSignatures(args) => offline::import(&args, now, out),
        Command::Revoke(args) => revoke(&args, now, out),
        Command::RetireLayout(args) => retire_layout(&args, now, out),
        Command::Rotate(args) => rotate(&args, now, out),
        Command::Delegate(args) => delegate(args, now, out),
        Command::Push(args) => push::run(&args, out),
        Command::Status(common) => upkeep::status(&common, now, out),
    }?;
    Ok(0)
}

fn init(args: &Init, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let several = args.preset == Some(Preset::Ite3);
    let (keys, threshold) = if several { (3, 2) } else { (1, 1) };
    let plan_of = |given: (Option<u32>, Option<u32>)| RoleKeyPlan {
        keys: given.0.unwrap_or(keys),
        threshold: given.1.unwrap_or(threshold),
    };
    let plan = Plan {
        root: plan_of((args.root_keys, args.root_threshold)),
        targets: plan_of((args.targets_keys, args.targets_threshold)),
        online_role: if several { String::new() } else { args.online_role.clone() },
        scope: if args.preset.is_some() { Scope::every_depth() } else { scope(args.paths.clone()) },
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
    if several {
        let key = SigningKey::generate(args.scheme.into())?;
        publisher.delegate_ite3(key, args.online_validity, args.offline_validity)?;
    }
    report(&publisher.commit()?, out)?;
    writeln!(out, "keys: {0}/offline (move these off this machine) and {0}/online", keys_dir.display())?;
    writeln!(out, "root of trust to hand out: {}", dir.join("metadata/1.root.json").display())?;
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
    let (side, keys) = (side(args.new.offline), args.new.get()?);
    match (args.hash_bins, args.succinct_bits) {
        (Some(count), _) => drop(publisher.delegate_bins(&role, Bins::HashPrefixes(count), side, keys)?),
        (None, Some(bits)) => drop(publisher.delegate_bins(&role, Bins::Succinct(bits), side, keys)?),
        (None, None) => publisher.delegate(&role, side, keys)?,
    }
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
        for Signer { key: keyid, command } in &self.signers {
            let program = Program::new(command, self.signer_timeout)?;
            let file = Path::new(keyid);
            if file.is_file() {
                let public = NewKey::from_public(&read(file)?).with_context(|| file.display().to_string())?;
                keys.sign_elsewhere_with(&public, Arc::new(program))?;
            } else {
                keys.sign_elsewhere(keyid, Arc::new(program))?;
            }
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

fn parse_digest(text: &str) -> anyhow::Result<Sha256> {
    let hex = text.strip_prefix("sha256:").with_context(|| format!("{text:?} does not start with sha256:"))?;
    Ok(hex.parse()?)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests;
