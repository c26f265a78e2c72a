//! The scripts that bring what tests need.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// The lines that a script of `tests/cluster/tools` prints. What it needs it builds or brings; without it no test can
/// pass.
pub(crate) fn tool(script: &str, args: &[&str]) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/tools").join(script);
    let output = Command::new(&path).args(args).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{} failed: {}", path.display(), output.status);
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}
