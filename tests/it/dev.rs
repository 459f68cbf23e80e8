//! `opgate-dev`: what its commands print, and that nothing of it is in the product.

mod demo;
mod token;

use regex::bytes::Regex;

use crate::cli::{Workspace, transcript};

#[test]
fn every_command_has_its_help() {
    let workspace = Workspace::new();
    let commands: [&[&str]; 4] = [&[], &["--help"], &["demo", "--help"], &["token", "--help"]];
    insta::assert_snapshot!(transcript("opgate-dev", &commands, |arguments| workspace.opgate_dev(arguments)));
}

#[test]
fn its_commands_are_not_commands_of_the_product() {
    let workspace = Workspace::new();
    for command in ["demo", "token"] {
        let outcome = workspace.opgate(&[command, "--help"]);
        assert_eq!(outcome.code, Some(3), "{}", outcome.text());
        let unknown = format!("unrecognized subcommand '{command}'");
        assert!(outcome.stderr.contains(&unknown), "{}", outcome.text());
    }
}

/// Texts of `dev`, from each of its parts. They are as they stand in the programs: read-only data, byte for byte.
const TEXTS: [&str; 8] = [
    // The steps of the walk, its client and its evidence.
    "Path trick: Erin writes `..`, plain and encoded",
    "the answer is larger than 16 MiB",
    "allowed requests reached the backend",
    // The issuer and the backend.
    "https://issuer.demo.localhost",
    "type.googleapis.com/google.cloud.dataproc.v1.JobMetadata",
    // Keys and tokens.
    "); a string is written NAME='",
    "the file exists already, and keys are never overwritten",
    "Authorization: DPoP ",
];

/// The linker leaves out what the product does not call.
#[test]
fn the_product_holds_nothing_of_dev() {
    let holding = |program: &str| {
        let bytes = std::fs::read(program).unwrap();
        TEXTS.map(|text| Regex::new(&regex::escape(text)).unwrap().is_match(&bytes))
    };
    assert_eq!(holding(env!("CARGO_BIN_EXE_opgate-dev")), [true; TEXTS.len()], "these texts have changed");
    assert_eq!(holding(env!("CARGO_BIN_EXE_opgate")), [false; TEXTS.len()], "{TEXTS:?}");
}
