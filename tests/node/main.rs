//! Does the product, installed by its chart, do on a cluster with a node what it promises there?
//!
//! One story on one cluster: the image of this source and some others are pushed to a registry, a project publishes its
//! supply chain, helm installs the chart, and from then on the real thing decides what containerd pulls and runs. The
//! stages stand in the order in which they run, because each leaves the cluster as the next one needs it.

#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "tests start processes, read files and wait for the cluster")]

mod story;
mod support;
mod workloads;

use story::Story;

#[test]
#[ignore = "needs root, KUBEBUILDER_ASSETS and the programs of a node"]
fn the_chart_on_a_node() {
    let story = Story::begin();
    workloads::run_if_they_are_good_and_only_then(&story);
}
