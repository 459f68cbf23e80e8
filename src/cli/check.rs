//! `opgate check`: loads everything, and reports every mistake and everything that may not be meant.

mod shadow;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::args::{ConfigArgs, Output};
use super::tree::{ExposureArgs, is_there, load_files};
use crate::catalog;
use crate::clock;
use crate::config::{self, Config, Override};
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::{Report, Severity};
use crate::document;
use crate::policy;
use crate::source::PolicySource;
use crate::terminal::{FAILED, INVALID, counted, eprint, eprint_report, print};
use crate::upstream::names::Lookups;

/// How long a check waits for names to be looked up.
const LONGEST_LOOKUP: Duration = Duration::from_secs(2);

/// Arguments of `opgate check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// A policies directory to check, in place of the configuration's; it needs no configuration
    #[arg(value_name = "DIR", conflicts_with = "service")]
    directory: Option<PathBuf>,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "OPGATE_CONFIG", required_unless_present_any = ["service", "directory"])]
    config: Option<PathBuf>,
    /// Put a value in place of the file's; can be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<Override>,
    /// Check one service file (google.api.Service) alone
    #[arg(long, value_name = "FILE", conflicts_with = "overrides")]
    service: Option<PathBuf>,
    /// Look no name of an upstream up
    #[arg(long)]
    offline: bool,
    /// Exit 1 where there is a warning; notes are fine
    #[arg(long)]
    deny_warnings: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Checks, prints, and exits 0 or 3; 1 where warnings are denied and there is one.
pub fn run(args: &CheckArgs) -> ExitCode {
    let mut report = Report::new();
    let exposure = || ExposureArgs { config: args.config.clone(), overrides: args.overrides.clone() };
    let found = match (&args.service, &args.directory, &args.config) {
        (Some(path), ..) => check_service(path, &mut report),
        (None, Some(directory), None) => check_tree(directory, &mut report),
        (None, directory, Some(path)) => {
            let config = match directory {
                Some(directory) => exposure().load(Some(directory), &mut report),
                None => ConfigArgs { config: path.clone(), overrides: args.overrides.clone() }
                    .origin()
                    .load(&mut report),
            };
            config.and_then(|config| {
                check_config(&config, path, directory.as_deref(), args.offline, &mut report)
            })
        }
        (None, None, None) => None,
    };
    let valid = found.is_some() && !report.is_fatal();
    match args.output {
        Output::Json => {
            let result = json!({
                "valid": valid,
                "found": found.as_ref().map(|found| &found.json),
                "diagnostics": report.to_json(),
            });
            print(&format!("{result:#}\n"));
        }
        Output::Text => {
            if !report.diagnostics().is_empty() {
                eprint_report(&report);
            }
            if let (true, Some(found)) = (valid, &found) {
                print(&found.text);
            }
        }
    }
    match valid {
        false => ExitCode::from(INVALID),
        true if args.deny_warnings && report.count(Severity::Warning) > 0 => ExitCode::from(FAILED),
        true => ExitCode::SUCCESS,
    }
}

/// What a check found, when it found nothing wrong.
struct CheckSummary {
    text: String,
    json: serde_json::Value,
}

fn check_service(path: &std::path::Path, report: &mut Report) -> Option<CheckSummary> {
    let summary = document::read(path, report).and_then(|node| catalog::read_service(&node, report))?;
    Some(CheckSummary {
        text: format!(
            "{} is valid: {} with {}, {}, {}\n",
            path.display(),
            summary.name,
            counted(summary.rules, "HTTP rule"),
            counted(summary.bindings, "binding"),
            counted(summary.scopes.len(), "scope"),
        ),
        json: json!({
            "service": summary.name,
            "rules": summary.rules,
            "bindings": summary.bindings,
            "scopes": summary.scopes,
        }),
    })
}

/// A name that cannot be looked up here may be known where the gate runs.
fn look_up_names(config: &Config, file: &Path, report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return eprint(&format!("opgate: names are not looked up: {error}\n")),
    };
    let lookups = runtime.block_on(async {
        let mut lookups = Lookups::default();
        lookups.look_up(&config.upstreams, &config.dns);
        lookups.all_found(LONGEST_LOOKUP).await;
        lookups
    });
    for (name, why) in lookups.unknown() {
        report
            .file_warning(file, format!("the endpoint `{name}` cannot be looked up: {why}"))
            .help("the gate starts all the same, and tries again: until then its upstream answers 503");
    }
}

/// Checks a policies directory by itself: every service of it is exposed, and no issuer is known.
fn check_tree(directory: &Path, report: &mut Report) -> Option<CheckSummary> {
    if !is_there(directory, report) {
        return None;
    }
    let now = clock::now();
    let files = PolicySource::directory(directory).read(report)?;
    let snapshot = load_files(files.clone(), None, report)?;
    policy::lint::lint(&files, &snapshot.catalog, now, report);
    Some(summary(directory, &snapshot, &service_ids(&snapshot)))
}

/// The services that have an exposed method, sorted.
fn service_ids(snapshot: &Snapshot) -> Vec<&str> {
    let methods = snapshot.catalog.methods().iter();
    let ids: BTreeSet<&str> = methods.map(|method| method.service.id.as_str()).collect();
    ids.into_iter().collect()
}

/// Checks a configuration with its policies directory, or with another one.
fn check_config(
    config: &Config,
    file: &Path,
    directory: Option<&Path>,
    offline: bool,
    report: &mut Report,
) -> Option<CheckSummary> {
    // The policy tree is read although the config is broken: its mistakes are worth reporting, too.
    let now = clock::now();
    let loaded = config::snapshot::load_with_files(config, now, report);
    // With another directory in place of the configuration's, that one alone is asked about.
    let shadows = match directory {
        None => shadow::check(config, loaded.as_ref().map(|(snapshot, _)| snapshot), now, report),
        Some(_) => Vec::new(),
    };
    let (snapshot, files) = loaded?;
    config::snapshot::note_keys(config, &snapshot.authn, now, report);
    policy::lint::lint(&files, &snapshot.catalog, now, report);
    if !offline {
        look_up_names(config, file, report);
    }
    let services: Vec<&str> = config.services.iter().map(|service| service.id.as_str()).collect();
    let mut summary = summary(directory.unwrap_or(file), &snapshot, &services);
    for shadow in &shadows {
        summary.text += &shadow.text();
    }
    if let Some(found) = summary.json.as_object_mut().filter(|_| !shadows.is_empty()) {
        let shadows = shadows.iter().map(shadow::CheckedShadow::json).collect();
        found.insert("shadows".to_owned(), serde_json::Value::Array(shadows));
    }
    Some(summary)
}

fn summary(checked: &Path, snapshot: &Snapshot, services: &[&str]) -> CheckSummary {
    let methods = snapshot.catalog.methods().iter().filter(|method| !method.is_options()).count();
    CheckSummary {
        text: format!(
            "{} is valid: {} of {} exposed, {}, policy revision {}\n",
            checked.display(),
            counted(methods, "method"),
            services.join(", "),
            counted(snapshot.policy.counts().bindings, "binding"),
            snapshot.revision,
        ),
        json: json!({
            "services": services,
            "unexposed": snapshot.catalog.unexposed().iter().map(|method| json!({
                "service": method.service, "method": method.method, "place": method.place.to_string(),
            })).collect::<Vec<_>>(),
            "methods": methods,
            "bindings": snapshot.policy.counts().bindings,
            "policyRevision": snapshot.revision,
        }),
    }
}
