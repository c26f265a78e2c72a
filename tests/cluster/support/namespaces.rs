//! Tests in namespaces of their own for users, mounts and network.

use std::process::{Command, Stdio};

const INSIDE: &str = "PRATIQUE_TEST_INSIDE";

/// Whether this process is in namespaces of its own.
pub(crate) fn are_own() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Whether this process is the one in namespaces of its own. The other one runs it and sees it pass.
pub(crate) fn is_inside(test: &str) -> bool {
    if are_own() {
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "--net"]).arg(std::env::current_exe().unwrap());
    command.args(["--include-ignored", "--nocapture", "--exact", test]);
    let ran = command.env(INSIDE, "yes").stdin(Stdio::null()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    println!("{text}");
    assert!(ran.status.success() && text.contains("1 passed"), "in namespaces of its own it fails");
    false
}

/// Runs a script that has to succeed.
pub(crate) fn sh(script: &str) {
    let ran = Command::new("sh").args(["-euc", script]).output().unwrap();
    assert!(ran.status.success(), "{script}: {ran:?}");
}

/// A network named `webhook` with a cable each to this one, by name, the beginning of both addresses, and that of both
/// hardware addresses: this end is `.1` and `:01`, the other `.2` and `:02`. Neighbours are known for good: else the
/// kernel would say after three seconds that nobody is there.
pub(crate) fn cables(cables: [[&str; 3]; 2]) {
    sh(NETWORK);
    for [name, network, hardware] in cables {
        sh(&CABLE.replace("NAME", name).replace("NETWORK", network).replace("HARDWARE", hardware));
    }
}

const NETWORK: &str = "
mount -t tmpfs tmpfs /run
ip netns add webhook
ip link set lo up
ip -n webhook link set lo up
";

const CABLE: &str = "
ip link add NAME address HARDWARE:01 type veth peer name NAME address HARDWARE:02 netns webhook
ip address add NETWORK.1/30 dev NAME
ip -n webhook address add NETWORK.2/30 dev NAME
ip link set NAME up
ip -n webhook link set NAME up
ip neighbour replace NETWORK.2 lladdr HARDWARE:02 dev NAME nud permanent
ip -n webhook neighbour replace NETWORK.1 lladdr HARDWARE:01 dev NAME nud permanent
";
