//! `verify --run-inspections`: the commands of a layout, on the machine of somebody who wants that.

use std::{fs, path::Path};

use jiff::{SignedDuration, Timestamp};
use pratique::{
    crypto::Sha256,
    publish::{Format, Layout, Link, LinkSource, NewFile, NewImage, NewLayout, Plan, Publisher, SigningKey, Step},
};

use crate::support::{Ran, run};

const NAME: &str = "registry.example/team/app";
const LAYOUT: &str = "layouts/registry.example/team/app/root.layout";

/// A repository with an image and a wheel, whose layout has these inspections; a policy for both.
fn published(dir: &Path, inspections: &[(&str, &[&str])]) -> String {
    let (owner, builder) = (SigningKey::ed25519_from_seed([1; 32]), SigningKey::ed25519_from_seed([2; 32]));
    let (plan, now) = (Plan::default(), Timestamp::now());
    let keys = plan.keys_from_seed("inspections").unwrap();
    let mut publisher = Publisher::init(&dir.join("repository"), keys, &plan, now).unwrap();
    let step = Step::new("build").functionary(&builder).unwrap().materials(&["ALLOW *"]).products(&["ALLOW *"]);
    let layout = Layout::new(now + SignedDuration::from_hours(24)).step(step);
    // The rules see what was recorded around the command.
    let rules = ["MATCH app.whl WITH MATERIALS FROM build", "DISALLOW app.whl"];
    let add = |layout: Layout, (name, command): &(&str, &[&str])| {
        let rules = if command[0] == "pratique" { &[][..] } else { &rules };
        layout.inspection(name, command, rules, &[])
    };
    let layout = inspections.iter().fold(layout, add).sign(Format::Metablock, &[&owner]).unwrap();
    let keys = vec![owner.public_pem().unwrap().into_bytes()];
    let (path, role) = (LAYOUT.to_owned(), "targets".to_owned());
    publisher.add_layout(NewLayout { path, bytes: layout, keys, images: Vec::new(), role }).unwrap();
    let manifest = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
    let link = Link::new("build").product(NAME, Sha256::of(&manifest)).material("app.whl", Sha256::of(b"wheel"));
    let links = || {
        let bytes = link.sign(Format::Metablock, &builder).unwrap();
        vec![LinkSource { name: link.file_name(&builder).unwrap(), bytes }]
    };
    let image = NewImage {
        repository: NAME.to_owned(),
        manifest,
        tags: Vec::new(),
        layout: LAYOUT.to_owned(),
        links: links(),
        role: Some("images".to_owned()),
    };
    let digest = publisher.add_image(&image).unwrap().digest;
    let file = NewFile {
        path: "app.whl".to_owned(),
        bytes: b"wheel".to_vec(),
        layout: Some(LAYOUT.to_owned()),
        links: links(),
        role: Some("images".to_owned()),
        ..NewFile::default()
    };
    publisher.add_file(&file).unwrap();
    publisher.commit().unwrap();
    fs::copy(dir.join("repository/metadata/1.root.json"), dir.join("root.json")).unwrap();
    let url = dir.join("repository");
    let policy = format!(
        "version: 1
repositories:
  acme: {{url: \"file://{}\", root: root.json}}
rules:
  - name: own
    match: {{images: [\"registry.example/**\"]}}
    verify: {{repositories: [acme], layout: \"layouts/{{repository}}/*\"}}
  - name: wheels
    match: {{images: [\"files.example/**\"]}}
    verify: {{repositories: [acme], layout: {LAYOUT}, product: {{from: materials, name: app.whl}}}}
",
        url.display()
    );
    fs::write(dir.join("policy.yaml"), policy).unwrap();
    fs::create_dir(dir.join("work")).unwrap();
    fs::write(dir.join("work/app.whl"), "wheel").unwrap();
    format!("{NAME}@sha256:{digest}")
}

fn verify(dir: &Path, rest: &[&str]) -> Ran {
    run(&dir.join("work"), &[&["verify", "--policy", "../policy.yaml"], rest].concat())
}

#[test]
fn commands_run_where_somebody_wants_them_and_each_runs_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    // What the second looks at is fetched after the first was run, and the judgement begins anew.
    let image = published(dir, &[("count", &["sh", "-c", "echo ran >> count"]), ("look", &["pratique", "image"])]);
    let ran = verify(dir, &[&image]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("[in-toto/inspections-refused]"), "{}", ran.out);
    assert!(!dir.join("work/count").exists());

    let ran = verify(dir, &["--run-inspections", &image]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert_eq!(fs::read_to_string(dir.join("work/count")).unwrap(), "ran\n");
}

#[test]
fn the_rules_of_an_inspection_hold_for_a_plain_file_too() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    published(dir, &[("look", &["grep", "-q", "wheel", "app.whl"])]);
    let file = |rest: &[&str]| verify(dir, &[&["--rule", "wheels", "app.whl"], rest].concat());
    let ran = file(&[]);
    assert!(ran.code == Some(1) && ran.out.contains("[in-toto/inspections-refused]"), "{}{}", ran.out, ran.err);
    let ran = file(&["--run-inspections"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}

#[test]
fn a_command_that_fails_and_a_file_that_is_another_refuse() {
    for (command, content, code) in [
        (&["false"][..], "wheel", "[inspection/failed]"),
        (&["no-such-program-here"], "wheel", "[inspection/failed]"),
        (&["true"], "another", "[in-toto/disallowed-artifact]"),
    ] {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        let image = published(dir, &[("look", command)]);
        fs::write(dir.join("work/app.whl"), content).unwrap();
        let ran = verify(dir, &["--run-inspections", &image]);
        assert!(ran.code == Some(1) && ran.out.contains(code), "{command:?}: {}{}", ran.out, ran.err);
    }
}
