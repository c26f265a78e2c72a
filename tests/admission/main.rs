//! What the API server asks and is answered, as whole reviews.

#![cfg(test)]
#![allow(clippy::disallowed_methods, clippy::string_slice, reason = "tests read files and fail by panicking")]

mod codes;
mod fields;
mod golden;
mod properties;
mod verdicts;
mod workloads;
