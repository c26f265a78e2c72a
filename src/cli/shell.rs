//! What a shell and a reader of manual pages want: generated from the command line itself, so that it cannot be wrong.

use std::{io::Write, path::PathBuf};

use anyhow::Context as _;

/// Options of `completion`.
#[derive(Debug, clap::Args)]
pub struct Completion {
    /// For which shell
    shell: clap_complete::Shell,
}

/// Options of `man`.
#[derive(Debug, clap::Args)]
pub struct Man {
    /// The folder for the pages, one a command; it has to be there
    dir: PathBuf,
}

/// Writes what the shell has to read.
pub fn completion(args: &Completion, mut command: clap::Command, out: &mut impl Write) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "pratique", &mut script);
    out.write_all(&script)?;
    Ok(0)
}

/// Writes the pages.
pub fn man(args: &Man, command: clap::Command) -> anyhow::Result<u8> {
    clap_mangen::generate_to(command, &args.dir).with_context(|| args.dir.display().to_string())?;
    Ok(0)
}
