//! `opgate version`.

use std::process::ExitCode;

use super::args::Output;
use crate::terminal::print;

/// Arguments of `opgate version`.
#[derive(Debug, clap::Args)]
pub struct VersionArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Prints the version.
pub fn run(args: &VersionArgs) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    match args.output {
        Output::Text => print(&format!("opgate {version}\n")),
        Output::Json => print(&format!("{}\n", serde_json::json!({ "version": version }))),
    }
    ExitCode::SUCCESS
}
