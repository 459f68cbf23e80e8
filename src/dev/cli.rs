//! The command line of `opgate-dev`: `demo` and `token`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::process::Command;

use super::demo::{self, DemoError, DemoSettings, Detail};
use super::token::{self, TokenArgs};
use crate::diagnostic::Report;
use crate::terminal::{FAILED, INVALID, eprint, eprint_report, parse_arguments};

/// What serves development with opgate, and is not part of it.
#[derive(Debug, Parser)]
#[command(name = "opgate-dev", version, arg_required_else_help = true)]
struct DevCli {
    #[command(subcommand)]
    command: DevCommand,
}

#[derive(Debug, Subcommand)]
enum DevCommand {
    /// Show opgate at work in front of a backend that runs operations
    Demo(DemoArgs),
    /// Mint a token for development from a local key
    Token(Box<TokenArgs>),
}

/// Arguments of `opgate-dev demo`.
#[derive(Debug, clap::Args)]
struct DemoArgs {
    /// End with the walk, and exit 0 only if every step came out as expected
    #[arg(long)]
    once: bool,
    /// Show each request and its response, the metrics, the audit log and more commands to try
    #[arg(long)]
    verbose: bool,
    /// The configuration that opgate is started with
    #[arg(long, value_name = "FILE", default_value = "config/demo.yaml")]
    config: PathBuf,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    match parse_arguments::<DevCli>() {
        Ok(DevCli { command: DevCommand::Demo(args) }) => show_demo(&args),
        Ok(DevCli { command: DevCommand::Token(args) }) => token::run(&args),
        Err(code) => code,
    }
}

/// Shows the demo. Exits 0 if everything came out as expected, else 1; 3 without a configuration or without `opgate`.
fn show_demo(args: &DemoArgs) -> ExitCode {
    let program = match opgate() {
        Ok(program) => program,
        Err(error) => return fail(&error.into()),
    };
    let mut report = Report::new();
    if !args.config.is_file() {
        report
            .file_error(&args.config, "cannot find the demo's configuration")
            .help("run it from the project's root or pass `--config`");
    }
    if !program.is_file() {
        report
            .file_error(&program, "cannot find the program that the demo starts")
            .help("build it with `cargo build --bins`; `make demo` does so");
    }
    if !report.diagnostics().is_empty() {
        eprint_report(&report);
        return ExitCode::from(INVALID);
    }
    match run_demo(&program, args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => fail(&error),
    }
}

/// The program under show. Cargo builds it into the directory of this one.
fn opgate() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("opgate"))
}

fn run_demo(program: &Path, args: &DemoArgs) -> Result<bool, DemoError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let detail = if args.verbose { Detail::Full } else { Detail::Brief };
    let settings = DemoSettings { config: &args.config, once: args.once, detail };
    runtime.block_on(demo::run(Command::new(program), settings, &mut io::stdout()))
}

fn fail(error: &DemoError) -> ExitCode {
    eprint(&format!("opgate-dev: {error}\n"));
    ExitCode::from(FAILED)
}
