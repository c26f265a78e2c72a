//! The command `pratique`.

use std::process::ExitCode;

use clap::Parser as _;
use pratique::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
