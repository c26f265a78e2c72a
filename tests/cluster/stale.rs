//! What runs goes on while nothing fresh can be had of a repository, where the policy says so.

use std::fs;

use serde_json::json;

use crate::support::{
    chain::{Chain, NAME, Release, reference},
    cluster::Cluster,
    objects, wait,
    webhook::{Settings, Webhook, config_map},
};

#[test]
fn an_image_on_the_list_of_the_audit_is_started_again_with_a_warning_and_no_other() {
    let cluster = Cluster::shared();
    let chain = Chain::new(&cluster.folder("project-stale"));
    let release = |content| chain.release(&Release { content, tags: &[], signed_by: &[0, 1] });
    let (runs, other, revoked) = (release("stale"), release("stale, other"), release("stale, revoked"));
    chain.revoke(revoked, "CVE-2026-4");
    let words = "root: acme.root.json\n    refresh: 1s\n    maxAge: 2s\n    stale: {knownImages: 72h}\n";
    let policy = chain.policy().replace("root: acme.root.json\n", words);
    let settings = Settings::config_maps(cluster, "stale", &chain, &policy)
        .options(&["--digests-configmap=stale-system/pratique-digests"]);
    let webhook = Webhook::start(cluster, "stale", &settings, &[]);
    for (name, digest) in [("runs", runs), ("other", other)] {
        // On a slow machine two seconds may pass between two refreshes.
        wait::until("it is admitted", || webhook.kubectl.apply(&objects::pod(name, &reference(digest))).result());
    }
    fs::rename(chain.repository(), cluster.folder("project-stale").join("away")).unwrap();
    wait::until("nothing is fresh any more", || {
        let attempt = webhook.kubectl.dry_run(&objects::pod("again", &reference(runs)));
        if attempt.code == Some(1) { Ok(()) } else { Err(attempt.stdout) }
    });
    let list = format!("{NAME}@sha256:{runs}\n{NAME}@sha256:{revoked}\n");
    cluster.admin().namespace("stale-system").apply(&config_map("pratique-digests", "digests", &list)).succeeded();
    let warned = wait::until("the image on the list goes on", || {
        let output = webhook.kubectl.apply(&objects::pod("goes-on", &reference(runs)));
        if output.code == Some(0) { Ok(output.stderr) } else { Err(output.stderr) }
    });
    assert!(warned.contains("runs here already, and is admitted until 20"), "{warned}");
    assert!(warned.contains("on metadata of acme that is no longer fresh: "), "{warned}");
    let log = cluster.audit_log("stale");
    let created =
        log.iter().rfind(|event| event["objectRef"]["name"] == "goes-on" && event["verb"] == "create").unwrap();
    assert_eq!(created["annotations"]["verify.pratique.dev/stale"], json!(reference(runs)));
    for digest in [other, revoked] {
        let text = webhook.kubectl.apply(&objects::pod("new", &reference(digest))).refused();
        assert!(text.contains("[tuf/max-age]"), "{text}");
    }
}
