//! `opgate import`: makes files of a policy tree from what other tools print.

mod description;
pub mod grpc_gateway;
pub mod openapi;
pub mod roles;

use std::process::ExitCode;

/// What is imported.
#[derive(Debug, clap::Subcommand)]
pub enum Import {
    /// Make the files of a service from an OpenAPI description: OpenAPI 3, or Swagger 2.0 with the extensions of Cloud
    /// Endpoints
    Openapi(openapi::ImportOpenapiArgs),
    /// Make the files of a service from a gRPC API configuration of grpc-gateway, or its OpenAPI output
    GrpcGateway(grpc_gateway::ImportGrpcGatewayArgs),
    /// Make role files from the output of `gcloud iam roles describe`: the permissions that exposed services ask for
    Roles(roles::ImportRolesArgs),
}

/// Imports, and says what was written.
pub fn run(import: &Import) -> ExitCode {
    match import {
        Import::Openapi(args) => openapi::run(args),
        Import::GrpcGateway(args) => grpc_gateway::run(args),
        Import::Roles(args) => roles::run(args),
    }
}
