//! What it costs: the size of the image, and the memory of a replica that knows a repository of a thousand images.

use std::fs;

use serde_json::Value;

use crate::story::Story;

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
        story.said(&format!("a replica: {} resident, {} of them its own", text(resident), text(own)));
        assert!(own < 25 * MIB && resident < 50 * MIB, "{status}");
    }
}
