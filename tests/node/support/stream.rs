//! A stream of reviews that never stops: Pods, good and bad by turns, created without effect, as fast as they are answered.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use jiff::Timestamp;
use serde_json::Value;

use super::{http, objects};

/// How many ask at the same time.
const CALLERS: usize = 2;

/// The stream, until it is ended.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<()>>,
}

struct Shared {
    socket: PathBuf,
    namespace: String,
    /// A Pod, and the answer it must have.
    pods: [(String, fn(&http::Answer) -> bool); 2],
    ended: AtomicBool,
    answered: AtomicU64,
    lost: Mutex<Vec<Lost>>,
}

/// A review that had no verdict, or another one.
struct Lost {
    at: Timestamp,
    answer: String,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.answer)
    }
}

impl Stream {
    /// Begins to ask for a good image and a bad one in a namespace.
    pub(crate) fn start(socket: &Path, namespace: &str, good: &str, bad: &str) -> Self {
        let shared = Arc::new(Shared {
            socket: socket.to_owned(),
            namespace: namespace.to_owned(),
            pods: [(objects::pod("good", good).to_string(), admitted), (objects::pod("bad", bad).to_string(), refused)],
            ended: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            lost: Mutex::new(Vec::new()),
        });
        let caller = || {
            let shared = shared.clone();
            thread::spawn(move || shared.ask())
        };
        Self { callers: (0..CALLERS).map(|_| caller()).collect(), shared }
    }

    /// How many reviews had the right verdict so far.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Ends it. Every review must have had its verdict; returns how many there were.
    #[track_caller]
    pub(crate) fn end(self) -> u64 {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.callers.into_iter().for_each(|caller| caller.join().unwrap());
        let answered = self.shared.answered.load(Ordering::Relaxed);
        let lost = self.shared.lost.lock().unwrap();
        let texts: Vec<String> = lost.iter().map(Lost::to_string).collect();
        assert!(texts.is_empty(), "{} reviews lost beside {answered}:\n{}", texts.len(), texts.join("\n"));
        answered
    }
}

impl Shared {
    fn ask(&self) {
        let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", self.namespace);
        while !self.ended.load(Ordering::Relaxed) {
            for (pod, right) in &self.pods {
                match http::request(&self.socket, "POST", &path, pod) {
                    Ok(answer) if right(&answer) => {
                        self.answered.fetch_add(1, Ordering::Relaxed);
                    }
                    other => {
                        let answer = format!("{other:?}");
                        self.lost.lock().unwrap().push(Lost { at: Timestamp::now(), answer });
                    }
                }
            }
        }
    }
}

fn admitted(answer: &http::Answer) -> bool {
    answer.status == 201
}

/// Refused by a verdict, and not because nothing could be judged.
fn refused(answer: &http::Answer) -> bool {
    let status: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let message = status["message"].as_str().unwrap_or_default();
    answer.status == 403 && message.contains("\"verify.pratique.dev\" denied the request: 1 of 1 image refused: ")
}
