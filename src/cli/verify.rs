//! `pratique verify` and `pratique explain`: one image, judged by the code that the webhook runs.

#![expect(clippy::disallowed_methods, reason = "the command line reads files")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::time::Instant;

use super::in_toto::{OnceEach, Runner};
use crate::{
    cluster::secrets::InFolder,
    crypto::Sha256,
    in_toto::Survey,
    policy::{self, FileName, Policy, UsedAs},
    repository::credentials::Secrets,
    tuf::TargetPath,
    verdict::{AdmittedBy, Verdict, picture, render},
    verifier::{FileQuestion, Question, TagUse, Verifier, World, named_files},
};

/// What to judge, and by what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy; the roots that it names are files beside it
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The folder that keeps what is trusted from one run to the next; without one nothing is remembered
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The namespace that the image is to run in
    #[arg(long, short, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// As what it is to be used
    #[arg(long, value_enum, default_value = "container")]
    used_as: Use,
    /// Judge as of this instant (RFC 3339) instead of now
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Seconds that the judgement may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
    /// Say nothing; the exit code tells
    #[arg(long, short)]
    quiet: bool,
    /// Judge a plain file by this rule: the argument is then the path of a file
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Run the commands of the layout's inspections in the working directory, as in-toto-verify does; the webhook never does
    #[arg(long)]
    run_inspections: bool,
    /// Seconds that one inspection may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "run_inspections")]
    inspection_timeout: u64,
    /// The target path of the file; by default its name
    #[arg(long, value_name = "PATH", requires = "rule")]
    target: Option<String>,
    /// The image: by digest, or by a tag that the repository signs; with --rule, a file
    #[arg(value_name = "IMAGE|FILE")]
    subject: String,
}

/// [`Args`], and how to show the verdict.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    args: Args,
    /// How to show it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// What was checked, for a terminal
    Text,
    /// The same as data
    Json,
    /// A picture of the supply chain, with what is broken in red
    Svg,
    /// The same for Graphviz
    Dot,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Use {
    Container,
    Init,
    Ephemeral,
    Volume,
}

/// The verdict in a line or a few. Returns the exit code: 0 admitted, 1 refused, 2 not judged.
pub fn run(args: &Args, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    let (verdict, _) = judge(args, now, false)?;
    if !args.quiet {
        out.write_all(summary(&verdict).as_bytes())?;
    }
    Ok(exit_code(&verdict))
}

/// The verdict with what was checked for it. Returns the same exit code.
pub fn explain(args: &ExplainArgs, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    let (verdict, surveys) = judge(&args.args, now, true)?;
    match args.format {
        Format::Json => {
            let mut value = verdict.to_json();
            if let Some(members) = value.as_object_mut() {
                members.insert("supplyChains".to_owned(), surveys.iter().map(picture::json).collect());
            }
            writeln!(out, "{value:#}")?;
        }
        Format::Text => {
            out.write_all(crate::verdict::explain(&verdict).as_bytes())?;
            // What was proven is told already.
            if verdict.refusal().is_some() {
                surveys.iter().try_for_each(|survey| out.write_all(picture::text(survey).as_bytes()))?;
            }
        }
        Format::Svg => out.write_all(picture::svg(&surveys).as_bytes())?,
        Format::Dot => out.write_all(picture::dot(&surveys).as_bytes())?,
    }
    Ok(exit_code(&verdict))
}

fn exit_code(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Admitted(_) => 0,
        Verdict::Refused(refusal) => refusal.class().exit_code(),
    }
}

pub(super) fn summary(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Refused(refusal) => render::message(&[refusal], 1) + "\n",
        Verdict::Admitted(admitted) => {
            let judged = admitted.judged();
            let digest = judged.digest.map(|digest| format!(" (sha256:{digest})")).unwrap_or_default();
            let rule = judged.rule.as_deref().unwrap_or("default");
            let by = match admitted.by() {
                AdmittedBy::Proof(_) => "verified".to_owned(),
                AdmittedBy::Exemption(exemption) => format!("not verified: {}", exemption.reason),
                AdmittedBy::Leniency { mode, refusal } => {
                    format!("mode {}: [{}] {}", mode.as_str(), refusal.code(), refusal.cause)
                }
            };
            format!("admitted: {}{digest} by rule {rule:?}: {by}\n", crate::verdict::sanitise(&judged.reference))
        }
    }
}

fn judge(args: &Args, now: Timestamp, surveyed: bool) -> anyhow::Result<(Verdict, Vec<Survey>)> {
    let now = args.at.unwrap_or(now);
    super::runtime()?.block_on(async {
        let world = local_world(&args.policy, args.state.as_deref()).await?;
        let deadline = Instant::now() + Duration::from_secs(args.timeout);
        // One refresh before, so that an older set in the cache is never the last word of a single run.
        for (_, repository) in world.repositories() {
            if let Err(error) = repository.refresh(now).await {
                tracing::warn!(repository = %repository.name(), %error, "the refresh failed");
                // Where no network leads, what was brought in serves until it expires, as it does the webhook.
                if error.is_outage()
                    && let Err(error) = repository.load_cache(now).await
                {
                    tracing::warn!(repository = %repository.name(), %error, "nothing to go on with in the state");
                }
            }
        }
        let mut verifier = Verifier::default();
        if args.run_inspections {
            let runner = Runner::new(Path::new("."), Duration::from_secs(args.inspection_timeout));
            verifier = verifier.running(Arc::new(OnceEach::new(runner)));
        }
        if let Some(rule) = &args.rule {
            let (path, digest) = file(args)?;
            let rule = world.policy().rules().iter().find(|known| known.name().as_str() == rule);
            let rule = rule.with_context(|| format!("{} has no such rule", args.policy.display()))?;
            let question = FileQuestion { rule, path: &path, digest };
            let verdict = verifier.verify_file(&world, &question, now, deadline).await;
            let surveys = match surveyed {
                true => verifier.survey_file(&world, &question, now, deadline).await,
                false => Vec::new(),
            };
            return Ok((verdict, surveys));
        }
        let question = Question {
            field: "",
            reference: &args.subject,
            namespace: &args.namespace,
            budgeted: false,
            used_as: match args.used_as {
                Use::Container => UsedAs::Container,
                Use::Init => UsedAs::Init,
                Use::Ephemeral => UsedAs::Ephemeral,
                Use::Volume => UsedAs::Volume,
            },
            tag: TagUse::NamesNow,
            moment: None,
        };
        let verdict = verifier.verify(&world, &question, now, deadline).await;
        let surveys = match surveyed {
            true => verifier.survey(&world, &question, now, deadline).await,
            false => Vec::new(),
        };
        Ok((verdict, surveys))
    })
}

/// The target path and the digest of the file that is asked about.
fn file(args: &Args) -> anyhow::Result<(TargetPath, Sha256)> {
    let file = Path::new(&args.subject);
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    let name = || file.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let target = args.target.clone().or_else(name);
    let path = TargetPath::from(target.with_context(|| format!("{}: give --target", file.display()))?);
    Ok((path, Sha256::of(&bytes)))
}

/// The world of a policy in a file, with the roots that it names beside it.
pub(super) async fn local_world(path: &Path, state: Option<&Path>) -> anyhow::Result<World> {
    world_of(read_policy(path)?, path.parent().unwrap_or(Path::new(".")), state).await
}

/// The world of a policy, with the roots that it names in a folder, and a folder in that for each Secret.
pub(super) async fn world_of(policy: Policy, roots: &Path, state: Option<&Path>) -> anyhow::Result<World> {
    let files = read_beside(roots, named_files(&policy))?;
    let secrets: Arc<dyn Secrets> = Arc::new(InFolder(roots.to_owned()));
    World::build(Arc::new(policy), &files, state, None, Some(&secrets))
        .await
        .map_err(|error| anyhow::anyhow!("[{}] {error}", error.code()))
}

/// The files of a folder that a policy names.
pub(super) fn read_beside(folder: &Path, names: BTreeSet<&FileName>) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let read = |name: &FileName| {
        let file = folder.join(name.as_str());
        let bytes = fs::read(&file).with_context(|| format!("{}, which the policy names", file.display()))?;
        Ok((name.as_str().to_owned(), bytes))
    };
    names.into_iter().map(read).collect()
}

/// A policy in a file.
pub(super) fn read_policy(path: &Path) -> anyhow::Result<Policy> {
    Policy::parse(&read_text(path)?).map_err(|error| unloadable(error, path))
}

/// The error of a policy, with its code and under the name of its file.
pub(super) fn unloadable(error: policy::Error, path: &Path) -> anyhow::Error {
    anyhow::anyhow!("[{}] {}", error.code(), error.in_file(&path.display().to_string()))
}

/// A file's text.
pub(super) fn read_text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}
