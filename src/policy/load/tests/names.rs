//! What a rule makes of the names of images: `as`, and `{1}` for what a wildcard of its pattern took.

use proptest::prelude::*;

use super::minimal;
use crate::{
    image::Reference,
    policy::{Bound, Fault, Policy, Unusable, Weak},
};

const VERIFY: &str = "{repositories: [acme]}";

/// A rule for these patterns with `as`.
fn renaming(images: &str, name: &str) -> String {
    format!("{}    as: {name:?}\n", minimal(&format!("{{images: {images}}}"), VERIFY))
}

fn bound(policy: &str, image: &str) -> Result<Bound, Unusable> {
    Policy::parse(policy).unwrap().rules()[0].bind(&Reference::parse(image).unwrap())
}

fn name(images: &str, name: &str, image: &str) -> Result<String, Unusable> {
    bound(&renaming(images, name), image).map(|bound| bound.name.to_string())
}

fn fault(text: &str) -> (String, Fault) {
    let error = Policy::parse(text).unwrap_err();
    (error.place.path.clone(), *error.fault)
}

#[test]
fn a_mirrored_image_has_the_name_of_what_it_mirrors() {
    let hub = "[\"mirror.example/hub/**\"]";
    assert_eq!(name(hub, "docker.io/{1}", "mirror.example/hub/acme/app:1").as_deref(), Ok("docker.io/acme/app"));
    assert_eq!(
        name(hub, "docker.io/{1}", "mirror.example/hub/library/nginx").as_deref(),
        Ok("docker.io/library/nginx")
    );
    // The normal form of the name that it mirrors.
    assert_eq!(name(hub, "docker.io/{1}", "mirror.example/hub/nginx").as_deref(), Ok("docker.io/library/nginx"));
    let regional = "[\"*.mirror.example/*/**\"]";
    assert_eq!(name(regional, "quay.io/{2}/{3}", "eu.mirror.example/x/a/b").as_deref(), Ok("quay.io/x/a/b"));
    let literal = name("[mirror.example/app]", "acme.example/app", "mirror.example/app");
    assert_eq!(literal.as_deref(), Ok("acme.example/app"));
    // The first pattern that fits is the one whose wildcards count.
    let two = "[\"mirror.example/old/*/**\", \"mirror.example/*/**\"]";
    assert_eq!(name(two, "acme.example/{2}", "mirror.example/old/a/b").as_deref(), Ok("acme.example/b"));
    assert_eq!(name(two, "acme.example/{2}", "mirror.example/new/a/b").as_deref(), Ok("acme.example/a/b"));
}

#[test]
fn a_name_that_as_makes_no_repository_of_is_refused() {
    let fault = |images: &str, renamed: &str, image: &str| match name(images, renamed, image).unwrap_err() {
        Unusable::As { text, .. } => text,
        other => panic!("{other}"),
    };
    // The port of a host would be a tag.
    let text = fault("[\"*/app\"]", "docker.io/team/{1}", "evil.example:5000/app");
    assert_eq!(text, "docker.io/team/evil.example:5000");
    // A part of a name may begin or end with what a name may not.
    let text = fault("[\"mirror.example/a*/app\"]", "docker.io/team/{1}", "mirror.example/a--b/app");
    assert_eq!(text, "docker.io/team/--b");
    assert_eq!(fault("[\"mirror.example/a*b\"]", "docker.io/{1}/x", "mirror.example/a.b"), "docker.io/./x");
    let long = format!("mirror.example/hub/{}", vec!["a".repeat(60); 4].join("/"));
    fault("[\"mirror.example/hub/**\"]", "docker.io/prefix-of-twenty-bytes/{1}", &long);
    // Nothing is no name.
    let empty = Unusable::Capture { number: 1, text: String::new() };
    assert_eq!(name("[\"mirror.example/hub/**\"]", "docker.io/hub/{1}", "mirror.example/hub"), Err(empty.clone()));
    assert_eq!(name("[\"mirror.example/a*\"]", "docker.io/hub/x{1}", "mirror.example/a"), Err(empty.clone()));
    assert_eq!(empty.code(), "image/unusable-name");
}

#[test]
fn as_writes_out_its_host_and_is_canonical() {
    for renamed in
        ["{1}/app", "{1}", "docker{1}.io/app", "nginx", "DOCKER.io/a/b", "index.docker.io/a/b", "a.example:443/b"]
    {
        let (path, fault) = fault(&renaming("[\"mirror.example/*\"]", renamed));
        assert_eq!(path, "rules[0].as", "{renamed}");
        assert!(matches!(fault, Fault::Value { .. }), "{renamed}: {fault}");
    }
    for renamed in ["docker.io/a:1", "docker.io/nginx", "docker.io/a b", "docker.io/", "docker.io/a/{1}:latest"] {
        let (path, fault) = fault(&renaming("[\"mirror.example/*\"]", renamed));
        assert_eq!(
            (path.as_str(), fault.to_string().contains("is not a canonical name")),
            ("rules[0].as", true),
            "{renamed}"
        );
    }
    let (_, fault) = fault(&renaming("[\"mirror.example/*\"]", "docker.io/{repository}"));
    assert!(matches!(fault, Fault::Template { .. }), "{fault}");
}

#[test]
fn a_wildcard_that_a_pattern_does_not_have_is_refused_with_its_line() {
    let error = Policy::parse(&renaming("[\"mirror.example/*\", mirror.example/a/b]", "docker.io/x/{1}")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "policy.yaml:8:5: rules[0].as: {1} is the wildcard 1 of the rule's patterns, and \"mirror.example/a/b\" has 0"
    );
    for (words, path) in [
        ("role: \"targets/{2}\"", "role"),
        ("layout: \"layouts/{2}/{repository}/*\"", "layout"),
        ("target: \"{2}/{repository}@{digest}\"", "target"),
        ("tagTarget: \"{2}/{repository}:{tag}\"", "tagTarget"),
        ("parameters: {A: \"{2}\"}", "parameters.A"),
    ] {
        let verify = format!("{{repositories: [acme], {words}}}");
        let (at, fault) = fault(&minimal("{images: [\"registry.example/*/app\"]}", &verify));
        assert_eq!(at, format!("rules[0].verify.{path}"));
        let pattern = "registry.example/*/app".to_owned();
        assert_eq!(fault, Fault::NoWildcard { number: 2, pattern, count: 1 }, "{words}");
    }
}

#[test]
fn what_takes_many_segments_stands_in_no_role_and_no_path() {
    for (words, path) in [
        ("role: \"targets/teams/{1}\"", Some("role")),
        ("layout: \"layouts/{repository}/{1}/*\"", Some("layout")),
        ("target: \"{1}/{repository}@{digest}\"", Some("target")),
        ("tagTarget: \"{1}/{repository}:{tag}\"", Some("tagTarget")),
        ("parameters: {A: \"{1}\"}", None),
    ] {
        let verify = format!("{{repositories: [acme], {words}}}");
        let policy = Policy::parse(&minimal("{images: [\"registry.example/**\"]}", &verify));
        match path {
            Some(path) => {
                let error = policy.unwrap_err();
                assert_eq!(error.place.path, format!("rules[0].verify.{path}"));
                let pattern = "registry.example/**".to_owned();
                assert_eq!(*error.fault, Fault::ManySegments { number: 1, pattern });
            }
            None => assert!(policy.is_ok(), "{words}"),
        }
    }
}

/// Delegation is tenancy: each team's images are listed by its own role.
fn tenants(words: &str) -> String {
    minimal("{images: [\"registry.example/*/**\"]}", &format!("{{repositories: [acme], {words}}}"))
}

#[test]
fn the_role_and_the_templates_follow_the_name() {
    let words = "role: \"targets/teams/{1}\", layout: \"layouts/{1}/{repository}/*\", \
                 target: \"{1}/{repository}@{digest}\", tagTarget: \"{1}/{repository}:{tag}\", parameters: {TEAM: \"{1}\", APP: \"{2}\"}";
    let part = |image: &str| bound(&tenants(words), image).unwrap().parts.remove(0);
    let (red, blue) = (part("registry.example/red/a/b"), part("registry.example/blue/a/b"));
    let requirement = &red.requirement;
    assert_eq!(requirement.role, "targets/teams/red".parse().ok());
    assert_eq!(requirement.layout.as_ref().unwrap().to_string(), "layouts/red/{repository}/*");
    assert_eq!(requirement.digest_target.to_string(), "red/{repository}@{digest}");
    assert_eq!(requirement.tag_target.to_string(), "red/{repository}:{tag}");
    assert_eq!(
        (requirement.parameters["TEAM"].to_string(), requirement.parameters["APP"].to_string()),
        ("red".into(), "a/b".into())
    );
    // The key of a cached verdict (trust.md §6).
    assert_ne!(red.hash, blue.hash);
    assert_eq!(red.hash, part("registry.example/red/a/b:2").hash);
}

#[test]
fn a_name_cannot_leave_its_place_in_a_path_or_a_role() {
    let partial = |words: &str| {
        minimal("{images: [\"registry.example/a*b/app\"]}", &format!("{{repositories: [acme], {words}}}"))
    };
    for words in
        ["role: \"targets/{1}\"", "target: \"x/{1}/{repository}@{digest}\"", "layout: \"l/{1}/{repository}/*\""]
    {
        let dot = Unusable::Capture { number: 1, text: ".".to_owned() };
        assert_eq!(bound(&partial(words), "registry.example/a.b/app"), Err(dot), "{words}");
        let nothing = Unusable::Capture { number: 1, text: String::new() };
        assert_eq!(bound(&partial(words), "registry.example/ab/app"), Err(nothing), "{words}");
        assert!(bound(&partial(words), "registry.example/a-x-b/app").is_ok(), "{words}");
    }
}

#[test]
fn a_role_by_name_is_one_of_the_roles_that_may_sign_images() {
    let weak = |words: &str| {
        let policy = Policy::parse(&tenants(words)).unwrap();
        policy.rules()[0].weak().iter().copied().collect::<Vec<_>>()
    };
    // Some team's role signs layouts, or decides who does.
    assert_eq!(weak("role: \"targets/teams/{1}\", layoutRoles: [targets/teams/red]"), [Weak::LayoutRoles]);
    assert_eq!(weak("role: \"targets/teams/{1}\", layoutRoles: [targets/teams/red/layouts]"), [Weak::LayoutRoles]);
    assert_eq!(weak("role: \"targets/teams/{1}\", layoutRoles: [targets/layouts]"), []);
    assert_eq!(weak("role: \"targets/teams/{1}\", layoutRoles: [targets, targets/teams]"), []);
    assert_eq!(weak("role: \"targets/t-{1}\", layoutRoles: [targets/t-red]"), [Weak::LayoutRoles]);
}

#[test]
fn where_a_role_alone_decides_no_name_chooses_it() {
    let (path, fault) = fault(&tenants("level: tuf, role: \"targets/teams/{1}\""));
    assert_eq!((path.as_str(), fault), ("rules[0].verify.role", Fault::TufWithOpenRole));
}

#[test]
fn a_role_that_is_none_is_refused_as_it_is_written() {
    for role in ["{1}", "targets/{1}/", "root/{1}", "targets//{1}"] {
        let (path, fault) = fault(&tenants(&format!("role: \"{role}\"")));
        assert_eq!(path, "rules[0].verify.role");
        assert!(matches!(&fault, Fault::Value { value, .. } if value == role), "{fault}");
    }
}

#[test]
fn as_does_not_free_a_weak_rule_from_writing_out_its_hosts() {
    let weak = |images: &str| format!("{}    mode: warn\n", renaming(images, "docker.io/{1}"));
    assert!(Policy::parse(&weak("[\"mirror.example/**\"]")).is_ok());
    let (path, fault) = fault(&weak("[\"*.mirror.example/**\"]"));
    assert_eq!((path.as_str(), matches!(fault, Fault::WeakHost { .. })), ("rules[0].match.images[0]", true));
}

#[test]
fn a_layout_for_all_images_of_a_rule_is_no_scope_under_as_either() {
    let text = format!(
        "{}    as: docker.io/{{1}}\n",
        minimal("{images: [\"mirror.example/**\"]}", "{repositories: [acme], layout: \"layouts/*\"}")
    );
    assert_eq!(fault(&text).1, Fault::UnscopedLayout { scope: "layouts/*".into() });
}

#[test]
fn as_means_nothing_beside_allow() {
    let text = "version: 1\nrules:\n  - name: exempt\n    match: {namespaces: [web], images: [\"a.example/*\"]}\n    \
                as: docker.io/x/{1}\n    allow: a reason\n";
    assert_eq!(fault(text), ("rules[0].as".to_owned(), Fault::MeansNothing { beside: "allow" }));
}

#[test]
fn a_rule_that_takes_from_names_judges_no_file() {
    let policy = Policy::parse(&tenants("role: \"targets/teams/{1}\"")).unwrap();
    assert_eq!(policy.rules()[0].bind_file(), Err(Unusable::File));
}

proptest! {
    /// Whatever a name is: what it becomes is a repository of the host that is written out, or refused; and no role and no
    /// path has more segments than its template.
    #[test]
    fn no_name_reaches_beyond_its_place(image in "[a-z0-9.:-]{1,8}(/[a-z0-9._-]{1,6}){1,4}") {
        let Ok(image) = Reference::parse(&image) else { return Ok(()) };
        let words = "role: \"targets/t-{2}\", target: \"a/{2}/{repository}@{digest}\"";
        let verify = format!("{{repositories: [acme], {words}}}");
        let text = format!("{}    as: docker.io/{{1}}/{{3}}\n", minimal("{images: [\"*/*/**\"]}", &verify));
        let policy = Policy::parse(&text).unwrap();
        let Ok(bound) = policy.rules()[0].bind(&image) else { return Ok(()) };
        prop_assert_eq!(bound.name.host(), "docker.io");
        let requirement = &bound.parts[0].requirement;
        prop_assert_eq!(requirement.role.as_ref().unwrap().depth(), 1);
        let target = requirement.digest_target.to_string();
        prop_assert_eq!(target.split('/').count(), 3);
        prop_assert!(target.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
    }
}
