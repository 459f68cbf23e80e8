//! `opgate import roles`: role files from the output of `gcloud iam roles describe`.
//!
//! ```text
//! files, standard input ─► documents ─► described roles ─┐
//! services/ of the tree ─► the permissions asked for ────┴─► written: one file for each role
//! ```
//!
//! Nothing is written where anything is wrong.

mod described;
mod documents;
mod written;

use std::collections::BTreeSet;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use self::described::DescribedRole;
use self::written::{Written, WrittenRoles};
use crate::catalog::{Catalog, ExposureSettings};
use crate::cli::args::Output;
use crate::cli::tree::{ExposureArgs, is_there};
use crate::diagnostic::{Report, Source};
use crate::document;
use crate::source::{PolicyFiles, PolicySource};
use crate::terminal::{FAILED, INVALID, counted, eprint, eprint_report, print};

/// Arguments of `opgate import roles`.
#[derive(Debug, clap::Args)]
pub struct ImportRolesArgs {
    /// Files with the output of `gcloud iam roles describe`, YAML or JSON, any number of roles in each; `-` is standard
    /// input, which is read without any
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to write the role files; `roles` of the policies directory by default
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    exposure: ExposureArgs,
    /// The policies directory whose services are exposed; without it, the configuration's, or the one around `--out`, or
    /// `policies`
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Imports and prints. Exits 0, 1 where a file cannot be written, and 3 where the input is invalid.
pub fn run(args: &ImportRolesArgs) -> ExitCode {
    let mut report = Report::new();
    let roles = args.plan(&mut report).filter(|_| !report.is_fatal());
    if args.output == Output::Text && !report.diagnostics().is_empty() {
        eprint_report(&report);
    }
    let Some(roles) = roles else {
        if args.output == Output::Json {
            print(&format!("{:#}\n", json!({ "valid": false, "diagnostics": report.to_json() })));
        }
        return ExitCode::from(INVALID);
    };
    if let Err(error) = roles.write() {
        eprint(&format!("opgate: {error}\n"));
        return ExitCode::from(FAILED);
    }
    match args.output {
        Output::Text => print(&text(&roles)),
        Output::Json => print(&format!("{:#}\n", in_json(&roles, &report))),
    }
    ExitCode::SUCCESS
}

impl ImportRolesArgs {
    /// What is to be written. `None` where it is not known; the report says why.
    fn plan(&self, report: &mut Report) -> Option<WrittenRoles> {
        let (directory, files, asked) = self.exposed(report)?;
        let mut roles: Vec<DescribedRole> = Vec::new();
        for source in self.sources(report)? {
            roles.extend(described::read(&source, report));
        }
        described::check(&mut roles, report);
        if report.is_fatal() {
            return None;
        }
        let out = self.out.clone().unwrap_or_else(|| directory.join("roles"));
        Some(WrittenRoles::plan(roles, &asked, &files, &out, report))
    }

    /// The policies directory, its files, and the permissions that its exposed methods ask for.
    fn exposed(&self, report: &mut Report) -> Option<(PathBuf, PolicyFiles, BTreeSet<String>)> {
        let config = self.exposure.load(self.policies.as_deref(), report);
        if self.exposure.config.is_some() && config.is_none() {
            return None;
        }
        let named = config.as_ref().map(|config| config.policy_directory.clone());
        let directory = self.policies.clone().or(named).or_else(|| self.around_out());
        let directory = directory.unwrap_or_else(|| PathBuf::from("policies"));
        if !is_there(&directory, report) {
            return None;
        }
        let files = PolicySource::directory(&directory).read(report)?;
        let services = match &config {
            Some(config) => config.services.clone(),
            None => ExposureSettings::all(&files, report),
        };
        if services.is_empty() {
            report
                .file_error(&files.path("services"), "no service is exposed, so no permission is asked for")
                .help("name the directory that has `services/ID.yaml` and `services/ID.iam.yaml` by `--policies DIR`");
            return None;
        }
        let asked = Catalog::load(&files, &services, report)?.permissions();
        Some((directory, files, asked.into_iter().map(|(permission, _)| permission).collect()))
    }

    /// The policies directory whose `roles` is written to.
    fn around_out(&self) -> Option<PathBuf> {
        let around = self.out.as_deref().filter(|out| out.ends_with("roles"))?.parent()?;
        let around = if around.as_os_str().is_empty() { Path::new(".") } else { around };
        around.join("services").is_dir().then(|| around.to_owned())
    }

    fn sources(&self, report: &mut Report) -> Option<Vec<std::sync::Arc<Source>>> {
        if self.files.is_empty() && std::io::stdin().is_terminal() {
            report
                .file_error(Path::new("-"), "there is no input")
                .help("name a file, or pipe the output of `gcloud iam roles describe ROLE` in");
            return None;
        }
        let stdin = [PathBuf::from("-")];
        let paths = if self.files.is_empty() { &stdin[..] } else { &self.files };
        let texts = paths.iter().map(|path| source(path, report));
        texts.collect::<Vec<_>>().into_iter().collect()
    }
}

/// A file's text, or that of standard input.
fn source(path: &Path, report: &mut Report) -> Option<std::sync::Arc<Source>> {
    let (name, read) = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(document::MAX_BYTES).read_to_end(&mut bytes);
        (Path::new("standard input"), read.map(|_| bytes))
    } else {
        (path, crate::files::read(path, document::MAX_BYTES))
    };
    match read.map(String::from_utf8) {
        Ok(Ok(text)) => Some(Source::new(name, text)),
        Ok(Err(error)) => {
            document::report_not_text(name, error.utf8_error().valid_up_to(), report);
            None
        }
        Err(error) => {
            report.file_error(name, format!("cannot read it: {error}")).help(
                "name a file with the output of `gcloud iam roles describe`, or `-` for standard input",
            );
            None
        }
    }
}

fn text(roles: &WrittenRoles) -> String {
    let count = |state| roles.files.iter().filter(|file| file.state == state).count();
    let changed = count(Written::New) + count(Written::Changed);
    let kept: usize = roles.files.iter().map(|file| file.kept).sum();
    let all: usize = roles.files.iter().map(|file| file.of).sum();
    let mut text = format!("{} written to {}", counted(changed, "role"), roles.out.display());
    for (number, what) in [(count(Written::Same), "as before"), (count(Written::Foreign), "left alone")] {
        if number > 0 {
            text.push_str(&format!(", {number} {what}"));
        }
    }
    text + &format!("; {} of {all} kept: those that exposed methods ask for\n", counted(kept, "permission"))
}

fn in_json(roles: &WrittenRoles, report: &Report) -> serde_json::Value {
    let files = roles.files.iter().map(|file| {
        json!({
            "role": file.role,
            "file": file.path.display().to_string(),
            "state": file.state.name(),
            "permissions": file.kept,
            "permissionsOfRole": file.of,
        })
    });
    json!({ "valid": true, "roles": files.collect::<Vec<_>>(), "diagnostics": report.to_json() })
}
