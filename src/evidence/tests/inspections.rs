//! Built-in inspections, and binding (B).

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::fixture::*;
use crate::{
    crypto::Sha256,
    evidence::{
        Error, Proof, Requirement, Subject,
        requirement::{Inspections, LayerSource, Product, Via},
    },
    image::{
        Descriptor,
        layer::{Limits, Unread, read, tests as layer},
    },
    in_toto,
    pattern::Fnmatch,
    publish::{Format, Layout, Link, LinkSource, NewImage, Step},
};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn descriptor(label: &str) -> Value {
    json!({"mediaType": IMAGE, "digest": format!("sha256:{}", Sha256::of(label.as_bytes())), "size": 7})
}

/// An index with one child for each of these platforms; none for an empty one.
fn index(platforms: &[&str]) -> Vec<u8> {
    let children = platforms.iter().enumerate().map(|(at, platform)| {
        let mut child = descriptor(&format!("child {at}"));
        if let Some((os, architecture)) = platform.split_once('/') {
            child["platform"] = json!({"os": os, "architecture": architecture});
        }
        child
    });
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children.collect::<Vec<_>>()}).to_string().into_bytes()
}

fn child(at: usize) -> Sha256 {
    Sha256::of(format!("child {at}").as_bytes())
}

/// `push` makes the image, and an inspection looks at it by these rules.
fn with_inspections(people: &People, inspections: &[(&str, &[&str], &[&str])]) -> Layout {
    let layout = people.layout_with(now() + SignedDuration::from_hours(24), &["ALLOW registry.example/*"]);
    inspections.iter().fold(layout, |layout, (name, run, rules)| layout.inspection(name, run, rules, &[]))
}

/// An image of these bytes with these products of `push`, under a layout with inspections.
fn inspected(
    inspections: &[(&str, &[&str], &[&str])],
    bytes: &[u8],
    products: &[(&str, Sha256)],
) -> (Fixture, Subject) {
    let mut fixture = Fixture::empty();
    let layout = with_inspections(&fixture.people, inspections);
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let links = fixture.people.links_with(products);
    let image = list(&mut fixture, bytes, links);
    (fixture, image)
}

/// Lists bytes as an image, whatever they are.
fn list(fixture: &mut Fixture, bytes: &[u8], links: Vec<LinkSource>) -> Subject {
    let digest = Sha256::of(bytes);
    let placeholder = fixture.add_image_with("placeholder", None, LAYOUT, links);
    let bytes = bytes.to_owned();
    fixture.with_online_keys(move |editor| {
        let path = format!("{NAME}@sha256:{}", placeholder.digest);
        let custom = editor.signed("images").unwrap()["targets"][path]["custom"].clone();
        let path = format!("{NAME}@sha256:{digest}");
        editor.add_target("images", &path, &bytes, custom.as_object().unwrap().clone()).unwrap();
    });
    subject(NAME, digest)
}

/// What an inspection with these rules makes of an image of which `push` made exactly these products.
fn look(rules: &[&str], bytes: &[u8], products: &[(&str, Sha256)]) -> Result<Proof, Error> {
    let mut all = vec![(NAME, Sha256::of(bytes))];
    all.extend(products);
    let (mut fixture, image) = inspected(&[("look", &["pratique", "image"], rules)], bytes, &all);
    fixture.judge(&image)
}

fn by_inspection(name: &str) -> Requirement {
    Requirement { product: Product { inspection: Some(name.to_owned()), ..Product::default() }, ..requirement() }
}

#[test]
fn the_manifest_with_all_that_it_lists_are_materials_of_the_inspection() {
    let bytes = manifest("1.0");
    let proof = look(&["ALLOW *"], &bytes, &[]).unwrap();
    let [inspection] = proof.verified().unwrap().inspections() else { panic!() };
    let names: Vec<&str> = inspection.recorded.materials.names().collect();
    assert_eq!(names, [NAME, &format!("{NAME}/config")]);
    assert!(inspection.recorded.products.is_empty());

    let layers =
        json!({"schemaVersion": 2, "config": descriptor("config"), "layers": [descriptor("0"), descriptor("1")]});
    let proof = look(&["ALLOW *"], layers.to_string().as_bytes(), &[]).unwrap();
    let recorded = &proof.verified().unwrap().inspections()[0].recorded.materials;
    let wanted = Sha256::of(b"1").to_string();
    assert_eq!(recorded.get(&format!("{NAME}/layers/1")).unwrap().get("sha256"), Some(&*wanted));
    assert_eq!(recorded.len(), 4);

    let proof = look(&["ALLOW *"], &index(&["linux/amd64", "", "linux/arm64"]), &[]).unwrap();
    let recorded = &proof.verified().unwrap().inspections()[0].recorded.materials;
    let names: Vec<String> = ["", "#linux/amd64", "#linux/arm64", "/children/0", "/children/1", "/children/2"]
        .map(|end| format!("{NAME}{end}"))
        .into();
    assert_eq!(recorded.names().collect::<Vec<_>>(), names);
    assert_eq!(recorded.get(&names[2]).unwrap().get("sha256"), Some(&*child(2).to_string()));
}

#[test]
fn one_rule_compares_what_a_step_recorded_of_the_platforms() {
    let rules: &[&str] = &["MATCH * WITH PRODUCTS FROM push", "DISALLOW *#*"];
    let (amd, arm) = (format!("{NAME}#linux/amd64"), format!("{NAME}#linux/arm64"));
    let bytes = index(&["linux/amd64", "linux/arm64"]);
    assert!(look(rules, &bytes, &[(&amd, child(0)), (&arm, child(1))]).is_ok());
    // An extra platform, and one that is another than the step made.
    for products in [vec![(amd.as_str(), child(0))], vec![(&amd, child(0)), (&arm, child(0))]] {
        let error = look(rules, &bytes, &products).unwrap_err();
        assert_eq!(error.code(), "in-toto/disallowed-artifact");
        assert!(error.to_string().contains("#linux/arm64"), "{error}");
    }
}

#[test]
fn of_two_manifests_for_one_platform_none_hides_the_other() {
    let rules: &[&str] = &["MATCH * WITH PRODUCTS FROM push", "DISALLOW *#*"];
    let amd = format!("{NAME}#linux/amd64");
    for known in [0, 1] {
        let error = look(rules, &index(&["linux/amd64", "linux/amd64"]), &[(&amd, child(known))]).unwrap_err();
        assert_eq!(error.code(), "in-toto/disallowed-artifact", "{error}");
    }
}

#[test]
fn a_manifest_that_two_readers_could_read_differently_is_refused_by_the_inspection_alone() {
    let both = json!({"schemaVersion": 2, "config": descriptor("c"), "layers": [], "manifests": []}).to_string();
    let nested = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": INDEX, "digest": format!("sha256:{}", Sha256::of(b"inner")), "size": 7
    }]});
    let twice = r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#.to_owned();
    let long = format!("sha512:{}", "a".repeat(128));
    let other = json!({"schemaVersion": 2, "manifests": [{"mediaType": IMAGE, "digest": long, "size": 7}]});
    for (bytes, code) in [
        (both, "image/ambiguous-manifest"),
        (nested.to_string(), "image/ambiguous-manifest"),
        (twice, "image/ambiguous-manifest"),
        (other.to_string(), "image/unsupported-digest"),
    ] {
        assert_eq!(look(&["ALLOW *"], bytes.as_bytes(), &[]).unwrap_err().code(), code, "{bytes}");
        // Without an inspection nobody reads it: its digest is all that counts.
        let (mut fixture, image) = inspected(&[], bytes.as_bytes(), &[(NAME, Sha256::of(bytes.as_bytes()))]);
        assert!(fixture.judge(&image).is_ok(), "{bytes}");
    }
}

#[test]
fn the_manifest_is_fetched_only_for_an_inspection() {
    let bytes = manifest("1.0");
    let gone = |fixture: &Fixture, image: &Subject| {
        let digest = image.digest.to_string();
        fixture.overwrite_targets(
            |path, bytes| if path.contains(&digest) && path.contains("app@") { Vec::new() } else { bytes },
        );
    };
    let (mut fixture, image) = inspected(&[], &bytes, &[(NAME, Sha256::of(&bytes))]);
    fixture.publisher.commit().unwrap();
    gone(&fixture, &image);
    assert!(fixture.judge_published(&image, &requirement()).is_ok());
    let look: (&str, &[&str], &[&str]) = ("look", &["pratique", "image"], &["ALLOW *"]);
    let (mut fixture, image) = inspected(&[look], &bytes, &[(NAME, Sha256::of(&bytes))]);
    fixture.publisher.commit().unwrap();
    gone(&fixture, &image);
    assert!(matches!(fixture.judge_published(&image, &requirement()).unwrap_err(), Error::Tuf(_)));
}

#[test]
fn any_other_inspection_is_refused_and_named() {
    let bytes = manifest("1.0");
    let built_in: (&str, &[&str], &[&str]) = ("look", &["pratique", "image"], &["ALLOW *"]);
    for run in [
        ["pratique", "images"].as_slice(),
        &["pratique"],
        &["pratique", "image", "x"],
        &["true"],
        &["/pratique", "image"],
    ] {
        let inspections = [built_in, ("other", run, &["DISALLOW *"])];
        let (mut fixture, image) = inspected(&inspections, &bytes, &[(NAME, Sha256::of(&bytes))]);
        let error = fixture.judge(&image).unwrap_err();
        let other = vec![in_toto::StepName::parse("other").unwrap()];
        assert_eq!(error, Error::InToto(in_toto::Error::InspectionsRefused { inspections: other }), "{run:?}");
        // Passed over is not carried out, and what is built in is carried out all the same.
        let skip = Requirement { inspections: Inspections::Skip, ..requirement() };
        let proof = fixture.judge_published(&image, &skip).unwrap();
        assert_eq!(proof.verified().unwrap().inspections().len(), 1);
        assert_eq!(proof.verified().unwrap().skipped_inspections().len(), 1);
        let bound = Requirement { inspections: Inspections::Skip, ..by_inspection("other") };
        assert_eq!(fixture.judge_published(&image, &bound).unwrap_err().code(), "evidence/no-such-inspection");
    }
}

#[test]
fn b_an_inspection_binds_where_the_rule_names_it_and_nowhere_else() {
    // `scan` comes last and has no products, so (A) binds nothing.
    let bytes = manifest("1.0");
    let mut fixture = Fixture::empty();
    let people = &fixture.people;
    let matching = format!("MATCH {NAME} WITH PRODUCTS FROM push");
    let push = Step::new("push").functionary(&people.pusher).unwrap().products(&[&format!("CREATE {NAME}")]);
    let layout = Layout::new(now() + SignedDuration::from_hours(24))
        .step(push)
        .step(Step::new("build").functionary(&people.builder).unwrap())
        .inspection("look", &["pratique", "image"], &[&matching, &format!("DISALLOW {NAME}")], &[]);
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let links = fixture.people.links_with(&[(NAME, Sha256::of(&bytes))]);
    let image = list(&mut fixture, &bytes, links);
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "evidence/not-bound");
    let proof = fixture.judge_by(&image, &by_inspection("look")).unwrap();
    assert_eq!(proof.bound_to(), Some(("push", NAME)));
    assert_eq!(fixture.judge_by(&image, &by_inspection("push")).unwrap_err().code(), "evidence/no-such-inspection");
}

#[test]
fn b_only_a_match_with_products_of_a_step_binds() {
    let bytes = manifest("1.0");
    let digest = Sha256::of(&bytes);
    let by = |rules: &[&str]| {
        let second: &[&str] = &["ALLOW *"];
        let run: &[&str] = &["pratique", "image"];
        let (mut fixture, image) =
            inspected(&[("look", run, rules), ("again", run, second)], &bytes, &[(NAME, digest)]);
        fixture.judge_by(&image, &by_inspection("look"))
    };
    assert!(by(&["MATCH * WITH PRODUCTS FROM push"]).is_ok());
    for rules in [
        // Against itself, and against another inspection: both consume.
        "MATCH * WITH MATERIALS FROM look",
        "MATCH * WITH MATERIALS FROM again",
        // Nothing is compared.
        "ALLOW *",
        "DISALLOW nothing",
    ] {
        let error = by(&[rules, "MATCH * WITH PRODUCTS FROM push"][..if rules.starts_with("DIS") { 1 } else { 2 }])
            .unwrap_err();
        assert_eq!(error.code(), "evidence/not-bound", "{rules}");
        assert!(matches!(error, Error::NotMatched { .. }), "{rules}");
    }
    // What a step used is not what it made.
    let mut fixture = Fixture::empty();
    let step = Step::new("push").functionary(&fixture.people.pusher).unwrap();
    let layout = Layout::new(now() + SignedDuration::from_hours(24)).step(step).inspection(
        "look",
        &["pratique", "image"],
        &["MATCH * WITH MATERIALS FROM push"],
        &[],
    );
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let link = Link::new("push").material(NAME, digest);
    let links = vec![LinkSource {
        name: link.file_name(&fixture.people.pusher).unwrap(),
        bytes: link.sign(Format::Metablock, &fixture.people.pusher).unwrap(),
    }];
    let image = list(&mut fixture, &bytes, links);
    assert!(matches!(fixture.judge_by(&image, &by_inspection("look")).unwrap_err(), Error::NotMatched { .. }));
}

#[test]
fn b_another_digest_or_another_image_does_not_bind() {
    let bytes = manifest("1.0");
    for products in [(NAME, Sha256::of(b"other")), ("registry.example/team/other", Sha256::of(&bytes))] {
        let run: &[&str] = &["pratique", "image"];
        let rules: &[&str] = &["MATCH * WITH PRODUCTS FROM push"];
        let (mut fixture, image) = inspected(&[("look", run, rules)], &bytes, &[products]);
        assert!(matches!(fixture.judge_by(&image, &by_inspection("look")).unwrap_err(), Error::NotMatched { .. }));
    }
    // The config's digest under the image's name is not the image.
    let config = Sha256::of(b"1.0");
    let run: &[&str] = &["pratique", "image"];
    let rules: &[&str] = &["MATCH * WITH PRODUCTS FROM push"];
    let (mut fixture, image) = inspected(&[("look", run, rules)], &bytes, &[(&format!("{NAME}/config"), config)]);
    assert!(matches!(fixture.judge_by(&image, &by_inspection("look")).unwrap_err(), Error::NotMatched { .. }));
}

#[test]
fn a_plain_file_is_not_inspected_as_an_image() {
    let mut fixture = Fixture::empty();
    let layout = with_inspections(&fixture.people, &[("look", &["pratique", "image"], &["ALLOW *"])]);
    fixture.add_layout(LAYOUT, &layout, &[]);
    let bytes = manifest("1.0");
    let links = fixture.people.links_with(&[("registry.example/app.whl", Sha256::of(&bytes))]);
    let image = NewImage {
        repository: NAME.to_owned(),
        manifest: bytes.clone(),
        tags: Vec::new(),
        layout: LAYOUT.to_owned(),
        links,
        role: Some("images".to_owned()),
    };
    fixture.publisher.add_image(&image).unwrap();
    let digest = Sha256::of(&bytes);
    let path = crate::tuf::TargetPath::from(format!("{NAME}@sha256:{digest}"));
    let file = Subject { name: crate::evidence::Name::File(path), digest, tag: None };
    let pinned = crate::evidence::requirement::LayoutScope::new(LAYOUT).unwrap();
    let product = Product { name: Some(Fnmatch::new("*.whl")), ..Product::default() };
    let error = fixture.judge_by(&file, &Requirement { layout: Some(pinned), product, ..requirement() }).unwrap_err();
    assert_eq!(error.code(), "evidence/not-an-image", "{error}");
}

/// The manifest of an image of these layers.
fn manifest_of(layers: &[Vec<u8>]) -> Vec<u8> {
    let listed = layers.iter().map(|blob| {
        let layer: Descriptor = layer::descriptor(layer::GZIP, blob);
        json!({"mediaType": layer.media_type, "digest": format!("sha256:{}", layer.digest), "size": layer.size})
    });
    let bytes = json!({"schemaVersion": 2, "config": descriptor("config"), "layers": listed.collect::<Vec<_>>()});
    bytes.to_string().into_bytes()
}

/// An image of these layers, and a layout that inspects its files by these rules; `push` made the image and the program.
fn filed(rules: &[&str], layers: &[Vec<u8>], made: &str) -> (Fixture, Subject) {
    let bytes = manifest_of(layers);
    let mut fixture = Fixture::empty();
    let people = &fixture.people;
    let push = Step::new("push").functionary(&people.pusher).unwrap().products(&["ALLOW *"]);
    let layout = Layout::new(now() + SignedDuration::from_hours(24)).step(push);
    fixture.add_layout(LAYOUT, &layout.inspection("look", &["pratique", "files"], rules, &[]), &[NAME]);
    let link = Link::new("push").product(NAME, Sha256::of(&bytes)).product("app", Sha256::of(made.as_bytes()));
    let links = vec![LinkSource {
        name: link.file_name(&fixture.people.pusher).unwrap(),
        bytes: link.sign(Format::Metablock, &fixture.people.pusher).unwrap(),
    }];
    let image = list(&mut fixture, &bytes, links);
    for blob in layers {
        let descriptor = layer::descriptor(layer::GZIP, blob);
        let read = read(&descriptor, &blob[..], &Limits::default()).map(Arc::new);
        let read = read.map_err(|unread| match unread {
            Unread::Fault(fault) => fault,
            Unread::Source(why) => panic!("{why}"),
        });
        fixture.layers.insert(descriptor, read);
    }
    (fixture, image)
}

fn packed(files: &[(&str, &str)]) -> Vec<u8> {
    layer::gzip(&layer::archive(&files.iter().map(|(name, content)| layer::file(name, content)).collect::<Vec<_>>()))
}

fn from_registry() -> Requirement {
    Requirement { layers: Some(LayerSource { registry: "registry.example".to_owned() }), ..requirement() }
}

#[test]
fn the_files_of_the_layers_are_matched_with_what_a_step_made() {
    let rules = &["ALLOW etc/*", "MATCH app IN usr/bin WITH PRODUCTS FROM push", "DISALLOW *"];
    let base = packed(&[("etc/os-release", "debian"), ("usr/bin/app", "old")]);
    let judge = |layers: &[Vec<u8>]| {
        let (mut fixture, image) = filed(rules, layers, "new");
        fixture.judge_by(&image, &from_registry())
    };
    let proof = judge(&[base.clone(), packed(&[("usr/bin/app", "new")])]).unwrap();
    let recorded = &proof.verified().unwrap().inspections()[0].recorded.materials;
    assert_eq!(recorded.names().collect::<Vec<_>>(), ["etc/os-release", "usr/bin/app"]);

    let link = layer::gzip(&layer::archive(&[layer::entry(b'2', "usr/bin/sh", "/tmp/sh", b"")]));
    for evil in [
        packed(&[("usr/bin/app", "evil")]),
        packed(&[("usr/bin/app", "new"), ("usr/bin/app2", "new")]),
        packed(&[("opt/app", "new"), ("usr/bin/.wh.app", "")]),
        link,
    ] {
        let error = judge(&[base.clone(), evil]).unwrap_err();
        assert_eq!(error.code(), "in-toto/disallowed-artifact", "{error}");
    }
    // That it is there at all is for REQUIRE to say.
    assert!(judge(&[packed(&[("etc/a", "")])]).is_ok());
    let (mut fixture, image) = filed(&["REQUIRE usr/bin/app"], &[packed(&[("etc/a", "")])], "new");
    let error = fixture.judge_by(&image, &from_registry()).unwrap_err();
    assert_eq!(error.code(), "in-toto/required-artifact-missing");
}

#[test]
fn without_a_source_in_the_rule_no_layer_is_fetched() {
    let (mut fixture, image) = filed(&["ALLOW *"], &[packed(&[("a", "1")])], "new");
    let error = fixture.judge(&image).unwrap_err();
    assert_eq!(error.code(), "inspection/no-source", "{error}");
    let skip = Requirement { inspections: Inspections::Skip, ..requirement() };
    assert_eq!(fixture.judge_by(&image, &skip).unwrap_err().code(), "inspection/no-source");
    // The inspection of files binds nothing: it does not see the manifest.
    let bound = Requirement { product: by_inspection("look").product, ..from_registry() };
    assert_eq!(fixture.judge_by(&image, &bound).unwrap_err().code(), "evidence/no-such-inspection");
}

#[test]
fn a_layer_that_is_refused_refuses_the_image() {
    let bad = layer::gzip(&layer::archive(&[layer::file("../app", "new")]));
    let (mut fixture, image) = filed(&["ALLOW *"], &[packed(&[("a", "1")]), bad], "new");
    let error = fixture.judge_by(&image, &from_registry()).unwrap_err();
    assert_eq!(error.code(), "inspection/ambiguous-layer");
    assert!(error.to_string().contains("leads out"), "{error}");

    let (mut fixture, image) = filed(&["ALLOW *"], &[packed(&[("a", "1")])], "new");
    let descriptor = fixture.layers.keys().next().unwrap().clone();
    let other = read(&descriptor, &b"other"[..], &Limits::default()).map(Arc::new);
    let Err(Unread::Fault(fault)) = other else { panic!() };
    fixture.layers.insert(descriptor, Err(fault));
    assert_eq!(fixture.judge_by(&image, &from_registry()).unwrap_err().code(), "inspection/layer-mismatch");

    // Both are good, and together they cannot be.
    let link = layer::gzip(&layer::archive(&[layer::entry(b'2', "bin", "usr/bin", b"")]));
    let (mut fixture, image) = filed(&["ALLOW *"], &[link, packed(&[("bin/app", "new")])], "new");
    let error = fixture.judge_by(&image, &from_registry()).unwrap_err();
    assert!(matches!(error, Error::Layers { .. }), "{error}");
}

#[test]
fn the_files_of_an_index_are_those_of_no_image() {
    let run: &[&str] = &["pratique", "files"];
    let bytes = index(&["linux/amd64"]);
    let (mut fixture, image) = inspected(&[("look", run, &["ALLOW *"])], &bytes, &[(NAME, Sha256::of(&bytes))]);
    let error = fixture.judge_by(&image, &from_registry()).unwrap_err();
    assert_eq!(error.code(), "inspection/several-platforms");
}

#[test]
fn what_would_be_too_much_is_not_fetched() {
    let huge = json!({"schemaVersion": 2, "config": descriptor("config"), "layers": [{
        "mediaType": layer::GZIP, "digest": format!("sha256:{}", Sha256::of(b"huge")), "size": 5_u64 << 30
    }]});
    let bytes = huge.to_string().into_bytes();
    let run: &[&str] = &["pratique", "files"];
    let (mut fixture, image) = inspected(&[("look", run, &["ALLOW *"])], &bytes, &[(NAME, Sha256::of(&bytes))]);
    assert_eq!(fixture.judge_by(&image, &from_registry()).unwrap_err().code(), "inspection/limit");
}

#[test]
fn where_an_index_stands_for_a_manifest_the_files_are_those_of_the_manifest() {
    let layers = [packed(&[("usr/bin/app", "new")]), packed(&[("usr/bin/app", "evil")])];
    let manifests: Vec<Vec<u8>> = layers.iter().map(|blob| manifest_of(std::slice::from_ref(blob))).collect();
    let children = manifests.iter().map(
        |bytes| json!({"mediaType": IMAGE, "digest": format!("sha256:{}", Sha256::of(bytes)), "size": bytes.len()}),
    );
    let index = json!({"schemaVersion": 2, "manifests": children.collect::<Vec<_>>()}).to_string().into_bytes();
    let mut fixture = Fixture::empty();
    let push = Step::new("push").functionary(&fixture.people.pusher).unwrap().products(&["ALLOW *"]);
    let rules = ["MATCH app IN usr/bin WITH PRODUCTS FROM push", "DISALLOW *"];
    let layout = Layout::new(now() + SignedDuration::from_hours(24)).step(push);
    let layout = layout.inspection("files", &["pratique", "files"], &rules, &[]).inspection(
        "image",
        &["pratique", "image"],
        &["MATCH * WITH PRODUCTS FROM push", &format!("DISALLOW {NAME}")],
        &[],
    );
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let link = Link::new("push").product(NAME, Sha256::of(&index)).product("app", Sha256::of(b"new"));
    let image = NewImage {
        repository: NAME.to_owned(),
        manifest: index,
        tags: Vec::new(),
        layout: LAYOUT.to_owned(),
        links: vec![LinkSource {
            name: link.file_name(&fixture.people.pusher).unwrap(),
            bytes: link.sign(Format::Metablock, &fixture.people.pusher).unwrap(),
        }],
        role: Some("images".to_owned()),
    };
    let added = fixture.publisher.add_image(&image).unwrap();
    fixture.publisher.add_children(&image, &added, &manifests).unwrap();
    for blob in &layers {
        let descriptor = layer::descriptor(layer::GZIP, blob);
        let read = read(&descriptor, &blob[..], &Limits::default()).unwrap();
        fixture.layers.insert(descriptor, Ok(Arc::new(read)));
    }
    let via = Requirement { via: Some(Via::Index), ..from_registry() };
    let [good, evil] = [0, 1].map(|at| subject(NAME, Sha256::of(&manifests[at])));
    assert_eq!(fixture.judge_by(&good, &via).unwrap().index(), Some(added.digest));
    let error = fixture.judge_by(&evil, &via).unwrap_err();
    assert!(matches!(&error, Error::InToto(in_toto::Error::DisallowedArtifact(met)) if met.artifact == "usr/bin/app"));
    let index = subject(NAME, added.digest);
    assert_eq!(fixture.judge_by(&index, &via).unwrap_err().code(), "inspection/several-platforms");
}

#[test]
fn many_inspections_of_one_image_cost_no_more_than_is_allowed() {
    let bytes = index(&["linux/amd64", "linux/arm64"]);
    let names: Vec<String> = (0..20).map(|at| format!("look{at}")).collect();
    let run: &[&str] = &["pratique", "image"];
    let looks: Vec<(&str, &[&str], &[&str])> =
        names.iter().map(|name| (name.as_str(), run, &["ALLOW *"][..])).collect();
    let (mut fixture, image) = inspected(&looks, &bytes, &[(NAME, Sha256::of(&bytes))]);
    fixture.publisher.commit().unwrap();
    let judged = |all_artifacts: usize| {
        let in_toto = in_toto::Limits { all_artifacts, ..Default::default() };
        let limits = crate::evidence::Limits { in_toto, ..Default::default() };
        fixture.drive(now(), |view| crate::evidence::judge(&image, &requirement(), view, now(), &limits))
    };
    // Each records the index, and each manifest twice; the links have three.
    assert!(judged(3 + 20 * 5).is_ok());
    assert_eq!(judged(3 + 20 * 5 - 1).unwrap_err().code(), "in-toto/limit");
}

#[test]
fn an_image_that_nobody_made_is_not_looked_into() {
    // A thief lists an image of his own with the evidence of another: no layer of it is asked for.
    let (mut fixture, good) = filed(&["ALLOW *"], &[packed(&[("a", "1")])], "new");
    fixture.publisher.commit().unwrap();
    let evil = manifest_of(&[packed(&[("bomb", "0")])]);
    let image = subject(NAME, Sha256::of(&evil));
    fixture.with_online_keys(|editor| {
        let path = format!("{NAME}@sha256:{}", good.digest);
        let custom = editor.signed("images").unwrap()["targets"][path]["custom"].clone();
        let path = format!("{NAME}@sha256:{}", image.digest);
        editor.add_target("images", &path, &evil, custom.as_object().unwrap().clone()).unwrap();
    });
    let error = fixture.judge_published(&image, &from_registry()).unwrap_err();
    assert_eq!(error.code(), "evidence/not-bound", "{error}");
    assert!(fixture.judge_published(&good, &from_registry()).is_ok());
}
