//! Why one image was refused, as data.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Class, CodeInfo, codes, text::sanitise};
use crate::{crypto::Sha256, evidence, image, in_toto, policy, tuf};

/// Why one image was refused. Built once, where the check failed; every surface renders this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where the object names the image: `spec.template.spec.initContainers[0].image`. Empty outside of objects.
    pub field: String,
    /// The reference as it was written.
    pub reference: String,
    /// The digest that was judged, once it was known.
    pub digest: Option<Sha256>,
    /// The policy rule that was in force for the image.
    pub rule: Option<String>,
    /// What the judgement stood on when it failed.
    pub context: Context,
    /// The check that failed.
    pub cause: Cause,
}

/// What a judgement stood on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The canonical name that the image was judged by, where the rule gives it another (`as`).
    pub named: Option<String>,
    /// Which of the requirements of the rule was judged, counted from 1, and how many there are; `None` where there is
    /// only one.
    pub part: Option<(usize, usize)>,
    /// Target path of the layout.
    pub layout: Option<String>,
    /// The TUF repository, by its name in the policy.
    pub repository: Option<String>,
    /// Version of its top-level targets role.
    pub targets_version: Option<u64>,
    /// When that role expires.
    pub expires: Option<Timestamp>,
}

/// The check that failed, with what it compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The reference or the manifest.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The TUF repository.
    #[error(transparent)]
    Tuf(#[from] tuf::Error),
    /// Layout, links, rules.
    #[error(transparent)]
    InToto(#[from] in_toto::Error),
    /// What the image's target lists, and what it proves.
    #[error(transparent)]
    Evidence(#[from] evidence::Error),
    /// The policy itself.
    #[error(transparent)]
    Policy(#[from] policy::Error),
    /// The name of the image does not fit into the words of the rule.
    #[error(transparent)]
    UnusableName(#[from] policy::Unusable),
    /// A Pod names a tag (trust.md T3).
    #[error("a Pod runs digests, and the reference has none: {0}")]
    NotPinned(Pinning),
    /// No rule of the policy matches, and its default is `deny`.
    #[error("no rule of the policy matches this image in {}", namespace_text(.namespace.as_deref()))]
    NoRule {
        /// The namespace of the object, if it has one.
        namespace: Option<String>,
    },
    /// The policy does not exist or never loaded.
    #[error("there is no policy in force: {reason}")]
    NoPolicy {
        /// What is the matter with it.
        reason: String,
    },
    /// No refresh has succeeded for longer than the policy's `maxAge`.
    #[error("the last refresh of {repository} that succeeded was {}, and maxAge is {max_age:#}", instant_text(.succeeded.as_ref()))]
    TooOld {
        /// The repository.
        repository: String,
        /// When a refresh last succeeded in this process.
        succeeded: Option<Timestamp>,
        /// The policy's `maxAge`.
        max_age: SignedDuration,
    },
    /// Metadata have expired, and no newer ones could be had.
    #[error("{error}; the last refresh failed: {refresh}")]
    Stale {
        /// What has expired.
        error: Box<evidence::Error>,
        /// Why there is nothing newer.
        refresh: String,
    },
    /// Fewer repositories list the image than the rule asks for.
    #[error(
        "{wanted} of the rule's repositories must list the image: it is in {}{}", agreed.join(", "), absent_text(absent)
    )]
    TooFewRepositories {
        /// How many the rule asks for.
        wanted: usize,
        /// Those that list it, the one with the evidence first.
        agreed: Vec<String>,
        /// Those that do not, with what they lack.
        absent: Vec<(String, String)>,
    },
    /// This program could not do its part.
    #[error("{what}")]
    Internal {
        /// What went wrong.
        what: String,
    },
    /// What is trusted could not be kept on disk.
    #[error("{what}")]
    Store {
        /// The refusal code.
        code: &'static str,
        /// What went wrong.
        what: String,
    },
    /// What is needed is being fetched and did not arrive within the time of this review.
    #[error("metadata of repository {repository} is still being fetched")]
    Fetching {
        /// The repository, by its name in the policy.
        repository: String,
    },
    /// A registry did not say what a tag names, where the rule wants it asked.
    #[error("registry {registry} was asked what the tag names: {fault}")]
    Registry {
        /// Its host.
        registry: String,
        /// Why there is no digest.
        fault: image::RegistryFault,
    },
    /// A registry did not give a layer that an inspection looks at.
    #[error("registry {registry} was asked for a layer: {fault}")]
    Layer {
        /// Its host.
        registry: String,
        /// Why there is no layer.
        fault: image::RegistryFault,
    },
    /// The namespace asks for more unknown images than it is given.
    #[error("{} asked for too many images that were not judged before", namespace_text(.namespace.as_deref()))]
    OverBudget {
        /// The namespace of the object, if it has one.
        namespace: Option<String>,
    },
    /// No verdict was reached for an image that the object names: a defect of this program, and a refusal.
    #[error("no verdict was reached for this image")]
    Unjudged,
}

/// Whether a tag could have been replaced by a digest before it came to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinning {
    /// Nothing pins tags here.
    Off,
    /// Tags are pinned, and this one is a tag again.
    Undone,
}

impl fmt::Display for Pinning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "pinning is off",
            Self::Undone => "another webhook changed it after pinning",
        })
    }
}

impl Cause {
    /// The refusal code, one of the closed list of [`codes`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::Image(error) => error.code(),
            Self::Tuf(error) => error.code(),
            Self::InToto(error) => error.code(),
            Self::Evidence(error) => error.code(),
            Self::Policy(error) => error.code(),
            Self::UnusableName(error) => error.code(),
            Self::NotPinned(_) => "image/not-pinned",
            Self::NoRule { .. } => "policy/no-rule",
            Self::NoPolicy { .. } => "policy/not-in-force",
            Self::Stale { error, .. } => error.code(),
            Self::TooOld { .. } => "tuf/max-age",
            Self::TooFewRepositories { .. } => "image/too-few-repositories",
            Self::Internal { .. } => "internal/failure",
            Self::Store { code, .. } => code,
            Self::Registry { fault, .. } | Self::Layer { fault, .. } => fault.code(),
            Self::Fetching { .. } => "admission/fetching",
            Self::OverBudget { .. } => "admission/over-budget",
            Self::Unjudged => "internal/unjudged",
        }
    }

    /// What kind of refusal it is. A code that is not listed is a verdict: closed also where outages are let through.
    pub fn class(&self) -> Class {
        codes::lookup(self.code()).map_or(Class::Denied, |info| info.class)
    }
}

impl Refusal {
    /// The refusal code; also the label of metrics.
    pub fn code(&self) -> &'static str {
        self.cause.code()
    }

    /// What kind of refusal it is.
    pub fn class(&self) -> Class {
        self.cause.class()
    }

    /// What the list of codes says about it.
    pub fn info(&self) -> Option<&'static CodeInfo> {
        codes::lookup(self.code())
    }

    /// What to hand to `pratique explain`: the reference with the digest that was judged. `None` where the text could
    /// mean something to a shell, because it is there to be pasted.
    pub fn explainable(&self) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/@[]".contains(&byte);
        if self.reference.is_empty() || self.reference.starts_with('-') || !self.reference.bytes().all(plain) {
            return None;
        }
        Some(match self.digest {
            Some(digest) if !self.reference.contains('@') => format!("{}@sha256:{digest}", self.reference),
            _ => self.reference.clone(),
        })
    }

    /// The whole refusal for `explain --format json`.
    pub fn to_json(&self) -> Value {
        json!({
            "verdict": self.class().as_str(),
            "field": self.field,
            "reference": self.reference,
            "digest": self.digest.map(|digest| format!("sha256:{digest}")),
            "as": self.context.named,
            "rule": self.rule,
            "part": self.context.part.map(|(number, _)| number),
            "code": self.code(),
            "class": self.class().as_str(),
            "message": sanitise(&self.cause.to_string()),
            "layout": self.context.layout,
            "repository": self.context.repository,
            "targetsVersion": self.context.targets_version,
            "expires": self.context.expires,
            "fix": self.info().map(|info| info.cure),
        })
    }
}

fn namespace_text(namespace: Option<&str>) -> String {
    namespace.map_or_else(|| "an object without a namespace".to_owned(), |name| format!("namespace {name:?}"))
}

fn absent_text(absent: &[(String, String)]) -> String {
    absent.iter().map(|(repository, path)| format!("; {repository} has no target {path}")).collect()
}

fn instant_text(at: Option<&Timestamp>) -> String {
    at.map_or_else(|| "before this process began".to_owned(), |at| format!("at {at:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(reference: &str, digest: Option<Sha256>) -> Refusal {
        Refusal {
            field: "spec.containers[0].image".into(),
            reference: reference.into(),
            digest,
            rule: None,
            context: Context::default(),
            cause: Cause::NoRule { namespace: None },
        }
    }

    #[test]
    fn explain_is_given_the_digest_that_was_judged() {
        let digest = Sha256::of(b"manifest");
        assert_eq!(refusal("app:1", Some(digest)).explainable().unwrap(), format!("app:1@sha256:{digest}"));
        let pinned = format!("app@sha256:{digest}");
        assert_eq!(refusal(&pinned, Some(digest)).explainable().unwrap(), pinned);
        assert_eq!(refusal("app:1", None).explainable().unwrap(), "app:1");
    }

    #[test]
    fn a_reference_that_a_shell_would_run_is_never_offered_for_pasting() {
        for hostile in ["$(reboot)", "app;reboot", "app`id`", "app 1", "-rf", "", "a\nb", "app|sh", "app>x"] {
            assert_eq!(refusal(hostile, None).explainable(), None, "{hostile:?}");
        }
    }

    #[test]
    fn json_tells_class_and_code() {
        let json = refusal("app:1", None).to_json();
        assert_eq!(json["code"], "policy/no-rule");
        assert_eq!(json["class"], "denied");
        assert_eq!(json["digest"], Value::Null);
    }
}
