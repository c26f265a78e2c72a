//! Replicas that crash while the repository cannot be reached go on with what their disk has.

use std::{path::Path, process::Command, time::Instant};

use serde_json::{Value, json};

use crate::{
    story::Story,
    support::{registry::run, releases, wait},
};

pub(crate) fn need_no_repository(story: &Story) {
    let pods = story.pods();
    let rule = format!("INPUT --source 10.244.0.0/16 --protocol tcp --dport {} --jump REJECT", releases::PORT);
    let iptables = |what: &str| {
        let mut iptables = story.cluster.machine.command(Path::new("iptables"));
        run(iptables.args(["--wait", what]).args(rule.split_whitespace()));
    };
    // The disk has what was needed: a replica that was not asked about this repository yet has not its images.
    judged(story, &pods);
    iptables("--insert");
    let before = story.replicas();
    run(Command::new("kill").arg("-KILL").args(before.iter().map(ToString::to_string)));
    let new = wait::until("the replicas run again", || {
        let new: Vec<u32> = story.replicas().into_iter().filter(|pid| !before.contains(pid)).collect();
        if new.len() == 3 { Ok(new) } else { Err(format!("{new:?} run")) }
    });
    let began = Instant::now();
    for pod in &pods {
        wait::until("a replica is ready without its repository", || story.page(pod, "readyz"));
    }
    let took = began.elapsed().as_secs_f32();
    story.said(&format!(
        "replicas {new:?}, killed at once, are ready from their disks {took:.2} s after the last began"
    ));
    story.said(&format!("they say that they were ready after {} ms", ready_after(story, &pods).join(", ")));
    story.settled();
    for pod in &pods {
        let metrics = story.page(pod, "metrics").unwrap();
        let refreshes = |outcome: &str| metrics.contains(&format!("{{repository=\"shop\",outcome=\"{outcome}\"}}"));
        assert!(refreshes("unavailable") && !refreshes("updated") && !refreshes("unchanged"), "{metrics}");
    }
    judged(story, &pods);
    one_alone(story, &pods);
    judged(story, &pods);
    iptables("--delete");
}

fn one_alone(story: &Story, pods: &[String]) {
    let before = story.replicas();
    let logs = || pods.iter().map(|pod| story.own.ok(&format!("logs {pod} -c pratique"))).collect::<Vec<_>>();
    let others = logs();
    run(Command::new("kill").args(["-KILL", &before[0].to_string()]));
    wait::until("it runs again", || match story.replicas().into_iter().find(|pid| !before.contains(pid)) {
        Some(_) => Ok(()),
        None => Err("not yet".to_owned()),
    });
    for pod in pods {
        wait::until("every replica is ready", || story.page(pod, "readyz"));
    }
    // Of the one that was killed, the log begins anew.
    let after = logs();
    let begun = pods.iter().zip(after.iter().zip(&others)).find(|(_, (now, then))| !now.starts_with(then.as_str()));
    let (pod, _) = begun.unwrap();
    story.said(&format!("one alone was ready after {} ms", ready_after(story, std::slice::from_ref(pod)).join(", ")));
}

/// What each replica says of how long it took from its start until it was ready, in milliseconds.
fn ready_after(story: &Story, pods: &[String]) -> Vec<String> {
    let ready = |pod: &String| {
        let log = story.own.ok(&format!("logs {pod} -c pratique"));
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ready: Vec<_> = lines.filter(|line| line["message"] == "ready").collect();
        let [ready] = ready.as_slice() else { panic!("{log}") };
        ready["after_ms"].to_string().trim_matches('"').to_owned()
    };
    pods.iter().map(ready).collect()
}

/// Every replica has a verdict on a good image, and on a bad one.
fn judged(story: &Story, pods: &[String]) {
    for pod in pods {
        let good = story.ask(pod, &story.images.good.reference());
        assert_eq!(good["allowed"], true, "{good}");
        let bad = story.ask(pod, &story.images.stolen.reference());
        assert_eq!((&bad["allowed"], &bad["status"]["code"]), (&json!(false), &json!(403)), "{bad}");
    }
}
