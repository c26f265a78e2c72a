//! What a rule demands of an image before it runs, as data that is valid once it exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    str::FromStr,
    sync::Arc,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    image::Platform,
    pattern::Fnmatch,
    tuf::{RoleChain, RoleName},
};

mod template;

pub use crate::in_toto::{PredicateType, SharedPredicateType, Statements, StepName};
pub use template::{Field, Fields, LayoutScope, Template, TemplateError};

/// What is to be proved about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The repository whose metadata and evidence count.
    pub repository: RepositoryName,
    /// Which other repositories are to list the same, where the rule names several.
    pub agreement: Option<Agreement>,
    /// Which layouts may serve an image (trust.md T5); the layout's own `custom.images` must hold, too.
    pub layout: Option<LayoutScope>,
    /// The roles that may sign layout targets and their key targets (T1). Never empty.
    pub layout_roles: BTreeSet<RoleChain>,
    /// The roles that may sign link targets; any role when absent. Never empty.
    pub link_roles: Option<BTreeSet<RoleChain>>,
    /// The role that must sign the image target; any role when absent.
    pub role: Option<RoleChain>,
    /// How many of the layout's keys must sign it; all when absent.
    pub layout_threshold: Option<NonZeroU32>,
    /// Which artifact of the verified supply chain is the image (T2).
    pub product: Product,
    /// Which manifests of an index the bound step must have made.
    pub platforms: Platforms,
    /// What may be judged in the place of a manifest that does not prove itself.
    pub via: Option<Via>,
    /// Where the layers of an image come from whose files an inspection looks at; from nowhere when absent.
    pub layers: Option<LayerSource>,
    /// Values for the layout's parameters.
    pub parameters: BTreeMap<String, Template>,
    /// What becomes of a layout's inspections.
    pub inspections: Inspections,
    /// The steps that are attested by Statements in place of links.
    pub statements: Statements,
    /// Whether the layout may be one over predicates.
    pub predicates: Predicates,
    /// Whether functionaries may be known by X.509 certificates.
    pub certificates: Certificates,
    /// How many levels of sublayouts may be followed; none are allowed when absent.
    pub sublayouts: Option<u32>,
    /// What must be signed about a tag.
    pub tags: Tags,
    /// The member of `custom` that lists the evidence.
    pub custom: String,
    /// How much is to be proved.
    pub level: Level,
    /// Layouts that expire before this instant do not count, so that one word of a rule retires all older ones.
    pub not_before: Option<Timestamp>,
    /// The target path of an image that is named by its digest.
    pub digest_target: Template,
    /// The target path of an image that is named by a tag.
    pub tag_target: Template,
}

impl Requirement {
    /// The strictest requirement: what a rule demands that names only its repository.
    pub fn of(repository: RepositoryName) -> Self {
        Self {
            repository,
            agreement: None,
            layout: None,
            layout_roles: BTreeSet::from([RoleChain::top()]),
            link_roles: None,
            role: None,
            layout_threshold: None,
            product: Product::default(),
            platforms: Platforms::Any,
            via: None,
            layers: None,
            parameters: BTreeMap::new(),
            inspections: Inspections::Refuse,
            statements: Statements::default(),
            predicates: Predicates::Deny,
            certificates: Certificates::Deny,
            sublayouts: None,
            tags: Tags::Signed,
            custom: "in-toto".to_owned(),
            level: Level::InToto,
            not_before: None,
            digest_target: Template::by_digest(),
            tag_target: Template::by_tag(),
        }
    }

    /// The same with `captures`, what the wildcards of the rule's pattern took, for `{1}` and so on; `None` if there are
    /// too few.
    pub fn with_captures(&self, captures: &[String]) -> Option<Self> {
        let layout = match &self.layout {
            Some(scope) => Some(scope.with_captures(captures)?),
            None => None,
        };
        let parameters = self.parameters.iter();
        let parameters = parameters.map(|(name, value)| Some((name.clone(), value.with_captures(captures)?)));
        Some(Self {
            layout,
            parameters: parameters.collect::<Option<_>>()?,
            digest_target: self.digest_target.with_captures(captures)?,
            tag_target: self.tag_target.with_captures(captures)?,
            ..self.clone()
        })
    }

    /// The layout's parameters for one image; `None` if one needs a tag or a digest that is not there.
    pub fn expand_parameters(&self, fields: &Fields<'_>) -> Option<BTreeMap<String, String>> {
        self.parameters.iter().map(|(name, value)| Some((name.clone(), value.expand(fields)?))).collect()
    }
}

/// Further repositories that have to list an image as the one with the evidence does (TAP 4, trust.md §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// They, without the one that has the evidence. Never empty.
    pub others: Vec<RepositoryName>,
    /// How many repositories have to list the image alike, the one with the evidence among them.
    pub threshold: NonZeroUsize,
    /// Whether they have to list all evidence alike as well.
    pub on_evidence: bool,
}

/// The name of a TUF repository in a policy: a DNS label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RepositoryName(Arc<str>);

/// A text that is not a DNS label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a DNS label: at most 63 of a-z, 0-9 and inner hyphens")]
pub struct NotALabel(pub String);

impl RepositoryName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = NotALabel;

    fn from_str(text: &str) -> Result<Self, NotALabel> {
        if is_dns_label(text) { Ok(Self(text.into())) } else { Err(NotALabel(text.to_owned())) }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a DNS label in lower case (RFC 1123 2.1), which is what names in a policy are.
pub fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Which artifact of which step has to be the image. The default is a product of the last step by the canonical name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Product {
    /// The bound step; the last one when absent.
    pub step: Option<String>,
    /// The type of the Statements of that step whose subject must be the image (binding C); the step's entry in
    /// [`Requirement::statements`] says the same.
    pub predicate_type: Option<PredicateType>,
    /// On which side of the step the image stands.
    pub from: ProductFrom,
    /// A pattern on the artifact's name, in place of the canonical name.
    pub name: Option<Fnmatch>,
    /// The built-in inspection of the layout that has to match the image with what a step made, in place of all that
    /// (T2, binding B).
    pub inspection: Option<String>,
}

/// A side of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProductFrom {
    /// What the step made.
    #[default]
    Products,
    /// What the step used.
    Materials,
}

/// Which manifests of an index have to be products of the bound step themselves. The index itself always has to be one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Platforms {
    /// None: who made the index has said what is in it.
    #[default]
    Any,
    /// Every one.
    All,
    /// Those for these platforms, each of which must be there. Never empty.
    These(BTreeSet<Platform>),
}

/// Where layers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSource {
    /// The host of a registry that the policy describes.
    pub registry: String,
}

/// What may be judged in the place of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// The index that lists it.
    Index,
}

/// What becomes of a layout's inspections. None ever runs a command here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Inspections {
    /// A layout with an inspection that is not built in is refused.
    Refuse,
    /// Inspections that are not built in are passed over.
    Skip,
}

/// Whether the layout may be one over predicates, which says itself what Statements attest its steps and what these must
/// say (in-toto ITE-10, ITE-11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Predicates {
    /// Such a layout is refused.
    Deny,
    /// It counts like any other that a layout role signed.
    Allow,
}

/// Whether functionaries may be known by X.509 certificates, where the layout has authorities and constraints for them
/// (in-toto ITE-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Certificates {
    /// Such a layout is refused.
    Deny,
    /// They are functionaries beside those whose keys the layout lists.
    Allow,
}

/// What must be signed about a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tags {
    /// A target of the tag's name with the image's digest.
    Signed,
    /// Also a verified product of the tag's name with the image's digest.
    Attested,
    /// Nothing: the image's registry says what a tag names, and the digest is judged like any other.
    Registry,
    /// Images are to be named by digest.
    Deny,
}

/// How much is to be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The whole supply chain.
    InToto,
    /// Only that a role signed the image target.
    Tuf,
}

/// Whether people sign a role, with keys that are offline: it may sign layouts, or delegates to one that may (T1 tells
/// the keys apart). All others sign images and links, on a machine.
pub fn is_offline(chain: &RoleChain, layout_roles: &BTreeSet<RoleChain>) -> bool {
    layout_roles.iter().any(|layout_role| is_at_or_below(layout_role, chain))
}

/// Whether `chain` is `ancestor` or lies below it, so that whoever signs `ancestor` decides who signs `chain`.
pub fn is_at_or_below(chain: &RoleChain, ancestor: &RoleChain) -> bool {
    chain.names().starts_with(ancestor.names() as &[RoleName])
}
