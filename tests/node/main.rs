//! Does the product, installed by its chart, do on a cluster with a node what it promises there?
//!
//! One story on one cluster: the image of this source and some others are pushed to a registry, a project publishes its
//! supply chain, helm installs the chart, and from then on the real thing decides what containerd pulls and runs. The
//! stages stand in the order in which they run, because each leaves the cluster as the next one needs it.

#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "tests start processes, read files and wait for the cluster")]

mod certificates;
mod disruptions;
mod edits;
mod figures;
mod outage;
mod removal;
mod restarts;
mod story;
mod support;
mod upgrades;
mod workloads;

use story::Story;

#[test]
#[ignore = "needs KUBEBUILDER_ASSETS, root and the programs of a node"]
fn what_the_chart_promises_holds_on_a_cluster_with_a_node() {
    let story = Story::begin();
    let rotation = certificates::renewed_while_reviews_go_on(&story);
    workloads::good_ones_run_and_bad_ones_are_refused(&story);
    edits::of_the_policy_are_in_force_soon_or_refused(&story);
    figures::are_told(&story);
    figures::are_seen_from_outside(&story);
    certificates::the_new_one_is_served(&story, rotation);
    upgrades::and_rollbacks_lose_no_review(&story);
    disruptions::lose_no_review(&story);
    restarts::need_no_repository(&story);
    outage::is_closed_where_it_must_be_and_open_where_it_may_be(&story);
    removal::leaves_nothing_in_the_way(&story);
}
