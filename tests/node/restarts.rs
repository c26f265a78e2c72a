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
    for pod in &pods {
        let log = story.own.ok(&format!("logs {pod} -c pratique"));
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ready: Vec<_> =
            lines.filter(|line| line["message"] == "ready").map(|line| line["after_ms"].clone()).collect();
        let [after] = ready.as_slice() else { panic!("{log}") };
        story.said(&format!("{pod} says that it was ready after {after} ms"));
    }
    story.settled();
    for pod in &pods {
        let metrics = story.page(pod, "metrics").unwrap();
        let refreshes = |outcome: &str| metrics.contains(&format!("{{repository=\"shop\",outcome=\"{outcome}\"}}"));
        assert!(refreshes("unavailable") && !refreshes("updated") && !refreshes("unchanged"), "{metrics}");
    }
    judged(story, &pods);
    iptables("--delete");
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
