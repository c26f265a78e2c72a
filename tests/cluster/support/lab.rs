//! Where everything is: on this machine, or in a network of the test's own, in which the webhook has a cable to the API
//! server and another one to whoever probes it.

use super::namespaces::{are_own, sh};

/// A network with two cables. Neighbours are known for good: else the kernel would say after three seconds that nobody
/// is there.
const NETWORK: &str = "
mount -t tmpfs tmpfs /run
ip netns add webhook
ip link set lo up
ip -n webhook link set lo up
cable() {
  ip link add $1 address $3:01 type veth peer name $1 address $3:02 netns webhook
  ip address add $2.1/30 dev $1
  ip -n webhook address add $2.2/30 dev $1
  ip link set $1 up
  ip -n webhook link set $1 up
  ip neighbour replace $2.2 lladdr $3:02 dev $1 nud permanent
  ip -n webhook neighbour replace $2.1 lladdr $3:01 dev $1 nud permanent
}
cable api 192.0.2 02:00:00:00:01
cable probes 198.51.100 02:00:00:00:02
";

/// Makes the network. Only in namespaces of the test's own, and before anything else.
pub(crate) fn make() {
    sh(NETWORK);
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
