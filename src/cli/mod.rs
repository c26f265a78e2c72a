//! The command line.

use std::{io::Write, process::ExitCode};

use jiff::Timestamp;

pub mod in_toto;
pub mod repo;
pub mod serve;
pub mod verify;

/// Decides which container images may run, by what TUF and in-toto prove about them
#[derive(Debug, clap::Parser)]
#[command(name = "pratique", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the admission webhook
    Serve(serve::Args),
    /// Judge one image as the webhook would: exit code 0 admitted, 1 refused, 2 error
    Verify(verify::Args),
    /// The same verdict with all that was checked for it
    Explain(verify::ExplainArgs),
    /// Publish a TUF repository with images, layouts and links
    #[command(subcommand)]
    Repo(repo::Command),
    /// Verify in-toto metadata in files
    #[command(subcommand, name = "in-toto")]
    InToto(InToto),
}

#[derive(Debug, clap::Subcommand)]
enum InToto {
    /// Verify a layout and its links, with the options of in-toto-verify
    Verify(in_toto::Args),
}

/// Runs one command to its end.
pub fn run(cli: Cli) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let now = now();
    let result = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Verify(args) => verify::run(&args, now, &mut out),
        Command::Explain(args) => verify::explain(&args, now, &mut out),
        Command::Repo(command) => repo::run(command, now, &mut out).map(|()| 0),
        Command::InToto(InToto::Verify(args)) => Ok(in_toto::run(&args, now, &mut out)),
    };
    match result {
        Ok(code) => code.into(),
        Err(error) => {
            // Standard error may be closed as well; the exit code still tells.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            2.into()
        }
    }
}

/// The clock of the command line.
#[expect(clippy::disallowed_methods, reason = "read here and handed on as an argument")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// A runtime for the commands that fetch.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
