//! `opgate demo`: the gate at work, in one command.

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::process::Command;

use crate::dev::demo::{self, DemoError};
use crate::diagnostic::Report;
use crate::terminal::{FAILED, INVALID, eprint, eprint_report};

/// Arguments of `opgate demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End with the walk, and exit 0 only if every step came out as expected
    #[arg(long)]
    once: bool,
    /// What the gate is run with
    #[arg(long, value_name = "FILE", default_value = "config/demo.yaml")]
    config: PathBuf,
}

/// Shows the demo. Exits 0 if everything came out as expected, else 1; 3 without a configuration.
pub fn run(args: Args) -> ExitCode {
    if !args.config.is_file() {
        let mut report = Report::new();
        report
            .file_error(&args.config, "cannot find the demo's configuration")
            .help("run it from the project's root or pass `--config`");
        eprint_report(&report);
        return ExitCode::from(INVALID);
    }
    match show(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            eprint(&format!("opgate: {error}\n"));
            ExitCode::from(FAILED)
        }
    }
}

fn show(args: &Args) -> Result<bool, DemoError> {
    let program = Command::new(std::env::current_exe()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(demo::run(program, &args.config, args.once, &mut std::io::stdout()))
}
