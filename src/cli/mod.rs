//! The command line.

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};
use jiff::Timestamp;

use crate::verdict::sanitise_lines;

pub mod audit;
pub mod bundle;
pub mod demo;
pub mod doctor;
pub mod in_toto;
pub mod policy;
pub mod repo;
pub mod serve;
pub mod serve_audit;
pub mod shell;
pub mod status;
mod terminal;
pub mod trust;
pub mod tuf;
pub mod verify;
pub mod webhooks;
pub mod why;
mod wiring;

/// Decides which container images may run, by what TUF and in-toto prove about them
#[derive(Debug, clap::Parser)]
#[command(name = "pratique", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the admission webhook
    Serve(serve::Args),
    /// Run the audit: judge what runs, again and again, and tell whoever looks after it
    ServeAudit(serve_audit::Args),
    /// Judge one image, or a file, as the webhook would: exit code 0 admitted, 1 refused, 2 error
    Verify(verify::Args),
    /// The same verdict with all that was checked for it
    Explain(verify::ExplainArgs),
    /// Judge what runs: exit code 0 all of it would be admitted, 1 something would be refused, 2 error
    Audit(audit::Args),
    /// Read a policy as the webhook would
    #[command(subcommand)]
    Policy(policy::Command),
    /// Publish a TUF repository with images, layouts and links
    #[command(subcommand)]
    Repo(repo::Command),
    /// Carry all that some images need to where no network leads
    #[command(subcommand)]
    Bundle(bundle::Command),
    /// Verify in-toto metadata in files
    #[command(subcommand, name = "in-toto")]
    InToto(InToto),
    /// A plain TUF client, as the conformance suite drives it: exit code 0 or 1
    Tuf(tuf::Args),
    /// Bring the webhook configurations into being when the pods are ready, and remove them first
    #[command(subcommand)]
    Webhooks(webhooks::Command),
    /// Look whether an installation is one that its cluster can live with: exit code 0 well, 1 not, 2 not known
    Doctor(doctor::Args),
    /// Ask the cluster why a workload does not run: exit code 0 it would run now, 1 it is refused, 2 not known
    Why(why::Args),
    /// Show the replicas of an installation and what they know of the repositories: exit code 1 if one is not ready
    Status(status::Args),
    /// What the replicas of an installation remember of the repositories, so that nobody makes them believe older metadata
    #[command(subcommand)]
    Trust(trust::Command),
    /// Write the completions of a shell
    Completion(shell::Completion),
    /// Write the manual pages
    Man(shell::Man),
    /// A whole supply chain in a folder, the webhook on loopback, good and attacked images: no cluster needed
    Demo(demo::Args),
}

#[derive(Debug, clap::Subcommand)]
enum InToto {
    /// Verify a layout and its links, with the options of in-toto-verify
    Verify(in_toto::Args),
}

/// The command line itself, for what is made from it and what is held against it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command that the program was started with, to its end.
pub fn run() -> ExitCode {
    let args = args();
    // The protocol of the conformance suite knows no other failure.
    let failure = if args.get(1).is_some_and(|command| command == "tuf") { 1 } else { 2 };
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let asked = !error.use_stderr();
            // A closed output is no reason to fail otherwise.
            let _ = error.print();
            return if asked { 0 } else { failure }.into();
        }
    };
    let mut out = std::io::stdout().lock();
    let now = now();
    let result = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::ServeAudit(args) => serve_audit::run(args),
        Command::Verify(args) => verify::run(&args, now, &mut out),
        Command::Explain(args) => verify::explain(&args, now, &mut out),
        Command::Audit(args) => audit::run(args, now, &mut out),
        Command::Policy(command) => policy::run(&command, now, &mut out),
        Command::Repo(command) => repo::run(command, now, &mut out),
        Command::Bundle(command) => bundle::run(&command, now, &mut out),
        Command::InToto(InToto::Verify(args)) => Ok(in_toto::run(&args, now, &mut out)),
        Command::Tuf(args) => tuf::run(&args, now, &mut out),
        Command::Webhooks(command) => webhooks::run(&command),
        Command::Doctor(args) => doctor::run(&args, now, &mut out),
        Command::Why(args) => why::run(&args, &mut terminal::Terminal::new(&mut out)),
        Command::Status(args) => status::run(&args, now, &mut terminal::Terminal::new(&mut out)),
        Command::Trust(command) => trust::run(&command, now, &mut terminal::Terminal::new(&mut out)),
        Command::Completion(args) => shell::completion(&args, command(), &mut out),
        Command::Man(args) => shell::man(&args, command()),
        Command::Demo(args) => demo::run(&args, now, &mut out),
    };
    match result {
        Ok(code) => code.into(),
        Err(error) => {
            // Standard error may be closed as well; the exit code still tells.
            let _ = writeln!(std::io::stderr(), "error: {}", sanitise_lines(&format!("{error:#}")));
            failure.into()
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the command line reads its arguments here and nowhere else")]
fn args() -> Vec<OsString> {
    std::env::args_os().collect()
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
