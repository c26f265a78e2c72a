//! A cable between the API server and the webhook that loses every packet, which nobody is told.

use std::time::Instant;

use super::{refuses, without_rules};
use crate::support::{
    chain::{Release, reference},
    kubectl::Output,
    lab,
    memory::Installation,
    namespaces::is_inside,
    objects, wait,
    webhook::{Webhook, config_map},
};

/// Waits until the log has a line with all these words.
fn logs(replica: &Webhook, words: &[&str]) {
    let has = |log: &str| log.lines().any(|line| words.iter().all(|words| line.contains(words)));
    wait::until("the log says it", || match replica.log() {
        log if has(&log) => Ok(()),
        log => Err(format!("{words:?}: {log}")),
    });
}

/// Says how long something took since packets arrived again.
fn took(what: &str, since: Instant) {
    println!(
        "packets between the API server and the webhook: {what} {} ms after it was mended",
        since.elapsed().as_millis()
    );
}

#[test]
#[ignore = "needs to make namespaces, and ip"]
fn packets_that_are_lost_between_the_api_server_and_the_webhook_are_an_outage_until_they_arrive() {
    let name = "packets_that_are_lost_between_the_api_server_and_the_webhook_are_an_outage_until_they_arrive";
    if !is_inside(&format!("faults::partition::{name}")) {
        return;
    }
    lab::make();
    let installation = Installation::new("lost");
    let release = |content, signed_by| installation.chain.release(&Release { content, tags: &[], signed_by });
    let good = reference(release("good", &[0, 1]));
    let (revoked, bad) = (release("revoked", &[0, 1]), reference(release("bad", &[0])));
    let replica = installation.replica("one", &installation.copy("old"));
    let asks = |image: &str| replica.kubectl.dry_run(&objects::pod("app", image));
    let admits = |image: &str| wait::until("it is admitted", || asks(image).result());
    // Over several connections, which stay open.
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| admits(&good)))));
    admits(&reference(revoked));
    refuses(&replica, &bad, "[in-toto/threshold-not-met]");
    let known = installation.data();

    lab::lose_packets();
    let policy = installation.own.json("configmap/pratique-policy")["data"]["policy.yaml"].as_str().unwrap().to_owned();
    let edit = |policy: &str| installation.own.apply(&config_map("pratique-policy", "policy.yaml", policy)).succeeded();
    installation.chain.revoke(revoked, "CVE-2026-7");
    installation.feed_again("one", &installation.chain.repository());
    std::thread::scope(|scope| {
        // The API server's side: within its patience, and for every image.
        for image in [&good, &bad] {
            scope.spawn(|| {
                let text = asks(image).refused();
                assert!(text.contains("failed calling webhook \"verify.pratique.dev\""), "{text}");
                assert!(text.contains("/verify?timeout=10s") && text.contains("context deadline exceeded"), "{text}");
            });
        }
        scope.spawn(|| edit(&without_rules(&policy)));
        // Ours: the ConfigMap that is watched, what replicas remember together, and the clock.
        logs(&replica, &["what replicas remember together could not be read or written", "trust/unread"]);
        logs(&replica, &["the policy cannot be watched", "timed out"]);
        logs(&replica, &["the API server's clock cannot be read"]);
    });
    assert_eq!(installation.data(), known);
    replica.ready().unwrap();

    lab::lose_no_packets();
    let since = Instant::now();
    wait::until("a review is answered", || match asks(&good) {
        Output { code: Some(0), .. } => Ok(()),
        output if output.stderr.contains("[policy/no-rule]") => Ok(()),
        output => Err(format!("{output:?}")),
    });
    took("a review was answered", since);
    refuses(&replica, &good, "[policy/no-rule]");
    took("the edit of the policy was in force", since);
    wait::until("what was learnt is remembered", || match installation.data() {
        data if data == known => Err(replica.log()),
        _ => Ok(()),
    });
    took("what was learnt was remembered", since);
    edit(&policy);
    admits(&good);
    refuses(&replica, &reference(revoked), "[tuf/revoked]");
    refuses(&replica, &bad, "[in-toto/threshold-not-met]");
    replica.ready().unwrap();
}
