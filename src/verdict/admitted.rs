//! The verdict on one image. There is no way to an admission but through what is written here.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Refusal;
use crate::{crypto::Sha256, evidence::Proof};

/// What was decided about one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The image may run.
    Admitted(Box<Admitted>),
    /// The image may not run.
    Refused(Box<Refusal>),
}

impl Verdict {
    /// Where the object names the image.
    pub fn field(&self) -> &str {
        match self {
            Self::Admitted(admitted) => &admitted.judged.field,
            Self::Refused(refusal) => &refusal.field,
        }
    }

    /// The reference as it was written.
    pub fn reference(&self) -> &str {
        match self {
            Self::Admitted(admitted) => &admitted.judged.reference,
            Self::Refused(refusal) => &refusal.reference,
        }
    }

    /// The digest that was judged.
    pub fn digest(&self) -> Option<Sha256> {
        match self {
            Self::Admitted(admitted) => admitted.judged.digest,
            Self::Refused(refusal) => refusal.digest,
        }
    }

    /// The policy rule that was in force.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Admitted(admitted) => admitted.judged.rule.as_deref(),
            Self::Refused(refusal) => refusal.rule.as_deref(),
        }
    }

    /// Why it was refused, or would have been had the rule been enforced.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Admitted(admitted) => match &admitted.by {
                AdmittedBy::Leniency { refusal, .. } => Some(refusal),
                AdmittedBy::Proof(_) | AdmittedBy::Exemption(_) => None,
            },
            Self::Refused(refusal) => Some(refusal),
        }
    }

    /// Why it was refused, if it was.
    pub fn enforced(&self) -> Option<&Refusal> {
        match self {
            Self::Admitted(_) => None,
            Self::Refused(refusal) => Some(refusal),
        }
    }

    /// Why it would have been refused, where the rule only warns.
    pub fn warned(&self) -> Option<&Refusal> {
        match self {
            Self::Admitted(admitted) => match &admitted.by {
                AdmittedBy::Leniency { mode: Leniency::Warn, refusal } => Some(refusal),
                _ => None,
            },
            Self::Refused(_) => None,
        }
    }

    /// The label of metrics: the code of the refusal (also of one that is not enforced), else how it was admitted.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Admitted(admitted) => match &admitted.by {
                AdmittedBy::Leniency { refusal, .. } => refusal.code(),
                AdmittedBy::Proof(_) => "proof",
                AdmittedBy::Exemption(_) => "exemption",
            },
        }
    }

    /// The whole verdict for `explain --format json`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Admitted(admitted) => admitted.to_json(),
            Self::Refused(refusal) => refusal.to_json(),
        }
    }
}

/// An image that may run, and by what. Its fields are private: it is made from a [`Proof`], from an [`Exemption`], or
/// from the refusal that a rule does not enforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    judged: Judged,
    by: AdmittedBy,
}

/// What was judged, under which rule, and what is to be said about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// Where the object names the image. Empty outside of objects.
    pub field: String,
    /// The reference as it was written.
    pub reference: String,
    /// The digest that was judged.
    pub digest: Option<Sha256>,
    /// The policy rule that was in force; `None` for the policy's default.
    pub rule: Option<String>,
    /// The canonical name that the image was judged by, where the rule gives it another (`as`).
    pub named: Option<String>,
    /// From when on the rule refuses what it admits now, if the policy says so.
    pub enforce_from: Option<Timestamp>,
    /// Why the rule is as it is, if the policy says so.
    pub reason: Option<String>,
    /// What makes the rule a weak one (trust.md §4), in the words of the policy: `level: tuf`.
    pub weak: Vec<String>,
    /// What the user should know though the image is admitted, one line each.
    pub warnings: Vec<String>,
    /// The repositories that list the image as the one with the evidence does, where the rule names several.
    pub agreed: BTreeSet<String>,
    /// Where it was judged on metadata that is no longer fresh (trust.md A4).
    pub stale: Vec<Staleness>,
}

/// Why an image was judged on metadata that is no longer fresh: nothing fresh could be had, and it runs here already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staleness {
    /// The TUF repository, by its name in the policy.
    pub repository: String,
    /// The instant at which the evidence was judged: the last one at which timestamp and snapshot were valid.
    pub judged_at: Timestamp,
    /// From when on it is refused all the same.
    pub until: Timestamp,
    /// Why there is nothing fresher.
    pub refresh: String,
}

/// By what an image is admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdmittedBy {
    /// It satisfies every requirement of its rule.
    Proof(Proofs),
    /// A rule says `allow`.
    Exemption(Exemption),
    /// It was refused under a rule that does not enforce.
    Leniency {
        /// What the rule says instead.
        mode: Leniency,
        /// Why it would have been refused.
        refusal: Box<Refusal>,
    },
}

/// The proof of every requirement of a rule; of most rules one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proofs {
    first: Arc<Proof>,
    others: Vec<Arc<Proof>>,
}

impl Proofs {
    /// All of them, in the order of the requirements; `None` for none, which admits nothing.
    pub fn new(proofs: impl IntoIterator<Item = Arc<Proof>>) -> Option<Self> {
        let mut proofs = proofs.into_iter();
        Some(Self { first: proofs.next()?, others: proofs.collect() })
    }

    /// The proof of the first requirement.
    pub fn first(&self) -> &Proof {
        &self.first
    }

    /// All of them, in the order of the requirements.
    pub fn iter(&self) -> impl Iterator<Item = &Proof> {
        [&self.first].into_iter().chain(&self.others).map(|proof| &**proof)
    }
}

impl From<Arc<Proof>> for Proofs {
    fn from(first: Arc<Proof>) -> Self {
        Self { first, others: Vec::new() }
    }
}

/// A rule that admits without evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    /// The reason that the rule gives.
    pub reason: String,
    /// When it ends, if the rule says so.
    pub until: Option<Timestamp>,
}

/// A mode in which a rule does not enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leniency {
    /// The user is told.
    Warn,
    /// Only the audit log and the metrics are told.
    Audit,
    /// Somebody who may do so had it run all the same.
    BreakGlass,
}

impl Leniency {
    /// The mode as the policy writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Audit => "audit",
            Self::BreakGlass => "break-glass",
        }
    }
}

impl Admitted {
    /// An image with its proofs.
    pub fn proven(judged: Judged, proofs: Proofs) -> Self {
        Self { judged, by: AdmittedBy::Proof(proofs) }
    }

    /// An image that a rule exempts. That is weak by itself.
    pub fn exempt(mut judged: Judged, exemption: Exemption) -> Self {
        note_weakness(&mut judged.weak, "allow");
        Self { judged, by: AdmittedBy::Exemption(exemption) }
    }

    /// An image that was refused under a rule that does not enforce. That is weak by itself. What `judged` says beside
    /// the refusal is kept.
    pub fn unenforced(refusal: Refusal, mode: Leniency, mut judged: Judged) -> Self {
        note_weakness(
            &mut judged.weak,
            match mode {
                Leniency::Warn => "mode: warn",
                Leniency::Audit => "mode: audit",
                Leniency::BreakGlass => "break-glass",
            },
        );
        let judged = Judged {
            field: refusal.field.clone(),
            reference: refusal.reference.clone(),
            digest: refusal.digest,
            rule: refusal.rule.clone(),
            named: refusal.context.named.clone(),
            ..judged
        };
        Self { judged, by: AdmittedBy::Leniency { mode, refusal: Box::new(refusal) } }
    }

    /// What was judged.
    pub fn judged(&self) -> &Judged {
        &self.judged
    }

    /// By what it is admitted.
    pub fn by(&self) -> &AdmittedBy {
        &self.by
    }

    /// By what it is admitted, in one word for counts and logs.
    pub fn kind(&self) -> &'static str {
        match self.by {
            AdmittedBy::Proof(_) => "verified",
            AdmittedBy::Exemption(_) => "exempt",
            AdmittedBy::Leniency { mode: Leniency::BreakGlass, .. } => "break-glass",
            AdmittedBy::Leniency { .. } => "unenforced",
        }
    }

    /// The whole admission for `explain --format json`.
    pub fn to_json(&self) -> Value {
        let by = match &self.by {
            AdmittedBy::Proof(proofs) if proofs.others.is_empty() => json!({"proof": proof_json(&proofs.first)}),
            AdmittedBy::Proof(proofs) => json!({"proofs": proofs.iter().map(proof_json).collect::<Vec<_>>()}),
            AdmittedBy::Exemption(exemption) => json!({"exemption": {
                "reason": exemption.reason,
                "until": exemption.until,
            }}),
            AdmittedBy::Leniency { mode, refusal } => {
                json!({"mode": mode.as_str(), "refusal": refusal.to_json()})
            }
        };
        json!({
            "verdict": "admitted",
            "field": self.judged.field,
            "reference": self.judged.reference,
            "digest": self.judged.digest.map(|digest| format!("sha256:{digest}")),
            "as": self.judged.named,
            "rule": self.judged.rule,
            "reason": self.judged.reason,
            "enforceFrom": self.judged.enforce_from,
            "weak": self.judged.weak,
            "warnings": self.judged.warnings,
            "agreed": self.judged.agreed,
            "stale": self.judged.stale.iter().map(Staleness::to_json).collect::<Vec<_>>(),
            "by": by,
        })
    }
}

impl Staleness {
    fn to_json(&self) -> Value {
        json!({
            "repository": self.repository,
            "judgedAt": self.judged_at,
            "until": self.until,
            "refresh": self.refresh,
        })
    }
}

impl From<Admitted> for Verdict {
    fn from(admitted: Admitted) -> Self {
        Self::Admitted(Box::new(admitted))
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

fn proof_json(proof: &Proof) -> Value {
    json!({
        "repository": proof.repository(),
        "targetsVersion": proof.targets_version(),
        "imageRole": proof.image_chain(),
        "layout": proof.layout(),
        "layoutRole": proof.layout_chain(),
        "layoutKeys": proof.layout_keys(),
        "steps": proof.steps(),
        "boundTo": proof.bound_to().map(|(step, artifact)| json!({"step": step, "artifact": artifact})),
        "index": proof.index().map(|digest| format!("sha256:{digest}")),
        "validUntil": proof.valid_until(),
    })
}

fn note_weakness(weak: &mut Vec<String>, word: &str) {
    if !weak.iter().any(|known| known == word) {
        weak.push(word.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Cause, Context};

    fn refusal() -> Refusal {
        Refusal {
            field: "spec.containers[0].image".into(),
            reference: "app:1".into(),
            digest: None,
            rule: Some("trial".into()),
            context: Context::default(),
            cause: Cause::NoRule { namespace: Some("prod".into()) },
        }
    }

    #[test]
    fn an_exemption_is_weak_even_where_nobody_said_so() {
        let exemption = Exemption { reason: "moved by March".into(), until: None };
        let admitted = Admitted::exempt(Judged::default(), exemption.clone());
        assert_eq!(admitted.judged().weak, ["allow"]);
        let again = Admitted::exempt(admitted.judged().clone(), exemption);
        assert_eq!(again.judged().weak, ["allow"]);
    }

    #[test]
    fn a_refusal_that_is_not_enforced_stays_visible() {
        let verdict = Verdict::from(Admitted::unenforced(refusal(), Leniency::Audit, Judged::default()));
        assert_eq!(verdict.refusal(), Some(&refusal()));
        assert_eq!(verdict.label(), "policy/no-rule");
        assert_eq!(verdict.to_json()["by"]["refusal"]["code"], "policy/no-rule");
        assert_eq!(verdict.to_json()["weak"], json!(["mode: audit"]));
    }
}
