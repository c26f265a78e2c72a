//! The TUF repository while the webhook runs: what is published reaches it, and what if nothing can be fetched?

use crate::support::{
    chain::{Chain, Release, reference},
    cluster::Cluster,
    deploy::Place,
    images::Images,
    objects, wait,
    webhook::{Settings, Webhook},
};

#[test]
fn a_release_and_a_revocation_reach_a_running_webhook() {
    let cluster = Cluster::shared();
    let chain = Chain::new(&cluster.folder("project-live"));
    let policy = chain.policy().replacen("    root:", "    refresh: 1s\n    root:", 1);
    let webhook = Webhook::start(cluster, "live", &Settings::file(cluster, "live", &chain, &policy), &[]);

    let digest = chain.release(&Release { content: "live", tags: &[], signed_by: &[0, 1] });
    let pod = objects::pod("app", &reference(digest));
    wait::until("the image is known", || webhook.kubectl.dry_run(&pod).result());
    chain.revoke(digest, "CVE-2026-2");
    let text = wait::until("the image is revoked", || match webhook.kubectl.dry_run(&pod) {
        output if output.code == Some(0) => Err("still admitted".to_owned()),
        output => Ok(output.stderr),
    });
    assert!(text.contains("1 of 1 image refused: [tuf/revoked] "), "{text}");
}

#[test]
fn what_cannot_be_judged_is_refused_without_a_verdict_and_open_where_the_cluster_comes_up() {
    let cluster = Cluster::shared();
    let images = Images::shared();
    let place = Place::of("unreachable");
    let bootstrap = cluster.namespace(&place.bootstrap);
    // Nobody listens there.
    let policy = images.chain.policy();
    let url = policy.lines().find(|line| line.contains("url: ")).unwrap();
    let policy = policy.replacen(url, "    url: https://127.0.0.1:1", 1);
    let settings = Settings::file(cluster, "unreachable", &images.chain, &policy);
    let webhook = Webhook::start(cluster, "unreachable", &settings, &[]);

    let text = webhook.kubectl.apply(&objects::pod("app", &images.good)).refused();
    assert!(
        text.contains("denied the request: not a verdict: 1 of 1 image could not be judged: [tuf/unreachable] "),
        "{text}"
    );
    bootstrap.apply(&objects::pod("app", &images.good)).succeeded();
    // A verdict holds there, too.
    let text = bootstrap.apply(&objects::pod("other", "vendor.example/tool:1")).refused();
    assert!(text.contains("\"bootstrap.pratique.dev\" denied the request: 1 of 1 image refused: "), "{text}");
}
