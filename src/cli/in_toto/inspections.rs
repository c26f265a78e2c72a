//! Runs inspections as `in-toto-verify` does: records a folder, runs the command in it, records it again.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

use crate::{
    evidence::Commands,
    in_toto::{Artifacts, Digests, Inspected, Inspection, InspectionProblem, Inspector, Recorded},
    pattern::Fnmatch,
};

/// Files and folders that the reference does not record, wherever they are.
const EXCLUDED: [&str; 4] = ["*.link*", ".git", "*.pyc", "*~"];

/// Runs inspections in one folder.
#[derive(Debug, Clone)]
pub struct Runner {
    folder: PathBuf,
    timeout: Duration,
    excluded: Vec<Fnmatch>,
}

impl Runner {
    /// Runs in `folder`; a command that takes longer than `timeout` is killed and has failed.
    pub fn new(folder: &Path, timeout: Duration) -> Self {
        let excluded = EXCLUDED.into_iter().map(Fnmatch::new).collect();
        Self { folder: folder.to_owned(), timeout, excluded }
    }

    fn record(&self) -> io::Result<Artifacts> {
        let mut artifacts = BTreeMap::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            for entry in self.folder.join(&folder).read_dir()? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(name) = name.to_str() else {
                    return Err(io::Error::other(format!("{} is not a name in UTF-8", entry.path().display())));
                };
                if self.excluded.iter().any(|pattern| pattern.matches(name)) {
                    continue;
                }
                // As in metadata: no `./` in front, `/` between.
                let name = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                // Links to files are followed, links to folders are not, as the reference does it.
                if entry.file_type()?.is_dir() {
                    folders.push(name);
                } else if entry.path().is_file() {
                    artifacts.insert(name, digests(&entry.path())?);
                }
            }
        }
        Ok(artifacts.into())
    }

    fn run(&self, inspection: &Inspection) -> Result<(), String> {
        let Some((program, arguments)) = inspection.run.split_first() else {
            return Err("the command is empty".to_owned());
        };
        if program == "pratique" {
            return Err("this inspection is built in: it looks at an image, which pratique verify has".to_owned());
        }
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("cannot run {program}: {error}"))?;
        let started = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("{program} ended with {status}, not 0")),
                Ok(None) if started.elapsed() < self.timeout => thread::sleep(Duration::from_millis(5)),
                Ok(None) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("{program} took longer than {:?}", self.timeout));
                }
                Err(error) => return Err(format!("cannot wait for {program}: {error}")),
            }
        }
    }

    fn inspected(&self, inspection: &Inspection) -> Result<Recorded, String> {
        let record = |when: &str| self.record().map_err(|error| format!("cannot record the files {when}: {error}"));
        let materials = record("before")?;
        self.run(inspection)?;
        let products = record("after")?;
        Ok(Recorded { materials, products })
    }
}

impl Inspector for Runner {
    fn inspect(&mut self, inspection: &Inspection, _: &[String]) -> Result<Inspected, InspectionProblem> {
        self.inspected(inspection).map(Inspected::Recorded).map_err(InspectionProblem::Failed)
    }
}

/// Runs each inspection once, however often a judgement comes to it: it begins anew whenever something was fetched.
#[derive(Debug)]
pub struct OnceEach {
    runner: Runner,
    ran: Mutex<Vec<(Inspection, Result<Recorded, String>)>>,
}

impl OnceEach {
    /// Runs with `runner`.
    pub fn new(runner: Runner) -> Self {
        Self { runner, ran: Mutex::default() }
    }
}

impl Commands for OnceEach {
    fn run(&self, inspection: &Inspection) -> Result<Recorded, String> {
        let mut ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, outcome)) = ran.iter().find(|(known, _)| known == inspection) {
            return outcome.clone();
        }
        let outcome = self.runner.inspected(inspection);
        ran.push((inspection.clone(), outcome.clone()));
        outcome
    }
}

fn digests(path: &Path) -> io::Result<Digests> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = io::Read::read(&mut file, &mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
    Ok(Digests::from([("sha256".to_owned(), hex::encode(hasher.finalize()))]))
}
