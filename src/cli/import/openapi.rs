//! `opgate import openapi`.

use std::process::ExitCode;

use super::description::{self, DescriptionArgs};
use crate::import::openapi;

/// Arguments of `opgate import openapi`.
#[derive(Debug, clap::Args)]
pub struct ImportOpenapiArgs {
    #[command(flatten)]
    description: DescriptionArgs,
    /// The service's name, where the description names no host; the host by default
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Take any one of several scopes for enough where the description asks for all of them
    #[arg(long)]
    any_scope: bool,
}

/// Imports, and says what was written.
pub fn run(args: &ImportOpenapiArgs) -> ExitCode {
    description::run(&args.description, args.service.clone(), args.any_scope, openapi::import)
}
