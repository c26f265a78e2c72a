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
