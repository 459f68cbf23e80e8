//! `opgate import grpc-gateway`.

use std::process::ExitCode;

use super::description::{self, DescriptionArgs};
use crate::import::grpc_gateway;

/// Arguments of `opgate import grpc-gateway`.
#[derive(Debug, clap::Args)]
pub struct ImportGrpcGatewayArgs {
    #[command(flatten)]
    description: DescriptionArgs,
    /// The service's name: the host that clients call
    #[arg(long, value_name = "NAME")]
    service: String,
}

/// Imports, and says what was written.
pub fn run(args: &ImportGrpcGatewayArgs) -> ExitCode {
    description::run(&args.description, Some(args.service.clone()), false, grpc_gateway::import)
}
