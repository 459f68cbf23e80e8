//! Arguments that several commands take.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::{ConfigSource, Override};

/// How a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON value.
    Json,
}

/// Which configuration a command works on.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "OPGATE_CONFIG")]
    pub config: PathBuf,
    /// Put a value in place of the file's, like `admin.address=127.0.0.1:0`; can be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub overrides: Vec<Override>,
}

impl ConfigArgs {
    /// Where the configuration comes from, environment included.
    pub fn origin(&self) -> ConfigSource {
        // A flag beats the environment: it is applied last.
        let mut overrides = Override::from_environment(std::env::vars());
        overrides.extend(self.overrides.iter().cloned());
        ConfigSource { path: self.config.clone(), overrides }
    }
}
