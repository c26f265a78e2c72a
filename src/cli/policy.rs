//! `pratique policy`: what the webhook would make of a policy, before it is applied.

mod blast;
mod test;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use jiff::Timestamp;

use super::verify::{read_beside, read_policy, read_text, unloadable};
use crate::{
    cluster::secrets::InFolder,
    policy::{self, Policy, PromoteError, Weak},
    repository::credentials::Secrets,
    verifier::{World, named_files},
};

/// What to do with a policy.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Read a policy: exit code 0 it loads, 1 it loads with warnings and --strict was given, 2 it does not load
    Check(Check),
    /// Write the policy with its next rules in the place of those in force, comments kept
    Promote(Promote),
    /// Judge the images of a file of cases: exit code 0 all are as expected, 1 some are not, 2 that cannot be told
    Test(test::Test),
    /// Say whose keys would have to be stolen for an image to run that nobody made: exit code 1 if online ones are enough
    /// and --strict was given
    Blast(blast::Args),
    /// Print the JSON Schema of policies, for editors
    Schema,
}

/// `policy promote`.
#[derive(Debug, clap::Args)]
pub struct Promote {
    /// The policy
    file: PathBuf,
    /// Where to write the result; it may be the same file. By default it is printed
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// `policy check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The policy, as it stands in the key policy.yaml of the ConfigMap
    file: PathBuf,
    /// Fail on warnings: rules that no image reaches, repositories that no rule names, keys that are not separate
    #[arg(long)]
    strict: bool,
    /// The folder with the roots that the policy names; by default that of the policy
    #[arg(long, value_name = "DIR")]
    roots: Option<PathBuf>,
    /// Also read the repositories, and compare the keys of the roles that sign layouts with those that are online
    #[arg(long)]
    fetch: bool,
}

/// Runs one of them.
pub fn run(command: &Command, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    match command {
        Command::Check(args) => check(args, now, out),
        Command::Promote(args) => promote(args, out),
        Command::Test(args) => test::run(args, now, out),
        Command::Blast(args) => blast::run(args, now, out),
        Command::Schema => {
            writeln!(out, "{:#}", policy::schema())?;
            Ok(0)
        }
    }
}

fn promote(args: &Promote, out: &mut dyn Write) -> anyhow::Result<u8> {
    let text = read_text(&args.file)?;
    let promoted = policy::promote(&text).map_err(|error| match error {
        PromoteError::Policy(error) => unloadable(error, &args.file),
        other => anyhow::anyhow!("{}: {other}", args.file.display()),
    })?;
    match &args.output {
        Some(output) => write(output, &promoted)?,
        None => out.write_all(promoted.as_bytes())?,
    }
    Ok(0)
}

#[expect(clippy::disallowed_methods, reason = "the command line writes files")]
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn check(args: &Check, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    let policy = Arc::new(read_policy(&args.file)?);
    let mut warnings: Vec<String> = policy.warnings().iter().map(ToString::to_string).collect();
    let roots = args.roots.as_deref().or(args.file.parent()).unwrap_or(Path::new("."));
    if args.fetch {
        warnings.extend(super::runtime()?.block_on(fetch(&policy, roots, now))?);
    }
    for warning in &warnings {
        writeln!(out, "warning: {}: {warning}", args.file.display())?;
    }
    for (list, rules) in [("", policy.rules()), ("next ", policy.next().unwrap_or_default())] {
        for rule in rules.iter().filter(|rule| rule.is_weak()) {
            let words: Vec<String> = rule.weak().iter().map(Weak::to_string).collect();
            writeln!(out, "weak: {list}rule {}: {}", rule.name(), words.join(", "))?;
        }
    }
    writeln!(
        out,
        "{}: loads: {} repositories, {} rules, {} of them weak, {} warnings",
        args.file.display(),
        policy.repositories().len(),
        policy.rules().len(),
        policy.weak_rules().count(),
        warnings.len()
    )?;
    Ok(u8::from(args.strict && !warnings.is_empty()))
}

async fn fetch(policy: &Arc<Policy>, roots: &Path, now: Timestamp) -> anyhow::Result<Vec<String>> {
    let files: BTreeMap<String, Vec<u8>> = read_beside(roots, named_files(policy))?;
    let secrets: Arc<dyn Secrets> = Arc::new(InFolder(roots.to_owned()));
    let world = World::build(policy.clone(), &files, None, None, Some(&secrets)).await?;
    let mut warnings = Vec::new();
    for (_, repository) in world.repositories() {
        let name = repository.name();
        repository.refresh(now).await.map_err(|error| anyhow::anyhow!("[{}] {name}: {error}", error.code()))?;
        for warning in world.separation(repository) {
            warnings.push(format!("[trust/no-separation] repository {name}: {warning}"));
        }
    }
    Ok(warnings)
}
