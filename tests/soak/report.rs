//! What was held by the process over time, and whether that has grown.

use std::{fmt::Write as _, fs, sync::atomic::Ordering::Relaxed, time::Duration};

use crate::{Soak, client, policies::ALL, process::Held, process::Webhook};

/// Before this part of the time is over, and every policy has been in force, caches fill.
const WARM_UP: f64 = 0.15;

/// Samples after that of which each quarter must have some.
const ENOUGH: usize = 80;

const BEGIN: &str = "<!-- benches/soak/run -->";
const END: &str = "<!-- until here -->";

/// What was found, in order.
#[derive(Default)]
pub(crate) struct Samples {
    taken: Vec<Sample>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    held: Held,
    connections: f64,
    remembered: f64,
    /// Answers until then.
    answers: f64,
    /// Policies that were in force until then.
    policies: usize,
}

/// A row of the table, and how much it may grow.
struct Row {
    what: &'static str,
    of: fn(&Sample) -> f64,
    digits: usize,
    may_grow: f64,
}

/// Between the medians of two quarters. Threads and descriptors come and go with what is going on at the moment of a sample.
const ROWS: [Row; 8] = [
    Row { what: "resident, MiB", of: |sample| sample.held.resident, digits: 1, may_grow: 4.0 },
    Row { what: "of which its own (anonymous), MiB", of: |sample| sample.held.anonymous, digits: 1, may_grow: 4.0 },
    Row { what: "open descriptors", of: |sample| sample.held.descriptors, digits: 0, may_grow: 4.0 },
    Row { what: "threads", of: |sample| sample.held.threads, digits: 0, may_grow: 4.0 },
    Row { what: "connections", of: |sample| sample.connections, digits: 0, may_grow: 4.0 },
    Row { what: "verdicts that are remembered", of: |sample| sample.remembered, digits: 0, may_grow: 4.0 },
    Row {
        what: "files in the folder of state, but for roots",
        of: |sample| sample.held.files,
        digits: 0,
        may_grow: 4.0,
    },
    Row { what: "these files, MiB", of: |sample| sample.held.disk, digits: 2, may_grow: 0.5 },
];

impl Samples {
    /// Looks once.
    pub(crate) async fn take(&mut self, webhook: &Webhook, soak: &Soak) {
        let Some(held) = webhook.held() else { return soak.fails("the webhook has ended".to_owned()) };
        let count = async |name| client::metric(soak, name).await.unwrap_or_default() as f64;
        let connections = count("pratique_connections").await;
        let remembered = count("pratique_remembered_verdicts").await;
        let answers = (soak.counts.exact.load(Relaxed) + soak.counts.either.load(Relaxed)) as f64;
        let policies = soak.policy.settled();
        self.taken.push(Sample { held, connections, remembered, answers, policies });
        // Every minute.
        if self.taken.len().is_multiple_of(30) {
            println!("{answers} answers, {remembered} verdicts remembered, {connections} connections, {held:?}");
        }
    }

    /// Says what was found, and fails the soak where something has grown.
    pub(crate) fn report(&self, soak: &Soak, took: Duration) {
        let mut said = String::new();
        let counts = &soak.counts;
        let [exact, either, admitted, rude, connections] =
            [&counts.exact, &counts.either, &counts.admitted, &counts.rude, &counts.connections]
                .map(|count| count.load(Relaxed));
        let [repository, policy, certificate] =
            counts.propagation.each_ref().map(|most| most.load(Relaxed) as f64 / 1e3);
        let _ = writeln!(
            said,
            "{:.1} minutes, {} answers over {} connections: {} were held to the one state that was in force, {} came while \
             something changed and were held to the states before and after; {} admitted, {} refused. {} times somebody sent \
             what is no review, or left. Wrong answers: {}.\n",
            took.as_secs_f64() / 60.0,
            grouped(exact + either),
            grouped(connections),
            grouped(exact),
            grouped(either),
            grouped(admitted),
            grouped(exact + either - admitted),
            grouped(rude),
            soak.wrong.lock().unwrap().len(),
        );
        let _ = writeln!(
            said,
            "| what changed | how often | in force after, at most, s (allowed: {}) |\n|---|---|---|\n\
             | the repository | {} | {repository:.1} |\n| the policy | {} | {policy:.1} |\n| the certificate | {} | {certificate:.1} |\n",
            soak.plan.propagation.as_secs(),
            soak.repository.settled() - 1,
            soak.policy.settled() - 1,
            soak.certificate.settled() - 1,
        );
        let policies = self.taken.iter().position(|sample| sample.policies > ALL.len());
        let warm = policies.unwrap_or(usize::MAX).max((self.taken.len() as f64 * WARM_UP) as usize);
        match self.taken.get(warm..) {
            Some(taken) if taken.len() >= ENOUGH => {
                compare(taken, &mut said).into_iter().for_each(|grown| soak.fails(grown));
            }
            _ => said.push_str("It was too short to tell whether something grows.\n"),
        }
        println!("{said}");
        // What failed is to be read in the log, and takes the place of no figures.
        if let Ok(page) = std::env::var("PRATIQUE_SOAK_PAGE")
            && soak.wrong.lock().unwrap().is_empty()
        {
            write(&page, &said);
        }
    }
}

/// Writes the first quarter after the warm-up beside the last one, and says what has grown.
fn compare(taken: &[Sample], said: &mut String) -> Vec<String> {
    let quarter = taken.len() / 4;
    let (first, last) = (&taken[..quarter], &taken[taken.len() - quarter..]);
    let mut grown = Vec::new();
    let _ = writeln!(said, "| median of samples | first quarter | last quarter | most | may grow by |");
    let _ = writeln!(said, "|---|---|---|---|---|");
    for Row { what, of, digits, may_grow } in ROWS {
        let most = taken.iter().map(of).fold(0.0, f64::max);
        let (before, after) = (median(first, of), median(last, of));
        let _ = writeln!(said, "| {what} | {before:.digits$} | {after:.digits$} | {most:.digits$} | {may_grow} |");
        if after > before + may_grow {
            grown.push(format!("{what}: {before:.digits$} in the first quarter, {after:.digits$} in the last"));
        }
    }
    let per_thousand = |samples: &[Sample]| {
        let (from, to) = (samples.first().unwrap(), samples.last().unwrap());
        (to.held.cpu - from.held.cpu) / (to.answers - from.answers) * 1e6
    };
    let (before, after) = (per_thousand(first), per_thousand(last));
    let _ = writeln!(said, "| CPU ms per 1,000 answers | {before:.0} | {after:.0} | | |");
    grown
}

fn median(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut said = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    said
}

/// Replaces what stands between the markers of a page.
fn write(page: &str, said: &str) {
    let text = fs::read_to_string(page).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has the marker");
    let (_, after) = rest.split_once(END).expect("the page has the marker");
    fs::write(page, format!("{before}{BEGIN}\n{}\n{END}{after}", said.trim_end())).unwrap();
}

#[test]
fn what_grows_is_told_from_what_comes_and_goes() {
    let mut taken: Vec<Sample> = (0..100).map(|_| Sample::default()).collect();
    for (number, sample) in taken.iter_mut().enumerate() {
        sample.held.resident = 40.0 + number as f64 / 50.0;
        sample.held.threads = if number % 3 == 0 { 30.0 } else { 20.0 };
        sample.held.descriptors = 20.0 + number as f64 / 10.0;
    }
    let grown = compare(&taken, &mut String::new());
    assert!(grown.len() == 1 && grown[0].starts_with("open descriptors: "), "{grown:?}");
}
