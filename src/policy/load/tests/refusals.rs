//! What a policy is refused for, with the text that its author reads.

use proptest::prelude::*;

use super::{WHOLE, minimal};
use crate::policy::{Error, Fault, Policy};

fn refusal(text: &str) -> Error {
    Policy::parse(text).unwrap_err()
}

/// Each line of a table: what replaces what in the whole policy, and the refusal without the file's name.
fn assert_refusals(table: &[(&str, &str, &str)]) {
    for (from, to, expected) in table {
        assert_eq!(WHOLE.matches(from).count(), 1, "{from:?} must stand once in the policy");
        let error = refusal(&WHOLE.replace(from, to));
        assert_eq!(error.to_string(), format!("policy.yaml:{expected}"), "{to:?}");
    }
}

#[test]
fn a_word_that_is_not_known_is_refused_with_those_that_are() {
    assert_refusals(&[
        ("version: 1", "version: 2", "1:1: version: version 2 is unknown, 1 is read"),
        (
            "    refresh: 90s",
            "    refrsh: 90s",
            "6:5: repositories.acme.refrsh: unknown key \"refrsh\", known here: url, metadataUrl, targetsUrl, mirrors, \
             root, refresh, minimum, maxValidity, maxAge, expiryWarning, stale, caBundle, auth, tokens, proxy, redirects, epoch",
        ),
        (
            "default: audit",
            "defaults: audit",
            "46:1: defaults: unknown key \"defaults\", known here: version, repositories, registries, rules, next, \
             breakGlass, default",
        ),
        (
            "      uses: [container, init]",
            "      usage: [container, init]",
            "21:7: rules[0].match.usage: unknown key \"usage\", known here: namespaces, images, uses",
        ),
        (
            "      uses: [container, init]",
            "      uses: [container, sidecar]",
            "21:25: rules[0].match.uses[1]: unknown word \"sidecar\", known here: container, init, ephemeral, volume",
        ),
        (
            "    mode: warn",
            "    mode: off",
            "41:11: rules[1].mode: unknown word \"off\", known here: enforce, warn, audit",
        ),
        ("default: audit", "default: allow", "46:10: default: unknown word \"allow\", known here: deny, audit"),
        (
            "      inspections: refuse",
            "      inspections: run",
            "30:20: rules[0].verify.inspections: unknown word \"run\", known here: refuse, skip",
        ),
        (
            "      sublayouts: {depth: 2}",
            "      sublayouts: some",
            "31:7: rules[0].verify.sublayouts: unknown word \"some\", known here: deny, allow, {depth: <levels>}",
        ),
        (
            "      sublayouts: {depth: 2}",
            "      sublayouts: {levels: 2}",
            "31:20: rules[0].verify.sublayouts.levels: unknown key \"levels\", known here: depth",
        ),
        (
            "product: {step: package}",
            "product: {stp: package}",
            "28:17: rules[0].verify.product.stp: unknown key \"stp\", known here: step, predicateType, from, name, inspection",
        ),
    ]);
}

#[test]
fn a_value_that_is_missing_is_named() {
    assert_refusals(&[
        ("    root: mirror.root.json\n", "", "12:3: repositories.mirror: key \"root\" is missing"),
        ("  - name: vendor\n    match:", "  - match:", "38:5: rules[1]: key \"name\" is missing"),
        ("    match: {images: [quay.io/vendor/*]}\n", "", "38:5: rules[1]: key \"match\" is missing"),
        ("verify: {repositories: [mirror]}", "verify: {}", "40:5: rules[1].verify: key \"repositories\" is missing"),
        // A forgotten instant must not make the exemption permanent, nor an emptied list widen a rule.
        (
            "    until: 2027-03-31T00:00:00Z",
            "    until:",
            "45:5: rules[2].until: has no value: give one, or leave the key out",
        ),
        ("    mode: warn", "    mode: ~", "41:5: rules[1].mode: has no value: give one, or leave the key out"),
        (
            "{namespaces: [monitoring], ",
            "{namespaces: [], ",
            "43:13: rules[2].match.namespaces: is empty: list at least one entry, or leave the key out",
        ),
        (
            "images: [quay.io/vendor/*]",
            "images: []",
            "39:13: rules[1].match.images: is empty: list at least one entry, or leave the key out",
        ),
        (
            "      layoutRoles: [targets, targets/layouts]",
            "      layoutRoles: []",
            "25:7: rules[0].verify.layoutRoles: is empty: list at least one entry, or leave the key out",
        ),
        (
            "verify: {repositories: [mirror]}",
            "verify: {repositories: []}",
            "40:14: rules[1].verify.repositories: is empty: list at least one entry, or leave the key out",
        ),
    ]);
    assert_eq!(refusal("version: 1\n").to_string(), "policy.yaml:1:1: key \"rules\" is missing");
}

#[test]
fn what_is_not_this_yaml_is_refused() {
    for (text, expected) in [
        ("", "1:1: is empty"),
        ("version: 1\nrules: [\n", "2:8: unclosed bracket '['"),
        ("- version: 1\n", "1:1: expected a mapping"),
        ("version: 1\nrules: 7\n", "2:8: rules: expected a list"),
        ("version: one\nrules: []\n", "1:10: version: is not a number, or too large a one"),
        ("version: 1\nrules: []\nversion: 1\n", "3:1: key \"version\" stands twice"),
        ("version: 1\nrules: []\n---\nversion: 1\n", "4:1: a second document follows, a policy is one"),
        ("version: 1\nrules: []\n<<: {default: audit}\n", "3:1: merge keys are not read"),
        ("version: 1\nrules: !include other.yaml\n", "2:17: unsupported tag `!include`"),
    ] {
        assert_eq!(refusal(text).to_string(), format!("policy.yaml:{expected}"), "{text:?}");
    }
}

#[test]
fn names_are_labels_and_unique() {
    let label = "is not a DNS label: at most 63 of a-z, 0-9 and inner hyphens";
    assert_refusals(&[
        ("name: vendor", "name: Vendor Images", &format!("38:5: rules[1].name: \"Vendor Images\" {label}")),
        ("name: vendor", "name: own-images", "38:5: rules[1].name: \"own-images\" is already the name of rules[0]"),
        ("  mirror:\n", "  Mirror:\n", &format!("12:3: repositories.Mirror: \"Mirror\" {label}")),
        (
            "root: mirror.root.json",
            "root: acme.root.json",
            "15:5: repositories.mirror.root: \"acme.root.json\" is already the root of repository \"acme\"",
        ),
    ]);
}

#[test]
fn a_rule_names_repositories_that_there_are_and_which_has_the_evidence() {
    assert_refusals(&[
        (
            "      repositories: [acme]",
            "      repositories: [acm]",
            "23:22: rules[0].verify.repositories[0]: repository \"acm\" is unknown, described are: acme, mirror",
        ),
        (
            "      repositories: [acme]",
            "      repositories: [acme, mirror]",
            "23:7: rules[0].verify.repositories: several repositories are named, and `evidence` does not say which of them \
             has the evidence",
        ),
        (
            "      repositories: [acme]",
            "      repositories: [acme, acme]",
            "23:28: rules[0].verify.repositories[1]: \"acme\" is not a repository that the list does not have yet",
        ),
        (
            "      repositories: [acme]",
            "      repositories: [acme, mirror]\n      evidence: other",
            "24:7: rules[0].verify.evidence: repository \"other\" is unknown, described are: acme, mirror",
        ),
        (
            "      repositories: [acme]",
            "      repositories: [acme]\n      evidence: acme",
            "24:7: rules[0].verify.evidence: means nothing beside one repository",
        ),
        (
            "      repositories: [acme]",
            "      repositories: [acme]\n      agreeOn: evidence",
            "24:7: rules[0].verify.agreeOn: means nothing beside one repository",
        ),
        (
            "      repositories: [acme]",
            "      repositories: [acme, mirror]\n      evidence: acme\n      threshold: 3",
            "25:7: rules[0].verify.threshold: \"3\" is not a number of the rule's repositories: at least 1, at most all",
        ),
        (
            "      repositories: [acme]",
            "      repositories: [acme]\n      threshold: 0",
            "24:7: rules[0].verify.threshold: \"0\" is not a number of the rule's repositories: at least 1, at most all",
        ),
    ]);
    let elsewhere = WHOLE.replace("      repositories: [acme]", "      repositories: [acme]\n      evidence: mirror");
    assert_eq!(refusal(&elsewhere).code(), "policy/contradiction");
    let third =
        WHOLE.replacen("repositories:\n", "repositories:\n  third: {url: \"file:///srv\", root: third.json}\n", 1);
    let third =
        third.replacen("      repositories: [acme]", "      repositories: [acme, mirror]\n      evidence: third", 1);
    assert_eq!(
        refusal(&third).to_string(),
        "policy.yaml:25:7: rules[0].verify.evidence: \"third\" is not one of the rule's repositories"
    );
    let none = "version: 1\nrules:\n  - {name: a, match: {}, verify: {repositories: [acme]}}\n";
    assert_eq!(
        refusal(none).to_string(),
        "policy.yaml:3:50: rules[0].verify.repositories[0]: repository \"acme\" is unknown, described are: none"
    );
}

#[test]
fn a_rule_verifies_or_allows() {
    assert_refusals(&[
        (
            "    verify: {repositories: [mirror]}\n    mode: warn\n",
            "",
            "38:5: rules[1]: needs exactly one of verify, all and allow, has none",
        ),
        (
            "    mode: warn",
            "    allow: as well",
            "38:5: rules[1]: needs exactly one of verify, all and allow, has verify, allow",
        ),
        ("    mode: warn", "    until: 2027-01-01T00:00:00Z", "41:5: rules[1].until: means nothing beside verify"),
        ("    until: 2027-03-31T00:00:00Z", "    mode: enforce", "45:5: rules[2].mode: means nothing beside allow"),
    ]);
}

#[test]
fn the_words_of_in_toto_mean_nothing_beside_level_tuf() {
    for word in [
        "layout: \"layouts/{repository}/*\"",
        "layoutRoles: [targets]",
        "linkRoles: [targets]",
        "layoutThreshold: 1",
        "product: {step: package}",
        "statements: {build: \"https://slsa.dev/provenance/v1\"}",
        "predicates: allow",
        "parameters: {a: b}",
        "inspections: refuse",
        "sublayouts: deny",
        "custom: in-toto",
        "notBefore: 2026-01-01T00:00:00Z",
        "tags: attested",
    ] {
        let verify = format!("{{repositories: [acme], level: tuf, role: targets/app, {word}}}");
        let error = refusal(&minimal("{images: [registry.example/**]}", &verify));
        let key = word.split(':').next().unwrap();
        assert_eq!(*error.fault, Fault::MeansNothing { beside: "level: tuf" }, "{word}");
        assert_eq!(error.place.path, format!("rules[0].verify.{key}"));
        assert_eq!(error.code(), "policy/contradiction");
    }
}

#[test]
fn a_location_is_a_plain_url() {
    let wanted = "https://tuf.acme.example";
    let at = "4:5: repositories.acme.url:";
    let begins = "it begins with https://, http://, file:// or oci://";
    let registry = "oci:// is followed by a registry, a repository and perhaps a tag";
    let plain = "it has no query, fragment, space or character that needs encoding";
    assert_refusals(&[
        (wanted, "tuf.acme.example", &format!("{at} \"tuf.acme.example\" is not a location: {begins}")),
        (wanted, "ftp://tuf.example", &format!("{at} \"ftp://tuf.example\" is not a location: {begins}")),
        (wanted, "HTTPS://tuf.example", &format!("{at} \"HTTPS://tuf.example\" is not a location: {begins}")),
        (wanted, "https://t.example?x=1", &format!("{at} \"https://t.example?x=1\" is not a location: {plain}")),
        (wanted, "https://t.example/a#b", &format!("{at} \"https://t.example/a#b\" is not a location: {plain}")),
        (wanted, "https://t.example/a b", &format!("{at} \"https://t.example/a b\" is not a location: {plain}")),
        (
            wanted,
            "\"https://t.example/\\r\\nx-evil: 1\"",
            &format!("{at} \"https://t.example/\\r\\nx-evil: 1\" is not a location: {plain}"),
        ),
        (
            wanted,
            "\"https://t.example\\r\\n\"",
            &format!("{at} \"https://t.example\\r\\n\" is not a location: {plain}"),
        ),
        (wanted, "https://", &format!("{at} \"https://\" is not a location: it names a host")),
        (wanted, "https:///x", &format!("{at} \"https:///x\" is not a location: it names a host")),
        (wanted, "https://t.example:0/", &format!("{at} \"https://t.example:0/\" is not a location: it names a host")),
        (wanted, "https://[::1]x/", &format!("{at} \"https://[::1]x/\" is not a location: it names a host")),
        (
            wanted,
            "file://x/y",
            &format!("{at} \"file://x/y\" is not a location: file:// is followed by an absolute path"),
        ),
        (wanted, "oci://registry.example", &format!("{at} \"oci://registry.example\" is not a location: {registry}")),
        (wanted, "oci://acme/tuf", &format!("{at} \"oci://acme/tuf\" is not a location: {registry}")),
        (wanted, "oci://r.example/Tuf", &format!("{at} \"oci://r.example/Tuf\" is not a location: {registry}")),
        (
            wanted,
            "oci://r.example/tuf:v1",
            &format!(
                "{at} \"oci://r.example/tuf:v1\" is not a location: a tag stands in metadataUrl, beside targetsUrl"
            ),
        ),
        (
            wanted,
            "https://user:secret@t.example",
            &format!("{at} \"https://…\" is not a location: credentials do not stand in a URL"),
        ),
        (
            "    metadataUrl: http://mirror.example:8080/meta/\n",
            "",
            "12:3: repositories.mirror: needs exactly one of url, and metadataUrl with targetsUrl, has targetsUrl",
        ),
        (
            "    targetsUrl: file:///srv/targets",
            "    url: file:///srv",
            "12:3: repositories.mirror: needs exactly one of url, and metadataUrl with targetsUrl, has url, metadataUrl",
        ),
    ]);
    assert!(Policy::parse(&WHOLE.replace(wanted, "https://[2001:db8::1]:8443/tuf")).is_ok());
}

#[test]
fn mirrors_are_other_locations_and_not_many() {
    let with = |mirrors: &str| {
        let url = "    url: https://tuf.acme.example\n";
        WHOLE.replace(url, &format!("{url}    mirrors: [{mirrors}]\n"))
    };
    let policy =
        Policy::parse(&with("https://tuf.acme.example/copy, http://10.0.0.1:8080/tuf/, file:///srv/tuf")).unwrap();
    let mirrors = &policy.repositories().values().next().unwrap().mirrors;
    let folders: Vec<_> = mirrors.iter().map(|mirror| (mirror.metadata.as_str(), mirror.targets.as_str())).collect();
    assert_eq!(
        folders,
        [
            ("https://tuf.acme.example/copy/metadata/", "https://tuf.acme.example/copy/targets/"),
            ("http://10.0.0.1:8080/tuf/metadata/", "http://10.0.0.1:8080/tuf/targets/"),
            ("file:///srv/tuf/metadata/", "file:///srv/tuf/targets/"),
        ]
    );
    let twice = "means nothing beside the same location before it";
    let begins = "it begins with https://, http://, file:// or oci://";
    for (mirrors, refused) in [
        ("", "5:5: repositories.acme.mirrors: is empty: list at least one entry, or leave the key out".to_owned()),
        ("https://tuf.acme.example/", format!("5:15: repositories.acme.mirrors[0]: {twice}")),
        ("https://a.example, https://a.example/", format!("5:34: repositories.acme.mirrors[1]: {twice}")),
        ("a.example", format!("5:15: repositories.acme.mirrors[0]: \"a.example\" is not a location: {begins}")),
        (
            "https://a.example, https://b.example, https://c.example, https://d.example, https://e.example",
            "5:5: repositories.acme.mirrors: has 5 mirrors, at most 4 are read".to_owned(),
        ),
    ] {
        assert_eq!(refusal(&with(mirrors)).to_string(), format!("policy.yaml:{refused}"), "{mirrors}");
    }
    // A certificate is of use for a mirror, too.
    let mirrored = with("https://a.example").replace("url: https://tuf.acme.example", "url: http://tuf.acme.example");
    assert!(Policy::parse(&mirrored).is_ok());
}

#[test]
fn a_registry_has_a_repository_for_each_kind_of_files_and_perhaps_another_host_for_tokens() {
    let first = |text: &str| Policy::parse(text).map(|policy| policy.repositories().values().next().unwrap().clone());
    let url = "    url: https://tuf.acme.example\n";
    let acme =
        first(&WHOLE.replace(url, "    url: oci://r.example:5000/acme/tuf/\n    auth: {secretRef: r}\n")).unwrap();
    assert_eq!(acme.metadata.as_str(), "oci://r.example:5000/acme/tuf/metadata");
    assert_eq!(acme.targets.as_str(), "oci://r.example:5000/acme/tuf/targets");
    assert_eq!(acme.auth.unwrap().host, "r.example:5000");
    let docker = "    metadataUrl: oci://docker.io/docker/tuf-metadata:latest
    targetsUrl: oci://docker.io/docker/tuf-targets
    tokens: auth.docker.io
    auth: {secretRef: r}
";
    let acme = first(&WHOLE.replace(url, docker)).unwrap();
    assert_eq!(acme.metadata.as_str(), "oci://docker.io/docker/tuf-metadata:latest");
    assert_eq!(acme.tokens.as_deref(), Some("auth.docker.io"));
    assert_eq!(acme.auth.unwrap().host, "auth.docker.io");
    let text = WHOLE.replace(url, &format!("{url}    tokens: auth.example\n"));
    let meaningless = "policy.yaml:5:5: repositories.acme.tokens: means nothing beside a location that is no registry";
    assert_eq!(refusal(&text).to_string(), meaningless);
}

/// What a policy says goes into requests, and is printed: it ends no line of either.
#[test]
fn nothing_that_goes_into_a_request_has_a_line_of_its_own() {
    let url = "    url: https://tuf.acme.example\n";
    let oci = "    url: oci://r.example/acme/tuf\n";
    for end in ["\\r\\nx-evil: 1", "\\n", "\\r", "\\0", " x", "\\u2028", "\\t"] {
        for words in [
            format!("    url: \"https://tuf.acme.example/a{end}\"\n"),
            format!("    url: \"oci://r.example/acme/tuf{end}\"\n"),
            format!("{url}    mirrors: [\"https://t.example{end}\"]\n"),
            format!("{url}    redirects: [\"blobs.example{end}\"]\n"),
            format!("{url}    proxy: \"http://proxy.example:3128{end}\"\n"),
            format!("{oci}    tokens: \"auth.example{end}\"\n"),
            format!("{url}    auth: {{secretRef: \"r{end}\"}}\n"),
        ] {
            let error = refusal(&WHOLE.replace(url, &words)).to_string();
            assert!(error.contains("repositories.acme."), "{words}: {error}");
            assert!(!error.contains(['\r', '\n', '\0', '\u{2028}']), "{words}: {error:?}");
        }
        let registry = format!("registries:\n  \"blobs.example{end}\": {{redirects: [cloud.example]}}\nrules:");
        let error = refusal(&WHOLE.replacen("rules:", &registry, 1)).to_string();
        assert!(!error.contains(['\r', '\n', '\0', '\u{2028}']), "{error:?}");
    }
}

#[test]
fn a_location_with_a_password_is_not_repeated() {
    let text = WHOLE.replace("https://tuf.acme.example", "https://user:secret@t.example");
    assert!(!format!("{:?}", refusal(&text)).contains("secret"));
}

#[test]
fn each_malformed_value_is_named() {
    let duration = "is not a duration such as 60s, 90m, 72h or 30d";
    let instant = "is not an instant such as 2027-03-31T00:00:00Z";
    let chain = "is not a role chain such as targets or targets/team-a/app";
    let file = "is not the name of a file without a folder: letters, digits, \".\", \"_\" and \"-\"";
    let text = "is not a text of 1 to 256 bytes without control characters";
    assert_refusals(&[
        ("refresh: 90s", "refresh: \"90\"", &format!("6:5: repositories.acme.refresh: \"90\" {duration}")),
        ("refresh: 90s", "refresh: 0s", &format!("6:5: repositories.acme.refresh: \"0s\" {duration}")),
        ("refresh: 90s", "refresh: -1s", &format!("6:5: repositories.acme.refresh: \"-1s\" {duration}")),
        ("refresh: 90s", "refresh: 1w", &format!("6:5: repositories.acme.refresh: \"1w\" {duration}")),
        ("refresh: 90s", "refresh: \"\"", &format!("6:5: repositories.acme.refresh: \"\" {duration}")),
        ("refresh: 90s", "refresh: 1h30m", &format!("6:5: repositories.acme.refresh: \"1h30m\" {duration}")),
        (
            "maxAge: 72h",
            "stale: {knownImages: 3}",
            "9:26: repositories.acme.stale.knownImages: \"3\" is a text only in quotes",
        ),
        (
            "maxAge: 72h",
            "stale: {knownImages: 0h}",
            &format!("9:13: repositories.acme.stale.knownImages: \"0h\" {duration}"),
        ),
        ("maxAge: 72h", "maxAge: 5000000000d", &format!("9:5: repositories.acme.maxAge: \"5000000000d\" {duration}")),
        (
            "minimum: {root: 17,",
            "minimum: {root: 0,",
            "7:15: repositories.acme.minimum.root: \"0\" is not a version: the first one is 1",
        ),
        (
            "minimum: {root: 17,",
            "minimum: {team-a: 17,",
            &format!("7:15: repositories.acme.minimum.team-a: \"team-a\" {chain}"),
        ),
        ("epoch: 2", "epoch: 0", "11:5: repositories.acme.epoch: \"0\" is not an epoch: the first one is 1"),
        ("root: mirror.root.json", "root: ../x", &format!("15:5: repositories.mirror.root: \"../x\" {file}")),
        ("root: mirror.root.json", "root: ..x", &format!("15:5: repositories.mirror.root: \"..x\" {file}")),
        ("caBundle: acme.ca.pem", "caBundle: a/b", &format!("10:5: repositories.acme.caBundle: \"a/b\" {file}")),
        ("role: targets/team-a\n", "role: team-a\n", &format!("27:7: rules[0].verify.role: \"team-a\" {chain}")),
        (
            "[targets, targets/layouts]",
            "[targets, targets//layouts]",
            &format!("25:30: rules[0].verify.layoutRoles[1]: \"targets//layouts\" {chain}"),
        ),
        (
            "until: 2027-03-31T00:00:00Z",
            "until: 2027-03-31",
            &format!("45:5: rules[2].until: \"2027-03-31\" {instant}"),
        ),
        (
            "notBefore: 2026-01-01T00:00:00Z",
            "notBefore: soon",
            &format!("35:7: rules[0].verify.notBefore: \"soon\" {instant}"),
        ),
        ("allow: moved to our registry by March", "allow: \" \"", &format!("44:5: rules[2].allow: \" \" {text}")),
        (
            "allow: moved to our registry by March",
            "allow: \"a\\nb\"",
            &format!("44:5: rules[2].allow: \"a\\nb\" {text}"),
        ),
        ("custom: x-in-toto", "custom: \"\"", &format!("33:7: rules[0].verify.custom: \"\" {text}")),
        (
            "sublayouts: {depth: 2}",
            "sublayouts: {depth: 9}",
            "31:20: rules[0].verify.sublayouts.depth: \"9\" is not a depth of at most 8",
        ),
        (
            "{VERSION: ",
            "{\"a b\": ",
            "29:20: rules[0].verify.parameters[\"a b\"]: \"a b\" is not the name of a parameter: letters, digits, \"_\" \
             and \"-\"",
        ),
        (
            "quay.io/vendor/*",
            "quay.io/vendor/*@sha256:abc",
            "39:22: rules[1].match.images[0]: \"sha256:abc\" is not a digest: \"sha256:\" and 64 lower-case hex digits",
        ),
    ]);
    let threshold = minimal("{images: [registry.example/**]}", "{repositories: [acme], layoutThreshold: 0}");
    assert_eq!(
        refusal(&threshold).to_string(),
        "policy.yaml:7:36: rules[0].verify.layoutThreshold: \"0\" is not a number of keys: at least 1"
    );
}

#[test]
fn a_certificate_bundle_needs_a_certificate() {
    let text = WHOLE.replace("https://tuf.acme.example", "http://tuf.acme.example");
    assert_eq!(
        refusal(&text).to_string(),
        "policy.yaml:10:5: repositories.acme.caBundle: means nothing beside a location that is not https"
    );
}

#[test]
fn patterns_and_templates_say_what_to_write_instead() {
    assert_refusals(&[
        (
            "quay.io/vendor/*",
            "nginx",
            "39:22: rules[1].match.images[0]: \"nginx\" a pattern begins with a host: write \"docker.io/library/nginx\"",
        ),
        (
            "quay.io/vendor/*",
            "Quay.io/vendor/*",
            "39:22: rules[1].match.images[0]: \"Quay.io/vendor/*\" upper case stands in no canonical name: write \
             \"quay.io/vendor/*\"",
        ),
        (
            "[monitoring]",
            "[\"mon.itoring\"]",
            "43:26: rules[2].match.namespaces[0]: \"mon.itoring\" '.' stands in no canonical name",
        ),
        (
            "layout: layouts/{repository}/*",
            "layout: layouts/{tag}/*",
            "24:7: rules[0].verify.layout: \"layouts/{tag}/*\" {tag} is no placeholder here: {registry} {repository}",
        ),
        (
            "target: images/{repository}@{digest}",
            "target: images/{digest}",
            "36:7: rules[0].verify.target: \"images/{digest}\" needs {repository}",
        ),
    ]);
    assert_eq!(refusal(&WHOLE.replace("{repository}:{tag}", "{tag}")).place.path, "rules[0].verify.tagTarget");
    assert_eq!(refusal(&WHOLE.replace("\"{tag}\"", "\"*\"")).place.path, "rules[0].verify.parameters.VERSION");
}

#[test]
fn sizes_are_capped() {
    let long = format!("{WHOLE}# {}", "x".repeat(1 << 20));
    assert!(matches!(*refusal(&long).fault, Fault::TooLarge { .. }));
    let rule = |index: usize| format!("  - {{name: r{index}, match: {{}}, verify: {{repositories: [acme]}}}}\n");
    let rules: String = (0..1025).map(rule).collect();
    let text = format!("version: 1\nrules:\n{rules}");
    assert_eq!(refusal(&text).to_string(), "policy.yaml:2:1: rules: has 1025 rules, at most 1024 are read");
    let patterns = vec!["a"; 4097].join(", ");
    let text = minimal(&format!("{{namespaces: [{patterns}]}}"), "{repositories: [acme]}");
    assert_eq!(refusal(&text).to_string(), "policy.yaml:4:1: rules: has 4097 patterns, at most 4096 are read");
}

#[test]
fn each_fault_has_its_code() {
    for (from, to, code) in [
        ("version: 1", "version: 2", "policy/unknown-word"),
        ("    refresh: 90s", "    refrsh: 90s", "policy/unknown-word"),
        ("    mode: warn", "    mode: off", "policy/unknown-word"),
        ("    root: mirror.root.json\n", "", "policy/missing-value"),
        ("    until: 2027-03-31T00:00:00Z", "    until:", "policy/missing-value"),
        ("images: [quay.io/vendor/*]", "images: []", "policy/missing-value"),
        ("name: vendor", "name: own-images", "policy/duplicate"),
        ("root: mirror.root.json", "root: acme.root.json", "policy/duplicate"),
        ("default: audit", "default: audit\ndefault: deny", "policy/duplicate"),
        ("      repositories: [acme]", "      repositories: [acm]", "policy/unknown-repository"),
        ("      repositories: [acme]", "      repositories: [acme, mirror]", "policy/missing-value"),
        ("https://tuf.acme.example", "oci://tuf.acme.example", "policy/malformed-value"),
        ("name: vendor", "name: Vendor", "policy/malformed-value"),
        ("refresh: 90s", "refresh: 0s", "policy/malformed-value"),
        ("https://tuf.acme.example", "ftp://tuf.acme.example", "policy/malformed-value"),
        ("quay.io/vendor/*", "nginx", "policy/malformed-value"),
        ("layout: layouts/{repository}/*", "layout: layouts/{tag}/*", "policy/malformed-value"),
        ("epoch: 2", "epoch: two", "policy/syntax"),
        ("    mode: warn", "    allow: as well", "policy/contradiction"),
        ("    until: 2027-03-31T00:00:00Z", "    mode: enforce", "policy/contradiction"),
        ("[monitoring]", "[\"*\"]", "policy/too-wide"),
        ("quay.io/vendor/*", "\"*/vendor/*\"", "policy/too-wide"),
        ("layout: layouts/{repository}/*", "layout: layouts/*", "policy/too-wide"),
    ] {
        assert_eq!(WHOLE.matches(from).count(), 1, "{from:?} must stand once in the policy");
        assert_eq!(refusal(&WHOLE.replace(from, to)).code(), code, "{to:?}");
    }
    let tuf = minimal("{images: [registry.example/team/*]}", "{repositories: [acme], level: tuf}");
    assert_eq!(refusal(&tuf).code(), "policy/too-wide");
    assert_eq!(refusal(&"x".repeat((1 << 20) + 1)).code(), "policy/too-large");
    let patterns = vec!["a"; 4097].join(", ");
    let many = minimal(&format!("{{namespaces: [{patterns}]}}"), "{repositories: [acme]}");
    assert_eq!(refusal(&many).code(), "policy/too-large");
}

#[test]
fn an_error_can_name_the_file_that_was_read() {
    let error = refusal("version: 2\nrules: []\n").in_file("prod/policy.yaml");
    assert_eq!(error.to_string(), "prod/policy.yaml:1:1: version: version 2 is unknown, 1 is read");
}

#[test]
fn a_text_that_another_reader_takes_for_something_else_is_refused() {
    assert_refusals(&[
        // An exemption has a reason.
        (
            "allow: moved to our registry by March",
            "allow: true",
            "44:12: rules[2].allow: \"true\" is a text only in quotes",
        ),
        (
            "{VERSION: \"{tag}\"",
            "{VERSION: 1.10",
            "29:29: rules[0].verify.parameters.VERSION: \"1.10\" is a text only in quotes",
        ),
        ("refresh: 90s", "refresh: 90", "6:14: repositories.acme.refresh: \"90\" is a text only in quotes"),
        ("epoch: 2", "epoch: two", "11:12: repositories.acme.epoch: is not a number, or too large a one"),
        ("epoch: 2", "epoch: -1", "11:12: repositories.acme.epoch: is not a number, or too large a one"),
        ("[quay.io/vendor/*]", "[*.io/vendor/*]", "39:22: put a pattern that begins with \"*\" in quotes"),
        (
            "layoutRoles: [targets, targets/layouts]",
            "layoutRoles: targets",
            "25:20: rules[0].verify.layoutRoles: expected a list",
        ),
        ("role: targets/team-a\n", "role: {a: b}\n", "27:13: rules[0].verify.role: expected a text"),
    ]);
}

proptest! {
    #[test]
    fn a_policy_that_was_cut_up_is_answered(line in 0..46_usize, column in 0..60_usize, text in "[ \\-:\\[\\]{},a-z&*!|>\"'#\n]{0,6}") {
        let mut lines: Vec<String> = WHOLE.lines().map(str::to_owned).collect();
        let cut = column.min(lines[line].len());
        lines[line].replace_range(cut.., &text);
        if let Err(error) = Policy::parse(&lines.join("\n")) {
            prop_assert!(error.code().starts_with("policy/"));
            prop_assert!(error.place.line >= 1 && error.place.column >= 1);
        }
    }
}
