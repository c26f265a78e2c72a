//! What runs is judged again: who is told, what is written, and that nothing is taken away.

use serde_json::{Value, json};

use crate::support::{
    audit::Audit,
    chain::{Chain, NAME, Release, reference},
    cluster::Cluster,
    objects,
    tools::tool,
    wait,
};

const VERIFIED: &str = r#"pratique_running_images{verdict="verified",class="",code=""}"#;

fn refused(code: &str) -> String {
    format!("pratique_running_images{{verdict=\"refused\",class=\"denied\",code=\"{code}\"}}")
}

fn install_policy_reports(cluster: &Cluster) {
    for file in tool("crds.sh", &["policy-reports"]) {
        cluster.admin().ok(&format!("apply --server-side -f {file}"));
    }
    wait::until("PolicyReports are served", || {
        cluster.admin().run("get policyreports.wgpolicyk8s.io --all-namespaces").result()
    });
}

#[test]
fn what_is_revoked_goes_on_running_and_its_owner_is_told_once() {
    let cluster = Cluster::shared();
    install_policy_reports(cluster);
    let chain = Chain::new(&cluster.folder("project-audit"));
    let audit = Audit::new(cluster, "audit-revoked", &chain);
    let digest = chain.release(&Release { content: "audit", tags: &[], signed_by: &[0, 1] });
    audit.kubectl.apply(&objects::deployment("app", &reference(digest), 2)).succeeded();

    let auditing = audit.start();
    wait::until("both Pods are verified", || match auditing.metric(VERIFIED) {
        2 => Ok(()),
        found => Err(format!("{found} images\n{}", auditing.log())),
    });
    wait::until("the digest is in use", || match audit.digests() {
        digests if digests == format!("{NAME}@sha256:{digest}\n") => Ok(()),
        digests => Err(digests),
    });
    assert_eq!(audit.events(), [] as [Value; 0]);
    let first = "pratique_first_refusal_timestamp_seconds{repository=\"acme\",code=\"in-toto/layout-expired\",renewal=\"people\"}";
    let layout = u64::try_from(jiff::Timestamp::now().as_second()).unwrap() + 30 * 24 * 3600;
    assert!(layout.abs_diff(auditing.metric(first)) < 3600, "{}", auditing.metric(first));

    chain.revoke(digest, "CVE-2026-3");
    wait::until("the revocation is seen", || match auditing.metric(&refused("tuf/revoked")) {
        2 => Ok(()),
        found => Err(format!("{found} images\n{}", auditing.log())),
    });
    assert_eq!(auditing.metric(VERIFIED), 0);
    let event = wait::until("the owner is told", || audit.events().pop().ok_or_else(|| auditing.log()));
    assert_eq!((&event["type"], &event["reason"]), (&json!("Warning"), &json!("RunningImageRefused")));
    assert_eq!(event["regarding"]["kind"], "ReplicaSet");
    let sets = audit.kubectl.json("replicasets");
    assert_eq!(event["regarding"]["uid"], sets["items"][0]["metadata"]["uid"]);
    let note = event["note"].as_str().unwrap();
    assert!(note.contains("[tuf/revoked]") && note.contains("CVE-2026-3"), "{note}");
    let report = wait::until("the report is written", || {
        audit.kubectl.run("get policyreports.wgpolicyk8s.io/pratique -o json").result()
    });
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["metadata"]["labels"], json!({"app.kubernetes.io/managed-by": "pratique"}));
    assert_eq!(report["summary"], json!({"pass": 0, "fail": 1, "warn": 0, "error": 0, "skip": 0}));
    let result = &report["results"][0];
    assert_eq!((&result["result"], &result["rule"]), (&json!("fail"), &json!("own-images")));
    assert_eq!(result["properties"]["code"], "tuf/revoked");
    assert_eq!(result["resources"][0]["kind"], "ReplicaSet");
    wait::until("the digest is in use no more", || match audit.digests() {
        digests if digests.is_empty() => Ok(()),
        digests => Err(digests),
    });
    let pods = audit.kubectl.json("pods")["items"].take();
    let pods = pods.as_array().unwrap();
    assert_eq!(pods.len(), 2);
    assert!(pods.iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_null()), "nothing is evicted");

    let written = audit.writes(cluster);
    auditing.runs(3);
    assert_eq!(audit.writes(cluster), written, "nothing has changed, and something was written");
    assert_eq!(written.iter().filter(|write| write.starts_with("create events")).count(), 1, "{written:?}");

    assert_eq!(auditing.stop(), Some(0));
    let again = audit.start();
    again.runs(2);
    assert_eq!(audit.events().len(), 1, "a restart says nothing again");
    let mut after = written;
    after.push("create events 409".to_owned());
    let mut found = audit.writes(cluster);
    after.sort();
    found.sort();
    assert_eq!(found, after);

    audit.kubectl.ok("delete deployment/app --cascade=foreground --timeout=60s");
    wait::until("an empty report is removed", || {
        match audit.kubectl.run("get policyreports.wgpolicyk8s.io/pratique") {
            output if output.stderr.contains("NotFound") => Ok(()),
            output => Err(format!("{output:?}\n{}", again.log())),
        }
    });
    assert_eq!(again.metric(&refused("tuf/revoked")), 0);
}

#[test]
fn a_node_that_runs_another_image_than_the_pod_names_is_found() {
    let cluster = Cluster::shared();
    let chain = Chain::new(&cluster.folder("project-audit-another"));
    let audit = Audit::new(cluster, "audit-another", &chain);
    let release = |content| chain.release(&Release { content, tags: &[], signed_by: &[0, 1] });
    let (named, other) = (release("named"), release("other"));
    audit.kubectl.apply(&objects::pod("app", &reference(named))).succeeded();
    let auditing = audit.start();
    let runs = |image_id: &str| {
        let state = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
        let status = json!({
            "name": "app", "image": "app", "imageID": image_id, "ready": true, "restartCount": 0, "state": state,
        });
        let patch = json!({"status": {"phase": "Running", "containerStatuses": [status]}});
        audit.kubectl.ok(&format!("patch pod/app --subresource=status --type=merge -p {patch}"));
    };
    for same in [reference(named), format!("docker-pullable://{}", reference(named)), format!("sha256:{other}")] {
        runs(&same);
        auditing.runs(2);
        assert_eq!(auditing.metric("pratique_running_another_images"), 0, "{same}");
    }
    runs(&reference(other));
    wait::until("another image is found", || match auditing.metric("pratique_running_another_images") {
        1 => Ok(()),
        _ => Err(auditing.log()),
    });
    let event = wait::until("somebody is told", || audit.events().pop().ok_or_else(|| auditing.log()));
    assert_eq!(event["reason"], "AnotherImageRuns");
    assert_eq!((&event["regarding"]["kind"], &event["regarding"]["name"]), (&json!("Pod"), &json!("app")));
    let note = event["note"].as_str().unwrap();
    assert!(note.starts_with("[image/another-runs] spec.containers[0].image: "), "{note}");
    assert!(note.contains(&named.to_string()) && note.contains(&other.to_string()), "{note}");
}

#[test]
fn an_edited_policy_is_applied_to_what_runs_and_an_outage_blames_nobody() {
    let cluster = Cluster::shared();
    let chain = Chain::new(&cluster.folder("project-audit-policy"));
    let audit = Audit::new(cluster, "audit-policy", &chain);
    let digest = chain.release(&Release { content: "policy", tags: &[], signed_by: &[0, 1] });
    audit.kubectl.apply(&objects::pod("app", &reference(digest))).succeeded();
    let auditing = audit.start();
    wait::until("the Pod is verified", || match auditing.metric(VERIFIED) {
        1 => Ok(()),
        _ => Err(auditing.log()),
    });
    let policy = audit.policy(&chain);
    let url = policy.lines().find(|line| line.contains("url: ")).unwrap();
    audit.set_policy(&policy.replacen(url, "    url: https://127.0.0.1:1", 1).replacen("acme.root", "other.root", 1));
    // There is no such root: the last good policy stays in force.
    auditing.runs(2);
    assert_eq!(auditing.metric(VERIFIED), 1, "{}", auditing.log());

    audit.set_policy(&policy.replacen("layouts/{repository}/*", "elsewhere/{repository}/*", 1));
    wait::until("the edit is applied", || match auditing.metric(&refused("layout/out-of-scope")) {
        1 => Ok(()),
        _ => Err(auditing.log()),
    });
    let event = wait::until("somebody is told", || audit.events().pop().ok_or_else(|| auditing.log()));
    assert_eq!(event["reason"], "RunningImageRefused");

    audit.set_policy(&policy.replacen(url, "    url: https://127.0.0.1:1\n    epoch: 2", 1));
    let unavailable = r#"pratique_running_images{verdict="refused",class="unavailable",code="tuf/unreachable"}"#;
    wait::until("nothing can be judged", || match auditing.metric(unavailable) {
        1 => Ok(()),
        _ => Err(auditing.log()),
    });
    assert_eq!(audit.events().len(), 1, "an outage is not the workload's fault");
    assert_eq!(audit.digests(), "", "it was refused before the outage");
}

#[test]
fn an_audit_that_may_not_see_pods_says_so_and_is_not_ready() {
    let cluster = Cluster::shared();
    let chain = Chain::new(&cluster.folder("project-audit-blind"));
    let audit = Audit::new(cluster, "audit-blind", &chain);
    audit.own.ok("delete clusterrolebinding/pratique-audit-audit-blind-system");
    let auditing = audit.start_unready("pods: ");
    wait::until("it says why", || match auditing.ready() {
        Err(answer) if answer.contains("pods is forbidden") => Ok(()),
        other => Err(format!("{other:?}\n{}", auditing.log())),
    });
    assert_eq!(auditing.stop(), Some(0));
}
