//! Pratique decides which container images may run, by what TUF and in-toto prove about them.
//!
//! ```text
//! AdmissionReview ─review─▶ Request ─workload─▶ [ImageUse] ─policy─▶ Rule ─▶ Digest ─repository─▶ Target
//!     ─▶ Evidence ─evidence─▶ Proof | Refusal ─respond─▶ AdmissionReview
//! ```
//!
//! The modules stand in the order of the layers: each uses only what stands above it (`tests/architecture.rs` holds
//! the exact table). The core is pure: bytes and `now` come in as values. The shell, behind the feature of that name,
//! does the IO.

#![forbid(unsafe_code)]
// The library is checked once more without its tests, so this lifts nothing from the code itself.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::string_slice, reason = "tests read files and fail by panicking")
)]

// The core.
pub mod crypto;
pub mod parallel;
pub mod pattern;

pub mod image;

pub mod tuf;

pub mod in_toto;

pub mod evidence;

pub mod policy;

pub mod verdict;

pub mod forecast;

pub mod admission;

// The shell.
#[cfg(feature = "shell")]
pub mod telemetry;

#[cfg(feature = "shell")]
pub mod repository;

#[cfg(feature = "shell")]
pub mod registry;

#[cfg(feature = "shell")]
pub mod verifier;

#[cfg(feature = "shell")]
pub mod cluster;

#[cfg(feature = "shell")]
pub mod certs;

#[cfg(feature = "shell")]
pub mod server;

#[cfg(feature = "shell")]
pub mod audit;

#[cfg(feature = "shell")]
pub mod publish;

#[cfg(feature = "shell")]
pub mod cli;
