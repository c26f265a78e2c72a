//! The process that serves, and what the kernel says of it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;

/// `pratique serve`. Killed when it is dropped.
pub(crate) struct Webhook {
    child: Child,
    /// Where it listens.
    pub(crate) url: String,
    panics: Arc<Mutex<Vec<String>>>,
    state: std::path::PathBuf,
}

/// What it holds at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Held {
    /// Mebibytes: resident, and of that what is no file's.
    pub(crate) resident: f64,
    pub(crate) anonymous: f64,
    pub(crate) descriptors: f64,
    pub(crate) threads: f64,
    /// Files in the folder of state, and what they take in mebibytes. Each root that was ever in force is kept, and not
    /// counted.
    pub(crate) files: f64,
    pub(crate) disk: f64,
    /// Seconds of a processor, from its start.
    pub(crate) cpu: f64,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Webhook {
    /// Over what is in a folder. Namespaces may have as much judged as they like: budgets are for other tests.
    pub(crate) fn start(pratique: &Path, dir: &Path) -> Self {
        let mut command = Command::new(pratique);
        command.current_dir(dir).stdin(Stdio::null()).stderr(Stdio::piped());
        command.args(["serve", "--listen=127.0.0.1:0", "--tls-dir=tls", "--policy=policy.yaml", "--state=state"]);
        command.args(["--miss-burst=1000000", "--misses-per-minute=1000000"]);
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = log.find(|line| line.contains("\"listening\"")).expect("it never listened");
        let entry: Value = serde_json::from_str(&line).unwrap();
        let address = entry.pointer("/fields/address").or_else(|| entry.get("address")).unwrap().as_str().unwrap();
        let panics: Arc<Mutex<Vec<String>>> = Arc::default();
        let found = panics.clone();
        // What it logs is read, so that it never waits for a reader.
        std::thread::spawn(move || {
            log.filter(|line| line.contains("panicked")).for_each(|line| found.lock().unwrap().push(line));
        });
        Self { child, url: format!("https://{address}"), panics, state: dir.join("state") }
    }

    /// What it logged of panics.
    pub(crate) fn panics(&self) -> Vec<String> {
        self.panics.lock().unwrap().clone()
    }

    /// What it holds now; `None` if it has ended.
    pub(crate) fn held(&self) -> Option<Held> {
        let of = |name: &str| format!("/proc/{}/{name}", self.child.id());
        let kibibytes = |text: &str, name: &str| -> Option<f64> {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        let memory = fs::read_to_string(of("smaps_rollup")).ok()?;
        let stat = fs::read_to_string(of("stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
        let (files, bytes) = folder(&self.state);
        Some(Held {
            resident: kibibytes(&memory, "Rss:")? / 1024.0,
            anonymous: kibibytes(&memory, "Anonymous:")? / 1024.0,
            descriptors: fs::read_dir(of("fd")).ok()?.count() as f64,
            threads: fs::read_dir(of("task")).ok()?.count() as f64,
            files: files as f64,
            disk: bytes as f64 / f64::from(1 << 20),
            // In hundredths of a second, whatever the machine.
            cpu: (ticks(11)? + ticks(12)?) / 100.0,
        })
    }
}

/// How many files are below a folder, and their bytes.
fn folder(dir: &Path) -> (usize, u64) {
    let Ok(entries) = fs::read_dir(dir) else { return (0, 0) };
    entries.flatten().fold((0, 0), |(files, bytes), entry| {
        let (more, larger) = match entry.metadata() {
            Ok(found) if found.is_dir() && entry.file_name() == "roots" => (0, 0),
            Ok(found) if found.is_dir() => folder(&entry.path()),
            Ok(found) => (1, found.len()),
            Err(_) => (0, 0),
        };
        (files + more, bytes + larger)
    })
}
