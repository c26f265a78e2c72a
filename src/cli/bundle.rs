//! `pratique bundle`: all that some images need, carried as one file to where no network leads.

#![expect(clippy::disallowed_methods, reason = "bundles and states are files")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::verify::{read_beside, read_policy, summary};
use crate::{
    cluster::secrets::InFolder,
    evidence::RepositoryName,
    image::Reference,
    policy::{Policy, UsedAs},
    repository::{
        Repository,
        bundle::{self, Bundle},
        credentials::Secrets,
        store::write_atomically,
        transport::Recording,
    },
    tuf::fetch::FetchBase,
    verdict::{Class, Verdict},
    verifier::{Question, TagUse, Verifier, Via, World, named_files},
};

/// How long one image may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What to do with a bundle.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Fetch all that some images need, verify it, and write it into one file
    Export(Export),
    /// Verify a bundle and take it into a state, from which `verify --state` judges: all of it or nothing
    Import(Import),
    /// Verify a bundle and write one repository of it into a folder that a web server may serve to clusters
    Unpack(Unpack),
}

/// `bundle export`.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// The policy; the roots that it names are files beside it
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// An image, by digest or by a tag that the repository signs; repeatable
    #[arg(long = "image", value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// The namespace that the images are to run in
    #[arg(long, short, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// The bundle to write
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
}

/// `bundle import`.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The policy; the roots that it names are files beside it
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The folder that keeps what is trusted from one run to the next
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// The namespace that the images are to run in
    #[arg(long, short, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// The bundle to read
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
}

/// `bundle unpack`.
#[derive(Debug, clap::Args)]
pub struct Unpack {
    /// The policy; the roots that it names are files beside it
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The repository, if the bundle has several
    #[arg(long, value_name = "NAME")]
    repository: Option<RepositoryName>,
    /// The namespace that the images are to run in
    #[arg(long, short, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// The bundle to read
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
    /// The folder: metadata/ and targets/ in it are what is served
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Does it. Returns the exit code: 1 where an image is refused.
pub fn run(command: &Command, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    super::runtime()?.block_on(async {
        match command {
            Command::Export(args) => export(args, now, out).await,
            Command::Import(args) => import(args, now, out).await,
            Command::Unpack(args) => unpack(args, now, out).await,
        }
    })
}

async fn export(args: &Export, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    let place = Judging::new(&args.policy, &args.namespace, now)?;
    let names = place.policy.repositories().keys().cloned();
    let recordings: BTreeMap<RepositoryName, Recording> = names.map(|name| (name, Recording::default())).collect();
    let world = place.world(None, Via::Recorded(&recordings)).await?;
    for (_, repository) in world.repositories() {
        if let Err(error) = repository.refresh(now).await {
            tracing::warn!(repository = %repository.name(), %error, "the refresh failed");
        }
    }
    let (verifier, mut images) = (Verifier::default(), BTreeSet::new());
    for image in &args.images {
        let verdict = place.judge(&verifier, &world, image).await;
        let Some(digest) = admitted(&verdict, out)? else { return Ok(exit_code(&verdict)) };
        images.insert(image.clone());
        // A Pod names the digest, whatever a template says.
        let pinned = format!("{}@sha256:{digest}", Reference::parse(image)?.repository);
        let verdict = place.judge(&verifier, &world, &pinned).await;
        if admitted(&verdict, out)?.is_none() {
            return Ok(exit_code(&verdict));
        }
        images.insert(pinned);
    }
    let held = recordings.into_iter().map(|(name, recording)| (name, recording.held()));
    let bundle = Bundle { images, repositories: held.filter(|(_, held)| !held.is_empty()).collect() };
    let bytes = bundle.write().context("the bundle")?;
    // As whoever imports it: with nothing else, and remembering nothing.
    let world = place.world(None, Via::Bundle(&bundle)).await?;
    place.take_in(&world, &bundle).await.context("the bundle would not be taken")?;
    write_atomically(&absolute(&args.bundle)?, &bytes).with_context(|| args.bundle.display().to_string())?;
    let files: usize = bundle.repositories.values().map(BTreeMap::len).sum();
    writeln!(out, "{}: {} images, {files} files, {} bytes", args.bundle.display(), bundle.images.len(), bytes.len())?;
    Ok(0)
}

async fn import(args: &Import, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    let place = Judging::new(&args.policy, &args.namespace, now)?;
    let name = || args.bundle.display().to_string();
    let bundle = place.read(&args.bundle)?;
    // First beside the state and with what that remembers: what is refused there has changed nothing here.
    let trial = tempfile::tempdir()?;
    copy_metadata(&args.state, trial.path())?;
    let world = place.world(Some(trial.path()), Via::Bundle(&bundle)).await?;
    place.take_in(&world, &bundle).await.with_context(name)?;

    let world = place.world(Some(&args.state), Via::Bundle(&bundle)).await?;
    let verdicts = place.take_in(&world, &bundle).await.with_context(name)?;
    for (_, repository) in world.repositories() {
        if let (Some(generation), true) = (repository.generation(), bundle.repositories.contains_key(repository.name()))
        {
            let trusted = generation.trusted();
            writeln!(
                out,
                "{}: root v{}, timestamp v{}, expires {}",
                repository.name(),
                trusted.root().version,
                trusted.timestamp().version,
                trusted.timestamp().expires
            )?;
        }
    }
    let mut code = 0;
    for verdict in &verdicts {
        out.write_all(summary(verdict).as_bytes())?;
        code = code.max(exit_code(verdict));
    }
    Ok(code)
}

async fn unpack(args: &Unpack, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    let place = Judging::new(&args.policy, &args.namespace, now)?;
    let bundle = place.read(&args.bundle)?;
    let mut named =
        bundle.repositories.iter().filter(|(name, _)| args.repository.as_ref().is_none_or(|wanted| wanted == *name));
    let (Some((name, held)), None) = (named.next(), named.next()) else {
        let known: Vec<&str> = bundle.repositories.keys().map(RepositoryName::as_str).collect();
        bail!("{}: name one of its repositories with --repository: {}", args.bundle.display(), known.join(", "));
    };
    let world = place.world(None, Via::Bundle(&bundle)).await?;
    place.take_in(&world, &bundle).await.with_context(|| args.bundle.display().to_string())?;
    let is_plain = |path: &str| {
        let plain = |segment: &str| !matches!(segment, "" | "." | "..") && segment.len() < 256;
        path.split('/').all(plain) && !path.contains(['\\', '\0'])
    };
    if let Some((_, path)) = held.keys().find(|(_, path)| !is_plain(path)) {
        bail!("{}: {path:?} is not the path of a file below a folder", args.bundle.display());
    }
    let served = args.dir.join("metadata/timestamp.json");
    let version = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok()?.pointer("/signed/version")?.as_u64();
    let key = (FetchBase::Metadata, "timestamp.json".to_owned());
    let timestamp = held.get(&key).context("the bundle has no timestamp")?;
    if let Ok(before) = fs::read(&served) {
        let (before, after) = (version(&before), version(timestamp));
        ensure!(before <= after, "{}: timestamp v{} is served there", args.dir.display(), before.unwrap_or_default());
    }
    let others = held.iter().filter(|(other, _)| **other != key);
    // What is named is there before what names it.
    for ((base, path), bytes) in others.chain([(&key, timestamp)]) {
        let folder = if *base == FetchBase::Metadata { "metadata" } else { "targets" };
        let file = absolute(&args.dir.join(folder).join(path))?;
        let parent = file.parent().context("a file is in a folder")?;
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        write_atomically(&file, bytes).with_context(|| file.display().to_string())?;
    }
    writeln!(out, "{}: {} files of {name}", args.dir.display(), held.len())?;
    Ok(0)
}

/// A policy, and how images are judged by it.
struct Judging<'a> {
    policy: Arc<Policy>,
    roots: PathBuf,
    namespace: &'a str,
    now: Timestamp,
}

impl<'a> Judging<'a> {
    fn new(policy: &Path, namespace: &'a str, now: Timestamp) -> anyhow::Result<Self> {
        let roots = policy.parent().unwrap_or(Path::new(".")).to_owned();
        Ok(Self { policy: Arc::new(read_policy(policy)?), roots, namespace, now })
    }

    /// A bundle of repositories that the policy names.
    fn read(&self, path: &Path) -> anyhow::Result<Bundle> {
        let name = || path.display().to_string();
        let bundle = Bundle::read(&read(path)?).with_context(name)?;
        for repository in bundle.repositories.keys() {
            let known = self.policy.repositories().contains_key(repository);
            ensure!(known, "{}: it has files of the repository {repository}, which the policy does not name", name());
        }
        Ok(bundle)
    }

    async fn world(&self, state: Option<&Path>, via: Via<'_>) -> anyhow::Result<World> {
        let files = read_beside(&self.roots, named_files(&self.policy))?;
        let secrets: Arc<dyn Secrets> = Arc::new(InFolder(self.roots.clone()));
        World::build_via(self.policy.clone(), &files, state, Some(&secrets), via)
            .await
            .map_err(|error| anyhow::anyhow!("[{}] {error}", error.code()))
    }

    async fn judge(&self, verifier: &Verifier, world: &World, image: &str) -> Verdict {
        let question = Question {
            field: "",
            reference: image,
            namespace: self.namespace,
            budgeted: false,
            used_as: UsedAs::Container,
            tag: TagUse::NamesNow,
            moment: None,
        };
        verifier.verify(world, &question, self.now, Instant::now() + PATIENCE).await
    }

    /// Runs the client workflow on every repository of a bundle, and judges its images. What they turn out to be is no
    /// reason to refuse the bundle, which may be the one that revokes them; that something is missing in it is, or that
    /// something does not verify as the repository's.
    async fn take_in(&self, world: &World, bundle: &Bundle) -> anyhow::Result<Vec<Verdict>> {
        let verifier = Verifier::default();
        for (_, repository) in world.repositories() {
            if bundle.repositories.contains_key(repository.name()) {
                refreshed(repository, self.now).await?;
            }
        }
        let mut verdicts = Vec::new();
        for image in &bundle.images {
            let verdict = self.judge(&verifier, world, image).await;
            if let Verdict::Refused(refusal) = &verdict
                && (refusal.class() != Class::Denied || is_of_repository(refusal.code()))
            {
                bail!("{}", summary(&verdict).trim_end());
            }
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }
}

/// Whether a refusal is about the files of a repository, and not about what they say of an image.
fn is_of_repository(code: &str) -> bool {
    code.starts_with("tuf/") && code != "tuf/revoked"
}

async fn refreshed(repository: &Repository, now: Timestamp) -> anyhow::Result<()> {
    let refreshed = repository.refresh(now).await;
    refreshed.map(drop).map_err(|error| anyhow::anyhow!("repository {}: [{}] {error}", repository.name(), error.code()))
}

/// The digest of an image that is admitted; else what is wrong with it goes out.
fn admitted(verdict: &Verdict, out: &mut dyn Write) -> anyhow::Result<Option<crate::crypto::Sha256>> {
    if let Verdict::Admitted(admitted) = verdict {
        let digest = admitted.judged().digest;
        return digest.context("an image without a digest needs nothing from a bundle").map(Some);
    }
    out.write_all(summary(verdict).as_bytes())?;
    Ok(None)
}

fn exit_code(verdict: &Verdict) -> u8 {
    verdict.refusal().map_or(0, |refusal| refusal.class().exit_code())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let named = || path.display().to_string();
    let limit = u64::try_from(bundle::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    fs::File::open(path).with_context(named)?.take(limit).read_to_end(&mut bytes).with_context(named)?;
    Ok(bytes)
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| path.display().to_string())
}

/// What a state remembers of repositories, without their target files, which are no floor for anything.
fn copy_metadata(state: &Path, to: &Path) -> anyhow::Result<()> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let from = state.join(&folder);
        if !from.exists() {
            continue;
        }
        fs::create_dir_all(to.join(&folder))?;
        for entry in fs::read_dir(&from).with_context(|| from.display().to_string())? {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            if !entry.path().is_dir() {
                fs::copy(entry.path(), to.join(&name)).with_context(|| entry.path().display().to_string())?;
            } else if entry.file_name() != "targets" || folder == Path::new("") {
                folders.push(name);
            }
        }
    }
    Ok(())
}
