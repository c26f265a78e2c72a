//! Why the evidence for an image does not hold.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Name, Relied};
use crate::{
    crypto::Sha256,
    image::{self, Platform, Tag, layer::LayerFault},
    in_toto::{self, LayoutKeyError},
    tuf::{self, RoleChain, TargetPath},
};

/// One failed check, with both sides of the comparison.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what its fields are")]
pub enum Error {
    #[error(transparent)]
    Tuf(#[from] tuf::Error),
    #[error(transparent)]
    InToto(#[from] in_toto::Error),
    #[error(transparent)]
    Image(#[from] image::Error),

    #[error("repository {repository} has no target {path}")]
    UnknownImage { repository: String, path: TargetPath },
    #[error("repository {repository} has no target {path}: the tag is not signed")]
    UnknownTag { repository: String, path: TargetPath },
    #[error("target {path} is signed by {chain}, the rule wants {wanted}")]
    ImageRole { path: TargetPath, chain: RoleChain, wanted: RoleChain },
    #[error("target {path} has {}, the image is sha256:{digest}", hash_of(.listed))]
    ImageDigest { path: TargetPath, listed: Option<Sha256>, digest: Sha256 },
    #[error("tag target {path} is signed for sha256:{signed}, the image is sha256:{digest}")]
    TagMoved { path: TargetPath, signed: Sha256, digest: Sha256 },
    #[error("sha256:{digest} is revoked by {chain}{}", because(.reason))]
    Revoked { digest: Sha256, chain: RoleChain, reason: Option<String> },

    #[error("repositories disagree about {path}: {one} lists {}, {other} lists {}", listing(.its), listing(.theirs))]
    Disagreement { path: TargetPath, one: String, its: Box<Relied>, other: String, theirs: Box<Relied> },

    #[error("target {path} lists nothing in custom[{member:?}]")]
    NothingListed { path: TargetPath, member: String },
    #[error("custom[{member:?}] of target {path} is not a list of target paths")]
    MalformedList { path: TargetPath, member: String },
    #[error("custom of target {path} lists {entry:?} twice")]
    ListedTwice { path: TargetPath, entry: String },
    #[error("target {path} lists {listed} files, at most {limit} are read")]
    TooManyFiles { path: TargetPath, listed: usize, limit: usize },
    #[error("with {path} the evidence is larger than {limit} bytes")]
    TooManyBytes { path: TargetPath, limit: u64 },
    #[error("{path}, listed by {by}, is not a target of the repository")]
    NotATarget { path: TargetPath, by: TargetPath },
    #[error("{path} is neither a layout nor named <step>.<keyid>.link, and no file of attestations")]
    UnknownKind { path: TargetPath },
    #[error("{first} and {second} are links of the same step by the same key")]
    AmbiguousLink { first: TargetPath, second: TargetPath },
    #[error("link {path} is signed by {chain}, the rule takes links from {}", any_of(.allowed))]
    LinkRole { path: TargetPath, chain: RoleChain, allowed: BTreeSet<RoleChain> },

    #[error("target {path} lists no layout")]
    NoLayout { path: TargetPath },
    #[error("target {path} lists two layouts, {first} and {second}")]
    SeveralLayouts { path: TargetPath, first: TargetPath, second: TargetPath },
    #[error("layout {path} is signed by {chain}, layouts are taken from {}", any_of(.allowed))]
    LayoutRole { path: TargetPath, chain: RoleChain, allowed: BTreeSet<RoleChain> },
    #[error("layout key {path} is signed by {chain}, keys are taken from {}", any_of(.allowed))]
    KeyRole { path: TargetPath, chain: RoleChain, allowed: BTreeSet<RoleChain> },
    #[error("layout {layout} is scoped neither by the rule (`layout:`) nor by the role that signed it (custom.images)")]
    NotScoped { layout: TargetPath },
    #[error("layout {layout} is not for {name}: {by} limits it to {scope}")]
    OutOfScope { layout: TargetPath, name: Name, by: &'static str, scope: String },
    #[error("custom.images of layout {layout} is not a list of image patterns")]
    MalformedScope { layout: TargetPath },
    #[error("layout {layout} is retired: {list} does not list sha256:{digest}")]
    Retired { layout: TargetPath, list: TargetPath, digest: Sha256 },
    #[error("{list}, named by custom.digests of layout {layout}, is not a list of digests")]
    MalformedDigestList { layout: TargetPath, list: TargetPath },
    #[error("digest list {path} is signed by {chain}, such lists are taken from {}", any_of(.allowed))]
    DigestListRole { path: TargetPath, chain: RoleChain, allowed: BTreeSet<RoleChain> },
    #[error("layout {layout} ends at {expires}, the rule takes none that ends before {not_before}")]
    EndsTooEarly { layout: TargetPath, expires: Timestamp, not_before: Timestamp },
    #[error("layout key {path} is not usable: {why}")]
    UnusableKey { path: TargetPath, why: LayoutKeyError },

    #[error("a template of the rule gives nothing for {name}")]
    UnusableTemplate { name: Name },
    #[error("parameter {name:?} needs the tag of the image, and none was given")]
    ParameterWithoutTag { name: String },
    #[error("the layout has no step {step:?}, which the rule names")]
    NoSuchStep { step: String },
    #[error("no {kind} of step {step:?} is named {name} with sha256 {digest}{}", instead(.found))]
    NotBound { step: String, kind: &'static str, name: String, digest: Sha256, found: Option<String> },
    #[error("{name} of step {step:?} has the image's digest, but no rule of the step accounts for it")]
    NotConsumed { step: String, name: String },
    #[error("the layout has no inspection {inspection:?} that is built in and was carried out")]
    NoSuchInspection { inspection: String },
    #[error("no rule MATCH … WITH PRODUCTS FROM a step consumed {name} in inspection {inspection:?}{}", instead(.found))]
    NotMatched { inspection: String, name: String, found: Option<String> },
    #[error("the image sha256:{digest} is not for {platform}, which the rule requires")]
    PlatformMissing { platform: Platform, digest: Sha256 },
    #[error("no rule of step {step:?} consumed a product {name} with sha256 {digest}, which the index lists")]
    PlatformNotAttested { step: String, name: String, digest: Sha256 },
    #[error("custom.index of target {path} is not a digest: \"sha256:\" and 64 lower-case hex digits")]
    MalformedIndex { path: TargetPath },
    #[error("sha256:{index}, named as the index of sha256:{digest}, does not list it as a manifest")]
    NotInIndex { index: Sha256, digest: Sha256 },
    #[error(
        "inspection {inspection:?} looks at files of the image, and the rule does not say where layers come from (`layers:`)"
    )]
    NoSource { inspection: String },
    #[error("inspection {inspection:?} looks at files, and sha256:{digest} is an index: one for each platform")]
    FilesOfIndex { inspection: String, digest: Sha256 },
    #[error("layer sha256:{digest}: {fault}")]
    Layer { digest: Sha256, fault: Box<LayerFault> },
    #[error("the layers of the image: {fault}")]
    Layers { fault: Box<LayerFault> },
    #[error("{path} is no image, and the rule or the layout looks into one")]
    NotAnImage { path: TargetPath },
    #[error("no product of step {step:?} is named {name} with sha256 {digest}: functionaries did not attest the tag")]
    TagNotAttested { step: String, name: String, digest: Sha256 },
    #[error("tag {tag} is refused: the rule takes digests only")]
    TagDenied { tag: Tag },
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tuf(error) => error.code(),
            Self::InToto(error) => error.code(),
            Self::Image(error) => error.code(),
            Self::UnknownImage { .. } => "image/unknown",
            Self::UnknownTag { .. } => "image/unknown-tag",
            Self::ImageRole { .. } => "image/wrong-role",
            Self::ImageDigest { .. } => "image/digest-mismatch",
            Self::TagMoved { .. } => "image/tag-mismatch",
            Self::TagDenied { .. } => "image/tag-denied",
            Self::Revoked { .. } => "tuf/revoked",
            Self::Disagreement { .. } => "image/repositories-disagree",
            Self::NothingListed { .. } => "evidence/nothing-listed",
            Self::MalformedList { .. } | Self::ListedTwice { .. } => "evidence/malformed-list",
            Self::TooManyFiles { .. } | Self::TooManyBytes { .. } => "evidence/limit",
            Self::NotATarget { .. } => "evidence/not-a-target",
            Self::UnknownKind { .. } => "evidence/unknown-kind",
            Self::AmbiguousLink { .. } => "evidence/ambiguous-link",
            Self::LinkRole { .. } => "evidence/wrong-role",
            Self::NoLayout { .. } => "layout/missing",
            Self::SeveralLayouts { .. } => "layout/ambiguous",
            Self::LayoutRole { .. } => "layout/wrong-role",
            Self::KeyRole { .. } => "layout/key-wrong-role",
            Self::NotScoped { .. } => "layout/not-scoped",
            Self::OutOfScope { .. } => "layout/out-of-scope",
            Self::MalformedScope { .. } => "layout/malformed-scope",
            Self::Retired { .. } => "layout/retired",
            Self::MalformedDigestList { .. } => "layout/malformed-digest-list",
            Self::DigestListRole { .. } => "layout/digest-list-wrong-role",
            Self::EndsTooEarly { .. } => "layout/ends-too-early",
            Self::UnusableKey { .. } => "layout/unusable-key",
            Self::UnusableTemplate { .. } => "policy/unusable-template",
            Self::ParameterWithoutTag { .. } => "evidence/parameter-without-tag",
            Self::NoSuchStep { .. } => "evidence/no-such-step",
            Self::NotBound { .. } | Self::NotMatched { .. } => "evidence/not-bound",
            Self::NoSuchInspection { .. } => "evidence/no-such-inspection",
            Self::PlatformMissing { .. } => "evidence/platform-missing",
            Self::PlatformNotAttested { .. } => "evidence/platform-not-attested",
            Self::MalformedIndex { .. } => "evidence/malformed-index",
            Self::NotInIndex { .. } => "image/not-in-index",
            Self::NoSource { .. } => "inspection/no-source",
            Self::FilesOfIndex { .. } => "inspection/several-platforms",
            Self::Layer { fault, .. } | Self::Layers { fault } => match **fault {
                LayerFault::Mismatch { .. } => "inspection/layer-mismatch",
                LayerFault::Limit { .. } => "inspection/limit",
                _ => "inspection/ambiguous-layer",
            },
            Self::NotAnImage { .. } => "evidence/not-an-image",
            Self::NotConsumed { .. } => "evidence/not-consumed",
            Self::TagNotAttested { .. } => "evidence/tag-not-attested",
        }
    }
}

fn hash_of(digest: &Option<Sha256>) -> String {
    digest.map_or_else(|| "no sha256".to_owned(), |digest| format!("sha256 {digest}"))
}

fn listing(relied: &Relied) -> String {
    let hashes =
        [("sha256", relied.hashes.sha256().map(|hash| hash.to_string())), ("sha512", relied.hashes.sha512_hex())];
    let hashes = hashes.into_iter().filter_map(|(name, hash)| Some(format!("{name} {}", hash?)));
    let length = relied.length.map(|length| format!("{length} bytes"));
    hashes.chain(length).collect::<Vec<_>>().join(", ")
}

fn because(reason: &Option<String>) -> String {
    reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"))
}

fn instead(found: &Option<String>) -> String {
    found.as_ref().map_or_else(String::new, |found| format!("; found {found}"))
}

fn any_of(chains: &BTreeSet<RoleChain>) -> String {
    chains.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
