//! Good workloads run, pulled by containerd, and bad ones are refused with a text that says why.

use std::fs;

use serde_json::{Value, json};

use crate::{
    story::Story,
    support::{kubectl::Output, node::STATIC_PODS, objects, registry::Image, releases::NAME, wait},
};

/// A Deployment whose Pods serve at a port, and are ready when they do.
pub(crate) fn deployment(image: &str, replicas: u32) -> Value {
    let mut deployment = objects::deployment("api", image, replicas);
    let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
    container["args"] = json!(["8080"]);
    container["readinessProbe"] = json!({"httpGet": {"port": 8080}, "periodSeconds": 1});
    deployment
}

pub(crate) fn good_ones_run_and_bad_ones_are_refused(story: &Story) {
    let images = &story.images;
    good_ones_run(story);
    bad_ones_are_refused(story);
    a_running_pod_gets_no_bad_container(story);

    // Refused means that nobody even asked for the image.
    for image in [&images.stolen, &images.revoked, &images.unknown] {
        assert_eq!(pulls(story, image), 0, "{}", image.name);
    }
    static_pods_are_judged_and_never_hidden(story);
    story.said("good workloads run, and bad ones are refused");
}

/// What a node starts by itself nobody is asked about. The API server learns of it by a mirror Pod, and refusing that
/// would only hide it.
fn static_pods_are_judged_and_never_hidden(story: &Story) {
    let mut pod = objects::pod("static", &story.images.unknown.reference());
    pod["metadata"]["namespace"] = json!("shop");
    let file = story.cluster.machine.directory.join(STATIC_PODS).join("static.json");
    fs::write(&file, pod.to_string()).unwrap();
    story.shop.ok("wait --for=create pod/static-node --timeout=60s");
    story.shop.ok("wait --for=condition=Ready pod/static-node --timeout=60s");
    let counted = story.pods().iter().any(|pod| {
        let metrics = story.page(pod, "metrics").unwrap();
        metrics.lines().any(|line| line.contains("code=\"image/unknown\"") && line.contains("verdict=\"refused\""))
    });
    assert!(counted, "nobody has judged the mirror Pod");
    fs::remove_file(&file).unwrap();
    story.shop.ok("wait --for=delete pod/static-node --timeout=60s");
}

fn good_ones_run(story: &Story) {
    let good = &story.images.good;
    let applied = story.shop.apply(&deployment(&good.reference(), 2));
    assert_eq!((applied.code, applied.stderr.as_str()), (Some(0), ""));
    story.shop.ok("rollout status deployment/api --timeout=60s");
    let pods = story.shop.json("pods --selector=app=api");
    for pod in pods["items"].as_array().unwrap() {
        let id = pod["status"]["containerStatuses"][0]["imageID"].as_str().unwrap();
        assert!(id.ends_with(&good.digest), "{id}");
        let path = format!("/api/v1/namespaces/shop/pods/{}:8080/proxy/", pod["metadata"]["name"].as_str().unwrap());
        assert_eq!(story.shop.ok(&format!("get --raw {path}")), "ok\n");
    }
    assert!(pulls(story, good) > 0);

    // By a tag alone: the digest is put in, and that is what runs.
    story.shop.apply(&objects::pod("by-tag", &format!("{NAME}:1.1"))).succeeded();
    story.shop.ok("wait --for=condition=Ready pod/by-tag --timeout=60s");
    assert_eq!(story.shop.json("pod/by-tag")["spec"]["containers"][0]["image"], story.images.newer.reference());

    // Another image of the Deployment is rolled out like the first.
    let image = story.images.newer.reference();
    story.shop.ok(&format!("set image deployment/api app={image}"));
    story.shop.ok("rollout status deployment/api --timeout=60s");
}

fn bad_ones_are_refused(story: &Story) {
    let images = &story.images;
    let [first, second, third] = [0, 1, 2].map(|number| story.releases.builder(number));
    let proof = format!("1 verified: {first}… ok, {second}… no link, {third}… no link");
    let stranger = "registry.example/shop/other@sha256:".to_owned() + &"0".repeat(64);
    for (image, code, why) in [
        (images.stolen.reference(), "in-toto/threshold-not-met", proof.as_str()),
        (images.revoked.reference(), "tuf/revoked", "CVE-2026-1"),
        (images.unknown.reference(), "image/unknown", "fix: publish the image"),
        (images.unknown.name.clone(), "image/unknown-tag", "fix: publish the tag"),
        (stranger, "image/unknown", "rule \"shop\""),
        ("docker.io/library/nginx:1".to_owned(), "policy/no-rule", "docker.io/library/nginx:1"),
    ] {
        let text = story.shop.apply(&objects::pod("bad", &image)).refused();
        let said = "Error from server (Forbidden): error when creating \"STDIN\": admission webhook \
                    \"verify.pratique.dev\" denied the request: 1 of 1 image refused: ";
        assert!(text.starts_with(&format!("{said}[{code}] ")), "{text}");
        assert!(text.contains(&format!("\n[{code}] spec.containers[0].image: {image}\n")), "{text}");
        assert!(text.contains(why), "{text}");
    }
    let mut deployment = deployment(&images.stolen.reference(), 1);
    deployment["metadata"]["name"] = json!("bad");
    let text = story.shop.apply(&deployment).refused();
    let place =
        format!("[in-toto/threshold-not-met] spec.template.spec.containers[0].image: {}", images.stolen.reference());
    assert!(text.contains(&place), "{text}");
    assert_eq!(story.shop.json("deployments,pods --selector=app=bad")["items"], json!([]));
}

fn a_running_pod_gets_no_bad_container(story: &Story) {
    let images = &story.images;
    let debug = |image: &Image, name: &str| {
        story.shop.run(&format!("debug by-tag --image={} --container={name} --attach=false", image.reference()))
    };
    let text = debug(&images.stolen, "stolen").refused();
    assert!(text.contains("[in-toto/threshold-not-met] spec.ephemeralContainers[0].image: "), "{text}");
    debug(&images.good, "good").succeeded();
    wait::until("the debugging container runs", || {
        let containers = story.shop.json("pod/by-tag")["status"]["ephemeralContainerStatuses"].clone();
        if containers[0]["state"]["running"].is_object() { Ok(()) } else { Err(containers.to_string()) }
    });
    refused_change(story.shop.run(&format!("set image pod/by-tag app={}", images.stolen.reference())));
    refused_change(story.shop.run(&format!("set image deployment/api app={}", images.stolen.reference())));
}

#[track_caller]
fn refused_change(output: Output) {
    let text = output.refused();
    assert!(text.contains("\"verify.pratique.dev\" denied the request: 1 of 1 image refused: [in-toto/"), "{text}");
}

/// How often the registry was asked for an image by its digest.
fn pulls(story: &Story, image: &Image) -> usize {
    let log = story.cluster.log("docker-registry");
    let (name, _) = image.name.split_once('/').unwrap().1.rsplit_once(':').unwrap();
    let asked = |method: &str| log.matches(&format!("\"{method} /v2/{name}/manifests/{}", image.digest)).count();
    asked("GET") + asked("HEAD")
}
