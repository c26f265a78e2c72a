//! What replicas remember together: nobody makes one of them believe older metadata than any has seen.

use std::{fs, num::NonZeroU64, path::Path};

use jiff::{SignedDuration, Timestamp};
use pratique::{
    publish::{Editor, KeyRing, Side, SigningKey},
    tuf::Remembered,
};
use serde_json::{Value, json};

use crate::support::{
    chain::{Release, reference},
    cluster::Cluster,
    helm,
    memory::{HEAD, Installation, trust_objects},
    objects, wait,
    webhook::Webhook,
};

/// Releases an image; a Pod of it.
fn release(installation: &Installation, content: &str) -> Value {
    let digest = installation.chain.release(&Release { content, tags: &[], signed_by: &[0, 1] });
    objects::pod("app", &reference(digest))
}

/// Waits until a replica admits a Pod.
fn admits(replica: &Webhook, pod: &Value) {
    wait::until("it is admitted", || replica.kubectl.dry_run(pod).result().map_err(|why| why + &replica.log()));
}

/// Waits until a replica refuses a Pod with these words.
fn refuses(replica: &Webhook, pod: &Value, words: &str) {
    wait::until("it is refused", || match replica.kubectl.dry_run(pod) {
        output if output.code != Some(0) && output.stderr.contains(words) => Ok(()),
        output => Err(format!("{output:?}\n{}", replica.log())),
    });
}

/// Waits until a replica has raised an alert.
fn alerted(replica: &Webhook, code: &str) {
    let line = format!("pratique_trust_alerts_total{{repository=\"acme\",code=\"{code}\"}}");
    wait::until("an alert is raised", || match replica.metric(&line) {
        0 => Err(replica.log()),
        _ => Ok(()),
    });
}

/// Waits until something is remembered.
fn remembers(installation: &Installation, what: &str, wanted: impl Fn(&Remembered) -> bool) {
    wait::until(what, || if wanted(&installation.remembered()) { Ok(()) } else { Err(installation.shown()) });
}

/// The timestamp of a repository in a folder.
fn timestamp(repository: &Path) -> Option<Vec<u8>> {
    Some(fs::read(repository.join("metadata/timestamp.json")).unwrap())
}

fn editor(installation: &Installation) -> (Editor, KeyRing) {
    let repository = installation.chain.repository();
    (Editor::open(&repository).unwrap(), KeyRing::open(&repository.with_file_name("keys")).unwrap())
}

#[test]
fn a_replica_with_an_empty_disk_does_not_believe_an_older_repository() {
    let installation = Installation::new("memory-restart");
    let pod = release(&installation, "one");
    let old = installation.copy("old");
    let before = installation.replica("before", &installation.chain.repository());
    admits(&before, &pod);
    let newer = release(&installation, "two");
    admits(&before, &newer);
    drop(before);
    let after = installation.replica("after", &old);
    refuses(&after, &pod, "[tuf/rollback]");
    installation.feed_again("after", &installation.chain.repository());
    admits(&after, &pod);
    admits(&after, &newer);
    // Who knows the same writes nothing.
    let version = || installation.own.json(HEAD)["metadata"]["resourceVersion"].clone();
    let before = version();
    let third = installation.replica("third", &installation.chain.repository());
    admits(&third, &newer);
    assert_eq!(version(), before);
}

#[test]
fn a_replica_that_is_fed_an_older_mirror_answers_no_more_once_another_has_seen_newer() {
    let installation = Installation::new("memory-mirror");
    let pod = release(&installation, "one");
    let old = installation.copy("old");
    let (one, other) = (installation.replica("one", &old), installation.replica("other", &old));
    admits(&one, &pod);
    admits(&other, &pod);
    let digest = installation.chain.release(&Release { content: "bad", tags: &[], signed_by: &[0, 1] });
    installation.chain.revoke(digest, "CVE-2026-4");
    installation.feed_again("one", &installation.chain.repository());
    refuses(&other, &pod, "[tuf/rollback]");
    admits(&one, &pod);
    let behind = installation.trust(&["compare"]);
    assert_eq!(behind.code, Some(0), "{behind:?}");
    let cluster = Cluster::shared();
    let state = format!("--state={}", cluster.folder("webhook-memory-mirror-other").join("state").display());
    let behind = installation.trust(&["compare", &state]);
    assert!(behind.code == Some(1) && behind.stdout.contains("[tuf/rollback] what is offered is older"), "{behind:?}");
    let state = state.replace("-other", "-one");
    assert_eq!(installation.trust(&["compare", &state]).code, Some(0));
}

#[test]
fn two_timestamps_of_one_version_are_told_and_one_of_them_is_kept() {
    let installation = Installation::new("memory-fork");
    let pod = release(&installation, "one");
    let fork = |name: &str| {
        let copy = installation.copy(name);
        let (_, keys) = editor(&installation);
        let mut editor = Editor::open(&copy).unwrap();
        let version = editor.version("timestamp").unwrap() + 1;
        // Told apart by its expiry.
        let hours = if name == "one" { 20 } else { 21 };
        editor.draft_timestamp(version, Timestamp::now() + SignedDuration::from_hours(hours)).unwrap();
        editor.sign("timestamp", &keys.made_for("timestamp")).unwrap();
        editor.write().unwrap();
        copy
    };
    let (one, other) = (fork("one"), fork("other"));
    let (first, second) = (installation.replica("one", &one), installation.replica("other", &other));
    admits(&first, &pod);
    admits(&second, &pod);
    alerted(&second, "trust/equivocation");
    wait::until("an Event says so", || installation.events("TrustEquivocation").pop().ok_or_else(|| second.log()));
    let kept = installation.data();
    for replica in [&first, &second] {
        let line = "pratique_repository_refreshes_total{repository=\"acme\",outcome=\"unchanged\"}";
        let refreshes = replica.metric(line);
        wait::until(
            "it was refreshed",
            || if replica.metric(line) > refreshes + 1 { Ok(()) } else { Err(replica.log()) },
        );
    }
    assert_eq!(installation.data(), kept, "nobody goes on replacing it");
}

#[test]
fn a_forged_version_locks_nobody_out_and_is_put_right() {
    let installation = Installation::new("memory-forged");
    let pod = release(&installation, "one");
    let first = installation.replica("first", &installation.chain.repository());
    admits(&first, &pod);
    drop(first);
    let honest = installation.remembered();
    let mut forged: Value = serde_json::from_slice(honest.timestamp.as_ref().unwrap()).unwrap();
    forged["signed"]["version"] = json!(1_u64 << 63);
    installation.write(&Remembered { timestamp: Some(forged.to_string().into_bytes()), ..honest.clone() });
    let second = installation.replica("second", &installation.chain.repository());
    admits(&second, &pod);
    alerted(&second, "trust/tampered");
    remembers(&installation, "it is put right", |remembered| *remembered == honest);
    let event =
        wait::until("an Event says so", || installation.events("TrustTampered").pop().ok_or_else(|| second.log()));
    assert!(event.contains("[trust/tampered] repository acme: the remembered timestamp does not verify"), "{event}");
}

/// What the webhook itself may write, whoever has its token may.
#[test]
fn a_stolen_token_raises_no_floor_and_takes_none_away() {
    let installation = Installation::new("memory-stolen");
    let pod = release(&installation, "one");
    let old = installation.remembered();
    let replica = installation.replica("one", &installation.chain.repository());
    admits(&replica, &pod);
    let newest = || timestamp(&installation.chain.repository());
    remembers(&installation, "it is remembered", |found| found.timestamp == newest());
    let honest = installation.remembered();
    let (thief, _) = Cluster::shared().service_account("memory-stolen-system", "pratique");

    let mut forged: Value = serde_json::from_slice(honest.timestamp.as_ref().unwrap()).unwrap();
    forged["signed"]["version"] = json!(1_u64 << 63);
    let forged = Remembered { timestamp: Some(forged.to_string().into_bytes()), ..honest.clone() };
    for written in [forged, old] {
        installation.write_by(&thief, &written);
        remembers(&installation, "it is put right", |remembered| *remembered == honest);
        admits(&replica, &pod);
    }
    alerted(&replica, "trust/tampered");
    let text = thief.run("delete configmap pratique-trust-acme").refused();
    assert!(text.contains("cannot delete resource"), "{text}");
}

#[test]
fn replicas_that_live_put_back_what_was_taken_away() {
    let installation = Installation::new("memory-emptied");
    let pod = release(&installation, "one");
    let replica = installation.replica("one", &installation.chain.repository());
    admits(&replica, &pod);
    remembers(&installation, "it is remembered", |found| {
        found.timestamp == timestamp(&installation.chain.repository())
    });
    // An old backup, signed as it must be.
    let backup = installation.data();
    let newer = release(&installation, "two");
    admits(&replica, &newer);
    remembers(&installation, "it is remembered", |found| {
        found.timestamp == timestamp(&installation.chain.repository())
    });
    let honest = installation.remembered();
    let is_back = || remembers(&installation, "it is put back", |remembered| *remembered == honest);
    for (name, data) in ["", ".0", ".1", ".2", ".3"].iter().zip(&backup) {
        let map = json!({"data": data[0], "binaryData": data[1]});
        installation.own.patch(&format!("{HEAD}{name}"), &map).succeeded();
    }
    is_back();

    for damaged in [".0", ".1", ".2", ".3"] {
        installation.own.patch(&format!("{HEAD}{damaged}"), &json!({"binaryData": {"part": "AAAA"}})).succeeded();
    }
    is_back();
    installation.own.patch(HEAD, &json!({"data": null})).succeeded();
    is_back();
    alerted(&replica, "trust/tampered");
    // Somebody else's root, under which all is well signed.
    let foreign = Remembered { roots: vec![fs::read(foreign_root(&installation)).unwrap()], ..honest.clone() };
    installation.write(&foreign);
    is_back();
    // A later epoch than the policy's is nobody's to answer but an admin's.
    installation.write(&Remembered { epoch: NonZeroU64::new(7).unwrap(), ..honest.clone() });
    admits(&replica, &pod);
    installation.write(&honest);

    installation.own.ok(&format!("delete {HEAD}"));
    admits(&replica, &pod);
    for object in trust_objects("memory-emptied-system") {
        installation.own.feed("apply --server-side -f -", &object.to_string()).succeeded();
    }
    is_back();
    admits(&replica, &pod);
}

/// The root of a project that has nothing to do with it.
fn foreign_root(installation: &Installation) -> std::path::PathBuf {
    let folder = installation.chain.repository().with_file_name("foreign");
    if !folder.exists() {
        let plan = pratique::publish::Plan::default();
        let keys = plan.keys_from_seed("foreign").unwrap();
        let mut publisher = pratique::publish::Publisher::init(&folder, keys, &plan, Timestamp::now()).unwrap();
        publisher.commit().unwrap();
    }
    folder.join("metadata/1.root.json")
}

#[test]
fn what_is_lost_while_nobody_lives_is_for_an_admin_to_begin_again() {
    let installation = Installation::new("memory-lost");
    let pod = release(&installation, "one");
    let first = installation.replica("first", &installation.chain.repository());
    admits(&first, &pod);
    drop(first);
    installation.own.patch(HEAD, &json!({"data": null})).succeeded();
    let second = installation.replica("second", &installation.chain.repository());
    refuses(&second, &pod, "[trust/lost]");
    assert_eq!(installation.own.json(HEAD)["data"], Value::Null, "a replica that knows nothing writes nothing");
    let output = installation.trust(&["init"]);
    assert!(output.code == Some(2) && output.stderr.contains("[trust/lost]"), "{output:?}");
    installation.trust(&["init", "--after-loss"]).succeeded();
    admits(&second, &pod);
}

#[test]
fn a_replica_is_not_ready_before_there_was_a_first_state() {
    let installation = Installation::unborn("memory-unborn");
    release(&installation, "one");
    let replica = installation.unready("one", "trust: repository acme: nothing was ever remembered of the repository");
    let shown = installation.trust(&["show"]);
    assert!(shown.code == Some(1) && shown.stdout.contains("[trust/not-born]"), "{shown:?}");
    let said = installation.trust(&["init"]).succeeded();
    assert_eq!(said, "acme: remembers root v1, timestamp v2, snapshot v2\n");
    replica.becomes_ready();
    assert_eq!(installation.trust(&["init"]).succeeded(), "acme: remembered already\n");
    let born = installation.own.json(&format!("{HEAD}.born"));
    assert_eq!(born["immutable"], true);
}

#[test]
fn an_epoch_is_counted_up_to_forget_and_never_down() {
    let installation = Installation::new("memory-epoch");
    let pod = release(&installation, "one");
    let old = installation.copy("old");
    release(&installation, "two");
    let replica = installation.replica("one", &installation.chain.repository());
    admits(&replica, &pod);
    remembers(&installation, "it is remembered", |found| {
        found.timestamp == timestamp(&installation.chain.repository())
    });
    drop(replica);
    let replica = installation.replica("other", &old);
    refuses(&replica, &pod, "[tuf/rollback]");
    installation.set_policy("    epoch: 2\n");
    admits(&replica, &pod);
    alerted(&replica, "trust/reset");
    wait::until("an Event says so", || installation.events("TrustReset").pop().ok_or_else(|| replica.log()));
    remembers(&installation, "it begins anew", |found| found.epoch.get() == 2 && found.timestamp == timestamp(&old));
    installation.set_policy("    epoch: 1\n");
    refuses(&replica, &pod, "[trust/epoch]");
    let after = installation.replica("after", &installation.chain.repository());
    refuses(&after, &pod, "[trust/epoch]");
    installation.set_policy("    epoch: 2\n");
    admits(&after, &pod);
}

#[test]
fn another_root_is_believed_only_where_what_is_remembered_leads_to_it() {
    let installation = Installation::new("memory-pin");
    installation.chain.publish(|publisher| {
        for _ in 0..15 {
            publisher.renew("root").unwrap();
            publisher.commit().unwrap();
        }
        publisher.renew("root").unwrap();
    });
    let pod = release(&installation, "one");
    let old = installation.copy("old");
    release(&installation, "two");
    let replica = installation.replica("one", &installation.chain.repository());
    admits(&replica, &pod);
    remembers(&installation, "all roots are remembered", |remembered| remembered.roots.len() == 17);
    let roots = installation.chain.repository().join("metadata");
    let root = |version: u64| fs::read_to_string(roots.join(format!("{version}.root.json"))).unwrap();
    drop(replica);

    installation.pin(&root(17));
    let newer = installation.replica("newer", &old);
    refuses(&newer, &pod, "[tuf/rollback]");
    installation.feed_again("newer", &installation.chain.repository());
    admits(&newer, &pod);
    drop(newer);
    // And back, as a rollback of the release does.
    installation.pin(&root(1));
    let back = installation.replica("back", &installation.chain.repository());
    admits(&back, &pod);
    drop(back);
    installation.pin(&fs::read_to_string(foreign_root(&installation)).unwrap());
    let foreign = installation.replica("foreign", foreign_root(&installation).ancestors().nth(2).unwrap());
    refuses(&foreign, &pod, "[tuf/root-replaced]");
    installation.set_policy("    epoch: 2\n");
    refuses(&foreign, &pod, "[image/unknown]");
}

#[test]
fn a_key_of_the_timestamp_that_is_taken_away_takes_a_fast_forward_with_it() {
    let installation = Installation::new("memory-forward");
    let pod = release(&installation, "one");
    let (mut editor, keys) = editor(&installation);
    let honest = editor.version("timestamp").unwrap();
    // Whoever stole the key would lock everybody out for ever.
    let expires = Timestamp::now() + SignedDuration::from_hours(1);
    editor.draft_timestamp(1 << 62, expires).unwrap();
    editor.sign("timestamp", &keys.made_for("timestamp")).unwrap();
    let forward = installation.copy("forward");
    editor.move_to(&forward);
    editor.write().unwrap();
    let replica = installation.replica("one", &forward);
    admits(&replica, &pod);
    remembers(&installation, "it is remembered", |found| found.timestamp == timestamp(&forward));
    installation.feed_again("one", &installation.chain.repository());
    let locked_out = installation.replica("other", &installation.chain.repository());
    refuses(&locked_out, &pod, "[tuf/rollback]");
    let fresh = SigningKey::ed25519_from_seed([9; 32]);
    installation.chain.publish(|publisher| publisher.rotate("timestamp", Side::Online, vec![fresh], 1).unwrap());
    admits(&locked_out, &pod);
    remembers(&installation, "it is forgotten", |found| {
        found.roots.len() == 2 && found.timestamp == timestamp(&installation.chain.repository())
    });
    assert!(installation.shown().contains(&format!("timestamp  v{} ", honest + 1)), "{}", installation.shown());
    let after = installation.replica("after", &installation.chain.repository());
    admits(&after, &pod);
}

#[test]
fn an_online_key_that_begins_to_sign_layouts_is_told() {
    let installation = Installation::new("memory-separation");
    let pod = release(&installation, "one");
    let replica = installation.replica("one", &installation.chain.repository());
    admits(&replica, &pod);
    assert_eq!(replica.metric("pratique_trust_alerts_total{repository=\"acme\",code=\"trust/no-separation\"}"), 0);
    let keys = installation.chain.repository().with_file_name("keys");
    let offline = fs::read_to_string(keys.join("offline/targets-1.pem")).unwrap();
    let offline = SigningKey::from_pem(&offline).unwrap();
    installation.chain.publish(|publisher| publisher.rotate("timestamp", Side::Online, vec![offline], 1).unwrap());
    alerted(&replica, "trust/no-separation");
    let events = || installation.events("TrustNoSeparation");
    wait::until("an Event says so", || if events().is_empty() { Err(replica.log()) } else { Ok(()) });
    let told = "[trust/no-separation] repository acme: the keys of timestamp also meet the threshold of targets, which \
                signs layouts";
    assert_eq!(events(), [told]);
    assert!(replica.log().contains("\"code\":\"trust/no-separation\""), "{}", replica.log());
    // The administrator is told; what the offline keys said is still believed.
    admits(&replica, &pod);
}

#[test]
fn a_key_that_is_added_forgets_nothing() {
    let installation = Installation::new("memory-added");
    let pod = release(&installation, "one");
    let old = installation.copy("old");
    release(&installation, "two");
    let replica = installation.replica("one", &installation.chain.repository());
    admits(&replica, &pod);
    let repository = installation.chain.repository();
    remembers(&installation, "it is remembered", |found| found.timestamp == timestamp(&repository));
    drop(replica);
    // The new root, and with it the old timestamp.
    let (mut editor, keys) = editor(&installation);
    let added = SigningKey::ed25519_from_seed([9; 32]);
    let version = editor.version("root").unwrap();
    let root = editor.edit("root").unwrap();
    root["keys"][added.keyid().unwrap().as_str()] = added.key_object().unwrap();
    root["roles"]["timestamp"]["keyids"].as_array_mut().unwrap().push(json!(added.keyid().unwrap().as_str()));
    editor.set_version("root", version + 1).unwrap();
    editor.sign("root", &keys.made_for("root")).unwrap();
    editor.move_to(&old);
    let files = editor.files().unwrap();
    for (name, bytes) in files.into_iter().filter(|(name, _)| name.ends_with(".root.json")) {
        fs::write(old.join(name), bytes).unwrap();
    }
    let after = installation.replica("after", &old);
    refuses(&after, &pod, "[tuf/rollback]");
    remembers(&installation, "the root is remembered, and the floor", |found| {
        found.roots.len() == 2 && found.timestamp == timestamp(&repository)
    });
}

#[test]
fn a_minimum_keeps_a_revocation_in_a_cluster_that_remembers_nothing() {
    let installation = Installation::unborn("memory-minimum");
    let digest = installation.chain.release(&Release { content: "bad", tags: &[], signed_by: &[0, 1] });
    let pod = objects::pod("app", &reference(digest));
    let old = installation.copy("old");
    installation.chain.revoke(digest, "CVE-2026-5");
    let (editor, _) = editor(&installation);
    let targets = editor.version("targets").unwrap();
    // The thief of the online keys hides the revocation from the very first moment.
    installation.trust_at(&old, &["init"]).succeeded();
    let without = installation.replica("without", &old);
    admits(&without, &pod);
    installation.set_policy(&format!("    minimum: {{targets: {targets}}}\n"));
    refuses(&without, &pod, "[tuf/minimum]");
    installation.feed_again("without", &installation.chain.repository());
    refuses(&without, &pod, "[tuf/revoked]");
}

#[test]
fn what_is_rendered_again_leaves_what_is_remembered_alone() {
    let installation = Installation::new("memory-rendered");
    let pod = release(&installation, "one");
    let replica = installation.replica("one", &installation.chain.repository());
    admits(&replica, &pod);
    remembers(&installation, "it is remembered", |found| {
        found.timestamp == timestamp(&installation.chain.repository())
    });
    drop(replica);
    let data = installation.data();
    for object in trust_objects("memory-rendered-system") {
        let object = object.to_string();
        installation.own.feed("apply --server-side -f -", &object).succeeded();
        // As helm does it, with whatever else owns fields.
        installation.own.feed("apply --server-side --force-conflicts --field-manager=helm -f -", &object).succeeded();
        installation.own.feed("apply -f -", &object).succeeded();
    }
    assert_eq!(installation.data(), data);
}

#[test]
fn a_writer_that_was_interrupted_leaves_what_was_there() {
    let installation = Installation::new("memory-torn");
    let pod = release(&installation, "one");
    let first = installation.replica("first", &installation.chain.repository());
    admits(&first, &pod);
    remembers(&installation, "it is remembered", |found| {
        found.timestamp == timestamp(&installation.chain.repository())
    });
    let honest = installation.remembered();
    // Without its rights it can learn, and tell nobody.
    installation.own.ok("delete rolebinding pratique");
    let old = installation.copy("old");
    let newer = release(&installation, "two");
    admits(&first, &newer);
    assert_eq!(installation.remembered(), honest);
    let mut first = first;
    first.signal("KILL");
    drop(first);
    for object in crate::support::deploy::objects("install.yaml") {
        if object["kind"] == "RoleBinding" {
            let mut object = object;
            crate::support::deploy::move_to(&mut object, "memory-torn-system");
            installation.own.apply(&object).succeeded();
        }
    }
    // It had claimed the head, and written a part that no head names.
    let named = installation.own.json(HEAD)["data"]["head"].as_str().unwrap().contains("\"object\":0");
    let free = if named { 1 } else { 0 };
    installation.own.patch(&format!("{HEAD}.{free}"), &json!({"binaryData": {"part": "AAAA"}})).succeeded();
    installation.own.patch(HEAD, &json!({"data": {"writing": "first after 1"}})).succeeded();
    assert_eq!(installation.remembered(), honest);
    let second = installation.replica("second", &old);
    admits(&second, &pod);
    installation.feed_again("second", &installation.chain.repository());
    admits(&second, &newer);
    remembers(&installation, "it is remembered", |found| {
        found.timestamp == timestamp(&installation.chain.repository())
    });
    assert_eq!(installation.own.json(HEAD)["data"]["writing"], Value::Null);
}

#[test]
fn a_repository_that_the_chart_does_not_know_is_an_error_that_names_the_value() {
    let installation = Installation::new("memory-unknown");
    let pod = release(&installation, "one");
    let replica = installation.replica("one", &installation.chain.repository());
    admits(&replica, &pod);
    installation.add_repository("  other:\n    url: file:///proc/self/cwd/mirror\n    root: other.root.json\n");
    let words = "[trust/no-memory] repository other: there is no ConfigMap memory-unknown-system/pratique-trust-other, or \
                 it may not be read: name other under repositories in the values of the chart";
    wait::until("it is said", || if replica.log().contains(words) { Ok(()) } else { Err(replica.log()) });
    admits(&replica, &pod);
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    use pratique::{
        cluster::memory::Objects,
        repository::memory::{Kept, Memory as _},
    };

    let installation = Installation::new("memory-writers");
    let honest = installation.remembered();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let marks: Vec<Vec<u8>> = (0..6).map(|number: u8| vec![number + 1; 3]).collect();
    runtime.block_on(async {
        let kubeconfig = kube::config::Kubeconfig::read_from(Cluster::shared().admin_kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let write = |mark: Vec<u8>| {
            let objects = Objects {
                client: client.clone(),
                namespace: "memory-writers-system".to_owned(),
                prefix: "pratique-trust".to_owned(),
                instance: format!("{mark:?}"),
                events: None,
            };
            async move {
                let join = |kept: &Kept| {
                    let mut next = kept.remembered.clone().unwrap();
                    (!next.roots.contains(&mark)).then(|| {
                        next.roots.push(mark.clone());
                        next
                    })
                };
                objects.repository("acme").update(&join).await
            }
        };
        let writers = marks.iter().cloned().map(|mark| tokio::spawn(write(mark)));
        let mut lost = Vec::new();
        for (writer, mark) in writers.collect::<Vec<_>>().into_iter().zip(&marks) {
            if writer.await.unwrap().is_err() {
                // It gave up and said so.
                lost.push(mark.clone());
            }
        }
        for mark in lost {
            write(mark).await.unwrap();
        }
    });
    let mut found = installation.remembered().roots;
    let mut wanted = [honest.roots, marks].concat();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}

#[test]
fn the_hook_of_the_chart_writes_the_first_state_with_its_own_rights_and_the_release_takes_it_over() {
    let cluster = Cluster::shared();
    let name = "memory-hook";
    let own = cluster.namespace(name);
    let rendered = helm::template(name, name, &["fullnameOverride=memory-hook"]).unwrap();
    let job = helm::find(&rendered, "Job", "memory-hook-trust-init");
    let events = job["metadata"]["annotations"]["helm.sh/hook"].as_str();
    assert_eq!(
        events,
        Some("pre-install,pre-upgrade"),
        "whoever waits for the pods would wait for ever for a later one"
    );
    for kind in ["ServiceAccount", "Role", "RoleBinding"] {
        own.apply(helm::find(&rendered, kind, "memory-hook-trust-init")).succeeded();
    }
    let files = helm::find(&rendered, "ConfigMap", "memory-hook-trust-init")["data"].as_object().unwrap();
    let folder = cluster.folder("trust-memory-hook");
    for (file, text) in files {
        fs::write(folder.join(file), text.as_str().unwrap()).unwrap();
    }
    let (account, kubeconfig) = cluster.service_account(name, "memory-hook-trust-init");
    let args = job["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap().iter();
    let args = args.map(|arg| arg.as_str().unwrap().replace("/trust/", &format!("{}/", folder.display())));
    let mut pratique = std::process::Command::new(env!("CARGO_BIN_EXE_pratique"));
    let output = pratique.args(args).env_clear().env("KUBECONFIG", &kubeconfig).output().unwrap();
    let (said, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{said}{error}");
    // There is no such repository.
    assert!(
        said.contains("nothing but its root is remembered") && said.ends_with("acme: remembers root v1\n"),
        "{said}"
    );
    let head = own.json("configmap/memory-hook-trust-acme")["data"].clone();
    assert!(head["head"].is_string(), "{head}");

    // What the account may not do.
    let born = "configmap/memory-hook-trust-acme.born";
    account.patch(born, &json!({"immutable": false})).refused();
    account.patch(born, &json!({"data": {"since": "never"}})).refused();
    account.run(&format!("delete {born}")).refused();
    account.run("create configmap other").refused();
    // The webhook's account may only look whether it is there.
    for kind in ["ServiceAccount", "Role", "RoleBinding"] {
        own.apply(helm::find(&rendered, kind, "memory-hook")).succeeded();
    }
    let (webhook, _) = cluster.service_account(name, "memory-hook");
    webhook.ok(&format!("get {born}"));
    webhook.patch(born, &json!({"metadata": {"labels": {"x": "y"}}})).refused();

    // As helm does it: its owner is told by these, and nothing else conflicts, also not those of the next chart.
    for version in ["0.1.0", "9.9.9"] {
        for object in &rendered {
            if object["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("memory-hook-trust-acme")) {
                let found = own.json(&format!("configmap/{}", object["metadata"]["name"].as_str().unwrap()));
                let metadata = &found["metadata"];
                assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "Helm");
                assert_eq!(metadata["annotations"]["meta.helm.sh/release-name"], name);
                assert_eq!(metadata["annotations"]["meta.helm.sh/release-namespace"], name);
                let object = object.to_string().replace("pratique-0.1.0", &format!("pratique-{version}"));
                own.feed("apply --server-side --field-manager=helm -f -", &object).succeeded();
            }
        }
    }
    assert_eq!(own.json("configmap/memory-hook-trust-acme")["data"], head);
}
