//! What an answer must be, from what the repository and the policy say. It knows nothing of how the webhook comes to it.
//!
//! | the image, by its digest | code |
//! |---|---|
//! | revoked, whatever else holds | `tuf/revoked` |
//! | not listed | `image/unknown` |
//! | listed without evidence | `evidence/nothing-listed` |
//! | made by too few builders of the layout | `in-toto/threshold-not-met` |
//! | pushed is another than built | `in-toto/disallowed-artifact` |
//! | with the evidence of another image | `evidence/not-bound` |
//! | good | none |
//!
//! A tag means what the repository signed for it, and no Pod may name one.

use std::collections::BTreeSet;

use crate::{
    images::{Images, Kind, Repository, Width},
    policies::Variant,
};

/// An image, as an object names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// One of the images, by its digest.
    Digest(usize),
    /// Under a tag alone.
    Tag(&'static str),
    /// Of the platform, which is exempt in the namespace monitoring.
    Platform,
    /// The one that tells which policy answers.
    Seal,
    /// Of a repository that no rule is about.
    Foreign,
    /// No reference at all.
    Malformed,
}

/// What a review asks.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// Whether an object may be made or changed.
    Verify { namespace: &'static str, is_pod: bool, is_mirror: bool, images: Vec<Named> },
    /// To which digests the tags of an object are to be pinned.
    Pin { namespace: &'static str, is_pod: bool, images: Vec<Named> },
    /// An object that names more different images than one may.
    TooMany,
    /// A kind in which nobody knows where images are.
    UnknownKind,
}

/// An answer, or what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    /// Of a refusal.
    pub(crate) status: Option<u64>,
    /// The audit annotations of these names, each with commas between its values.
    pub(crate) verdict: String,
    pub(crate) codes: String,
    pub(crate) rules: String,
    /// Whether it is marked as weak.
    pub(crate) is_weak: bool,
    /// Whether the user is warned.
    pub(crate) warns: bool,
    /// Path and value of each change.
    pub(crate) patch: Vec<(String, String)>,
}

impl Answer {
    fn silent() -> Self {
        Self {
            allowed: true,
            status: None,
            verdict: String::new(),
            codes: String::new(),
            rules: String::new(),
            is_weak: false,
            warns: false,
            patch: Vec::new(),
        }
    }

    fn unread(status: u64, verdict: &str, code: &str) -> Self {
        let (verdict, codes) = (verdict.to_owned(), code.to_owned());
        Self { allowed: false, status: Some(status), verdict, codes, ..Self::silent() }
    }
}

/// What becomes of one image.
struct Fate {
    /// What is wrong with it.
    code: Option<&'static str>,
    /// The rule that is about it.
    rule: Option<String>,
    /// What of that reaches the user.
    mode: Mode,
    is_weak: bool,
}

#[derive(PartialEq, Eq)]
enum Mode {
    Enforce,
    Warn,
    Audit,
}

/// What a state of the world makes of a question.
pub(crate) struct State<'a> {
    pub(crate) images: &'a Images,
    pub(crate) repository: &'a Repository,
    pub(crate) policy: (u64, Variant),
}

impl State<'_> {
    /// The answer that is right.
    pub(crate) fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::TooMany => Answer::unread(403, "denied", "admission/too-many-images"),
            Question::UnknownKind => Answer::unread(500, "misconfigured", "admission/unknown-kind"),
            Question::Pin { namespace, is_pod, images } => self.pin(namespace, *is_pod, images),
            Question::Verify { namespace, is_pod, is_mirror, images } => {
                let fates = images.iter().map(|image| self.fate(namespace, *is_pod, *image)).collect::<Vec<_>>();
                judged(&fates, *is_mirror)
            }
        }
    }

    /// Tags of Pods are pinned, where a rule verifies the image and takes tags; that it would be refused does not matter.
    fn pin(&self, namespace: &str, is_pod: bool, images: &[Named]) -> Answer {
        let pins = is_pod && self.is_verified(namespace) && self.policy.1 != Variant::NoTags;
        let pinned = images.iter().enumerate().filter_map(|(index, image)| {
            let Named::Tag(tag) = image else { return None };
            let digest = self.images.all[*self.repository.tags.get(tag).filter(|_| pins)?].digest;
            let path = format!("/spec/containers/{index}/image");
            Some((path, format!("{}:{tag}@sha256:{digest}", crate::images::NAME)))
        });
        Answer { patch: pinned.collect(), ..Answer::silent() }
    }

    /// Whether the rule that verifies is about images of the team in a namespace.
    fn is_verified(&self, namespace: &str) -> bool {
        namespace == "prod-shop" || (namespace == "prod-mail" && self.policy.1 != Variant::Narrow)
    }

    fn fate(&self, namespace: &str, is_pod: bool, image: Named) -> Fate {
        let (number, variant) = self.policy;
        let exempt = |rule: String| Fate { code: None, rule: Some(rule), mode: Mode::Enforce, is_weak: true };
        let code = match image {
            Named::Malformed => {
                return Fate {
                    code: Some("image/malformed-reference"),
                    rule: None,
                    mode: Mode::Enforce,
                    is_weak: false,
                };
            }
            Named::Seal if namespace == "canary" => return exempt(format!("policy-{number}")),
            Named::Platform if namespace == "monitoring" => return exempt("platform".to_owned()),
            Named::Digest(image) if self.is_verified(namespace) => self.by_digest(image),
            Named::Tag(tag) if self.is_verified(namespace) => self.by_tag(tag, is_pod),
            _ => {
                let audits = variant == Variant::DefaultAudit;
                let mode = if audits { Mode::Audit } else { Mode::Enforce };
                return Fate { code: Some("policy/no-rule"), rule: None, mode, is_weak: audits };
            }
        };
        let mode = match variant {
            Variant::Warn => Mode::Warn,
            Variant::Audit => Mode::Audit,
            _ => Mode::Enforce,
        };
        let is_weak = mode != Mode::Enforce;
        Fate { code, rule: Some("own-images".to_owned()), mode, is_weak }
    }

    fn by_digest(&self, image: usize) -> Option<&'static str> {
        if self.repository.revoked.contains(&image) {
            return Some("tuf/revoked");
        }
        if !self.repository.listed.contains(&image) {
            return Some("image/unknown");
        }
        match self.images.all[image].kind {
            Kind::Good => None,
            Kind::Late if self.repository.layout == Width::Wide => None,
            Kind::Late | Kind::Short => Some("in-toto/threshold-not-met"),
            Kind::Tampered => Some("in-toto/disallowed-artifact"),
            Kind::Stolen => Some("evidence/not-bound"),
            Kind::Unsigned => Some("evidence/nothing-listed"),
            Kind::MadeUp => Some("image/unknown"),
        }
    }

    fn by_tag(&self, tag: &str, is_pod: bool) -> Option<&'static str> {
        if self.policy.1 == Variant::NoTags {
            return Some("image/tag-denied");
        }
        match self.repository.tags.get(tag) {
            None => Some("image/unknown-tag"),
            Some(_) if is_pod => Some("image/not-pinned"),
            Some(image) => self.by_digest(*image),
        }
    }
}

/// One answer for all images of an object.
fn judged(fates: &[Fate], is_mirror: bool) -> Answer {
    let joined = |values: BTreeSet<String>| values.into_iter().collect::<Vec<_>>().join(",");
    let refused = fates.iter().any(|fate| fate.code.is_some() && fate.mode == Mode::Enforce);
    let verdict = match (refused, fates.is_empty()) {
        (true, _) => "denied",
        (_, true) => "no-images",
        _ => "admitted",
    };
    let admitted = |fate: &&Fate| fate.code.is_none() || fate.mode != Mode::Enforce;
    let allowed = !refused || is_mirror;
    Answer {
        allowed,
        status: (!allowed).then_some(403),
        verdict: verdict.to_owned(),
        codes: joined(fates.iter().filter_map(|fate| fate.code).map(str::to_owned).collect()),
        rules: joined(fates.iter().filter_map(|fate| fate.rule.clone()).collect()),
        is_weak: fates.iter().filter(admitted).any(|fate| fate.is_weak) || (refused && is_mirror),
        warns: fates.iter().any(|fate| fate.code.is_some() && fate.mode == Mode::Warn),
        patch: Vec::new(),
    }
}
