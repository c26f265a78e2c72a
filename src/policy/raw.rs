//! The policy exactly as typed: every word it may hold, and no meaning yet.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::{MergeKeyPolicy, Options};

use super::{DefaultAction, Error, Fault, Mode, UsedAs, outline::Outline};
use crate::evidence::requirement::{
    Certificates, Inspections, Level, PredicateType, Predicates, ProductFrom, Tags, Via,
};

mod words;

pub(super) use words::{RawPlatforms, RawSublayouts};

/// Bytes of a policy: what a ConfigMap can hold.
const MAX_BYTES: usize = 1 << 20;

/// What may run where, on whose word.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawPolicy {
    /// The version of this language: 1.
    pub(super) version: u64,
    /// The TUF repositories that rules may name, by name.
    #[serde(default)]
    pub(super) repositories: BTreeMap<String, RawRepository>,
    /// The registries that rules may ask what a tag names, by host.
    #[serde(default)]
    pub(super) registries: BTreeMap<String, RawRegistry>,
    /// The first rule that matches judges the image.
    pub(super) rules: Vec<RawRule>,
    /// Rules that are judged in the shadow of those in force and change nothing.
    pub(super) next: Option<Vec<RawRule>>,
    /// Where somebody whom the API server lets may have a refused Pod run.
    pub(super) break_glass: Option<RawBreakGlass>,
    /// What becomes of an image that no rule matches.
    #[serde(default)]
    pub(super) default: DefaultAction,
}

/// Where the glass may be broken.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBreakGlass {
    /// Exact names of namespaces.
    pub(super) namespaces: Vec<String>,
    /// From this instant on (RFC 3339) it may not.
    pub(super) until: Option<String>,
}

/// A TUF repository.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawRepository {
    /// Where metadata/ and targets/ are.
    pub(super) url: Option<String>,
    /// Where the metadata is, where the two are apart.
    pub(super) metadata_url: Option<String>,
    /// Where the targets are, where the two are apart.
    pub(super) targets_url: Option<String>,
    /// Copies of the repository, each with metadata/ and targets/ under it: asked in this order where it fails.
    pub(super) mirrors: Option<Vec<String>>,
    /// The key of the ConfigMap of roots, or the file beside the policy, that holds the pinned root.json.
    pub(super) root: String,
    /// How long after one refresh the next one begins: 60s.
    pub(super) refresh: Option<String>,
    /// Versions below which nothing is believed: root, timestamp, snapshot, or the chain of a targets role.
    pub(super) minimum: Option<BTreeMap<String, u64>>,
    /// How far ahead a timestamp or snapshot may expire: 30d.
    pub(super) max_validity: Option<String>,
    /// How long ago the last refresh may be.
    pub(super) max_age: Option<String>,
    /// How long before something that people have to renew expires users of an image are warned: 7d.
    pub(super) expiry_warning: Option<String>,
    /// What may go on while nothing fresh can be had of the repository.
    pub(super) stale: Option<RawStale>,
    /// The key or file of the certificates by which the server is known.
    pub(super) ca_bundle: Option<String>,
    /// With which credentials the repository is asked.
    pub(super) auth: Option<RawAuth>,
    /// The other host to which a registry (oci://) may send for a token.
    pub(super) tokens: Option<String>,
    /// The proxy that takes every request to the repository: `http://proxy.acme.example:3128`.
    pub(super) proxy: Option<String>,
    /// Hosts to which redirects are followed, without credentials.
    pub(super) redirects: Option<Vec<String>>,
    /// Counted up by hand to drop what is remembered of the repository.
    pub(super) epoch: Option<u64>,
}

/// What may go on while timestamp or snapshot have expired, or the repository cannot be reached.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawStale {
    /// How long after the signed expiry an image that a Pod of this cluster runs may be started again.
    pub(super) known_images: String,
}

/// A registry of images.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawRegistry {
    /// The other host to which it may send for a token.
    pub(super) tokens: Option<String>,
    /// The key or file of the certificates by which it is known.
    pub(super) ca_bundle: Option<String>,
    /// Whether its addresses may be private ones.
    pub(super) private: Option<bool>,
    /// With which credentials it, or whoever gives its tokens, is asked.
    pub(super) auth: Option<RawAuth>,
    /// Hosts to which it may send for layers, without credentials.
    pub(super) redirects: Option<Vec<String>>,
}

/// Where credentials are: never in the policy.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAuth {
    /// The Secret in the webhook's own namespace, or the folder beside the policy, that holds them.
    pub(super) secret_ref: String,
}

/// A rule: exactly one of verify, all and allow.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawRule {
    /// A DNS label, unique in its list.
    pub(super) name: String,
    /// Which images the rule judges; what is absent matches everything.
    #[serde(rename = "match")]
    pub(super) matcher: RawMatch,
    /// The canonical name that images have under this rule; {1} is what the first wildcard of the pattern took.
    #[serde(rename = "as")]
    pub(super) renamed: Option<String>,
    /// What must be proved.
    pub(super) verify: Option<RawVerify>,
    /// Requirements that must all be proved.
    pub(super) all: Option<Vec<RawVerify>>,
    /// Admits without evidence; the text says why.
    pub(super) allow: Option<String>,
    /// From this instant on (RFC 3339) an exemption matches nothing.
    pub(super) until: Option<String>,
    /// What becomes of a refusal.
    pub(super) mode: Option<Mode>,
    /// From this instant on (RFC 3339) the rule refuses; before it warns.
    pub(super) enforce_from: Option<String>,
    /// Why, for people.
    pub(super) reason: Option<String>,
}

/// All that is given must match.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMatch {
    /// Names or patterns of namespaces.
    pub(super) namespaces: Option<Vec<String>>,
    /// Patterns on canonical repository names, or one image by @sha256:….
    pub(super) images: Option<Vec<String>>,
    /// As what the image is used.
    pub(super) uses: Option<Vec<UsedAs>>,
}

/// What must be proved.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawVerify {
    /// The repositories that must have the image.
    pub(super) repositories: Vec<String>,
    /// How many of them must have it; all by default.
    pub(super) threshold: Option<usize>,
    /// The one that has the evidence, where there are several.
    pub(super) evidence: Option<String>,
    /// What they must list alike beside the image.
    pub(super) agree_on: Option<AgreeOn>,
    /// The paths at which layouts for these images may be.
    pub(super) layout: Option<String>,
    /// The role chains from which layouts, their keys and revocations are believed.
    pub(super) layout_roles: Option<Vec<String>>,
    /// The role chains from which links are believed.
    pub(super) link_roles: Option<Vec<String>>,
    /// The role chain that must list the image.
    pub(super) role: Option<String>,
    /// How many of the layout's keys must have signed it.
    pub(super) layout_threshold: Option<u32>,
    /// Which artifact must be the image.
    pub(super) product: Option<RawProduct>,
    /// Which manifests of an index the bound step must have made.
    pub(super) platforms: Option<RawPlatforms>,
    /// What may be judged in the place of a manifest that a Pod names.
    pub(super) via: Option<Via>,
    /// Where layers come from, where an inspection looks at the files of an image.
    pub(super) layers: Option<RawLayers>,
    /// Values for the parameters of the layout.
    pub(super) parameters: Option<BTreeMap<String, String>>,
    /// What becomes of inspections.
    pub(super) inspections: Option<Inspections>,
    /// The steps that are attested by Statements in place of links, each with the type of their predicate.
    pub(super) statements: Option<BTreeMap<String, PredicateType>>,
    /// Whether the layout may be one over predicates (in-toto ITE-10, ITE-11).
    pub(super) predicates: Option<Predicates>,
    /// Whether functionaries may be known by X.509 certificates.
    pub(super) certificates: Option<Certificates>,
    /// Whether functionaries may hand in layouts.
    pub(super) sublayouts: Option<RawSublayouts>,
    /// What must be signed about a tag.
    pub(super) tags: Option<Tags>,
    /// The member of TUF's custom that lists the evidence.
    pub(super) custom: Option<String>,
    /// How much is to be proved.
    pub(super) level: Option<Level>,
    /// Layouts that expire before this instant (RFC 3339) do not count.
    pub(super) not_before: Option<String>,
    /// The target path of an image by digest.
    pub(super) target: Option<String>,
    /// The target path of an image by tag.
    pub(super) tag_target: Option<String>,
}

/// What several repositories must list alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AgreeOn {
    /// The image alone.
    Image,
    /// The image, and every file of its evidence.
    Evidence,
}

/// Where layers come from.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLayers {
    /// The host of one of the registries that the policy describes.
    pub(super) registry: String,
}

/// The artifact that must be the image.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawProduct {
    /// The step; the last one by default.
    pub(super) step: Option<String>,
    /// The type of the Statements that attest the step in place of links, and whose subject must be the image.
    pub(super) predicate_type: Option<PredicateType>,
    /// On which side of the step it stands.
    pub(super) from: Option<ProductFrom>,
    /// A pattern on its name.
    pub(super) name: Option<String>,
    /// The built-in inspection that must match it with what a step made, in place of all that.
    pub(super) inspection: Option<String>,
}

/// Reads the text, and where everything in it stands.
pub(super) fn read(text: &str) -> Result<(RawPolicy, Outline), Error> {
    if text.len() > MAX_BYTES {
        return Err(Outline::unread(Fault::TooLarge { length: text.len(), limit: MAX_BYTES }));
    }
    let outline = Outline::read(text)?;
    match serde_saphyr::from_str_with_options(text, options()) {
        Ok(policy) => Ok((policy, outline)),
        Err(error) => Err(outline.error_of(&error)),
    }
}

/// No merge keys, no tags, no `yes` for `true`, and no text that another reader takes for a number (`1.10`) or a truth
/// (`allow: true`): what stands at a place is what holds there.
pub(super) fn options() -> Options {
    serde_saphyr::options! {
        strict_booleans: true,
        no_schema: true,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// Rewords an error of the YAML reader in terms of policies, without its place.
pub(super) fn fault_of(error: &serde_saphyr::Error) -> Fault {
    use serde_saphyr::Error as Yaml;
    match error.without_snippet() {
        Yaml::SerdeUnknownField { field, expected, .. } => {
            Fault::UnknownKey { key: field.clone(), known: expected.clone() }
        }
        Yaml::SerdeUnknownVariant { variant, expected, .. } => {
            Fault::UnknownWord { word: variant.clone(), known: expected.clone() }
        }
        Yaml::SerdeMissingField { field, .. } => Fault::MissingKey((*field).to_owned()),
        Yaml::DuplicateMappingKey { key, .. } => Fault::DuplicateKey(key.clone().unwrap_or_default()),
        Yaml::MultipleDocuments { .. } => Fault::Yaml("a second document follows, a policy is one".to_owned()),
        Yaml::MergeKeyNotAllowed { .. } => Fault::Yaml("merge keys are not read".to_owned()),
        Yaml::Eof { .. } => Fault::Yaml("the document ends too early".to_owned()),
        Yaml::InvalidScalar { .. } => Fault::Yaml("is not a number, or too large a one".to_owned()),
        Yaml::QuotingRequired { value, .. } => Fault::Yaml(format!("{value:?} is a text only in quotes")),
        Yaml::UnknownAnchor { .. } => Fault::Yaml("put a pattern that begins with \"*\" in quotes".to_owned()),
        Yaml::Unexpected { expected, .. } => Fault::Yaml(format!("expected {}", kind_of(expected))),
        other => Fault::Yaml(without_place(&other.to_string())),
    }
}

fn kind_of(expected: &str) -> &str {
    match expected {
        "sequence start" => "a list",
        "mapping start" => "a mapping",
        "string scalar" => "a text",
        other => other,
    }
}

/// Cuts off ` at line 3, column 16`, which stands in front already.
fn without_place(text: &str) -> String {
    text.split_once(" at line ").map_or(text, |(message, _)| message).to_owned()
}
