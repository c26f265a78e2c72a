use super::*;

const POLICY: &str = "\
version: 1
repositories:
  acme: {url: https://tuf.acme.example, root: acme.root.json}
rules:
  - name: exempt
    match: {namespaces: [web], images: [registry.example/legacy]}
    allow: being signed
    until: 2027-03-31T00:00:00Z
  - name: one-digest
    match: {images: [\"registry.example/legacy@sha256:0000000000000000000000000000000000000000000000000000000000000000\"]}
    allow: the last build before signing
  - name: volumes
    match: {uses: [volume], images: [registry.example/**]}
    verify: {repositories: [acme], tags: deny}
  - name: prod
    match: {namespaces: [\"prod-*\"], images: [registry.example/**, docker.io/library/nginx]}
    verify: {repositories: [acme]}
  - name: prod-late
    match: {namespaces: [prod-eu], images: [registry.example/**]}
    verify: {repositories: [acme], tags: deny}
";

fn select(namespace: &str, image: &str, used_as: UsedAs, now: &str) -> String {
    let policy = Policy::parse(POLICY).unwrap();
    let image = Reference::parse(image).unwrap();
    match policy.select(&Subject { namespace, image: &image, used_as }, now.parse().unwrap()) {
        Selected::Rule(rule) => rule.name().to_string(),
        Selected::Default(action) => format!("{action:?}"),
    }
}

fn select_container(namespace: &str, image: &str) -> String {
    select(namespace, image, UsedAs::Container, "2027-01-01T00:00:00Z")
}

#[test]
fn the_first_rule_that_matches_is_selected() {
    assert_eq!(select_container("prod-eu", "registry.example/team/app:1.4"), "prod");
    assert_eq!(select_container("dev", "registry.example/team/app:1.4"), "Deny");
    assert_eq!(select_container("prod-eu", "other.example/team/app:1.4"), "Deny");
}

#[test]
fn every_list_must_fit() {
    assert_eq!(select("dev", "registry.example/app", UsedAs::Volume, "2027-01-01T00:00:00Z"), "volumes");
    assert_eq!(select("dev", "registry.example/app", UsedAs::Ephemeral, "2027-01-01T00:00:00Z"), "Deny");
    assert_eq!(select("prod-eu", "registry.example/app", UsedAs::Init, "2027-01-01T00:00:00Z"), "prod");
}

#[test]
fn no_spelling_of_a_name_slips_past_a_rule_or_into_another() {
    for image in [
        "nginx",
        "docker.io/nginx:1",
        "index.docker.io/library/nginx",
        "docker.io:443/library/nginx",
        "Docker.IO/nginx",
    ] {
        assert_eq!(select_container("prod-eu", image), "prod", "{image}");
    }
    for image in ["Registry.example/app", "registry.example:443/app", "REGISTRY.EXAMPLE:443/app"] {
        assert_eq!(select_container("prod-eu", image), "prod", "{image}");
    }
    for image in [
        "registry.example:5000/app",
        "registry.example.evil.example/app",
        "evil.example/registry.example/app",
        "registry-1.docker.io/library/nginx",
        "docker.io/nginx/nginx",
    ] {
        assert_eq!(select_container("prod-eu", image), "Deny", "{image}");
    }
}

#[test]
fn an_exemption_ends_at_its_instant() {
    let at = |now: &str| select("web", "registry.example/legacy", UsedAs::Container, now);
    assert_eq!(at("2027-03-30T23:59:59Z"), "exempt");
    assert_eq!(at("2027-03-31T00:00:00Z"), "Deny");
}

#[test]
fn an_exemption_by_digest_is_for_that_digest() {
    let at = |image: &str| select_container("db", image);
    assert_eq!(at(&format!("registry.example/legacy@sha256:{}", "0".repeat(64))), "one-digest");
    assert_eq!(at(&format!("registry.example/legacy:1@sha256:{}", "0".repeat(64))), "one-digest");
    assert_eq!(at(&format!("registry.example/legacy@sha256:{}", "1".repeat(64))), "Deny");
    assert_eq!(at("registry.example/legacy:1"), "Deny");
}
