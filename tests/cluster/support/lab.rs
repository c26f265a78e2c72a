//! Where everything is: on this machine, or in a network of the test's own, in which the webhook has a cable to the API
//! server and another one to whoever probes it.

use super::namespaces::{are_own, cables, sh};

/// Makes the network. Only in namespaces of the test's own, and before anything else.
pub(crate) fn make() {
    cables([["api", "192.0.2", "02:00:00:00:01"], ["probes", "198.51.100", "02:00:00:00:02"]]);
}

/// From now on every packet between the webhook and the API server is lost, and nobody is told: what is sent goes to a
/// device that is not there.
pub(crate) fn lose_packets() {
    address_to("0f");
}

/// From now on they arrive again.
pub(crate) fn lose_no_packets() {
    address_to("01");
}

fn address_to(network: &str) {
    sh(&format!(
        "ip neighbour replace 192.0.2.2 lladdr 02:00:00:00:{network}:02 dev api nud permanent
        ip -n webhook neighbour replace 192.0.2.1 lladdr 02:00:00:00:{network}:01 dev api nud permanent"
    ));
}

/// The address of the API server.
pub(crate) fn api() -> &'static str {
    if are_own() { "192.0.2.1" } else { "127.0.0.1" }
}

/// The address at which the webhook is called.
pub(crate) fn webhook() -> &'static str {
    if are_own() { "192.0.2.2" } else { "127.0.0.1" }
}

/// The address at which the webhook is probed.
pub(crate) fn probes() -> &'static str {
    if are_own() { "198.51.100.2" } else { "127.0.0.1" }
}

/// The command that runs another one where the webhook is.
pub(crate) fn there() -> &'static [&'static str] {
    if are_own() { &["nsenter", "--net=/run/netns/webhook"] } else { &["env"] }
}

/// What tells the folder of this run's cluster from that of others, which may run at the same time.
pub(crate) fn kind() -> &'static str {
    if are_own() { "cluster-in-namespaces" } else { "cluster" }
}
