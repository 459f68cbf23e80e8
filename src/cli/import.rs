//! `opgate import`: makes files of a policy tree from what other tools print.

pub mod roles;

use std::process::ExitCode;

/// What is imported.
#[derive(Debug, clap::Subcommand)]
pub enum Import {
    /// Make role files from the output of `gcloud iam roles describe`: the permissions that exposed services ask for
    Roles(roles::ImportRolesArgs),
}

/// Imports, and says what was written.
pub fn run(import: &Import) -> ExitCode {
    match import {
        Import::Roles(args) => roles::run(args),
    }
}
