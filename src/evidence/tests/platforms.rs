//! The manifests of an index: `platforms` and `via: index`.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::fixture::*;
use crate::{
    crypto::Sha256,
    evidence::{
        Error, Requirement, Subject,
        requirement::{Platforms, Via},
    },
    image::Platform,
    publish::NewImage,
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A published index of these manifests, each with what it is for.
struct Published {
    fixture: Fixture,
    index: Subject,
}

fn child(at: usize) -> Vec<u8> {
    manifest(&format!("child {at}"))
}

fn digest(at: usize) -> Sha256 {
    Sha256::of(&child(at))
}

fn index(platforms: &[&str]) -> Vec<u8> {
    let children = platforms.iter().enumerate().map(|(at, platform)| {
        let bytes = child(at);
        let mut entry = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{}", Sha256::of(&bytes)), "size": bytes.len(),
        });
        if let Some((os, architecture)) = platform.split_once('/') {
            entry["platform"] = json!({"os": os, "architecture": architecture});
        }
        entry
    });
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children.collect::<Vec<Value>>()})
        .to_string()
        .into_bytes()
}

/// Publishes an index with its children. `push` made the index and `products`, named behind the image's name.
fn published(platforms: &[&str], rules: &[&str], products: &[(&str, Sha256)]) -> Published {
    let bytes = index(platforms);
    let mut fixture = Fixture::empty();
    let layout = fixture.people.layout_with(now() + SignedDuration::from_hours(24), rules);
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let mut made = vec![(NAME.to_owned(), Sha256::of(&bytes))];
    made.extend(products.iter().map(|(end, digest)| (format!("{NAME}{end}"), *digest)));
    let made: Vec<(&str, Sha256)> = made.iter().map(|(name, digest)| (name.as_str(), *digest)).collect();
    let image = NewImage {
        repository: NAME.to_owned(),
        manifest: bytes,
        tags: Vec::new(),
        layout: LAYOUT.to_owned(),
        links: fixture.people.links_with(&made),
        role: Some("images".to_owned()),
    };
    let added = fixture.publisher.add_image(&image).unwrap();
    let children: Vec<Vec<u8>> = (0..platforms.len()).map(child).collect();
    fixture.publisher.add_children(&image, &added, &children).unwrap();
    Published { fixture, index: subject(NAME, added.digest) }
}

const ALL: &[&str] = &["ALLOW *"];

fn require(platforms: &str) -> Requirement {
    let platforms = match platforms {
        "all" => Platforms::All,
        list => Platforms::These(list.split(',').map(|text| Platform::parse(text).unwrap()).collect()),
    };
    Requirement { platforms, ..requirement() }
}

fn via_index() -> Requirement {
    Requirement { via: Some(Via::Index), ..requirement() }
}

#[test]
fn with_platforms_all_each_child_is_a_product_that_a_rule_consumed() {
    let both = [("#linux/amd64", digest(0)), ("#linux/arm64", digest(1))];
    let platforms = ["linux/amd64", "linux/arm64"];
    let judge = |rules: &[&str], products: &[(&str, Sha256)]| {
        let Published { mut fixture, index } = published(&platforms, rules, products);
        assert!(fixture.judge(&index).is_ok(), "without the word the index is enough");
        fixture.judge_by(&index, &require("all"))
    };
    assert!(judge(ALL, &both).is_ok());
    let consumed: &[&str] = &[&format!("CREATE {NAME}"), "CREATE *#linux/amd64"];
    for (rules, products) in [
        (ALL, vec![both[0]]),
        (ALL, vec![both[0], ("#linux/arm64", digest(0))]),
        (ALL, vec![both[0], ("#linux/arm/v8", digest(1))]),
        (ALL, vec![both[0], ("/children/1", digest(1))]),
        (consumed, both.to_vec()),
    ] {
        let error = judge(rules, &products).unwrap_err();
        let name = format!("{NAME}#linux/arm64");
        assert_eq!(error, Error::PlatformNotAttested { step: "push".to_owned(), name, digest: digest(1) });
    }
}

#[test]
fn a_child_that_no_platform_names_alone_is_a_product_by_its_place() {
    // Without a platform, two for one platform, and one that is no image.
    let platforms = ["", "linux/amd64", "linux/amd64", "unknown/unknown"];
    let all: Vec<(&str, Sha256)> = ["/children/0", "/children/1", "/children/2", "/children/3"]
        .into_iter()
        .enumerate()
        .map(|(at, name)| (name, digest(at)))
        .collect();
    let Published { mut fixture, index } = published(&platforms, ALL, &all);
    fixture.judge_by(&index, &require("all")).unwrap();
    for lacks in 0..4 {
        let mut products = all.clone();
        products.remove(lacks);
        products.push(("#linux/amd64", digest(lacks)));
        let Published { mut fixture, index } = published(&platforms, ALL, &products);
        let error = fixture.judge_by(&index, &require("all")).unwrap_err();
        assert!(matches!(error, Error::PlatformNotAttested { digest: found, .. } if found == digest(lacks)), "{error}");
    }
}

#[test]
fn a_list_of_platforms_requires_those_and_no_others() {
    let platforms = ["linux/amd64", "linux/arm64", "windows/amd64"];
    let made = [("#linux/amd64", digest(0)), ("#linux/arm64", digest(1))];
    let Published { mut fixture, index } = published(&platforms, ALL, &made);
    assert!(fixture.judge_by(&index, &require("linux/amd64,linux/arm64")).is_ok());
    let error = fixture.judge_by(&index, &require("windows/amd64")).unwrap_err();
    assert_eq!(error.code(), "evidence/platform-not-attested");
    let error = fixture.judge_by(&index, &require("linux/amd64,linux/s390x")).unwrap_err();
    assert_eq!(error.code(), "evidence/platform-missing");
    // A manifest is for the platform that its name in the supply chain says.
    let child = subject(NAME, digest(0));
    assert!(fixture.judge_by(&child, &require("linux/amd64")).is_ok());
    assert!(fixture.judge_by(&child, &require("all")).is_ok());
    assert_eq!(fixture.judge_by(&child, &require("linux/arm64")).unwrap_err().code(), "evidence/platform-missing");
}

#[test]
fn a_child_that_a_pod_names_is_proven_by_its_own_product_or_by_its_index_where_the_rule_says_so() {
    let Published { mut fixture, index } =
        published(&["linux/amd64", "linux/arm64"], ALL, &[("#linux/amd64", digest(0))]);
    let proof = fixture.judge(&subject(NAME, digest(0))).unwrap();
    assert_eq!((proof.bound_to().unwrap().1, proof.index()), (&*format!("{NAME}#linux/amd64"), None));
    let other = subject(NAME, digest(1));
    assert_eq!(fixture.judge(&other).unwrap_err().code(), "evidence/not-bound");

    assert_eq!(fixture.judge_by(&subject(NAME, digest(0)), &via_index()).unwrap().index(), None);
    let proof = fixture.judge_by(&other, &via_index()).unwrap();
    assert_eq!((proof.subject(), proof.bound_to(), proof.index()), (&other, Some(("push", NAME)), Some(index.digest)));
    assert_eq!(fixture.judge_by(&index, &via_index()).unwrap().index(), None);

    // The words hold together: the index with all its children, and the child among those that are wanted.
    let all = Requirement { via: Some(Via::Index), ..require("all") };
    assert_eq!(fixture.judge_by(&other, &all).unwrap_err().code(), "evidence/platform-not-attested");
    let amd = Requirement { via: Some(Via::Index), ..require("linux/amd64") };
    assert_eq!(fixture.judge_by(&other, &amd).unwrap_err().code(), "evidence/platform-missing");
}

#[test]
fn an_index_stands_only_for_what_it_lists() {
    let Published { mut fixture, index } = published(&["linux/amd64"], ALL, &[]);
    let evil = manifest("evil");
    let listed = |custom: Value| {
        let evil = evil.clone();
        move |editor: &mut crate::publish::Editor| {
            let path = format!("{NAME}@sha256:{}", Sha256::of(&evil));
            editor.add_target("images", &path, &evil, custom.as_object().unwrap().clone()).unwrap();
        }
    };
    let image = subject(NAME, Sha256::of(&evil));
    let evidence = |fixture: &mut Fixture| {
        let mut found = Value::Null;
        fixture.with_online_keys(|editor| {
            let path = format!("{NAME}@sha256:{}", digest(0));
            found = editor.signed("images").unwrap()["targets"][path]["custom"].clone();
        });
        found
    };
    let honest = evidence(&mut fixture);
    assert_eq!(honest["index"], format!("sha256:{}", index.digest));

    fixture.with_online_keys(listed(honest.clone()));
    let error = fixture.judge_published(&image, &via_index()).unwrap_err();
    assert_eq!(error, Error::NotInIndex { index: index.digest, digest: image.digest });

    // An index of the thief's own lists it, and nobody signed that.
    let own = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": format!("sha256:{}", image.digest), "size": evil.len(),
    }]})
    .to_string()
    .into_bytes();
    let mut custom = honest.clone();
    custom["index"] = json!(format!("sha256:{}", Sha256::of(&own)));
    fixture.with_online_keys(|editor| {
        let path = format!("{NAME}@sha256:{}", Sha256::of(&own));
        editor.add_target("images", &path, &own, honest.as_object().unwrap().clone()).unwrap();
        listed(custom)(editor);
    });
    assert_eq!(fixture.judge_published(&image, &via_index()).unwrap_err().code(), "evidence/not-bound");

    for (named, code) in [
        (json!(format!("sha256:{}", Sha256::of(b"nowhere"))), "image/unknown"),
        (json!(format!("sha256:{}", image.digest)), "image/not-in-index"),
        (json!("sha256:beef"), "evidence/malformed-index"),
        (json!([format!("sha256:{}", index.digest)]), "evidence/malformed-index"),
    ] {
        let mut custom = honest.clone();
        custom["index"] = named;
        fixture.with_online_keys(listed(custom));
        assert_eq!(fixture.judge_published(&image, &via_index()).unwrap_err().code(), code);
    }
    let mut custom = honest;
    custom.as_object_mut().unwrap().remove("index");
    fixture.with_online_keys(listed(custom));
    assert_eq!(fixture.judge_published(&image, &via_index()).unwrap_err().code(), "evidence/not-bound");
}

#[test]
fn a_child_falls_with_its_index_and_by_itself() {
    for revoked in [0, 1] {
        let Published { mut fixture, index } = published(&["linux/amd64"], ALL, &[]);
        let child = subject(NAME, digest(0));
        assert!(fixture.judge_by(&child, &via_index()).is_ok());
        let digest = [index.digest, child.digest][revoked];
        fixture.publisher.revoke("targets", digest, "stolen").unwrap();
        assert_eq!(fixture.judge_by(&child, &via_index()).unwrap_err().code(), "tuf/revoked");
    }
}

#[test]
fn an_index_within_an_index_stands_for_nothing_whatever_it_is_called() {
    let inner = index(&["linux/amd64"]);
    let outer = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": format!("sha256:{}", Sha256::of(&inner)), "size": inner.len(),
    }]})
    .to_string()
    .into_bytes();
    let mut fixture = Fixture::empty();
    let layout = fixture.people.layout_with(now() + SignedDuration::from_hours(24), ALL);
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let image = NewImage {
        repository: NAME.to_owned(),
        links: fixture.people.links_with(&[(NAME, Sha256::of(&outer))]),
        manifest: outer,
        tags: Vec::new(),
        layout: LAYOUT.to_owned(),
        role: Some("images".to_owned()),
    };
    let added = fixture.publisher.add_image(&image).unwrap();
    assert!(fixture.publisher.add_children(&image, &added, std::slice::from_ref(&inner)).is_err());
    let named = subject(NAME, Sha256::of(&inner));
    fixture.with_online_keys(|editor| {
        let custom = json!({"in-toto": added.evidence, "index": format!("sha256:{}", added.digest)});
        let path = format!("{NAME}@sha256:{}", named.digest);
        editor.add_target("images", &path, &inner, custom.as_object().unwrap().clone()).unwrap();
    });
    let error = fixture.judge_published(&named, &via_index()).unwrap_err();
    assert_eq!(error, Error::NotInIndex { index: added.digest, digest: named.digest });
}
