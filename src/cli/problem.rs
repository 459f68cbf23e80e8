//! A question on the command line that cannot be asked.

use std::process::ExitCode;

use serde_json::json;

use super::args::Output;
use crate::simulation::ScenarioError;
use crate::simulation::written::ScenarioSyntaxError;
use crate::terminal::{INVALID, eprint, print};

/// Why a question cannot be asked.
pub(super) struct Problem {
    message: String,
    help: String,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }

    pub(super) fn print(&self, output: Output) -> ExitCode {
        let Self { message, help } = self;
        match output {
            Output::Text => eprint(&format!("error: {message}\n  = help: {help}\n")),
            Output::Json => {
                let error = json!({ "message": message, "help": help });
                print(&format!("{:#}\n", json!({ "valid": false, "error": error })));
            }
        }
        ExitCode::from(INVALID)
    }
}

impl From<ScenarioSyntaxError> for Problem {
    fn from(unreadable: ScenarioSyntaxError) -> Self {
        Self::new(unreadable.message, unreadable.help)
    }
}

impl From<ScenarioError> for Problem {
    fn from(mistake: ScenarioError) -> Self {
        Self::new(mistake.to_string(), mistake.help(|host| format!("`--host {host}`")))
    }
}
