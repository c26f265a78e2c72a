//! `pratique tuf`: a plain TUF client over one folder of trusted metadata.
//!
//! The options and exit codes are those that the public conformance suite of TUF asks of a client: 0, or 1 whatever
//! went wrong.

#![expect(clippy::disallowed_methods, reason = "the command line reads and writes files")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::Instant;

use crate::{
    repository::{
        Repository,
        store::{Store, write_atomically},
        transport::{Access, Locations, Transport},
    },
    tuf::{Lookup, Refresh, Settings, Stored, TargetFile, TargetPath},
};

/// How long one target may take.
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(300);

/// A TUF client in a folder
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder that keeps the trusted metadata
    #[arg(long, value_name = "DIR")]
    metadata_dir: PathBuf,
    /// Where the repository's metadata is: http(s)://, file:// or oci://
    #[arg(long, value_name = "URL")]
    metadata_url: Option<String>,
    /// A target to download; repeatable
    #[arg(long = "target-name", value_name = "PATH")]
    target_names: Vec<String>,
    /// The folder for downloaded targets
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
    /// Where the repository's target files are
    #[arg(long, value_name = "URL")]
    target_base_url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Trust a root from now on; contacts nobody
    Init {
        /// The root.json that was handed out
        root: PathBuf,
    },
    /// Bring root, timestamp, snapshot and targets up to date
    Refresh,
    /// Refresh, then download the named targets in order, up to the first failure
    Download,
}

/// Runs one of them.
pub fn run(args: &Args, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    match &args.command {
        Command::Init { root } => init(&args.metadata_dir, root, now)?,
        Command::Refresh => super::runtime()?.block_on(async {
            let repository = args.repository().await?;
            repository.refresh(now).await?;
            anyhow::Ok(())
        })?,
        Command::Download => super::runtime()?.block_on(download(args, now, out))?,
    }
    Ok(0)
}

fn init(dir: &Path, root: &Path, now: Timestamp) -> anyhow::Result<()> {
    let bytes = fs::read(root).with_context(|| root.display().to_string())?;
    // TUF 5.2: shipped trusted by other means; still, what no client could start from is told now.
    Refresh::start(&bytes, Stored::default(), Settings::default(), now)?;
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let kept = dir.join("root.json");
    write_atomically(&kept, &bytes).with_context(|| kept.display().to_string())
}

async fn download(args: &Args, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let dir = args.target_dir.as_deref().context("--target-dir is not given")?;
    if args.target_names.is_empty() {
        bail!("--target-name is not given");
    }
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let repository = args.repository().await?;
    let generation = repository.refresh(now).await?;
    for name in &args.target_names {
        let deadline = Instant::now() + DOWNLOAD_DEADLINE;
        let path = TargetPath::from(name.as_str());
        let found = match repository.lookup(&generation, &path, now, deadline).await? {
            Lookup::Found(found) => found,
            Lookup::Absent { .. } | Lookup::Needs(_) => bail!("the repository has no target {path}"),
        };
        let file = dir.join(file_name(name));
        if !holds(&file, &found.target) {
            let bytes = repository.file(&generation, &found.target, deadline).await?;
            write_atomically(&file, &bytes).with_context(|| file.display().to_string())?;
        }
        writeln!(out, "{path}: {}", file.display())?;
    }
    Ok(())
}

/// Whether the file is there already and is what is signed.
fn holds(file: &Path, target: &TargetFile) -> bool {
    let same_length = fs::metadata(file).is_ok_and(|metadata| metadata.len() == target.length);
    same_length && fs::read(file).is_ok_and(|bytes| target.verify(&bytes).is_ok())
}

/// A target path as the name of one file, so that no path leads out of the folder.
fn file_name(target: &str) -> String {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    let name = utf8_percent_encode(target, ENCODED).to_string();
    match name.as_str() {
        "." | ".." => name.replace('.', "%2E"),
        _ => name,
    }
}

impl Args {
    async fn repository(&self) -> anyhow::Result<Repository> {
        let url = self.metadata_url.clone().context("--metadata-url is not given")?;
        // This client keeps its newest root alone: what was believed last is the anchor of the next run.
        let root = self.metadata_dir.join("root.json");
        let root = fs::read(&root).with_context(|| format!("{}: run `tuf init` first", root.display()))?;
        let locations = Locations { metadata: url, targets: self.target_base_url.clone() };
        let transport = Transport::open(&locations, &Access::default())?;
        let store = Store::open(&self.metadata_dir).await?;
        Ok(Repository::new("tuf".parse()?, root, Settings::default(), transport, Some(store))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_path_never_leads_out_of_the_folder() {
        assert_eq!(file_name("app-1.0_x~.txt"), "app-1.0_x~.txt");
        assert_eq!(file_name("../a/b"), "..%2Fa%2Fb");
        assert_eq!((file_name("."), file_name("..")), ("%2E".to_owned(), "%2E%2E".to_owned()));
    }
}
