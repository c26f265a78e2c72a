//! Running the program.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// The program in a folder, not started yet.
pub(crate) fn pratique(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pratique"));
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// Runs the program.
pub(crate) fn run(dir: &Path, args: &[&str]) -> Ran {
    pratique(dir).args(args).output().unwrap().into()
}

/// Runs a line as a shell would that finds the program on its PATH, and those of one more folder.
pub(crate) fn shell(dir: &Path, line: &str, more: Option<&Path>) -> Ran {
    let programs = Path::new(env!("CARGO_BIN_EXE_pratique")).parent().unwrap();
    let folders = [Some(programs), more].into_iter().flatten().map(|folder| format!("{}:", folder.display()));
    let path = folders.collect::<String>() + &std::env::var("PATH").unwrap();
    let mut command = Command::new("sh");
    command.args(["-euc", line]).current_dir(dir).env("PATH", path).stdin(Stdio::null());
    command.output().unwrap().into()
}
