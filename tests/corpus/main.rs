//! Does the in-toto verifier judge as the reference implementations do, and the TUF client a repository of production?
//!
//! Runs the cases and vectors under `$PRATIQUE_SHARED/corpus`: supply chains with the verdicts of in-toto-python and
//! in-toto-golang, and the verdict that is wanted here. Without that folder there is nothing to hold against.

#![cfg(test)]
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests read files and fail by panicking"
)]

mod cases;
mod datadog;
mod surveys;
mod vectors;
mod wheel;

use std::path::PathBuf;

/// The corpus, if this machine has it.
fn corpus() -> Option<PathBuf> {
    let shared = std::env::var_os("PRATIQUE_SHARED").map(PathBuf::from);
    let corpus = shared.map(|shared| shared.join("corpus")).filter(|corpus| corpus.is_dir());
    if corpus.is_none() {
        println!("external data absent: PRATIQUE_SHARED does not name a folder with corpus/");
    }
    corpus
}
