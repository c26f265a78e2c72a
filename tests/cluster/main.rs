//! Does the webhook do at a real API server what it promises there?
//!
//! One control plane is started for all tests (`support/cluster.rs`), from programs that `tools/build.sh` builds, which
//! takes minutes the first time. Every test has namespaces of its own, and webhook configurations that select only
//! those.

#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "tests start processes, read files and wait for the cluster")]

mod audit;
mod bypass;
mod certificates;
mod changes;
mod chart;
mod coverage;
mod credentials;
mod doctor;
mod faults;
mod guards;
mod image_policy;
mod install;
mod layers;
mod live;
mod memory;
mod outage;
mod pinning;
mod plugin;
mod policies;
mod registry;
mod stale;
mod support;
mod traces;
mod transports;
mod verdicts;
mod words;
