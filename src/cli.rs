//! The command line: one command per file, and what they share.
//!
//! How they print, and which exit codes they end with, is in `terminal`.

pub mod check;
pub mod diff;
pub mod explain;
pub mod run;
pub mod test;
mod tree;
pub mod version;
pub mod who_can;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{ConfigSource, Override};
use crate::terminal;

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
    Run(run::RunArgs),
    /// Load everything a configuration names and report every mistake
    Check(check::CheckArgs),
    /// Run the decision tests of a policy tree
    Test(test::TestArgs),
    /// Explain why a call is allowed or denied, and what would turn the answer
    Explain(explain::ExplainArgs),
    /// List who holds a permission on a resource, and by which bindings
    WhoCan(who_can::WhoCanArgs),
    /// Replay an audit log on another policy tree and show what changes
    Diff(diff::DiffArgs),
    /// Print the version
    Version(version::VersionArgs),
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
    let command = match terminal::parse_arguments::<Cli>() {
        Ok(cli) => cli.command,
        Err(code) => return code,
    };
    match command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::WhoCan(args) => who_can::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Version(args) => version::run(&args),
    }
}

impl ConfigArgs {
    /// Where the configuration comes from, environment included.
    pub fn origin(&self) -> ConfigSource {
        // A flag beats the environment: it is applied last.
        let mut overrides = Override::from_environment(std::env::vars());
        overrides.extend(self.overrides.iter().cloned());
        ConfigSource { path: self.config.clone(), overrides }
    }
}
