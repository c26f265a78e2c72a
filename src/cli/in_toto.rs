//! `pratique in-toto verify`: verifies a supply chain in files, with the options of `in-toto-verify`.

#![expect(clippy::disallowed_methods, reason = "the command line reads files")]

mod inspections;
mod keyring;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;

use crate::in_toto::{
    self, AttestationFile, Inspections, Inspector, LayoutKey, Limits, LinkFile, LinkName, Lint, Options, PredicateType,
    Statements, StepName, Sublayouts, SupplyChain, Verified,
};

pub use inspections::{OnceEach, Runner};

/// Verify a supply chain: the layout, its links, and the rules that tie them together
///
/// Exit code 0: verified. 1: refused. 2: the question could not be asked.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("attested").args(["statements", "predicates"]).multiple(true))]
pub struct Args {
    /// The layout that says how the product had to be made
    #[arg(short, long, value_name = "PATH")]
    layout: PathBuf,
    /// Keys of which each must have signed the layout: PEM, securesystemslib JSON or OpenPGP
    #[arg(short = 'k', long, visible_alias = "verification-keys", value_name = "PATH", num_args = 1..)]
    layout_keys: Vec<PathBuf>,
    /// The types of the keys in the same order (rsa, ed25519, ecdsa); the files say it as well
    #[arg(short = 't', long, value_name = "TYPE", num_args = 1..)]
    key_types: Vec<String>,
    /// Ids of OpenPGP keys, in the keyring of gpg, of which each must have signed the layout
    #[arg(short, long, value_name = "ID", num_args = 1..)]
    gpg: Vec<String>,
    /// The folder of gpg's keyring; by default the one that gpg takes
    #[arg(long, value_name = "PATH")]
    gpg_home: Option<PathBuf>,
    /// The folder with the links
    #[arg(long, value_name = "PATH", default_value = ".")]
    link_dir: PathBuf,
    /// Values for {name} in the layout, as a JSON object of strings; their wildcards act as such
    #[arg(long, value_name = "JSON")]
    substitution_parameters: Option<String>,
    /// A file of attestations: DSSE envelopes with in-toto Statements or Sigstore bundles, one or one a line; repeatable
    #[arg(long = "attestation", value_name = "PATH", requires = "attested")]
    attestations: Vec<PathBuf>,
    /// A step that is attested by Statements in place of links, and the type of their predicate; repeatable
    #[arg(long = "statement", value_name = "STEP=TYPE", value_parser = parse_statement)]
    statements: Vec<(StepName, PredicateType)>,
    /// Take a layout over predicates (ITE-10, ITE-11), which says itself what Statements attest its steps
    #[arg(long)]
    predicates: bool,
    /// Take functionaries by X.509 certificates, where the layout has authorities and constraints for them
    #[arg(long)]
    certificates: bool,
    /// Run the inspections' commands in the working directory; without this a layout that has any is refused
    #[arg(long)]
    run_inspections: bool,
    /// Seconds that one inspection may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    inspection_timeout: u64,
    /// Say what was checked
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Say nothing; the exit code tells
    #[arg(short, long)]
    quiet: bool,
}

/// Verifies what `args` name at the time `now`, says so on `out` and returns the exit code.
pub fn run(args: &Args, now: Timestamp, out: &mut dyn Write) -> u8 {
    let (code, text) = match judge(args, now) {
        Ok((Ok(verified), lints)) if args.verbose => (0, describe(&verified, &lints)),
        Ok((Ok(_), _)) => (0, "verified\n".to_owned()),
        Ok((Err(refused), _)) => (1, format!("refused: [{}] {refused}\n", refused.code())),
        Err(error) => (2, format!("error: {error:#}\n")),
    };
    if !args.quiet && out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        return 2;
    }
    code
}

type Judged = (Result<Verified, in_toto::Error>, Vec<Lint>);

fn judge(args: &Args, now: Timestamp) -> anyhow::Result<Judged> {
    let limits = Limits::default();
    ensure!(
        !args.layout_keys.is_empty() || !args.gpg.is_empty(),
        "no key is given: name at least one with --layout-keys or --gpg"
    );
    let mut keys = keys(&args.layout_keys, &args.key_types)?;
    for id in &args.gpg {
        keys.push(keyring::export(id, args.gpg_home.as_deref())?);
    }
    let layout = read(&args.layout, limits.layout_bytes)?;
    let parameters: Option<BTreeMap<String, String>> = match &args.substitution_parameters {
        None => None,
        Some(text) => {
            Some(serde_json::from_str(text).context("--substitution-parameters is not a JSON object of strings")?)
        }
    };
    let mut links = Vec::new();
    load_links(&args.link_dir, &mut Vec::new(), &limits, &mut links)?;
    let links = links.iter().map(|(dir, name, bytes)| LinkFile { dir: dir.clone(), name: name.clone(), bytes });
    let mut attestations = Vec::new();
    for path in &args.attestations {
        attestations.push((path.display().to_string(), read(path, limits.link_bytes)?));
    }
    let attestations = attestations.iter().map(|(name, bytes)| AttestationFile { name: name.clone(), bytes });
    let attestations = attestations.collect();
    let chain = SupplyChain { layout: &layout, keys, links: links.collect(), attestations };
    let mut statements = BTreeMap::new();
    for (step, predicate_type) in &args.statements {
        ensure!(
            statements.insert(step.clone(), *predicate_type).is_none(),
            "--statement is given twice for step {step}"
        );
    }
    let options = Options {
        parameters,
        raw_parameters: true,
        statements: Statements::new(statements).context("--statement")?,
        predicates: args.predicates,
        certificates: args.certificates,
        sublayouts: Sublayouts::Allow { depth: limits.sublayout_depth },
        ..Options::default()
    };
    let mut runner = Runner::new(Path::new("."), Duration::from_secs(args.inspection_timeout));
    let mut refuse = Inspections::Refuse;
    let inspector: &mut dyn Inspector = if args.run_inspections { &mut runner } else { &mut refuse };
    let judged = in_toto::verify_with(&chain, &options, inspector, now, &limits);
    Ok((judged, in_toto::lint(&layout, &limits).unwrap_or_default()))
}

fn parse_statement(text: &str) -> Result<(StepName, PredicateType), String> {
    let (step, name) = text.rsplit_once('=').ok_or("not STEP=TYPE")?;
    let known = PredicateType::ALL.into_iter().find(|known| known.as_str() == name);
    let known = known.ok_or_else(|| {
        let all = PredicateType::ALL.map(PredicateType::as_str).join(", ");
        format!("type {name:?} is not read, these are: {all}")
    })?;
    Ok((StepName::parse(step).ok_or_else(|| format!("{step:?} is no name of a step"))?, known))
}

fn keys(paths: &[PathBuf], types: &[String]) -> anyhow::Result<Vec<LayoutKey>> {
    if !types.is_empty() && types.len() != paths.len() {
        bail!("{} --key-types are given for {} --layout-keys", types.len(), paths.len());
    }
    let mut keys = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        const MAX_KEY_BYTES: usize = 64 << 10;
        let key = LayoutKey::parse(&read(path, MAX_KEY_BYTES)?).with_context(|| path.display().to_string())?;
        let found = key.key().keytype();
        if let Some(expected) = types.get(index).filter(|expected| *expected != found) {
            bail!("{}: the key's type is {found}, not {expected}", path.display());
        }
        keys.push(key);
    }
    Ok(keys)
}

type Loaded = (Vec<String>, String, Vec<u8>);

/// Reads every link of a folder, and of the folders that belong to its sublayouts.
fn load_links(root: &Path, folder: &mut Vec<String>, limits: &Limits, links: &mut Vec<Loaded>) -> anyhow::Result<()> {
    let dir: PathBuf = folder.iter().fold(root.to_owned(), |dir, name| dir.join(name));
    let entries = dir.read_dir().with_context(|| dir.display().to_string())?;
    let names: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.file_name())).collect();
    for name in names.with_context(|| dir.display().to_string())? {
        let Some(link) = name.to_str().and_then(LinkName::parse) else { continue };
        let path = dir.join(&name);
        if !path.is_file() {
            continue;
        }
        let bytes = read(&path, limits.link_bytes)?;
        let has_folder = in_toto::is_layout(&bytes) && dir.join(link.folder()).is_dir();
        links.push((folder.clone(), link.to_string(), bytes));
        if has_folder && folder.len() < limits.sublayout_depth && links.len() <= limits.link_files {
            folder.push(link.folder());
            load_links(root, folder, limits, links)?;
            folder.pop();
        }
    }
    Ok(())
}

/// Reads a file; one byte beyond the cap is read as well, so that the verifier meets it.
fn read(path: &Path, max_bytes: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let open = File::open(path);
    open.and_then(|file| file.take(max_bytes as u64 + 1).read_to_end(&mut bytes))
        .with_context(|| path.display().to_string())?;
    Ok(bytes)
}

fn describe(verified: &Verified, lints: &[Lint]) -> String {
    let short =
        |ids: &[crate::crypto::KeyId]| ids.iter().map(|id| id.short().to_owned()).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "verified: layout signed by {}, expires {}\n",
        short(verified.layout_signers()),
        verified.layout_expires()
    );
    for name in verified.order() {
        let Some(step) = verified.steps().get(name) else { continue };
        text += &format!("step {name}: {} of {} functionaries: ", step.functionaries.len(), step.threshold);
        text += &format!("{}\n", short(&step.functionaries));
        if let Some(predicate_type) = step.predicate_type {
            text += &format!("  by Statements of {predicate_type}\n");
        }
        for predicate in &step.predicates {
            text += &format!(
                "  by Statements of {}: {} rules hold\n",
                predicate.predicate_type,
                predicate.attributes.len()
            );
        }
        for (side, rules) in [("materials", &step.material_rules), ("products", &step.product_rules)] {
            for rule in rules {
                text += &format!("  {side}: {}: {} consumed\n", rule.rule, rule.consumed.len());
            }
        }
        for keyid in &step.other_command {
            text += &format!("  warning: {} ran another command than the layout expects\n", keyid.short());
        }
    }
    for inspection in verified.inspections() {
        text += &format!("inspection {}: {}\n", inspection.name, inspection.run.join(" "));
    }
    for lint in lints {
        text += &format!("warning: {lint}\n");
    }
    text
}
