//! A policy that is valid because it exists: only [`Policy::parse`] makes one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Demand, Error, Place, RegistrySettings, TufRepository, load};
use crate::{
    crypto::Sha256,
    evidence::requirement::{RepositoryName, Template},
    pattern::{ImagePattern, NamePattern},
};

/// What may run where, on whose word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub(super) repositories: BTreeMap<RepositoryName, TufRepository>,
    pub(super) registries: BTreeMap<String, RegistrySettings>,
    pub(super) rules: Vec<Rule>,
    pub(super) next: Option<Vec<Rule>>,
    pub(super) break_glass: Option<BreakGlass>,
    pub(super) default: DefaultAction,
    pub(super) warnings: Vec<Warning>,
    pub(super) hash: Sha256,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// The first fault, with its line: everything that is not known to have one meaning, and weak rules that do not
    /// write out where they apply.
    pub fn parse(text: &str) -> Result<Self, Error> {
        load::policy(text)
    }

    /// The repositories that its rules may name.
    pub fn repositories(&self) -> &BTreeMap<RepositoryName, TufRepository> {
        &self.repositories
    }

    /// The registries that its rules may ask, by host.
    pub fn registries(&self) -> &BTreeMap<String, RegistrySettings> {
        &self.registries
    }

    /// The rules, in the order in which they are tried.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules that are tried in the shadow of those in force, if there are some: what they say changes nothing.
    pub fn next(&self) -> Option<&[Rule]> {
        self.next.as_deref()
    }

    /// Where the glass may be broken; nowhere if absent.
    pub fn break_glass(&self) -> Option<&BreakGlass> {
        self.break_glass.as_ref()
    }

    /// What becomes of an image that no rule matches.
    pub fn default_action(&self) -> DefaultAction {
        self.default
    }

    /// The rules that prove less than the promise, in order.
    pub fn weak_rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.is_weak())
    }

    /// What is probably a mistake but has a meaning.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Identifies its content: comments, order of keys and layout of the text do not count.
    pub fn hash(&self) -> Sha256 {
        self.hash
    }
}

/// Where somebody whom the API server lets may have a Pod run that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlass {
    pub(super) namespaces: BTreeSet<String>,
    pub(super) until: Option<Timestamp>,
}

impl BreakGlass {
    /// Whether the policy allows it in a namespace at an instant.
    pub fn may_be_broken(&self, namespace: &str, now: Timestamp) -> bool {
        self.namespaces.contains(namespace) && self.until.is_none_or(|until| now < until)
    }

    /// The namespaces, by name.
    pub fn namespaces(&self) -> &BTreeSet<String> {
        &self.namespaces
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(super) name: RuleName,
    pub(super) matcher: Matcher,
    pub(super) renamed: Option<Template>,
    pub(super) action: Action,
    pub(super) mode: Mode,
    pub(super) enforce_from: Option<Timestamp>,
    pub(super) reason: Option<String>,
    pub(super) weak: BTreeSet<Weak>,
}

impl Rule {
    /// Its name, unique in the policy.
    pub fn name(&self) -> &RuleName {
        &self.name
    }

    /// Which images it judges.
    pub fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    /// What it says about them.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// What becomes of a refusal at an instant.
    pub fn mode(&self, now: Timestamp) -> Mode {
        if self.is_enforced_by_date(now) { Mode::Enforce } else { self.mode }
    }

    /// From when on it refuses, if that is later than the policy.
    pub fn enforce_from(&self) -> Option<Timestamp> {
        self.enforce_from
    }

    /// Why it is as it is, for people. Of an exemption see [`Action::Allow`].
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The name that the rule gives its images, with `{1}` for what a wildcard took (`as`).
    pub fn renamed(&self) -> Option<&Template> {
        self.renamed.as_ref()
    }

    /// In what it proves less than the promise at any time; empty for most rules.
    pub fn weak(&self) -> &BTreeSet<Weak> {
        &self.weak
    }

    /// In what it proves less than the promise at an instant.
    pub fn weak_at(&self, now: Timestamp) -> impl Iterator<Item = Weak> {
        let enforced = self.is_enforced_by_date(now);
        self.weak.iter().copied().filter(move |weak| !(enforced && *weak == Weak::EnforceFrom))
    }

    /// Whether it proves less than the promise.
    pub fn is_weak(&self) -> bool {
        !self.weak.is_empty()
    }

    fn is_enforced_by_date(&self, now: Timestamp) -> bool {
        self.enforce_from.is_some_and(|from| from <= now)
    }
}

/// The name of a rule: a DNS label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RuleName(pub(super) Arc<str>);

impl RuleName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which images a rule judges: those that fit one entry of every list. None of the lists is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// Of the workload; `*` when the rule names none.
    pub namespaces: Vec<NamePattern>,
    /// Of the image; `**` when the rule names none.
    pub images: Vec<ImageMatch>,
    /// As what the image is used; every use when the rule names none.
    pub uses: BTreeSet<UsedAs>,
}

/// Repositories by pattern, or with `@sha256:…` one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageMatch {
    /// On the canonical name.
    pub pattern: ImagePattern,
    /// The only digest that fits, if one is given.
    pub digest: Option<Sha256>,
}

impl fmt::Display for ImageMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pattern)?;
        match self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => Ok(()),
        }
    }
}

/// As what a workload uses an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UsedAs {
    /// `containers`
    Container,
    /// `initContainers`
    Init,
    /// `ephemeralContainers`
    Ephemeral,
    /// `volumes[].image`
    Volume,
}

impl UsedAs {
    /// Every use there is.
    pub const ALL: [Self; 4] = [Self::Container, Self::Init, Self::Ephemeral, Self::Volume];
}

/// What a rule says about the images that it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// They run if all of these are proved; never none.
    Verify(Vec<Demand>),
    /// They run unproved.
    Allow {
        /// Why, for people.
        reason: String,
        /// From this instant on the rule matches nothing.
        until: Option<Timestamp>,
    },
}

/// What becomes of a refusal by a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The workload is refused.
    #[default]
    Enforce,
    /// The workload is admitted with a warning to whoever created it.
    Warn,
    /// The workload is admitted; the refusal is only recorded.
    Audit,
}

/// What becomes of an image that no rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultAction {
    /// It is refused.
    #[default]
    Deny,
    /// It is admitted, and recorded as weakly so.
    Audit,
}

/// In what a rule proves less than the promise (trust.md §4). Displays as the words of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weak {
    /// Nothing is proved.
    Allow,
    /// No supply chain is proved: whoever holds the role's key decides.
    Tuf,
    /// Refusals do not refuse; whoever created the workload is told.
    Warn,
    /// Refusals do not refuse.
    Audit,
    /// Refusals do not refuse yet.
    EnforceFrom,
    /// Inspections of the layout are passed over.
    SkipInspections,
    /// The image is bound by another name than its own, or by what a step used.
    Product,
    /// Layouts may be signed by a role that may also sign images, so an online one.
    LayoutRoles,
    /// Not all keys of the layout must sign it.
    LayoutThreshold,
}

impl fmt::Display for Weak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Tuf => "level: tuf",
            Self::Warn => "mode: warn",
            Self::Audit => "mode: audit",
            Self::EnforceFrom => "enforceFrom",
            Self::SkipInspections => "inspections: skip",
            Self::Product => "product",
            Self::LayoutRoles => "layoutRoles",
            Self::LayoutThreshold => "layoutThreshold",
        })
    }
}

/// What is probably a mistake. Displays as `12:5: rules[1]: …`; whoever prints it knows the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Whatever the rule matches is already matched by an earlier one.
    Unreachable {
        /// Where the rule stands.
        place: Place,
        /// The rule.
        rule: RuleName,
        /// The earlier one.
        by: RuleName,
    },
    /// No rule names the repository.
    UnusedRepository {
        /// Where the repository is described.
        place: Place,
        /// Its name.
        repository: RepositoryName,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { place, rule, by } => {
                write!(f, "{place}: no image reaches rule {rule}: rule {by} stands before it and matches the same")
            }
            Self::UnusedRepository { place, repository } => write!(f, "{place}: no rule names repository {repository}"),
        }
    }
}
