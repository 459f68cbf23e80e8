//! The files of a service, found by its id in a directory.

use std::path::{Path, PathBuf};

use super::ExposureSettings;
use super::iam::IamFile;
use super::resolve::{Definition, resolve};
use super::service::Service;
use crate::diagnostic::Report;
use crate::document::{self, nearest};

/// Reads the two files of a service and joins them. `known` is what [`service_ids`] found.
pub(super) fn load_definition(
    directory: &Path,
    known: &[String],
    settings: &ExposureSettings,
    report: &mut Report,
) -> Option<Definition> {
    let id = settings.id.as_str();
    let listed = known.iter().any(|known| known == id);
    let Some(service_path) = listed.then(|| only_file(directory, id, report)).flatten() else {
        report_unknown(directory, known, settings, report);
        return None;
    };
    let service = document::read(&service_path, report).and_then(|node| Service::read(&node, report));
    let Some(iam_path) = only_file(directory, &format!("{id}.iam"), report) else {
        let path = directory.join(format!("{id}.iam.yaml"));
        report
            .error(&settings.span, format!("`{id}` has no iam file, so nothing of it can be exposed"))
            .help(format!(
                "create {} with `service:` and, under `rules:`, a `selector` and a `permission` for each method to \
                 expose",
                path.display()
            ));
        return None;
    };
    let iam = document::read(&iam_path, report).and_then(|node| IamFile::read(&node, report));
    Some(resolve(service?, iam?, &service_path, report))
}

fn report_unknown(directory: &Path, known: &[String], settings: &ExposureSettings, report: &mut Report) {
    let (id, shown) = (&settings.id, directory.display());
    let diagnostic =
        report.error(&settings.span, format!("there is no service file for `{id}` in `{shown}`"));
    match nearest(id, known.iter().map(String::as_str)) {
        Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
        None if known.is_empty() => {
            diagnostic.help(format!("put the google.api.Service in {shown}/{id}.yaml"))
        }
        None => diagnostic.help(format!("there are files for {}", quoted(known))),
    };
}

/// The endings under which a file may be kept.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The ids of the service files in a directory, sorted.
pub(super) fn service_ids(directory: &Path, report: &mut Report) -> Option<Vec<String>> {
    let names: std::io::Result<Vec<_>> = std::fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect());
    let names = match names {
        Ok(names) => names,
        Err(error) => {
            report
                .file_error(directory, format!("cannot read the directory: {error}"))
                .help("it holds the service files, `<id>.yaml` and `<id>.iam.yaml`");
            return None;
        }
    };
    let mut ids: Vec<String> = names
        .iter()
        .filter_map(|name| name.to_str()?.rsplit_once('.'))
        .filter(|(id, ending)| ENDINGS.contains(ending) && !id.ends_with(".iam"))
        .map(|(id, _)| id.to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    Some(ids)
}

/// Whether a service has an iam file.
pub(super) fn has_iam_file(directory: &Path, id: &str) -> bool {
    candidates(directory, &format!("{id}.iam")).next().is_some()
}

/// The file of this name, whatever its ending; two of them contradict each other. Whether it can be read shows when it
/// is.
fn only_file(directory: &Path, stem: &str, report: &mut Report) -> Option<PathBuf> {
    let mut found = candidates(directory, stem);
    let first = found.next()?;
    if let Some(second) = found.next() {
        report
            .file_error(&second, format!("the file {} says the same things", first.display()))
            .help("keep one of the two");
    }
    Some(first)
}

fn candidates(directory: &Path, stem: &str) -> impl Iterator<Item = PathBuf> {
    let paths = ENDINGS.iter().map(move |ending| directory.join(format!("{stem}.{ending}")));
    paths.filter(|path| path.symlink_metadata().is_ok())
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
