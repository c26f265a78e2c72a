//! `webhook make FOLDER SHAPE…` publishes a project and a policy that verifies its images; `webhook load URL FOLDER …`
//! sends reviews about them to whatever listens there, and says how long each took; `webhook inside FOLDER …` calls the entries
//! in its own process; `webhook pods URL FOLDER TOKEN NAMESPACE …` has an API server create Pods of them.
//!
//! `benches/webhook/run` measures `pratique serve` with it, beside a webhook that does nothing. It is a process of its own,
//! as the API server is.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark reads files and the clock, and fails by panicking"
)]
#![expect(dead_code, reason = "the other benchmark of reviews calls more of what is shared")]

#[path = "webhook/inside.rs"]
mod inside;
#[path = "webhook/kinds.rs"]
mod kinds;
#[path = "webhook/load.rs"]
mod load;
#[path = "webhook/pods.rs"]
mod pods;
mod support;

use std::{collections::BTreeMap, fs, path::Path};

use jiff::{SignedDuration, Timestamp};
use load::{Expected, Load, Times, Version};
use pods::Pods;
use pratique::certs::{gather_randomness, issue::Authority};
use serde_json::json;
use support::{
    chain::{self, Shape},
    review,
};

/// That of the program, which is called here, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        ["inside", options @ ..] => {
            let words = words(options);
            let word = |name: &str, otherwise: usize| words.get(name).copied().unwrap_or(otherwise);
            report(inside::closed_loop(word("images", 1), word("callers", 1), word("milliseconds", 1000) as u64));
        }
        ["pods", url, folder, token, namespace, options @ ..] => {
            let words = words(options);
            let word = |name: &str, otherwise: usize| words.get(name).copied().unwrap_or(otherwise);
            let (url, token, namespace) = (*url, *token, *namespace);
            let [url, token, namespace] = [url, token, namespace].map(str::to_owned);
            let pods = Pods { url, token, namespace, is_dry: word("dry", 1) == 1, connections: word("connections", 1) };
            let images = images(Path::new(folder));
            let times = match words.get("pods") {
                // A Pod for each image, once.
                Some(count) => {
                    let images: Vec<_> = images.into_iter().skip(word("from", 0)).take(*count).collect();
                    pods.create_each(Path::new(folder), &images)
                }
                None => {
                    let repeated = review::images_of(&images, word("images", 1));
                    pods.create(Path::new(folder), &repeated, word("milliseconds", 1000) as u64)
                }
            };
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
    // The second is where api_server.py has webhooks listen.
    let pair = authority.issue(&["127.0.0.1", "192.0.2.2"].map(str::to_owned), now, week).unwrap();
    fs::write(folder.join("tls/ca.crt"), authority.certificate()).unwrap();
    fs::write(folder.join("tls/tls.crt"), &pair.certificate).unwrap();
    fs::write(folder.join("tls/tls.key"), &pair.key).unwrap();
}

fn images(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join("images")).unwrap().lines().map(str::to_owned).collect()
}

/// Sends reviews and prints what came of it.
fn load(url: &str, folder: &Path, words: &BTreeMap<&str, usize>) {
    // What is measured is the webhook: the first request of this process is not to wait for its own randomness.
    gather_randomness();
    let word = |name: &str, otherwise: usize| words.get(name).copied().unwrap_or(otherwise);
    let references = images(folder);
    let version = if word("http", 2) == 1 { Version::Http1 } else { Version::Http2 };
    let (path, body, expected) = kinds::review_of(word("kind", 0), &review::images_of(&references, word("images", 1)));
    let load = Load {
        url: format!("{url}{path}"),
        authority: fs::read(folder.join("tls/ca.crt")).unwrap(),
        version,
        connections: word("connections", 1),
        is_connected_anew: word("anew", 0) == 1,
        // One that does nothing says of no image why it is admitted.
        expected: if word("null", 0) == 1 { Expected::Allowed } else { expected },
    };
    let times = match words.get("milliseconds") {
        // One Pod over and over.
        Some(milliseconds) => load.closed_loop(&body, *milliseconds as u64),
        // Pods of different images, once; or so many of one.
        None => {
            let (pods, containers) = (word("pods", references.len()), word("images", 1));
            let each = containers.min(review::DISTINCT);
            let images = references.iter().skip(word("from", 0)).take(word("distinct", pods) * each).cycle();
            let images: Vec<_> = images.take(pods * each).cloned().collect();
            let bodies = images.chunks(each).map(|images| review::of_pod(&review::images_of(images, containers)));
            load.each(bodies.collect())
        }
    };
    report(times);
}

/// Prints times as JSON, in nanoseconds.
fn report(times: Times) {
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
