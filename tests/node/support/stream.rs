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

/// What is to be said of an image.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict {
    Admitted,
    Refused,
}

/// The stream, until it is ended.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<()>>,
}

struct Shared {
    socket: PathBuf,
    namespace: String,
    pods: Vec<(String, Verdict)>,
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
    /// Begins to ask in a namespace for Pods of these images, one after the other.
    pub(crate) fn start(socket: &Path, namespace: &str, images: &[(&str, Verdict)]) -> Self {
        let shared = Arc::new(Shared {
            socket: socket.to_owned(),
            namespace: namespace.to_owned(),
            pods: images.iter().map(|(image, verdict)| (objects::pod("pod", image).to_string(), *verdict)).collect(),
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
            for (pod, verdict) in &self.pods {
                match http::request(&self.socket, "POST", &path, pod) {
                    Ok(answer) if verdict.is(&answer) => {
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

impl Verdict {
    /// Whether an answer says so; that nothing could be judged is another one.
    fn is(self, answer: &http::Answer) -> bool {
        match self {
            Self::Admitted => answer.status == 201,
            Self::Refused => {
                let status: Value = serde_json::from_str(&answer.body).unwrap_or_default();
                let message = status["message"].as_str().unwrap_or_default();
                let refused = "admission webhook \"verify.pratique.dev\" denied the request: 1 of 1 image refused: ";
                answer.status == 403 && message.contains(refused)
            }
        }
    }
}
