//! The files of a service, found by its id below `services/`.

use super::ExposureSettings;
use super::descriptor::Descriptors;
use super::iam::IamFile;
use super::resolve::{Definition, resolve};
use super::service::Service;
use crate::diagnostic::Report;
use crate::document::nearest;
use crate::source::PolicyFiles;

/// The folder of service and iam files.
const FOLDER: &str = "services";

/// Reads the two files of a service and joins them. `known` is what [`service_ids`] found.
pub(super) fn load_definition(
    files: &PolicyFiles,
    known: &[String],
    settings: &ExposureSettings,
    report: &mut Report,
) -> Option<Definition> {
    let id = settings.id.as_str();
    let listed = known.iter().any(|known| known == id);
    let written = listed.then(|| only_file(files, id, report)).flatten();
    let binary = files.binary(&format!("{FOLDER}/{id}.binpb")).filter(|_| listed);
    if written.is_none() && binary.is_none() {
        report_unknown(files, known, settings, report);
        return None;
    }
    let descriptors = match binary {
        Some((path, bytes)) => Some(Descriptors::read(path, bytes, report)?),
        None => None,
    };
    let service = match &written {
        Some(name) => files.parse(name, report).and_then(|node| Service::read(&node, report)),
        None => descriptors.as_ref().map(Descriptors::service),
    };
    let Some(iam_name) = only_file(files, &format!("{id}.iam"), report) else {
        let path = files.path(&format!("{FOLDER}/{id}.iam.yaml"));
        report
            .error(&settings.span, format!("`{id}` has no iam file, so nothing of it can be exposed"))
            .help(format!(
                "create {} with `service:` and, under `rules:`, a `selector` and a `permission` for each method to \
                 expose",
                path.display()
            ));
        return None;
    };
    let iam = files.parse(&iam_name, report).and_then(|node| IamFile::read(&node, report));
    let (mut service, iam) = (service?, iam?);
    if let Some(descriptors) = &descriptors {
        let is_of = |selector: &str, api: &str| {
            selector
                .strip_prefix(api)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|method| !method.contains('.'))
        };
        let names = |api: &str| iam.rules.iter().any(|rule| is_of(&rule.selector, api));
        descriptors.add_to(&mut service, names, report);
    }
    let shown = written.unwrap_or_else(|| format!("{FOLDER}/{id}.binpb"));
    let rpcs = descriptors.map(|descriptors| descriptors.rpcs).unwrap_or_default();
    resolve(service, iam, &rpcs, &files.path(&shown), report)
}

fn report_unknown(files: &PolicyFiles, known: &[String], settings: &ExposureSettings, report: &mut Report) {
    let folder = files.path(FOLDER);
    let (id, shown) = (&settings.id, folder.display());
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

/// The ids of the service files, sorted.
pub(super) fn service_ids(files: &PolicyFiles, report: &mut Report) -> Option<Vec<String>> {
    let mut ids: Vec<String> = files
        .names_in(FOLDER, report)?
        .into_iter()
        .filter_map(|name| name.rsplit_once('.'))
        .filter(|(id, ending)| (ENDINGS.contains(ending) && !id.ends_with(".iam")) || *ending == "binpb")
        .map(|(id, _)| id.to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    Some(ids)
}

/// Whether a service has an iam file.
pub(super) fn has_iam_file(files: &PolicyFiles, id: &str) -> bool {
    candidates(files, &format!("{id}.iam")).next().is_some()
}

/// The name of the file with this stem, whatever its ending; two of them contradict each other. Whether it can be read
/// shows when it is.
fn only_file(files: &PolicyFiles, stem: &str, report: &mut Report) -> Option<String> {
    let mut found = candidates(files, stem);
    let first = found.next()?;
    if let Some(second) = found.next() {
        let shown = files.path(&first);
        report
            .file_error(&files.path(&second), format!("the file {} says the same things", shown.display()))
            .help("keep one of the two");
    }
    Some(first)
}

fn candidates(files: &PolicyFiles, stem: &str) -> impl Iterator<Item = String> {
    let names = ENDINGS.iter().map(move |ending| format!("{FOLDER}/{stem}.{ending}"));
    names.filter(|name| files.contains(name))
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
