//! A verdict for a reader with time: what was checked, in order, with who signed what.

use std::fmt::Write as _;

use super::{AdmittedBy, Refusal, Verdict, render, sanitise};
use crate::{evidence::Proof, in_toto::Chosen};

/// The verdict as text for a terminal, ending in a line break.
pub fn explain(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Refused(refusal) => refused(refusal),
        Verdict::Admitted(admitted) => {
            let judged = admitted.judged();
            let mut out = format!("admitted: {}\n", sanitise(&judged.reference));
            if let Some(digest) = judged.digest {
                line(&mut out, 1, &format!("digest: sha256:{digest}"));
            }
            if let Some(name) = &judged.named {
                line(&mut out, 1, &format!("as: {name}"));
            }
            line(&mut out, 1, &format!("rule: {}", judged.rule.as_deref().unwrap_or("default")));
            if let Some(reason) = &judged.reason {
                line(&mut out, 1, &format!("reason: {reason}"));
            }
            if !judged.weak.is_empty() {
                line(&mut out, 1, &format!("weak: {}", judged.weak.join(", ")));
            }
            match admitted.by() {
                AdmittedBy::Proof(proofs) => {
                    proofs.iter().for_each(|proof| proven(&mut out, proof));
                    for repository in &judged.agreed {
                        line(&mut out, 1, &format!("repository {repository} lists the same"));
                    }
                }
                AdmittedBy::Exemption(exemption) => {
                    line(&mut out, 1, &format!("exempt: {}", exemption.reason));
                    if let Some(until) = exemption.until {
                        line(&mut out, 1, &format!("until: {until}"));
                    }
                }
                AdmittedBy::Leniency { mode, refusal } => {
                    let until = judged.enforce_from.map(|from| format!(" until {from:.0}")).unwrap_or_default();
                    line(&mut out, 1, &format!("mode {}{until}: it would be refused otherwise", mode.as_str()));
                    out.push_str(&refused(refusal));
                }
            }
            out
        }
    }
}

fn refused(refusal: &Refusal) -> String {
    let mut out = render::message(&[refusal], 1) + "\n";
    if let Some(info) = refusal.info() {
        line(&mut out, 1, &format!("meaning: {}", info.meaning));
    }
    out
}

fn proven(out: &mut String, proof: &Proof) {
    let repository = proof.repository();
    line(out, 1, &format!("image target: repository {repository}, role {}", proof.image_chain()));
    line(out, 1, &format!("top-level targets: v{}", proof.targets_version()));
    line(out, 1, "not revoked by the roles that sign layouts");
    if let (Some(layout), Some(chain)) = (proof.layout(), proof.layout_chain()) {
        line(out, 1, &format!("layout: {layout}, role {chain}"));
        for key in proof.layout_keys() {
            line(out, 2, &format!("key: {key}"));
        }
    }
    if let Some(verified) = proof.verified() {
        line(
            out,
            1,
            &format!("layout signed by {}, expires {}", join(verified.layout_signers()), verified.layout_expires()),
        );
        for name in verified.order() {
            let Some(step) = verified.steps().get(name) else { continue };
            line(out, 1, &format!("step {name}: {} of {} functionaries", step.functionaries.len(), step.threshold));
            for predicate in &step.predicates {
                let (signed, needed) = (predicate.functionaries.len(), predicate.threshold);
                line(out, 2, &format!("by Statements of {}: {signed} of {needed}", predicate.predicate_type));
                for trail in &predicate.attributes {
                    let held =
                        if trail.no_claim.is_empty() { "holds" } else { "is allowed, not all say anything of it" };
                    line(out, 3, &format!("{} {held}", trail.rule));
                }
            }
            if let Some(predicate_type) = step.predicate_type {
                line(out, 2, &format!("by Statements of {predicate_type}"));
            }
            for keyid in &step.functionaries {
                line(out, 2, &format!("signed by {keyid}"));
            }
            for (side, rules) in [("materials", &step.material_rules), ("products", &step.product_rules)] {
                for trail in rules {
                    line(out, 2, &format!("{side}: {} took {}", trail.rule, listed(&trail.consumed)));
                }
            }
        }
        for inspection in verified.inspections() {
            line(out, 1, &format!("inspection {}: {}", inspection.name, inspection.run.join(" ")));
            for trail in inspection.material_rules.iter().chain(&inspection.product_rules) {
                line(out, 2, &format!("{} took {}", trail.rule, listed(&trail.consumed)));
            }
        }
        for name in verified.skipped_inspections() {
            line(out, 1, &format!("inspection {name}: skipped"));
        }
    }
    if let Some((step, artifact)) = proof.bound_to() {
        let what = proof.index().map_or("the image".to_owned(), |index| format!("its index sha256:{index}"));
        line(out, 1, &format!("{what} is {artifact} of step {step}"));
    }
    line(out, 1, &format!("valid until {}", proof.valid_until()));
}

/// Names of artifacts, the first few of them.
pub(super) fn listed(names: &Chosen) -> String {
    const SHOWN: usize = 5;
    let mut text: Vec<&str> = names.iter().take(SHOWN).collect();
    if text.is_empty() {
        return "nothing".to_owned();
    }
    let more = names.len().saturating_sub(SHOWN);
    let rest = format!("{more} more");
    if more > 0 {
        text.push(&rest);
    }
    text.join(", ")
}

fn join(keyids: &[crate::crypto::KeyId]) -> String {
    keyids.iter().map(|keyid| keyid.short()).collect::<Vec<_>>().join(", ")
}

/// One line, whatever names an attacker chose.
fn line(out: &mut String, depth: usize, text: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{:width$}{}", "", sanitise(text), width = depth * 2);
}
