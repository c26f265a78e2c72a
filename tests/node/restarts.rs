//! Replicas that crash while the repository cannot be reached go on with what their disk has.

use std::{path::Path, process::Command, time::Instant};

use crate::{
    story::Story,
    support::{objects, registry::run, releases, wait},
};

pub(crate) fn need_no_repository(story: &Story) {
    let pods = story.pods();
    let rule = format!("INPUT --source 10.244.0.0/16 --protocol tcp --dport {} --jump REJECT", releases::PORT);
    let iptables = |what: &str| {
        let mut iptables = story.cluster.machine.command(Path::new("iptables"));
        run(iptables.args(["--wait", what]).args(rule.split_whitespace()));
    };
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
    story.settled();
    for pod in &pods {
        let metrics = story.page(pod, "metrics").unwrap();
        let refreshes = |outcome: &str| metrics.contains(&format!("{{repository=\"shop\",outcome=\"{outcome}\"}}"));
        assert!(refreshes("unavailable") && !refreshes("updated") && !refreshes("unchanged"), "{metrics}");
    }
    wait::until("reviews are answered from disk", || {
        story.shop.dry_run(&objects::pod("good", &story.images.good.reference())).result()
    });
    let text = story.shop.dry_run(&objects::pod("bad", &story.images.stolen.reference())).refused();
    assert!(text.contains("1 of 1 image refused: [in-toto/threshold-not-met]"), "{text}");
    iptables("--delete");
}
