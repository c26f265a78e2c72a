//! What users read when they apply workloads.

use serde_json::{Value, json};

use crate::support::{
    chain::{LAYOUT, NAME},
    cluster::Cluster,
    images::Images,
    objects,
    webhook::{Settings, Webhook},
};

fn start(name: &str) -> (Webhook, &'static Images) {
    let cluster = Cluster::shared();
    let images = Images::shared();
    let settings = Settings::file(cluster, name, &images.chain, &images.chain.policy());
    (Webhook::start(cluster, name, &settings, &[]), images)
}

/// What kubectl prints before the text of the webhook.
const DENIED: &str = "Error from server (Forbidden): error when creating \"STDIN\": \
                      admission webhook \"verify.pratique.dev\" denied the request: ";

/// A reference as a headline has it.
fn short(reference: &str) -> String {
    let (name, hex) = reference.split_once("@sha256:").unwrap();
    format!("{name}@sha256:{}…", hex.get(..12).unwrap())
}

/// The lines about the image that only one of two builders signed.
fn stolen(images: &Images, field: &str) -> String {
    let [first, second, third] = [0, 1, 2].map(|number| images.chain.builder(number));
    format!(
        "[in-toto/threshold-not-met] {field}: {}
  step \"build\" needs links by 2 functionaries, 1 verified: {first}… ok, {second}… no link, {third}… no link
  rule \"own-images\"; layout {LAYOUT}; {}
  fix: have an authorised functionary sign the step and publish the link; see: pratique explain {}
",
        images.stolen, images.targets, images.stolen,
    )
}

fn stolen_headline(images: &Images, count: &str) -> String {
    format!(
        "{count} refused: [in-toto/threshold-not-met] {}: step \"build\" needs links by 2 functionaries",
        short(&images.stolen)
    )
}

#[test]
fn a_pod_whose_image_was_made_as_the_layout_says_is_created() {
    let (webhook, images) = start("good-pod");
    let output = webhook.kubectl.apply(&objects::pod("app", &images.good));
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert_eq!(output.stdout, "pod/app created\n");
    assert_eq!(webhook.kubectl.json("pod/app")["spec"]["containers"][0]["image"], *images.good);
}

#[test]
fn a_pod_whose_image_one_builder_signed_is_refused_with_everything_that_is_wrong() {
    let (webhook, images) = start("bad-pod");
    let text = webhook.kubectl.apply(&objects::pod("app", &images.stolen)).refused();
    let text = text.strip_prefix(DENIED).unwrap_or_else(|| panic!("{text}"));
    let (headline, rest) = text.split_once('\n').unwrap();
    assert!(headline.starts_with(&stolen_headline(images, "1 of 1 image")), "{headline}");
    assert!(headline.len() <= 200, "{headline}");
    assert_eq!(rest, stolen(images, "spec.containers[0].image"));
    assert_eq!(webhook.kubectl.json("pods")["items"], json!([]));
}

#[test]
fn what_is_wrong_with_other_images_is_said_in_the_first_line() {
    let (webhook, images) = start("bad-images");
    let (tag, foreign) = (format!("{NAME}:1.4"), "vendor.example/tool:1");
    for (image, expected) in [
        (&images.unknown, "[image/unknown]"),
        (&images.revoked, "[tuf/revoked]"),
        (&tag, "[image/not-pinned]"),
        (&foreign.to_owned(), "[policy/no-rule]"),
    ] {
        let text = webhook.kubectl.apply(&objects::pod("app", image)).refused();
        let headline = text.lines().next().unwrap();
        assert!(headline.starts_with(&format!("{DENIED}1 of 1 image refused: {expected} ")), "{text}");
    }
    let text = webhook.kubectl.apply(&objects::pod("app", &images.revoked)).refused();
    assert!(text.contains("is revoked by targets: CVE-2026-1"), "{text}");
}

#[test]
fn a_template_is_refused_at_the_place_of_the_image() {
    let (webhook, images) = start("bad-templates");
    let mut deployment = objects::deployment("app", &images.good, 1);
    let spec = &mut deployment["spec"]["template"]["spec"];
    objects::add_container(spec, "initContainers", "init", &images.stolen);
    objects::add_container(spec, "containers", "sidecar", &images.newer);
    let text = webhook.kubectl.apply(&deployment).refused();
    let text = text.strip_prefix(DENIED).unwrap_or_else(|| panic!("{text}"));
    let (headline, rest) = text.split_once('\n').unwrap();
    assert!(headline.starts_with(&stolen_headline(images, "1 of 3 images")), "{headline}");
    assert_eq!(rest, stolen(images, "spec.template.spec.initContainers[0].image"));

    for (object, template) in objects::templates("app", &images.stolen) {
        let text = webhook.kubectl.apply(&object).refused();
        let field = format!("{}.spec.containers[0].image", template.join("."));
        assert!(text.ends_with(&stolen(images, &field)), "{text}");
    }
    for (object, _) in objects::templates("app", &images.good) {
        webhook.kubectl.apply(&object).succeeded();
    }
}

#[test]
fn an_image_that_is_only_mounted_is_judged_like_one_that_runs() {
    let (webhook, images) = start("image-volume");
    let with_volume = |image: &str| {
        let mut pod = objects::pod("app", &images.good);
        pod["spec"]["volumes"] = json!([{"name": "data", "image": {"reference": image}}]);
        pod
    };
    let text = webhook.kubectl.apply(&with_volume(&images.stolen)).refused();
    assert!(text.ends_with(&stolen(images, "spec.volumes[0].image.reference")), "{text}");
    webhook.kubectl.apply(&with_volume(&images.newer)).succeeded();
}

/// A failed call would let it pass where failed calls are let through.
#[test]
fn a_pod_that_is_too_large_to_be_read_is_refused_also_where_outages_are_let_through() {
    let (webhook, images) = start("too-large");
    let mut pod = objects::pod("app", &images.stolen);
    // The API server takes it, and writes each of these characters in six bytes; so does kubectl unless told not to.
    pod["spec"]["containers"][0]["args"] = json!(["<".repeat(1_300_000)]);
    let bootstrap = Cluster::shared().namespace(&webhook.place.bootstrap);
    let place = &webhook.place;
    for (kubectl, namespace, entry) in
        [(&webhook.kubectl, &place.enforced, "verify"), (&bootstrap, &place.bootstrap, "bootstrap")]
    {
        let create = format!("create --raw /api/v1/namespaces/{namespace}/pods -f -");
        let text = kubectl.feed(&create, &pod.to_string()).refused();
        let refused = format!("admission webhook \"{entry}.pratique.dev\" denied the request: object refused: ");
        assert!(text.contains(&format!("{refused}[admission/too-large] the review has more than ")), "{text}");
    }
}

#[test]
fn a_server_side_dry_run_says_what_the_real_one_would() {
    let (webhook, images) = start("dry-run");
    let text = webhook.kubectl.dry_run(&objects::pod("app", &images.stolen)).refused();
    assert!(text.ends_with(&stolen(images, "spec.containers[0].image")), "{text}");
    webhook.kubectl.dry_run(&objects::pod("app", &images.good)).succeeded();
    assert_eq!(webhook.kubectl.json("pods")["items"], json!([]));
}

#[test]
fn every_refused_image_is_named() {
    let (webhook, images) = start("several");
    let mut pod = objects::pod("app", &images.stolen);
    objects::add_container(&mut pod["spec"], "containers", "good", &images.good);
    objects::add_container(&mut pod["spec"], "containers", "unknown", &images.unknown);
    let text = webhook.kubectl.apply(&pod).refused();
    assert!(text.starts_with(&format!("{DENIED}2 of 3 images refused: ")), "{text}");
    assert!(text.contains(&format!("\n[image/unknown] spec.containers[2].image: {}\n", images.unknown)), "{text}");
    assert!(text.contains(&stolen(images, "spec.containers[0].image")), "{text}");
    assert!(!text.contains("spec.containers[1]"), "{text}");
}

#[test]
fn a_rule_that_only_warns_admits_and_tells_the_user() {
    let cluster = Cluster::shared();
    let images = Images::shared();
    let policy = images.chain.policy().replacen("    verify:", "    mode: warn\n    verify:", 1);
    let settings = Settings::file(cluster, "warn", &images.chain, &policy);
    let webhook = Webhook::start(cluster, "warn", &settings, &[]);
    let output = webhook.kubectl.apply(&objects::pod("app", &images.stolen));
    assert_eq!(output.stdout, "pod/app created\n");
    let start = format!("Warning: [in-toto/threshold-not-met] {}: step \"build\" needs", short(&images.stolen));
    assert!(output.stderr.starts_with(&start), "{}", output.stderr);
    assert!(output.stderr.ends_with(" (not enforced: rule \"own-images\" only warns)\n"), "{}", output.stderr);
}

#[test]
fn the_audit_log_of_the_api_server_says_what_was_decided() {
    let (webhook, images) = start("audit-log");
    webhook.kubectl.apply(&objects::pod("good", &images.good)).succeeded();
    webhook.kubectl.apply(&objects::pod("stolen", &images.stolen)).refused();
    let log = Cluster::shared().audit_log("audit-log");
    let annotations = |name: &str| -> Value {
        let created = log.iter().find(|event| event["objectRef"]["name"] == name && event["verb"] == "create").unwrap();
        let all = created["annotations"].as_object().unwrap().iter();
        all.filter_map(|(key, value)| Some((key.strip_prefix("verify.pratique.dev/")?.to_owned(), value.clone())))
            .collect()
    };
    let digest = |reference: &str| reference.split_once('@').unwrap().1.to_owned();
    assert_eq!(
        annotations("good"),
        json!({"verdict": "admitted", "rule": "own-images", "digests": digest(&images.good)})
    );
    assert_eq!(
        annotations("stolen"),
        json!({
            "verdict": "denied", "code": "in-toto/threshold-not-met", "rule": "own-images",
            "digests": digest(&images.stolen),
        })
    );
}

#[test]
fn a_namespace_that_asks_for_too_much_at_once_is_told_so_and_no_verdict_is_claimed() {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let settings = Settings::file(cluster, "over-budget", &images.chain, &images.chain.policy());
    let settings = settings.options(&["--miss-burst=1", "--misses-per-minute=1"]);
    let webhook = Webhook::start(cluster, "over-budget", &settings, &[]);
    let text = webhook.kubectl.apply(&objects::pod("first", &images.unknown)).refused();
    assert!(text.contains("[image/unknown]"), "{text}");
    let text = webhook.kubectl.apply(&objects::pod("second", &images.good)).refused();
    let namespace = &webhook.place.enforced;
    let beginning = format!(
        "Error from server (TooManyRequests): error when creating \"STDIN\": admission webhook \
         \"verify.pratique.dev\" denied the request: not a verdict: 1 of 1 image could not be judged: \
         [admission/over-budget] {}: namespace \"{namespace}\" asked for too many images",
        short(&images.good)
    );
    assert!(text.starts_with(&beginning), "{text}");
    assert!(text.contains("\n  fix: try again in a minute, or spread the rollout; see: pratique explain "), "{text}");
    // What was judged before is answered as before.
    let text = webhook.kubectl.apply(&objects::pod("third", &images.unknown)).refused();
    assert!(text.contains("[image/unknown]"), "{text}");
}

#[test]
fn a_namespace_that_is_open_while_the_webhook_is_down_cannot_be_opened_by_a_flood() {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let settings = Settings::file(cluster, "flooded", &images.chain, &images.chain.policy());
    let settings = settings.options(&["--miss-burst=1", "--misses-per-minute=1"]);
    let webhook = Webhook::start(cluster, "flooded", &settings, &[]);
    let bootstrap = cluster.namespace(&webhook.place.bootstrap);
    for (name, image, code) in [
        ("first", &images.unknown, "[image/unknown]"),
        ("second", &images.revoked, "[tuf/revoked]"),
        ("third", &images.stolen, "[in-toto/threshold-not-met]"),
    ] {
        let text = bootstrap.apply(&objects::pod(name, image)).refused();
        assert!(text.contains("\"bootstrap.pratique.dev\" denied the request") && text.contains(code), "{text}");
    }
}
