//! The closed list of refusal codes: what each means and what helps.
//!
//! A code is stable: it stands in messages, audit annotations and metric labels, and the documentation explains each
//! one. `tests/admission` holds the list against the modules.

use std::fmt;

/// What kind of refusal it is, and so what the caller of the API and of the command line sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The image was judged and does not pass.
    Denied,
    /// Nothing could be judged: unreachable, timed out.
    Unavailable,
    /// Nothing could be judged: the policy, a root, the state or the call is wrong.
    Misconfigured,
}

impl Class {
    /// The name in annotations, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// The HTTP status in the answer to the API server.
    pub fn http_code(self) -> u16 {
        match self {
            Self::Denied => 403,
            Self::Unavailable => 503,
            Self::Misconfigured => 500,
        }
    }

    /// The reason of the API (`metav1.StatusReason`) that belongs to the status.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Denied => "Forbidden",
            Self::Unavailable => "ServiceUnavailable",
            Self::Misconfigured => "InternalError",
        }
    }

    /// The exit code of the command line.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Denied => 1,
            Self::Unavailable | Self::Misconfigured => 2,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One code of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeInfo {
    /// `<area>/<name>`.
    pub code: &'static str,
    /// What kind of refusal it is.
    pub class: Class,
    /// What it means, in one line.
    pub meaning: &'static str,
    /// What helps, in one line.
    pub cure: &'static str,
}

/// What the list says about `code`.
pub fn lookup(code: &str) -> Option<&'static CodeInfo> {
    CODES.iter().find(|info| info.code == code)
}

/// Every code, in the order of the alphabet.
#[rustfmt::skip]
pub const CODES: &[CodeInfo] = &[
    unavailable("admission/fetching", "metadata that is needed is still being fetched", "try again: the fetch goes on in the background"),
    denied("admission/malformed", "the object in the review is not what its kind says it is", "correct the field that the message names"),
    misconfigured("admission/malformed-kind", "a configured custom kind is not one", "write GROUP/VERSION/RESOURCE/KIND, a colon, and where its images are: podSpec=PATH and image=PATH with commas between"),
    misconfigured("admission/malformed-path", "a configured path to the images of a custom kind is not one", "write members joined by dots, [*] for the items of a list and * for every member"),
    unavailable("admission/over-budget", "the namespace asked for more new images at once than it is given", "try again in a minute, or spread the rollout"),
    denied("admission/too-large", "the review is larger than is read", "make the object smaller"),
    denied("admission/too-many-images", "the object names more different images than one object may", "split the object"),
    misconfigured("admission/unknown-kind", "the webhook is asked about a kind in which it cannot find images", "correct the rules of the webhook configuration, or configure the image paths of the kind"),
    misconfigured("admission/unreadable", "the request is not an AdmissionReview of admission.k8s.io/v1", "let the API server call the webhook, with admissionReviewVersions [v1]"),
    denied("evidence/ambiguous-link", "two links are listed for the same step and key", "list one link for each step and functionary"),
    denied("evidence/limit", "the image lists more evidence than is read", "list only what the layout needs"),
    denied("evidence/malformed-index", "custom.index of the target is not a digest", "publish the index again: pratique repo add-image"),
    denied("evidence/malformed-list", "custom of the target is not a list of target paths", "publish the image again: pratique repo add-image"),
    denied("evidence/no-such-inspection", "the rule binds the image by an inspection that the layout does not have, or that is not built in", "correct product.inspection in the rule, or use a layout with that inspection"),
    denied("evidence/no-such-step", "the rule names a step that the layout does not have", "correct product.step or statements in the rule, or use a layout with that step"),
    denied("evidence/not-a-target", "a file that the image lists is not in the repository's metadata", "publish the listed file; note that * in a delegation stops at /"),
    denied("evidence/not-an-image", "the rule or the layout looks into an image, and this is a plain file", "judge the file by a rule for files, with a layout for files"),
    denied("evidence/not-bound", "no artifact of the bound step, and no subject of its Statements, has the image's name and digest", "have the step record, or attest, the manifest under the image's canonical name"),
    denied("evidence/not-consumed", "no rule of the bound step accounts for the image", "have the layout's owner name the image in a rule of the step"),
    denied("evidence/nothing-listed", "the target of the image lists no evidence", "publish the image with its evidence: pratique repo add-image"),
    denied("evidence/parameter-without-tag", "a parameter of the rule needs the tag, and none was given", "name the image by tag and digest, or leave {tag} out of the parameters"),
    denied("evidence/platform-missing", "the image is not for a platform that the rule requires", "publish an index with all platforms of the rule, or correct platforms in the rule"),
    denied("evidence/platform-not-attested", "a manifest of the index is no product of the bound step", "have the step record each manifest as NAME#OS/ARCHITECTURE, or correct platforms in the rule"),
    denied("evidence/tag-not-attested", "no functionary says that the tag is this image", "have the bound step record the manifest under name and tag, too"),
    denied("evidence/unknown-kind", "a listed file is neither a layout, a link nor an attestation", "list only layouts, links, what lies below them, and attestations"),
    denied("evidence/wrong-role", "a link is signed by a role from which the rule takes no links", "publish the link under a role of linkRoles, or correct linkRoles in the rule"),
    denied("image/ambiguous-manifest", "two readers could understand the manifest differently", "rebuild and publish the image with a manifest of one known media type"),
    denied("image/another-runs", "the node says that it runs another image than the Pod names", "find out on the node how that image came there; then delete the Pod, to have it made anew"),
    denied("image/digest-mismatch", "the target of the image lists another digest than the image has", "publish the image again: pratique repo add-image"),
    denied("image/malformed-reference", "the text is not an image reference", "write registry/repository@sha256:<64 lower-case hex digits>"),
    denied("image/not-in-index", "the index that is named for the image does not list it", "publish the index again: pratique repo add-image"),
    denied("image/not-in-registry", "the registry has no image under this tag", "push it, or name an image that is there"),
    denied("image/not-pinned", "a Pod names a tag, which may mean another image tomorrow", "name the image by digest, or turn pinning on"),
    unavailable("image/registry-unreachable", "the registry did not say what a tag names, or did not give a layer", "check the network and the registry, or name the image by digest"),
    denied("image/repositories-disagree", "repositories that must agree list different files under one name", "find out which one is right and publish the image there again; if nobody knows, suspect a theft of keys"),
    denied("image/tag-denied", "the rule takes digests only", "name the image by digest"),
    denied("image/tag-mismatch", "the tag is signed for another digest", "use the digest that the tag is signed for, or publish the tag again"),
    denied("image/too-few-repositories", "fewer repositories list the image than the rule asks for", "publish the image in the repositories that lack it"),
    denied("image/unknown", "the repository has no target for this image", "publish the image with pratique repo add-image; if it is there, note that * in a delegation stops at /"),
    denied("image/unknown-tag", "the repository has no target for this tag", "publish the tag, or name the image by digest"),
    denied("image/unsupported-digest", "the digest is not sha256", "name the image by its sha256 digest"),
    denied("image/unusable-name", "what the rule makes of the image's name (as, {1}) is no name, role or path", "name the image as the pattern of the rule expects it, or correct as or {1} in the rule"),
    denied("image/wrong-role", "the image is signed by another role than the rule wants", "publish the image under the role that the rule names, or correct role in the rule"),
    denied("in-toto/ambiguous-link", "two links are given for the same step and key", "list one link for each step and functionary"),
    denied("in-toto/ambiguous-statement", "a functionary signed two Statements of the type that stands for a step", "list one Statement of that type for each step and functionary"),
    denied("in-toto/attribute-rule", "a rule of the layout on what a Statement says (ITE-11) does not hold", "read what the Statement says; do the step again, or have the owner change the rule"),
    denied("in-toto/certificates-denied", "the layout takes functionaries by X.509 certificates, and the rule does not", "say certificates: allow in the rule, or have the layout list keys"),
    denied("in-toto/disallowed-artifact", "a rule of the layout forbids an artifact that a step recorded", "find out where the artifact comes from; if it is right, have the layout's owner allow it"),
    denied("in-toto/dsa-key", "the layout lists an OpenPGP key of type DSA, which is not verified here", "have its holder make an RSA or EdDSA key, and the layout's owners list that"),
    denied("in-toto/inspections-refused", "the layout has inspections, which are commands, and they are not run", "use the built-in inspections in the layout, or say inspections: skip in the rule"),
    denied("in-toto/layout-expired", "the layout has expired", "have the layout's owners sign it with a later expiry and publish it"),
    denied("in-toto/layout-signature", "the layout lacks signatures by the keys that are listed for it", "have the layout's owners sign it with the keys that its target lists"),
    denied("in-toto/limit", "the evidence is larger or more than is read", "record fewer artifacts, and have fewer rules go over them"),
    denied("in-toto/link-disagreement", "two functionaries of one step recorded different artifacts", "find out whose build differs; do not publish until they agree"),
    denied("in-toto/malformed", "a layout, a link or a Statement is not what the in-toto specification says it is", "make the file again with a current tool"),
    denied("in-toto/no-layout-keys", "no key is listed to verify the layout with", "list the key files in custom of the layout target"),
    denied("in-toto/parameter", "the parameters of the rule and of the layout do not fit", "give exactly the parameters that the layout names, without pattern characters"),
    denied("in-toto/predicate-not-expected", "the rule asks for Statements of a step that the layout over predicates does not expect", "name step and type as the layout does"),
    denied("in-toto/predicates-denied", "the layout is one over predicates (ITE-10), and the rule does not allow that", "say predicates: allow in the rule, or have the owner sign a classic layout"),
    denied("in-toto/required-artifact-missing", "a rule of the layout requires an artifact that a step did not record", "run the step again with that artifact, or have the layout's owner correct the rule"),
    denied("in-toto/step-name-mismatch", "a link is about another step than the one it is listed for", "publish each link under the name of its own step"),
    denied("in-toto/sublayout-denied", "a functionary handed in a layout instead of a link", "say sublayouts: allow in the rule, or have the functionary hand in a link"),
    denied("in-toto/sublayout-too-deep", "sublayouts stand within sublayouts deeper than is allowed", "flatten the supply chain, or allow more depth in the rule"),
    denied("in-toto/threshold-not-met", "too few functionaries signed valid links of a step, or the Statements that the rule asks for", "have an authorised functionary sign the step and publish the link"),
    denied("in-toto/unclean-artifact", "a link names an artifact in a way that two readers understand differently", "record artifacts under plain relative names"),
    denied("in-toto/unsupported-key", "the layout lists a key that cannot be used here", "use ed25519, ECDSA or RSA keys of a supported kind"),
    denied("inspection/ambiguous-layer", "two runtimes could unpack a layer of the image differently, or not at all", "rebuild the image with a current tool; the message names the entry"),
    denied("inspection/failed", "an inspection failed or could not be carried out", "read what the inspection says about the image"),
    denied("inspection/layer-mismatch", "the registry gives other bytes for a layer than the manifest lists", "push the image again; if the registry should have it, suspect the registry"),
    denied("inspection/limit", "the layers of the image are more than is read", "make the image smaller, or leave the inspection files out of its layout"),
    denied("inspection/no-source", "the layout inspects files of the image, and the rule does not say where layers come from", "name a registry of the policy in the rule: layers: {registry: HOST}"),
    denied("inspection/several-platforms", "the layout inspects files, and the image is an index", "name the manifest of one platform by its digest"),
    misconfigured("internal/certificate", "the webhook has no usable certificate", "read the logs of the webhook; pratique doctor checks certificates"),
    misconfigured("internal/failure", "the webhook could not do its part", "read the logs of the webhook"),
    misconfigured("internal/http-client", "the HTTP client could not be made", "read the logs of the webhook"),
    misconfigured("internal/logging", "logging could not be set up", "correct the log filter"),
    misconfigured("internal/no-ca-certificates", "nothing says which certificate authorities to believe", "give the repository a caBundle, or name a bundle in SSL_CERT_FILE"),
    misconfigured("internal/root-unreadable", "the root of trust of a repository cannot be read", "give the webhook the right to read it: pratique doctor"),
    misconfigured("internal/server", "the server could not be started or stopped serving", "read the logs of the webhook"),
    misconfigured("internal/store", "the folder of the cache cannot be used", "make room there, correct its path and its permissions, or mend its disk"),
    misconfigured("internal/store-locked", "another process is writing to the folder of the cache", "give each process a folder of its own"),
    misconfigured("internal/unfinished-refresh", "a refresh was used before it had ended: a defect of pratique", "report it with the logs of the webhook"),
    misconfigured("internal/unjudged", "no verdict was reached for an image: a defect of pratique", "report it with the logs of the webhook"),
    denied("layout/ambiguous", "the image lists more than one layout", "list exactly one layout"),
    denied("layout/digest-list-wrong-role", "the list of digests of a retired layout is signed by a role that may not sign layouts", "sign the list with the offline targets role: pratique repo retire-layout"),
    denied("layout/ends-too-early", "the layout, or one within it, ends before the instant that the rule names", "have the layout's owners sign it with a later expiry, or correct notBefore in the rule"),
    denied("layout/key-wrong-role", "a key of the layout is signed by a role that may not sign layouts", "sign the key files with the offline targets role, or name the role in layoutRoles"),
    denied("layout/malformed-digest-list", "the list of digests of a retired layout cannot be read", "write it again: pratique repo retire-layout"),
    denied("layout/malformed-scope", "custom.images of the layout is not a list of image patterns", "sign the layout target with a list of patterns on canonical names"),
    denied("layout/missing", "the image lists no layout", "publish the image with its layout, or pin one in the rule"),
    denied("layout/not-scoped", "neither the rule nor an offline role says which images the layout is for", "give the rule a layout pattern, or sign custom.images on the layout target"),
    denied("layout/out-of-scope", "the layout is not for this image", "use the layout of this image, or have the offline role widen its scope"),
    denied("layout/retired", "the layout is closed and does not list this digest", "publish the image with the current layout"),
    denied("layout/unusable-key", "a key file of the layout cannot be read", "publish the key as PEM or securesystemslib JSON"),
    denied("layout/wrong-role", "the layout is signed by a role that may not sign layouts", "sign the layout with the offline targets role, or name the role in layoutRoles"),
    misconfigured("policy/bad-ca-bundle", "the caBundle of a repository cannot be used", "give PEM certificates"),
    misconfigured("policy/bad-credentials", "the credentials of a repository are not there, not for its host, or not taken", "correct the Secret that auth names, or have the chart grant it"),
    misconfigured("policy/bad-repository-url", "the location of a repository cannot be used", "give an http, https, file or oci URL"),
    misconfigured("policy/contradiction", "words of the policy exclude each other", "keep one of them"),
    misconfigured("policy/duplicate", "a name or a root stands twice in the policy", "give each its own"),
    misconfigured("policy/malformed-value", "a value of the policy is not of its kind", "write it as the message says"),
    misconfigured("policy/missing-value", "something that the policy must say is not there", "add it, or leave out what needs it"),
    denied("policy/no-rule", "no rule of the policy matches the image, and its default is deny", "have an admin add a rule for the image, or use an image that a rule covers"),
    misconfigured("policy/no-such-file", "the policy names a file that is not there", "correct the path; it is relative to the policy"),
    misconfigured("policy/not-in-force", "there is no policy that loads", "correct the ConfigMap pratique-policy: pratique policy check says where"),
    misconfigured("policy/syntax", "the policy is not YAML of the right shape", "correct it at the line that the message names; pratique policy schema describes it"),
    misconfigured("policy/too-large", "the policy is larger than is read", "merge rules, or name patterns instead of single images"),
    misconfigured("policy/too-wide", "a weak rule matches more than it may", "write out hosts and namespaces as the message says"),
    misconfigured("policy/unknown-registry", "a rule asks a registry that the policy does not describe", "describe it under registries, or leave out tags: registry"),
    misconfigured("policy/unknown-repository", "a rule names a repository that the policy does not describe", "describe it under repositories, or correct the name"),
    misconfigured("policy/unknown-word", "the policy has a word that means nothing there", "correct its spelling; the message lists the words that are known"),
    misconfigured("policy/unlisted-token-host", "a registry sends for tokens to a host that the policy does not list", "list it as tokens of the registry, if it is right"),
    misconfigured("policy/unusable-template", "the target template of the rule gives no path for this image", "correct target in the rule"),
    misconfigured("trust/epoch", "the policy counts an earlier epoch than what is remembered of the repository", "put the epoch back that was in the policy; a later one forgets what is remembered"),
    misconfigured("trust/lost", "what was remembered of the repository is gone", "find out who removed it; then begin anew: pratique trust init --after-loss"),
    misconfigured("trust/memory-full", "what is to be remembered of the repository does not fit into its ConfigMaps", "have its owner make the snapshot smaller: fewer roles, no hashes in it"),
    misconfigured("trust/no-memory", "there are no ConfigMaps for what is remembered of the repository", "name the repository under repositories in the values of the chart"),
    misconfigured("trust/no-root", "the root of trust that the policy names is not there", "put the root.json under that key into the ConfigMap or folder of roots"),
    misconfigured("trust/not-born", "no first state of what is remembered of the repository was ever written", "write it once: pratique trust init, which the hook of the chart runs"),
    misconfigured("trust/root-not-immutable", "the ConfigMap of roots could be edited unseen", "make a new ConfigMap of the roots with immutable: true"),
    unavailable("trust/unread", "what the replicas remember of the repository could not be read yet", "look why the API server does not answer: pratique doctor"),
    denied("tuf/expired", "metadata of the repository has expired", "have the owner of the repository sign it again: pratique repo sign"),
    denied("tuf/hash-mismatch", "a file is not the one that signed metadata lists", "publish the file and its metadata together; if nobody changed it, suspect the server"),
    denied("tuf/length-mismatch", "a file is not as long as signed metadata says", "publish the file and its metadata together; if nobody changed it, suspect the server"),
    denied("tuf/limit", "the search for a file visits more roles than are visited", "delegate in fewer steps, with patterns that do not overlap"),
    denied("tuf/malformed", "metadata is not what the TUF specification says it is", "publish the metadata again with a current tool"),
    unavailable("tuf/max-age", "no refresh has succeeded for longer than the policy's maxAge", "find out why the repository cannot be refreshed, or raise maxAge"),
    denied("tuf/max-validity", "a timestamp or a snapshot is valid for longer than the policy allows", "sign it with a nearer expiry, or raise maxValidity"),
    denied("tuf/minimum", "metadata is older than the floor in the policy", "publish current metadata; if the floor is wrong, correct minimum"),
    unavailable("tuf/missing", "a file that signed metadata lists is not in the repository", "publish the missing file"),
    denied("tuf/not-in-snapshot", "a role is delegated to and the snapshot does not list it", "publish the role, or remove the delegation"),
    unavailable("tuf/not-stored", "nothing verified is stored for a role, and nothing may be fetched", "refresh once with the network"),
    misconfigured("tuf/pinned-root", "the root of trust that was handed out cannot be used", "hand out a root.json that its own keys sign"),
    denied("tuf/repeated-signature", "a key id signs the same metadata twice", "sign again with a current tool"),
    denied("tuf/revoked", "the digest was revoked by an offline role", "use an image that is not revoked"),
    denied("tuf/rollback", "metadata is older than what was seen before", "publish current metadata; if nobody restored a backup, suspect the server"),
    denied("tuf/root-fork", "two different roots of one version are both signed as they must be", "find out who holds the root keys; then hand out a new root of trust"),
    misconfigured("tuf/root-replaced", "another root was handed out than the one that is remembered, and neither leads to the other", "hand out the right root; if the new one is right, count up the epoch of the repository in the policy"),
    unavailable("tuf/root-rotations", "more new roots than one refresh steps through", "wait for the next refresh, or hand out a newer root"),
    denied("tuf/signature-threshold", "too few keys of the role signed its metadata", "have the missing keys sign: pratique repo status lists them"),
    denied("tuf/spec-version", "metadata follows another major version of the specification", "publish metadata of specification version 1"),
    denied("tuf/too-large", "a file is longer than may be read", "make the file smaller; if nobody changed it, suspect the server"),
    unavailable("tuf/unreachable", "a file of the repository could not be fetched: unreachable or timed out", "check the network and the repository's server: pratique doctor"),
    denied("tuf/unsafe-path", "a target path could lead out of the place where targets are", "publish the target under a plain relative path"),
    denied("tuf/version-mismatch", "metadata does not have the version that signed metadata lists", "publish the roles of one version together"),
    denied("tuf/wrong-type", "a metadata file is of another role than the one asked for", "publish each role under its own name; if nobody changed it, suspect the server"),
];

const fn denied(code: &'static str, meaning: &'static str, cure: &'static str) -> CodeInfo {
    CodeInfo { code, class: Class::Denied, meaning, cure }
}

const fn unavailable(code: &'static str, meaning: &'static str, cure: &'static str) -> CodeInfo {
    CodeInfo { code, class: Class::Unavailable, meaning, cure }
}

const fn misconfigured(code: &'static str, meaning: &'static str, cure: &'static str) -> CodeInfo {
    CodeInfo { code, class: Class::Misconfigured, meaning, cure }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREAS: [&str; 10] =
        ["admission", "evidence", "image", "in-toto", "inspection", "internal", "layout", "policy", "trust", "tuf"];

    #[test]
    fn the_list_is_in_order_and_holds_no_code_twice() {
        for pair in CODES.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} stands before {}", pair[0].code, pair[1].code);
        }
    }

    #[test]
    fn every_code_is_an_area_and_a_kebab_name() {
        for info in CODES {
            let (area, name) = info.code.split_once('/').unwrap();
            assert!(AREAS.contains(&area), "{}", info.code);
            assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
        }
    }

    #[test]
    fn meaning_and_cure_are_one_line_without_full_stop() {
        for info in CODES {
            for text in [info.meaning, info.cure] {
                assert!(!text.is_empty() && !text.ends_with('.') && !text.contains('\n'), "{}: {text}", info.code);
                assert!(text.len() <= 120, "{}: {text}", info.code);
            }
        }
    }

    #[test]
    fn a_code_is_found_by_its_name_alone() {
        for info in CODES {
            assert_eq!(lookup(info.code), Some(info));
        }
        assert_eq!(lookup("image/no-such-code"), None);
        assert_eq!(lookup(""), None);
    }

    #[test]
    fn classes_have_the_status_and_the_exit_code_of_the_design() {
        let of = |class: Class| (class.http_code(), class.reason(), class.exit_code());
        assert_eq!(of(Class::Denied), (403, "Forbidden", 1));
        assert_eq!(of(Class::Unavailable), (503, "ServiceUnavailable", 2));
        assert_eq!(of(Class::Misconfigured), (500, "InternalError", 2));
    }
}
