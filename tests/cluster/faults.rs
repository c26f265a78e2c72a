//! The API server that goes away or has another time, and objects that are taken away, under a replica that runs.

mod partition;

use std::thread;

use jiff::SignedDuration;
use serde_json::json;

use crate::support::{
    chain::{Release, reference},
    cluster::{Cluster, free_port},
    deploy,
    images::Images,
    memory::Installation,
    objects,
    process::Process,
    wait,
    webhook::{Settings, Unready, Webhook, config_map},
    wire::Wire,
};

/// What is right is admitted, and what is not is refused for what is wrong with it.
fn judges(webhook: &Webhook, images: &Images) {
    webhook.kubectl.dry_run(&objects::pod("good", &images.good)).succeeded();
    let text = webhook.kubectl.dry_run(&objects::pod("bad", &images.stolen)).refused();
    assert!(text.contains("[in-toto/threshold-not-met]"), "{text}");
    webhook.ready().unwrap();
}

/// Waits until a good image is refused in these words.
fn refuses(webhook: &Webhook, image: &str, words: &str) {
    wait::until("it is refused", || match webhook.kubectl.dry_run(&objects::pod("good", image)) {
        output if output.code == Some(1) && output.stderr.contains(words) => Ok(()),
        output => Err(format!("{output:?}\n{}", webhook.log())),
    });
}

/// The policy without its rule.
fn without_rules(policy: &str) -> String {
    let (before, rules) = policy.split_once("rules:\n").unwrap();
    let (_, default) = rules.split_once("default: ").unwrap();
    format!("{before}rules: []\ndefault: {default}")
}

#[test]
fn a_replica_without_the_api_server_goes_on_and_catches_up() {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let policy = images.chain.policy();
    let wire = Wire::to(cluster.api());
    let settings = Settings::config_maps(cluster, "cut-off", &images.chain, &policy);
    let settings = settings.by(&format!("https://{}", wire.address()));
    let webhook = Webhook::start(cluster, "cut-off", &settings, &[]);
    judges(&webhook, images);

    // Under load, while it goes away again and again: each time every watch breaks.
    thread::scope(|scope| {
        let load: Vec<_> = (0..3).map(|_| scope.spawn(|| (0..5).for_each(|_| judges(&webhook, images)))).collect();
        while !load.iter().all(thread::ScopedJoinHandle::is_finished) {
            wire.cut();
            judges(&webhook, images);
            wire.mend();
            judges(&webhook, images);
        }
    });
    wire.cut();
    let own = cluster.admin().namespace(&webhook.place.own);
    own.apply(&config_map("pratique-policy", "policy.yaml", &without_rules(&policy))).succeeded();
    judges(&webhook, images);
    wire.mend();
    refuses(&webhook, &images.good, "[policy/no-rule]");
    own.apply(&config_map("pratique-policy", "policy.yaml", &policy)).succeeded();
    wait::until("the policy is back", || webhook.kubectl.dry_run(&objects::pod("good", &images.good)).result());
    judges(&webhook, images);
}

#[test]
fn an_api_server_that_is_killed_and_started_again_under_load_is_followed_again() {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let policy = images.chain.policy();
    // Where the policy is; the other one, which asks for reviews, is the other tests' as well.
    let mut restarted = cluster.another("restarted-api-server", "");
    restarted.admin.ok("create namespace restarted-system");
    let own = restarted.admin.namespace("restarted-system");
    let put = |policy: &str| own.apply(&config_map("pratique-policy", "policy.yaml", policy)).succeeded();
    put(&policy);
    let mut roots = config_map(&deploy::roots(), "acme.root.json", &images.chain.root());
    roots["immutable"] = json!(true);
    own.apply(&roots).succeeded();
    let settings = Settings::config_maps(cluster, "restarted", &images.chain, &policy);
    let webhook = Webhook::start(cluster, "restarted", &settings.of(&restarted.admin_kubeconfig()), &[]);
    judges(&webhook, images);

    thread::scope(|scope| {
        let load: Vec<_> = (0..2).map(|_| scope.spawn(|| (0..20).for_each(|_| judges(&webhook, images)))).collect();
        while !load.iter().all(thread::ScopedJoinHandle::is_finished) {
            restarted.restart();
        }
    });
    put(&without_rules(&policy));
    refuses(&webhook, &images.good, "[policy/no-rule]");
    put(&policy);
    wait::until("the policy is back", || webhook.kubectl.dry_run(&objects::pod("good", &images.good)).result());
    judges(&webhook, images);
}

#[test]
fn a_policy_and_roots_that_are_deleted_stay_in_force_until_there_are_others() {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let policy = images.chain.policy();
    let settings = Settings::config_maps(cluster, "deleted", &images.chain, &policy);
    let webhook = Webhook::start(cluster, "deleted", &settings, &[]);
    let own = cluster.admin().namespace(&webhook.place.own);
    let roots = own.json(&format!("configmap/{}", deploy::roots()));
    own.ok("delete configmap pratique-policy");
    own.ok(&format!("delete configmap {}", deploy::roots()));
    wait::until("it is noticed", || match webhook.metric("pratique_policy_stale") {
        1 => Ok(()),
        _ => Err(webhook.log()),
    });
    judges(&webhook, images);

    let mut again = json!({"apiVersion": "v1", "kind": "ConfigMap", "immutable": true});
    again["metadata"] = json!({"name": roots["metadata"]["name"]});
    again["data"] = roots["data"].clone();
    own.apply(&again).succeeded();
    own.apply(&config_map("pratique-policy", "policy.yaml", &without_rules(&policy))).succeeded();
    refuses(&webhook, &images.good, "[policy/no-rule]");
    own.apply(&config_map("pratique-policy", "policy.yaml", &policy)).succeeded();
    wait::until("the policy is back", || webhook.kubectl.dry_run(&objects::pod("good", &images.good)).result());
    judges(&webhook, images);
}

#[test]
fn a_replica_whose_clock_is_ten_minutes_off_takes_no_reviews_until_it_is_right() {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let settings = Settings::config_maps(cluster, "clock", &images.chain, &images.chain.policy());
    // In the clear, so that the wire can change what is said.
    let (port, folder) = (free_port(), cluster.folder("clock-proxy"));
    let args =
        ["proxy".to_owned(), format!("--port={port}"), format!("--kubeconfig={}", settings.kubeconfig().display())];
    let _proxy = Process::start(&cluster.kubectl(), args, &[], &folder, &folder.join("log"));
    let wire = Wire::to(port);
    let ten = SignedDuration::from_mins(10);
    wire.ahead(ten);
    let settings = settings.by(&format!("http://{}", wire.address()));
    let replica = Unready::start(cluster, "clock", &settings, "clock: it is ");
    wire.ahead(SignedDuration::ZERO);
    replica.becomes_ready();
    wire.ahead(-ten);
    replica.becomes_unready("clock: it is ");
}

#[test]
fn a_replica_that_is_cut_off_knows_what_it_knew_and_answers_no_more_by_that_when_it_is_back() {
    let installation = Installation::new("partition");
    let release = |content, signed_by| installation.chain.release(&Release { content, tags: &[], signed_by });
    let good = reference(release("good", &[0, 1]));
    let (revoked, bad) = (release("revoked", &[0, 1]), reference(release("bad", &[0])));
    let old = installation.copy("old");
    let wire = Wire::to(Cluster::shared().api());
    let one = installation.replica("one", &old);
    let other = installation.replica_by("other", &old, &format!("https://{}", wire.address()));
    let admits = |replica: &Webhook, image: &str| {
        wait::until("it is admitted", || replica.kubectl.dry_run(&objects::pod("app", image)).result());
    };
    for replica in [&one, &other] {
        admits(replica, &good);
        admits(replica, &reference(revoked));
        refuses(replica, &bad, "[in-toto/threshold-not-met]");
    }
    // From the API server, and by its mirror from all news.
    wire.cut();
    installation.chain.revoke(revoked, "CVE-2026-5");
    installation.feed_again("one", &installation.chain.repository());
    refuses(&one, &reference(revoked), "[tuf/revoked]");
    admits(&other, &good);
    refuses(&other, &bad, "[in-toto/threshold-not-met]");
    wire.mend();
    refuses(&other, &reference(revoked), "[tuf/rollback]");
    installation.feed_again("other", &installation.chain.repository());
    admits(&other, &good);
    refuses(&other, &reference(revoked), "[tuf/revoked]");
}
