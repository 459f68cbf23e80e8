//! The command line: one command per file, and what they share.
//!
//! Exit codes: 0 fine, 1 failed, 2 denied, 3 invalid input. The result of a command goes to standard output, everything
//! else to standard error.

pub mod check;
pub mod demo;
pub mod diff;
pub mod explain;
pub mod run;
pub mod test;
pub mod token;
mod tree;
pub mod version;
pub mod who_can;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Origin, Override};
use crate::diagnostic::{Report, Severity};

/// Invalid input.
pub const INVALID: u8 = 3;
/// The call is denied.
pub const DENIED: u8 = 2;
/// Something failed.
pub const FAILED: u8 = 1;

/// Google-style IAM in front of APIs that do not have it.
#[derive(Debug, Parser)]
#[command(name = "opgate", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve: judge requests by policy and forward the allowed ones
    Run(run::Args),
    /// Load everything a configuration names and report every mistake
    Check(check::Args),
    /// Run the decision tests of a policy tree
    Test(test::Args),
    /// Explain why a call is allowed or denied, and what would turn the answer
    Explain(explain::Args),
    /// List who holds a permission on a resource, and by which bindings
    WhoCan(who_can::Args),
    /// Replay an audit log on another policy tree and show what changes
    Diff(diff::Args),
    /// Mint a token for development from a local key
    Token(token::Args),
    /// Show the gate at work in front of a backend that runs operations
    Demo(demo::Args),
    /// Print the version
    Version(version::Args),
}

/// How a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON value.
    Json,
}

/// Which configuration a command works on.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "OPGATE_CONFIG")]
    pub config: PathBuf,
    /// Put a value in place of the file's, like `admin.address=127.0.0.1:0`; can be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub overrides: Vec<Override>,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            let asked = !error.use_stderr();
            if error.print().is_err() {
                return ExitCode::from(FAILED);
            }
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(INVALID) };
        }
    };
    match command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::WhoCan(args) => who_can::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Token(args) => token::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Version(args) => version::run(&args),
    }
}

impl ConfigArgs {
    /// Where the configuration comes from, environment included.
    pub fn origin(&self) -> Origin {
        // A flag beats the environment: it is applied last.
        let mut overrides = Override::from_environment(std::env::vars());
        overrides.extend(self.overrides.iter().cloned());
        Origin { path: self.config.clone(), overrides }
    }
}

/// Prints text to standard output. A closed pipe is the reader's choice, not an error.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Prints text to standard error.
pub(crate) fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints a report to standard error, with a line that counts.
pub(crate) fn print_report(report: &Report) {
    complain(&report.render(std::io::stderr().is_terminal()));
    complain(&format!("{}\n", summary(report)));
}

fn summary(report: &Report) -> String {
    let counted = |severity, one: &str| counted(report.count(severity), one);
    let summary = format!("{}, {}", counted(Severity::Error, "error"), counted(Severity::Warning, "warning"));
    match report.count(Severity::Note) {
        0 => summary,
        _ => format!("{summary}, {}", counted(Severity::Note, "note")),
    }
}

/// `1 rule`, `2 rules`.
pub(crate) fn counted(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}
