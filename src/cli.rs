//! The command line: one command per file, and what they share.
//!
//! How they print, and which exit codes they end with, is in `terminal`.

mod admin_address;
mod args;
pub mod check;
pub mod diff;
pub mod explain;
pub mod fmt;
pub mod health;
pub mod import;
pub mod init;
pub mod manual;
mod problem;
pub mod run;
pub mod schema;
pub mod test;
mod tree;
pub mod version;
pub mod what_can;
pub mod who_can;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use self::args::{ConfigArgs, Output};
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
    /// Write a small configuration and policy tree to begin with
    Init(init::InitArgs),
    /// Serve: judge requests by policy and forward the allowed ones
    Run(run::RunArgs),
    /// Load everything a configuration names and report every mistake
    Check(check::CheckArgs),
    /// Run the decision tests of a policy tree
    Test(test::TestArgs),
    /// Explain why a call is allowed or denied, and what would turn the answer
    Explain(Box<explain::ExplainArgs>),
    /// List who holds a permission on a resource, and by which bindings
    WhoCan(who_can::WhoCanArgs),
    /// List what a principal holds, on a resource or wherever it is bound
    WhatCan(what_can::WhatCanArgs),
    /// Replay an audit log on another policy tree and show what changes
    Diff(diff::DiffArgs),
    /// Write policy files tidily: keys in order, members sorted, comments kept
    Fmt(fmt::FmtArgs),
    /// Make files of a policy tree from what other tools print
    #[command(subcommand)]
    Import(import::Import),
    /// Print the JSON Schemas of all files that opgate reads
    Schema(schema::SchemaArgs),
    /// Ask a running gate whether it serves
    Health(health::HealthArgs),
    /// Write the manual pages
    Man(manual::ManArgs),
    /// Print the completions of a shell
    Completions(manual::CompletionsArgs),
    /// Print the version
    Version(version::VersionArgs),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let command = match terminal::parse_arguments::<Cli>() {
        Ok(cli) => cli.command,
        Err(code) => return code,
    };
    match command {
        Command::Init(args) => init::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::WhoCan(args) => who_can::run(&args),
        Command::WhatCan(args) => what_can::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Fmt(args) => fmt::run(&args),
        Command::Import(import) => import::run(&import),
        Command::Schema(args) => schema::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Man(args) => manual::man::<Cli>(&args),
        Command::Completions(args) => manual::completions::<Cli>(&args),
        Command::Version(args) => version::run(&args),
    }
}
