//! The policy trees that a command asks questions of, and what of them is exposed.
//!
//! An operator's configuration says which services are exposed and on which hosts. A policy author has only the tree:
//! without a configuration, every service with both of its files is exposed on its own name.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;

use super::args::Output;
use crate::catalog::ExposureSettings;
use crate::config::{self, Config, ConfigSource, Override};
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Report;
use crate::policy::Pools;
use crate::source::{PolicyFiles, PolicySource};
use crate::terminal::{INVALID, eprint_report, print};

/// Which configuration says what is exposed, if any.
#[derive(Debug, clap::Args)]
pub(super) struct ExposureArgs {
    /// The configuration that says which services are exposed, and on which hosts; without one, every service of the
    /// tree is, on its own name
    #[arg(long, value_name = "FILE", env = "OPGATE_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Put a value in place of the configuration's; can be repeated
    #[arg(long = "set", value_name = "PATH=VALUE", requires = "config")]
    pub(super) overrides: Vec<Override>,
}

/// Which policy tree a question is about: the configuration's, or one by itself.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("tree").required(true).multiple(true).args(["config", "policies"]))]
pub(super) struct TreeArgs {
    #[command(flatten)]
    exposure: ExposureArgs,
    /// The policies directory; the configuration's by default
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
}

impl TreeArgs {
    /// The tree, without issuers: it authenticates no caller. The report says what is wrong.
    pub(super) fn load(&self, report: &mut Report) -> Option<Snapshot> {
        let config = self.config(report)?;
        let named = config.as_ref().map(|config| config.policy_directory.clone());
        load_tree(&self.policies.clone().or(named)?, config.as_ref(), report)
    }

    /// The tree with the issuers that the configuration believes.
    pub(super) fn load_with_issuers(&self, now: SystemTime, report: &mut Report) -> Option<Snapshot> {
        config::snapshot::load(&self.config(report)??, now, report)
    }

    /// Whether a policies directory was named.
    pub(super) fn names_policies(&self) -> bool {
        self.policies.is_some()
    }

    /// The configuration, where one was given. `None` where it cannot be used.
    pub(super) fn config(&self, report: &mut Report) -> Option<Option<Config>> {
        let config = self.exposure.load(self.policies.as_deref(), report);
        (self.exposure.config.is_none() || config.is_some()).then_some(config)
    }
}

/// Reports a tree that cannot be asked.
pub(super) fn refuse(report: &Report, output: Output) -> ExitCode {
    match output {
        Output::Text => eprint_report(report),
        Output::Json => {
            print(&format!("{:#}\n", json!({ "valid": false, "diagnostics": report.to_json() })));
        }
    }
    ExitCode::from(INVALID)
}

impl ExposureArgs {
    /// The configuration, where one was given. `directory` replaces the one that it names, which need not exist: a
    /// policy is often tested far from where it is deployed. The report says what is wrong.
    pub(super) fn load(&self, directory: Option<&Path>, report: &mut Report) -> Option<Config> {
        let path = self.config.clone()?;
        if let Some(directory) = directory
            && !is_there(directory, report)
        {
            return None;
        }
        let mut overrides = Override::from_environment(std::env::vars());
        overrides.extend(self.overrides.iter().cloned());
        overrides.extend(directory.and_then(|directory| in_place(directory, report)));
        let mut config = ConfigSource { path, overrides }.load(report)?;
        if let Some(directory) = directory {
            config.policy_directory = directory.to_owned();
        }
        Some(config)
    }
}

/// The override that names a directory, relative to the working directory and not to the configuration's folder.
fn in_place(directory: &Path, report: &mut Report) -> Option<Override> {
    let absolute = match std::path::absolute(directory) {
        Ok(absolute) => absolute,
        Err(error) => {
            report
                .file_error(directory, format!("cannot tell where it is: {error}"))
                .help("name a directory that exists");
            return None;
        }
    };
    let Some(text) = absolute.to_str() else {
        report
            .file_error(directory, "the name of the directory is not UTF-8")
            .help("rename it: names of files are names of resources");
        return None;
    };
    let value = serde_json::Value::from(text);
    format!("policy.directory={value}").parse().ok()
}

/// Loads a tree with what the configuration exposes of it, or all of it, without issuers.
pub(super) fn load_tree(directory: &Path, config: Option<&Config>, report: &mut Report) -> Option<Snapshot> {
    if !is_there(directory, report) {
        return None;
    }
    let files = PolicySource::directory(directory).read(report)?;
    load_files(files, config, report)
}

/// Loads files that were read already as [`load_tree`] does.
pub(super) fn load_files(
    files: PolicyFiles,
    config: Option<&Config>,
    report: &mut Report,
) -> Option<Snapshot> {
    match config {
        Some(config) => {
            let pools = config::snapshot::pools(config).groups_alone();
            Snapshot::of_tree(files, &config.services, &pools, report)
        }
        None => {
            let services = ExposureSettings::all(&files, report);
            if services.is_empty() && !report.is_fatal() {
                report
                    .file_error(
                        &files.path("services"),
                        "no service has both of its files, so nothing can be called",
                    )
                    .help("a service needs `<id>.yaml` and, beside it, `<id>.iam.yaml`");
                return None;
            }
            Snapshot::of_tree(files, &services, &Pools::default(), report)
        }
    }
}

/// Whether a policies directory is there; where it is not, the report says so.
pub(super) fn is_there(directory: &Path, report: &mut Report) -> bool {
    let there = directory.is_dir();
    if !there {
        report.file_error(directory, "there is no such directory").help("name a policies directory");
    }
    there
}
