//! No replica at all: closed for what names images, open for what cannot change one and for what the cluster needs, and
//! there is a way back in.

use serde_json::json;

use crate::{
    story::Story,
    support::{kubectl::Output, objects, wait},
};

pub(crate) fn is_closed_where_it_must_be_and_open_where_it_may_be(story: &Story) {
    story.shop.ok("annotate deployment/api tests.example/before=yes");
    let kept = json!({"metadata": {"finalizers": ["tests.example/held"]}});
    story.shop.patch("pod/by-tag", &kept).succeeded();

    story.own.ok("scale deployment/pratique --replicas=0");
    // Those that end go on answering for a while, on connections that the API server keeps.
    wait::until("no replica is left", || {
        let left = story.replicas();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    let good = story.images.good.reference();
    wait::until("the API server finds nobody", || {
        let output = story.shop.dry_run(&objects::pod("probe", &good));
        if output.stderr.contains("failed calling webhook") { Ok(()) } else { Err(format!("{output:?}")) }
    });

    closed(story.shop.apply(&objects::pod("good", &good)));
    for (object, _) in objects::templates("good", &good) {
        closed(story.shop.apply(&object));
    }
    closed(story.shop.run(&format!("set image deployment/api app={good}")));
    open_for_what_changes_no_image(story);
    open_where_the_cluster_must_start(story);
    the_way_back_in(story);
}

#[track_caller]
fn closed(output: Output) {
    let text = output.refused();
    assert!(text.contains("failed calling webhook \"verify.pratique.dev\": failed to call webhook: "), "{text}");
}

fn open_for_what_changes_no_image(story: &Story) {
    let shop = &story.shop;
    shop.ok("annotate deployment/api tests.example/note=x");
    shop.ok("label pod by-tag tests.example/note=x");
    shop.ok("scale deployment/api --replicas=1");
    wait::until("the Deployment is scaled down", || {
        let status = shop.json("deployment/api")["status"].clone();
        if status["replicas"] == 1 && status["readyReplicas"] == 1 { Ok(()) } else { Err(status.to_string()) }
    });
    shop.ok("delete pod by-tag --wait=false");
    shop.patch("pod/by-tag", &json!({"metadata": {"finalizers": null}})).succeeded();
    shop.ok("wait --for=delete pod/by-tag --timeout=60s");
    story.said("without a replica: closed, and open for what changes no image");
}

/// Unjudged, so whatever it is; and the audit log has it.
fn open_where_the_cluster_must_start(story: &Story) {
    let system = story.cluster.admin.namespace("kube-system");
    system.apply(&objects::pod("needed", &story.images.unknown.reference())).succeeded();
    system.ok("wait --for=condition=Ready pod/needed --timeout=60s");
    let log = story.cluster.audit_log("kube-system");
    let created = log.iter().find(|event| event["objectRef"]["name"] == "needed" && event["verb"] == "create").unwrap();
    let annotations = created["annotations"].as_object().unwrap();
    let open = annotations.iter().find(|(key, _)| key.starts_with("failed-open.validating.webhook.admission.k8s.io/"));
    assert_eq!(open.unwrap().1, "bootstrap.pratique.dev");
}

/// Nobody asks about the webhook's own namespace, so its Pods come back as they were.
fn the_way_back_in(story: &Story) {
    story.own.ok("scale deployment/pratique --replicas=3");
    story.ready();
    wait::until("reviews are answered", || {
        story.shop.dry_run(&objects::pod("good", &story.images.good.reference())).result()
    });

    // As NOTES.txt has it, for when they cannot be brought back; and from there to where it was.
    let stolen = objects::pod("stolen", &story.images.stolen.reference());
    story.cluster.admin.ok("delete validatingwebhookconfiguration pratique");
    wait::until("nothing is verified any more", || story.shop.dry_run(&stolen).result());
    story.helm.apply("upgrade", &story.values()).succeeded();
    let configuration = story.cluster.admin.json("validatingwebhookconfiguration/pratique");
    assert!(configuration["webhooks"][0]["clientConfig"]["caBundle"].is_string(), "{configuration}");
    wait::until("all is verified again", || {
        let output = story.shop.dry_run(&stolen);
        if output.stderr.contains("[in-toto/threshold-not-met]") { Ok(()) } else { Err(format!("{output:?}")) }
    });
    story.said("both ways back in lead back");
}
