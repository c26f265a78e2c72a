use jiff::Timestamp;

use super::*;
use crate::{
    evidence::requirement::{Inspections, Level, ProductFrom, Tags},
    pattern::NamePattern,
    policy::{DefaultAction, Mode, Scheme, UsedAs},
    tuf::RoleChain,
};

mod images;
mod modes;
mod names;
mod refusals;
mod statements;
mod weak;

/// The policy of the documentation, with every word in it.
const WHOLE: &str = "\
version: 1
repositories:
  acme:
    url: https://tuf.acme.example
    root: acme.root.json
    refresh: 90s
    minimum: {root: 17, timestamp: 3574, snapshot: 40, targets: 9, targets/team-a/app: 4}
    maxValidity: 14d
    maxAge: 72h
    caBundle: acme.ca.pem
    epoch: 2
  mirror:
    metadataUrl: http://mirror.example:8080/meta/
    targetsUrl: file:///srv/targets
    root: mirror.root.json
rules:
  - name: own-images
    match:
      namespaces: [\"prod-*\", web]
      images: [registry.acme.example/**, \"registry.acme.example:5000/*\"]
      uses: [container, init]
    verify:
      repositories: [acme]
      layout: layouts/{repository}/*
      layoutRoles: [targets, targets/layouts]
      linkRoles: [targets/team-a]
      role: targets/team-a
      product: {step: package}
      parameters: {VERSION: \"{tag}\", source: https://git.acme.example/app}
      inspections: refuse
      sublayouts: {depth: 2}
      tags: attested
      custom: x-in-toto
      level: in-toto
      notBefore: 2026-01-01T00:00:00Z
      target: images/{repository}@{digest}
      tagTarget: images/{repository}:{tag}
  - name: vendor
    match: {images: [quay.io/vendor/*]}
    verify: {repositories: [mirror]}
    mode: warn
  - name: platform
    match: {namespaces: [monitoring], images: [\"quay.io/prometheus/*\"]}
    allow: moved to our registry by March
    until: 2027-03-31T00:00:00Z
default: audit
";

/// The fewest words that load, with `verify` or `match` replaced.
fn minimal(matcher: &str, verify: &str) -> String {
    format!(
        "version: 1\nrepositories:\n  acme: {{url: https://tuf.acme.example, root: acme.root.json}}\n\
         rules:\n  - name: own\n    match: {matcher}\n    verify: {verify}\n"
    )
}

fn requirement(verify: &str) -> crate::evidence::requirement::Requirement {
    let policy = Policy::parse(&minimal("{images: [registry.example/**]}", verify)).unwrap();
    demanded(&policy.rules()[0])
}

fn demanded(rule: &Rule) -> crate::evidence::requirement::Requirement {
    let parts = rule.bind_file().unwrap();
    let [part] = &parts[..] else { panic!("{parts:?}") };
    (*part.requirement).clone()
}

fn chains(texts: &[&str]) -> BTreeSet<RoleChain> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn every_word_arrives_in_the_model() {
    let policy = Policy::parse(WHOLE).unwrap();
    let names: Vec<&str> = policy.repositories().keys().map(RepositoryName::as_str).collect();
    assert_eq!(names, ["acme", "mirror"]);
    let acme = policy.repositories().values().next().unwrap();
    assert_eq!(acme.metadata.as_str(), "https://tuf.acme.example/metadata/");
    assert_eq!(acme.targets.as_str(), "https://tuf.acme.example/targets/");
    assert_eq!(acme.root.as_str(), "acme.root.json");
    assert_eq!(acme.refresh.as_secs(), 90);
    assert_eq!(acme.max_validity.as_hours(), 14 * 24);
    assert_eq!(acme.max_age.map(|age| age.as_hours()), Some(72));
    assert_eq!(acme.ca_bundle.as_ref().map(|name| name.as_str()), Some("acme.ca.pem"));
    assert_eq!(acme.epoch.get(), 2);
    let stale = Policy::parse(&WHOLE.replacen("maxAge: 72h", "stale: {knownImages: 48h}", 1)).unwrap();
    let stale = stale.repositories().values().next().unwrap();
    assert_eq!(stale.stale_known_images.map(|span| span.as_hours()), Some(48));
    let minimum = &acme.minimum;
    assert_eq!((minimum.root, minimum.timestamp, minimum.snapshot), (Some(17), Some(3574), Some(40)));
    assert_eq!(minimum.roles.keys().cloned().collect::<BTreeSet<_>>(), chains(&["targets", "targets/team-a/app"]));
    assert_eq!(minimum.roles.values().copied().collect::<Vec<_>>(), [9, 4]);

    let mirror = policy.repositories().values().nth(1).unwrap();
    assert_eq!(mirror.metadata.as_str(), "http://mirror.example:8080/meta/");
    assert_eq!(mirror.targets.as_str(), "file:///srv/targets/");
    assert_eq!((mirror.metadata.scheme(), mirror.targets.scheme()), (Scheme::Http, Scheme::File));

    let [own, vendor, platform] = policy.rules() else { panic!() };
    assert_eq!(own.matcher().uses, BTreeSet::from([UsedAs::Container, UsedAs::Init]));
    assert_eq!(own.matcher().namespaces.iter().map(NamePattern::to_string).collect::<Vec<_>>(), ["prod-*", "web"]);
    let demand = demanded(own);
    assert_eq!(demand.repository.as_str(), "acme");
    assert_eq!(demand.layout.as_ref().map(ToString::to_string).as_deref(), Some("layouts/{repository}/*"));
    assert_eq!(demand.layout_roles, chains(&["targets", "targets/layouts"]));
    assert_eq!(demand.link_roles, Some(chains(&["targets/team-a"])));
    assert_eq!(demand.role, "targets/team-a".parse().ok());
    assert_eq!(demand.layout_threshold, None);
    assert_eq!((demand.product.step.as_deref(), demand.product.from), (Some("package"), ProductFrom::Products));
    assert_eq!(demand.parameters.keys().collect::<Vec<_>>(), ["VERSION", "source"]);
    assert_eq!((demand.inspections, demand.tags, demand.level), (Inspections::Refuse, Tags::Attested, Level::InToto));
    assert_eq!(demand.sublayouts, Some(2));
    assert_eq!(demand.custom, "x-in-toto");
    assert_eq!(demand.not_before, "2026-01-01T00:00:00Z".parse().ok());
    assert_eq!(demand.digest_target.to_string(), "images/{repository}@{digest}");
    assert_eq!(demand.tag_target.to_string(), "images/{repository}:{tag}");
    assert!(!own.is_weak());

    assert_eq!((vendor.mode(Timestamp::UNIX_EPOCH), vendor.is_weak()), (Mode::Warn, true));
    let Action::Allow { reason, until } = platform.action() else { panic!() };
    assert_eq!(reason, "moved to our registry by March");
    assert_eq!(*until, "2027-03-31T00:00:00Z".parse().ok());
    assert_eq!(policy.default_action(), DefaultAction::Audit);
    assert_eq!(policy.warnings(), []);
}

#[test]
fn all_of_several_repositories_have_to_agree_unless_the_rule_says_otherwise() {
    let load = |words: &str| {
        let words = format!("      repositories: [mirror, acme]\n      evidence: acme{words}");
        let policy = Policy::parse(&WHOLE.replacen("      repositories: [acme]", &words, 1)).unwrap();
        let demand = demanded(&policy.rules()[0]).clone();
        assert_eq!(demand.repository.as_str(), "acme");
        let agreement = demand.agreement.unwrap();
        assert_eq!(agreement.others.iter().map(RepositoryName::as_str).collect::<Vec<_>>(), ["mirror"]);
        (agreement.threshold.get(), agreement.on_evidence)
    };
    assert_eq!(load(""), (2, false));
    assert_eq!(load("\n      threshold: 1"), (1, false));
    assert_eq!(load("\n      agreeOn: evidence"), (2, true));
    assert_eq!(load("\n      agreeOn: image"), (2, false));
}

#[test]
fn what_is_left_out_is_the_strictest() {
    let policy = Policy::parse(&minimal("{}", "{repositories: [acme]}")).unwrap();
    let acme = policy.repositories().values().next().unwrap();
    assert_eq!((acme.refresh.as_secs(), acme.max_validity.as_hours(), acme.max_age), (60, 720, None));
    assert_eq!(acme.stale_known_images, None);
    assert_eq!((acme.epoch.get(), &acme.minimum, &acme.ca_bundle), (1, &crate::policy::Minimum::default(), &None));
    let rule = &policy.rules()[0];
    assert_eq!((rule.mode(Timestamp::UNIX_EPOCH), rule.is_weak()), (Mode::Enforce, false));
    let demand = demanded(rule);
    assert_eq!(demand, crate::evidence::requirement::Requirement::of("acme".parse().unwrap()));
    assert_eq!(demand.layout_roles, chains(&["targets"]));
    assert_eq!(policy.default_action(), DefaultAction::Deny);
}

#[test]
fn sublayouts_are_denied_unless_the_rule_says_otherwise() {
    let depth = |word: &str| requirement(&format!("{{repositories: [acme], sublayouts: {word}}}")).sublayouts;
    assert_eq!(requirement("{repositories: [acme]}").sublayouts, None);
    assert_eq!(depth("deny"), None);
    assert_eq!(depth("{depth: 0}"), None);
    assert_eq!(depth("allow"), Some(8));
    assert_eq!(depth("{depth: 3}"), Some(3));
}

#[test]
fn the_hash_of_a_rule_follows_its_content_and_that_of_its_repository() {
    let hash = |text: &str| Policy::parse(text).unwrap().rules()[0].bind_file().unwrap()[0].hash;
    let base = minimal("{}", "{repositories: [acme]}");
    assert_eq!(hash(&base), hash(&base.replace("rules:", "# a comment\nrules:")));
    assert_ne!(hash(&base), hash(&base.replace("repositories: [acme]", "repositories: [acme], tags: deny")));
    assert_ne!(hash(&base), hash(&base.replace("name: own", "name: other")));
    assert_ne!(hash(&base), hash(&base.replace("root: acme.root.json", "root: acme.root.json, epoch: 2")));
    let other = "  other: {url: https://other.example, root: other.json}\nrules:";
    assert_eq!(hash(&base), hash(&base.replace("rules:", other)));
}

#[test]
fn the_hash_of_a_policy_follows_its_content() {
    let hash = |text: &str| Policy::parse(text).unwrap().hash();
    assert_eq!(hash(WHOLE), hash(&format!("# a comment\n{WHOLE}")));
    assert_ne!(hash(WHOLE), hash(&WHOLE.replace("default: audit", "default: deny")));
}

#[test]
fn a_rule_that_no_image_reaches_is_a_warning() {
    let text = format!(
        "{}{}",
        minimal("{images: [registry.example/**], namespaces: [\"prod-*\"]}", "{repositories: [acme]}"),
        "  - name: late\n    match: {images: [registry.example/team/app], namespaces: [prod-eu]}\n    \
         verify: {repositories: [acme]}\n  - name: other-namespace\n    \
         match: {images: [registry.example/team/app], namespaces: [dev]}\n    verify: {repositories: [acme]}\n"
    );
    let policy = Policy::parse(&text).unwrap();
    let warnings: Vec<String> = policy.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["8:5: rules[1]: no image reaches rule late: rule own stands before it and matches the same"]);
}

#[test]
fn a_rule_behind_an_exemption_with_an_end_is_reached_one_day() {
    let text = "version: 1\nrepositories:\n  acme: {url: https://tuf.acme.example, root: acme.root.json}\nrules:\n  \
                - name: until-may\n    match: {images: [registry.example/app], namespaces: [web]}\n    \
                allow: being signed\n    until: 2027-05-01T00:00:00Z\n  - name: then\n    \
                match: {images: [registry.example/app], namespaces: [web]}\n    verify: {repositories: [acme]}\n";
    assert_eq!(Policy::parse(text).unwrap().warnings(), []);
    let forever = text.replace("    until: 2027-05-01T00:00:00Z\n", "");
    assert!(matches!(Policy::parse(&forever).unwrap().warnings(), [Warning::Unreachable { .. }]));
}

#[test]
fn a_repository_that_no_rule_names_is_a_warning() {
    let text = minimal("{}", "{repositories: [acme]}")
        .replace("rules:", "  spare: {url: https://spare.example, root: spare.json}\nrules:");
    let warnings: Vec<String> = Policy::parse(&text).unwrap().warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["4:3: repositories.spare: no rule names repository spare"]);
}

#[test]
fn two_long_lists_of_stars_are_not_held_against_each_other_for_minutes() {
    let list = |segment: &str| vec![format!("\"registry.example/{segment}\""); 2000];
    let mut first = list(&format!("*{}b", "a".repeat(100)));
    // What is covered only in the end is held against all that stands before.
    first.push("\"registry.example/**\"".to_owned());
    let rule = |name: &str, images: &[String]| {
        let images = images.join(", ");
        format!("  - {{name: {name}, match: {{images: [{images}]}}, verify: {{repositories: [acme]}}}}\n")
    };
    let text = format!(
        "version: 1\nrepositories:\n  acme: {{url: \"https://tuf.example\", root: root.json}}\nrules:\n{}{}",
        rule("first", &first),
        rule("second", &list(&"a".repeat(200)))
    );
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(Policy::parse(&text).map(|policy| policy.rules().len())));
    assert_eq!(ended.recv_timeout(std::time::Duration::from_secs(60)).expect("it still compares"), Ok(2));
}

/// The minimal policy with more words in the description of its repository.
fn described(words: &str) -> Result<crate::policy::TufRepository, Error> {
    let text = minimal("{}", "{repositories: [acme]}")
        .replace("root: acme.root.json", &format!("root: acme.root.json, {words}"));
    Policy::parse(&text).map(|policy| policy.repositories().values().next().unwrap().clone())
}

#[test]
fn a_repository_may_be_reached_through_a_proxy_and_send_elsewhere() {
    let acme = described("proxy: \"http://proxy.acme.example:3128\", redirects: [blobs.example, \"blobs.example:8443\", \"[2001:db8::1]\"]").unwrap();
    assert_eq!(acme.proxy.as_ref().map(|proxy| proxy.as_str()), Some("http://proxy.acme.example:3128/"));
    assert_eq!(acme.redirects, ["blobs.example", "blobs.example:8443", "[2001:db8::1]"]);
    let none = described("epoch: 1").unwrap();
    assert_eq!((none.proxy, none.redirects), (None, Vec::<String>::new()));

    for (words, path) in [
        ("proxy: \"file:///x\"", "proxy"),
        ("proxy: \"socks5://proxy.example\"", "proxy"),
        ("proxy: \"http://proxy.example/path\"", "proxy"),
        ("proxy: \"http://user:secret@proxy.example\"", "proxy"),
        ("redirects: []", "redirects"),
        ("redirects: [\"*.example\"]", "redirects[0]"),
        ("redirects: [a.example, B.example]", "redirects[1]"),
        ("redirects: [\"a.example:443\"]", "redirects[0]"),
        ("redirects: [\"https://a.example\"]", "redirects[0]"),
        ("redirects: [a.example/path]", "redirects[0]"),
        ("redirects: [user@a.example]", "redirects[0]"),
    ] {
        let error = described(words).unwrap_err();
        assert_eq!(error.place.path, format!("repositories.acme.{path}"), "{words}");
        assert_eq!(error.place.line, 3);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    for word in ["proxy: \"http://proxy.example\"", "redirects: [a.example]"] {
        let text = minimal("{}", "{repositories: [acme]}").replace("https://tuf.acme.example", "file:///srv/acme");
        let error = Policy::parse(&text.replace("root: acme", &format!("{word}, root: acme"))).unwrap_err();
        assert_eq!(*error.fault, Fault::MeansNothing { beside: "a location that is a folder" });
    }
}

#[test]
fn credentials_of_a_repository_are_in_a_secret_and_go_to_its_host_over_tls() {
    let auth = |words: &str| described(words).map(|acme| acme.auth);
    let acme = auth("auth: {secretRef: acme-tuf}").unwrap().unwrap();
    assert_eq!((acme.secret.as_str(), acme.host.as_str()), ("acme-tuf", "tuf.acme.example"));
    assert_eq!(auth("epoch: 1").unwrap(), None);
    for name in ["", "../tls", "Tuf", "tuf_1", "-tuf", "tuf.", "tuf/token"] {
        let error = auth(&format!("auth: {{secretRef: \"{name}\"}}")).unwrap_err();
        assert_eq!(error.place.path, "repositories.acme.auth.secretRef", "{name}");
    }
    let located = |locations: &str| {
        let text = minimal("{}", "{repositories: [acme]}");
        let text = text.replace("url: https://tuf.acme.example", locations);
        assert!(text.contains(locations), "{text}");
        let text = text.replace("root: acme.root.json", "root: acme.root.json, auth: {secretRef: tuf}");
        Policy::parse(&text).map(|policy| policy.repositories().values().next().unwrap().auth.clone().unwrap().host)
    };
    let apart =
        |metadata: &str, targets: &str| located(&format!("metadataUrl: \"{metadata}\", targetsUrl: \"{targets}\""));
    let same = apart("https://TUF.example:443/m", "https://tuf.example/t");
    assert_eq!(same.unwrap(), "tuf.example");
    assert_eq!(located("url: \"https://tuf.example:8443/x\"").unwrap(), "tuf.example:8443");
    for refused in [
        located("url: \"http://tuf.example\""),
        located("url: \"file:///srv\""),
        apart("https://tuf.example", "https://evil.example"),
        apart("https://tuf.example", "https://tuf.example:8443"),
        apart("https://tuf.example", "http://tuf.example"),
    ] {
        let error = refused.unwrap_err();
        assert_eq!((*error.fault, error.place.path.as_str()), (Fault::Unbound, "repositories.acme.auth"));
    }
}

#[test]
fn a_rule_asks_only_registries_that_it_writes_out_and_the_policy_describes() {
    let policy = |registries: &str, images: &str| {
        let text = minimal(&format!("{{images: [{images}]}}"), "{repositories: [acme], tags: registry}");
        Policy::parse(&text.replace("rules:", &format!("registries: {{{registries}}}\nrules:")))
    };
    let described = "registry.example: {private: true}, \"other.example:5000\": {tokens: auth.example, caBundle: ca.pem, \
                     auth: {secretRef: other}}";
    let loaded = policy(described, "registry.example/**, \"other.example:5000/team/*\"").unwrap();
    let registries = loaded.registries();
    let (own, other) = (&registries["registry.example"], &registries["other.example:5000"]);
    assert!(own.private && own.auth.is_none() && !other.private);
    // The credentials are for whoever gives the tokens.
    assert_eq!(other.auth.as_ref().map(|auth| auth.host.as_str()), Some("auth.example"));
    assert_eq!(demanded(&loaded.rules()[0]).tags, Tags::Registry);
    assert!(!loaded.rules()[0].is_weak());

    let fault = |registries: &str, images: &str| {
        let error = policy(registries, images).unwrap_err();
        (error.place.path.clone(), error.code())
    };
    let tags = || "rules[0].verify.tags".to_owned();
    assert_eq!(fault(described, "\"*.example/**\""), (tags(), "policy/too-wide"));
    assert_eq!(fault(described, "\"**\""), (tags(), "policy/too-wide"));
    assert_eq!(fault(described, "registry.example/a, evil.example/a"), (tags(), "policy/unknown-registry"));
    assert_eq!(fault("", "registry.example/a"), (tags(), "policy/unknown-registry"));
    for (odd, path) in [
        ("\"*.example\": {}", "registries[\"*.example\"]"),
        ("\"registry.example:443\": {}", "registries[\"registry.example:443\"]"),
        ("Registry.example: {}", "registries[\"Registry.example\"]"),
        ("registry.example: {tokens: \"https://auth.example\"}", "registries[\"registry.example\"].tokens"),
        ("registry.example: {auth: {secretRef: \"../x\"}}", "registries[\"registry.example\"].auth.secretRef"),
    ] {
        assert_eq!(fault(odd, "registry.example/a"), (path.to_owned(), "policy/malformed-value"), "{odd}");
    }
}
