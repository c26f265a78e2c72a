//! The command `pratique`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pratique::cli::run()
}
