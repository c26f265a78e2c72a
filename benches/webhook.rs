//! `webhook make FOLDER SHAPE…` publishes a project and a policy that verifies its images; `webhook load URL FOLDER …`
//! sends reviews about them to whatever listens there, and says how long each took; `webhook pods URL FOLDER TOKEN NAMESPACE …`
//! has an API server create Pods of them.
//!
//! `benches/webhook/run` measures `pratique serve` with it, beside a webhook that does nothing. It is a process of its own,
//! as the API server is.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark reads files and the clock, and fails by panicking"
)]
#![expect(dead_code, reason = "the other benchmark of reviews calls more of what is shared")]

#[path = "webhook/load.rs"]
mod load;
#[path = "webhook/pods.rs"]
mod pods;
mod support;

use std::{collections::BTreeMap, fs, path::Path};

use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use load::{Load, Version};
use pods::Pods;
use pratique::certs::{gather_randomness, issue::Authority};
use serde_json::json;
use support::{
    chain::{self, Shape},
    review,
};

fn main() {
    // `cargo bench` and `cargo test` add options of their own.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["make", folder, shape @ ..] => make(Path::new(folder), &words(shape)),
        ["policy", folder, url, rules] => {
            fs::write(Path::new(folder).join("policy.yaml"), chain::policy(url, rules.parse().unwrap())).unwrap();
        }
        ["load", url, folder, options @ ..] => load(url, Path::new(folder), &words(options)),
        ["pods", url, folder, token, namespace, options @ ..] => {
            let words = words(options);
            let word = |name: &str, otherwise: usize| words.get(name).copied().unwrap_or(otherwise);
            let (url, token, namespace) = (*url, *token, *namespace);
            let [url, token, namespace] = [url, token, namespace].map(str::to_owned);
            let pods = Pods { url, token, namespace, is_dry: word("dry", 1) == 1, connections: word("connections", 1) };
            let times = pods.create(Path::new(folder), word("milliseconds", 1000) as u64);
            println!("{}", json!({"each": times.each, "seconds": times.wall.as_secs_f64()}));
        }
        _ => println!("benches/webhook/run measures the webhook with this"),
    }
}

/// `name=number …`
fn words<'a>(words: &[&'a str]) -> BTreeMap<&'a str, usize> {
    words
        .iter()
        .map(|word| word.split_once('=').unwrap())
        .map(|(name, number)| (name, number.parse().unwrap()))
        .collect()
}

fn make(folder: &Path, words: &BTreeMap<&str, usize>) {
    let mut shape = Shape::default();
    for (name, number) in words {
        let place = match *name {
            "images" => &mut shape.images,
            "others" => &mut shape.others,
            "bins" => &mut shape.bins,
            "levels" => &mut shape.levels,
            "sources" => &mut shape.sources,
            "steps" => &mut shape.steps,
            other => panic!("nothing is called {other}"),
        };
        *place = *number;
    }
    fs::create_dir_all(folder.join("tls")).unwrap();
    let digests = chain::publish(&folder.join("repository"), &shape);
    let references: Vec<_> = digests.into_iter().map(chain::reference).collect();
    fs::write(folder.join("images"), references.join("\n")).unwrap();
    fs::copy(folder.join("repository/metadata/1.root.json"), folder.join("acme.root.json")).unwrap();
    let (now, week) = (Timestamp::now(), SignedDuration::from_hours(24 * 7));
    let authority = Authority::generate("benchmark", now, week).unwrap();
    let pair = authority.issue(&["127.0.0.1".to_owned()], now, week).unwrap();
    fs::write(folder.join("tls/ca.crt"), authority.certificate()).unwrap();
    fs::write(folder.join("tls/tls.crt"), &pair.certificate).unwrap();
    fs::write(folder.join("tls/tls.key"), &pair.key).unwrap();
}

/// Sends reviews and prints what came of it, as JSON: times in nanoseconds.
fn load(url: &str, folder: &Path, words: &BTreeMap<&str, usize>) {
    // What is measured is the webhook: the first request of this process is not to wait for its own randomness.
    gather_randomness();
    let word = |name: &str, otherwise: usize| words.get(name).copied().unwrap_or(otherwise);
    let references = fs::read_to_string(folder.join("images")).unwrap();
    let references: Vec<String> = references.lines().map(str::to_owned).collect();
    let version = if word("http", 2) == 1 { Version::Http1 } else { Version::Http2 };
    let load = Load {
        url: format!("{url}{}", review::PATH),
        authority: fs::read(folder.join("tls/ca.crt")).unwrap(),
        version,
        connections: word("connections", 1),
        is_null: word("null", 0) == 1,
    };
    let times = match words.get("milliseconds") {
        // One Pod over and over. What one Pod names is limited to 64 different images.
        Some(milliseconds) => {
            let images = word("images", 1);
            let distinct = references.len().min(64);
            let images = references.iter().take(distinct).cycle().skip(word("from", 0)).take(images).cloned();
            load.closed_loop(&review::of_pod(&images.collect::<Vec<_>>()), *milliseconds as u64)
        }
        // A Pod for each image, once; or so many of one.
        None => {
            let pods = word("pods", references.len());
            let images = references.iter().skip(word("from", 0)).take(word("distinct", pods)).cycle().take(pods);
            let bodies: Vec<Bytes> = images.map(|image| review::of_pod(std::slice::from_ref(image))).collect();
            load.each(bodies)
        }
    };
    let mut each = times.each;
    each.sort_unstable();
    let at = |share: f64| {
        let place = (each.len() as f64 * share).ceil() as usize;
        each.get(place.saturating_sub(1)).copied().unwrap_or_default()
    };
    let seconds = times.wall.as_secs_f64();
    println!(
        "{}",
        json!({
            "reviews": each.len(), "seconds": seconds, "per_second": each.len() as f64 / seconds,
            "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "most": at(1.0),
        })
    );
}
