//! What it costs: the size of the image, and the memory of a replica that knows a repository of a thousand images.

use std::fs;

use serde_json::Value;

use crate::{story::Story, support::wait};

const MIB: u64 = 1024 * 1024;

pub(crate) fn are_told(story: &Story) {
    let image = &story.images.pratique;
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let size: u64 = layers.iter().map(|layer| layer["size"].as_u64().unwrap()).sum();
    story.said(&format!("the image: {:.1} MiB to pull", size as f64 / MIB as f64));
    assert!(size < 25 * MIB, "{size} bytes");

    story.settled();
    for pod in story.pods() {
        assert_eq!(story.ask(&pod, &story.images.good.reference())["allowed"], true);
    }
    for pid in story.replicas() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix("kB")).unwrap();
            line.trim().parse::<u64>().unwrap() * 1024
        };
        let (resident, own) = (of("VmRSS:"), of("RssAnon:"));
        let text = |bytes: u64| format!("{:.1} MiB", bytes as f64 / MIB as f64);
        let counted = working_set(pid);
        story.said(&format!(
            "a replica: {} counted by its cgroup, {} resident, {} of them its own",
            text(counted),
            text(resident),
            text(own)
        ));
        assert!(own < 25 * MIB && counted < 25 * MIB && resident < 50 * MIB, "{counted} {status}");
    }
}

/// What the kubelet reports and limits: all memory of the container's cgroup, less files that nobody has used lately.
fn working_set(pid: u32) -> u64 {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let of = |controller: &str| groups.lines().find_map(|line| line.split_once(controller)).map(|(_, path)| path);
    let (folder, usage, inactive) = match of(":memory:") {
        Some(path) => (format!("/sys/fs/cgroup/memory{path}"), "memory.usage_in_bytes", "total_inactive_file "),
        None => (format!("/sys/fs/cgroup{}", of("0::").unwrap()), "memory.current", "inactive_file "),
    };
    let read = |file: &str| fs::read_to_string(format!("{folder}/{file}")).unwrap();
    let inactive = read("memory.stat").lines().find_map(|line| line.strip_prefix(inactive)?.parse::<u64>().ok());
    read(usage).trim().parse::<u64>().unwrap() - inactive.unwrap()
}

/// `pratique status` and `pratique doctor`, of a cluster admin.
pub(crate) fn are_seen_from_outside(story: &Story) {
    let output = story.pratique.run("status");
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{}", output.stdout);
    for pod in story.pods() {
        let line = output.stdout.lines().find(|line| line.starts_with(&pod)).unwrap_or_else(|| panic!("{output:?}"));
        assert!(line.contains(" yes ") && line.contains("in force") && line.contains(" days"), "{line}");
    }
    for role in ["root", "timestamp", "snapshot", "targets"] {
        assert!(output.stdout.lines().any(|line| line.starts_with("shop") && line.contains(role)), "{}", output.stdout);
    }

    // What the audit has seen run.
    let running = &story.images.newer.digest;
    wait::until("the audit publishes what runs", || {
        let digests = story.own.json("configmap/pratique-digests")["data"]["digests"].clone();
        let all = digests.as_str().unwrap_or_default();
        if all.contains(running.as_str()) { Ok(()) } else { Err(digests.to_string()) }
    });

    let output = story.pratique.run("doctor");
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{}", output.stdout);
}
