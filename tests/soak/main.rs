//! A soak: reviews of many kinds while the repository, the policy and the certificate are changed under the webhook, and
//! every answer is held against what it must be.
//!
//! `cargo test` passes a short one, which ends when so much was changed and so many answers were held. `benches/soak/run`
//! sets `PRATIQUE_SOAK_MINUTES` and has the table written.

#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "tests start processes, read files and look at the clock")]

mod certificates;
mod client;
mod images;
mod oracle;
mod policies;
mod process;
mod publisher;
mod report;
mod reviews;
#[path = "../cli/faults/server.rs"]
#[expect(dead_code, reason = "its faults are for other tests")]
mod server;
mod timeline;

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use self::{
    certificates::Certificates,
    images::{Images, Repository},
    policies::Variant,
    process::Webhook,
    timeline::Timeline,
};

/// Connections that send reviews.
const CALLERS: u64 = 6;

/// When it is over, and what lies between two changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// For so long, or until the counts are reached.
    minutes: Option<f64>,
    /// Between two changes of the repository, of the policy and of the certificate.
    pauses: [Duration; 3],
    /// Answers that must be held to one state between two changes.
    answers: u64,
    /// How long it may take until what was changed is in force: refreshes come every two seconds at most, files are looked
    /// at every second, and the rest is for a machine that is busy with something else.
    pub(crate) propagation: Duration,
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Answers for which one state alone could be right.
    pub(crate) exact: AtomicU64,
    /// Answers during a change: one of two states had to be right.
    pub(crate) either: AtomicU64,
    /// Of all those, the ones that admit.
    pub(crate) admitted: AtomicU64,
    /// What clients did that deserves no review.
    pub(crate) rude: AtomicU64,
    /// Connections that were opened.
    pub(crate) connections: AtomicU64,
    /// The longest time until a change was in force, in milliseconds: of the repository, the policy, the certificate.
    pub(crate) propagation: [AtomicU64; 3],
}

/// What everybody shares.
pub(crate) struct Soak {
    pub(crate) plan: Plan,
    pub(crate) images: Images,
    pub(crate) repository: Timeline<Repository>,
    pub(crate) policy: Timeline<(u64, Variant)>,
    pub(crate) certificate: Timeline<Vec<u8>>,
    pub(crate) counts: Counts,
    pub(crate) wrong: Mutex<Vec<String>>,
    /// The webhook's authorities, in PEM.
    pub(crate) authorities: Vec<u8>,
    pub(crate) url: String,
    /// Looks at what everybody may read.
    pub(crate) monitor: reqwest::Client,
    over: AtomicBool,
}

impl Soak {
    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Something is not as it has to be. It ends with that.
    pub(crate) fn fails(&self, why: String) {
        self.wrong.lock().unwrap().push(why);
        self.over.store(true, Ordering::Relaxed);
    }

    /// Lets a change stand for its pause, and until enough answers were held against it.
    async fn stand(&self, pause: Duration) {
        let (began, before) = (Instant::now(), self.counts.exact.load(Ordering::Relaxed));
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while !self.is_over()
            && (began.elapsed() < pause || self.counts.exact.load(Ordering::Relaxed) < before + self.plan.answers)
        {
            ticks.tick().await;
        }
    }

    /// Waits until a change is in force, and notes how long that took.
    pub(crate) async fn settles(&self, which: usize, what: &str, mut in_force: impl AsyncFnMut() -> bool) {
        let began = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while !self.is_over() && !in_force().await {
            if began.elapsed() > self.plan.propagation {
                return self.fails(format!("{what} is not in force after {:?}", self.plan.propagation));
            }
            ticks.tick().await;
        }
        let took = u64::try_from(began.elapsed().as_millis()).unwrap();
        self.counts.propagation[which].fetch_max(took, Ordering::Relaxed);
    }
}

/// Runs all at once until it is over; what is to be reported.
async fn soak(dir: &Path, plan: Plan, pratique: &Path) -> Arc<Soak> {
    let (images, mut publisher) = publisher::Publisher::init(&dir.join("repository"));
    fs::copy(dir.join("repository/metadata/1.root.json"), dir.join("acme.root.json")).unwrap();
    let files = server::Server::start(&dir.join("repository"));
    let mut policies = policies::Policies::new(&dir.join("policy.yaml"), &files.url);
    let mut certificates = Certificates::init(&dir.join("tls"));
    let webhook = Webhook::start(pratique, dir);
    let soak = Arc::new(Soak {
        plan,
        images,
        repository: Timeline::of(publisher.state().clone()),
        policy: Timeline::of(policies.current()),
        certificate: Timeline::of(certificates.current()),
        counts: Counts::default(),
        wrong: Mutex::default(),
        authorities: certificates.authorities(),
        monitor: client::client(&certificates.authorities(), "h2"),
        url: webhook.url.clone(),
        over: AtomicBool::new(false),
    });
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    client::ready(&soak).await;
    for number in 0..CALLERS {
        callers.spawn(client::call(soak.clone(), number));
    }
    callers.spawn(client::be_rude(soak.clone()));
    let [published, edited, rotated] = plan.pauses;
    let mut samples = report::Samples::default();
    tokio::join!(
        async {
            while !soak.is_over() {
                publisher.change(&soak).await;
                soak.stand(published).await;
            }
        },
        async {
            while !soak.is_over() {
                policies.edit(&soak).await;
                soak.stand(edited).await;
            }
        },
        async {
            while !soak.is_over() {
                certificates.rotate(&soak).await;
                soak.stand(rotated).await;
            }
        },
        async {
            let mut ticks = tokio::time::interval(Duration::from_secs(2));
            while !soak.is_over() {
                ticks.tick().await;
                samples.take(&webhook, &soak).await;
                let enough = match plan.minutes {
                    Some(minutes) => began.elapsed().as_secs_f64() >= minutes * 60.0,
                    None => {
                        let counts = [soak.repository.settled(), soak.policy.settled(), soak.certificate.settled()];
                        counts[0] >= 12 && counts[1] > policies::ALL.len() && counts[2] >= 3
                    }
                };
                if enough {
                    soak.over.store(true, Ordering::Relaxed);
                }
            }
        },
    );
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    let panics = webhook.panics();
    if !panics.is_empty() {
        soak.fails(format!("the webhook panicked: {panics:?}"));
    }
    samples.take(&webhook, &soak).await;
    samples.report(&soak, began.elapsed());
    soak
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_wrong_and_nothing_grows_while_repository_policy_and_certificate_change() {
    let temp = tempfile::tempdir().unwrap();
    let minutes = std::env::var("PRATIQUE_SOAK_MINUTES").ok().map(|minutes| minutes.parse().unwrap());
    let second = Duration::from_secs(1);
    let plan = match minutes {
        Some(_) => {
            let pauses = [3 * second, 20 * second, 60 * second];
            Plan { minutes, pauses, answers: 500, propagation: 15 * second }
        }
        // No machine that passes the other tests is that slow.
        None => Plan { minutes, pauses: [Duration::ZERO; 3], answers: 200, propagation: 120 * second },
    };
    let soak = soak(temp.path(), plan, Path::new(env!("CARGO_BIN_EXE_pratique"))).await;
    let wrong = soak.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let exact = soak.counts.exact.load(Ordering::Relaxed);
    assert!(exact > 1000, "{exact} answers were held to one state");
}
