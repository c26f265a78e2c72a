//! Was this made by the steps and people that the project owner laid down?
//!
//! Bytes, keys and `now` come in as values; what comes out is a [`Verified`] that only [`verify()`] can make, or an
//! [`Error`] that says which check refused. The reference implementation in python is the baseline. Where it accepts
//! what is ambiguous, this verifier refuses; it accepts nothing that the reference rejects, except `"command": null`,
//! which the Go implementation writes.
//!
//! ```text
//! layout ─envelope─▶ Layout ─signatures, expiry, parameters─▶ per Step: links ─functionaries─▶ agreement ─artifacts─▶ Verified
//! ```
//!
//! Where [`Options::statements`] say so, a step is attested by Statements (ITE-6) in place of links; where
//! [`Options::predicates`] do, the layout may be one over predicates (ITE-10), with rules on what these say (ITE-11). The
//! reference knows none of this.

mod artifacts;
mod attestation;
mod attributes;
mod certificate;
mod chain;
mod effort;
mod envelope;
mod error;
mod fields;
mod frame;
mod functionary;
mod key;
mod layout;
mod limits;
mod link;
mod lint;
mod metablock;
mod name;
mod parameters;
mod predicates;
mod rule;
mod signed;
mod statement;
mod sublayout;
mod suppose;
#[cfg(test)]
mod tests;
mod verified;
mod verify;

pub use artifacts::{NearMiss, RuleFailure};
pub use attestation::{AttestationFile, is_attestation};
pub use attributes::{AttributeFailure, AttributeProblem};
pub use certificate::{CertificateProblem, Issuer};
pub use chain::{Inspected, InspectionProblem, Inspections, Inspector, LinkFile, Options, Sublayouts, SupplyChain};
pub use envelope::{SignatureProblem, is_layout};
pub use error::{Error, KeyProblem, ParameterProblem, Problem, Unclean};
pub use functionary::{Finding, FunctionaryFinding};
pub use key::{FunctionaryKey, LayoutKey, LayoutKeyError};
pub use layout::Inspection;
pub use limits::Limits;
pub use link::{Artifacts, Chosen, Digests, DigestsOf, Disagreement, Recorded, Side};
pub use lint::{Lint, WithPlatforms, lint, loose};
pub use name::{LinkName, StepName};
pub use rule::{Match, Rule};
pub use statement::{PredicateType, SharedPredicateType, Sought, Statements};
pub use suppose::Unsaid;
pub use verified::{
    AttributeTrail, KeyExpiry, RuleTrail, Verified, VerifiedInspection, VerifiedPredicate, VerifiedStep,
};
pub use verify::{Flow, Kind, Survey, SurveyedItem, SurveyedPredicate, survey, verify, verify_with};
