//! `opgate init`: a small configuration and policy tree to begin with.
//!
//! It asks nothing. What it writes passes `opgate check` and `opgate test` as it is, and each file says in comments what
//! belongs into it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::diagnostic::Report;
use crate::schema::FileSchema;
use crate::terminal::{FAILED, INVALID, eprint_report, print};

/// Arguments of `opgate init`.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// Where to write the files; made if it is missing
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// The name of the API, which is a host name
    #[arg(long, value_name = "HOST", default_value = "jobs.example.com")]
    service: String,
}

/// The files, by their path. In both, `@ID@` is the id of the service, and in the text `@SERVICE@` is its name.
const FILES: &[(&str, &str)] = &[
    ("opgate.yaml", include_str!("init/files/opgate.yaml")),
    ("policies/services/@ID@.yaml", include_str!("init/files/policies/services/service.yaml")),
    ("policies/services/@ID@.iam.yaml", include_str!("init/files/policies/services/service.iam.yaml")),
    ("policies/roles/@ID@-viewer.yaml", include_str!("init/files/policies/roles/viewer.yaml")),
    ("policies/roles/@ID@-editor.yaml", include_str!("init/files/policies/roles/editor.yaml")),
    ("policies/allow/projects/demo.yaml", include_str!("init/files/policies/allow/projects/demo.yaml")),
    ("policies/groups.yaml", include_str!("init/files/policies/groups.yaml")),
    ("policies/tests/@ID@.yaml", include_str!("init/files/policies/tests/service.yaml")),
];

/// Writes the files, all or none of them. Exits 1 where one is there already or cannot be written, and 3 where the name of
/// the API is not one.
pub fn run(args: &InitArgs) -> ExitCode {
    let mut report = Report::new();
    let Some(id) = id_of(&args.service) else {
        report.file_error(&args.directory, format!("`{}` cannot be the name of an API", args.service)).help(
            "write a host name in small letters, like `jobs.example.com`; its first label names the files",
        );
        eprint_report(&report);
        return ExitCode::from(INVALID);
    };
    let files: Vec<(PathBuf, String)> = FILES
        .iter()
        .map(|(path, text)| {
            let text = text.replace("@SERVICE@", &args.service).replace("@ID@", id);
            (args.directory.join(path.replace("@ID@", id)), text)
        })
        .collect();
    // Their first line names these to editors.
    let folder = args.directory.join("schemas");
    let schemas = FileSchema::ALL.iter().map(|schema| (folder.join(schema.file_name()), schema.to_text()));
    let all: Vec<(PathBuf, String)> = files.iter().cloned().chain(schemas).collect();
    if !write_all(&all, &mut report) {
        eprint_report(&report);
        return ExitCode::from(FAILED);
    }
    print(&summary(args, &files));
    ExitCode::SUCCESS
}

/// The id of a service: the first label of its name. `None` where the name is not a host name, or the label cannot begin a
/// permission.
fn id_of(service: &str) -> Option<&str> {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let id = service.split('.').next()?;
    let is_name = service.len() <= 253 && service.contains('.') && service.split('.').all(is_label);
    (is_name && id.starts_with(|first: char| first.is_ascii_lowercase())).then_some(id)
}

/// Writes every file, or none where one of them is there already.
fn write_all(files: &[(PathBuf, String)], report: &mut Report) -> bool {
    for (path, _) in files.iter().filter(|(path, _)| path.symlink_metadata().is_ok()) {
        report
            .file_error(path, "the file is there already")
            .help("choose another directory, or another `--service`; `opgate init` replaces nothing");
    }
    if report.is_fatal() {
        return false;
    }
    let mut made = Vec::new();
    for (path, text) in files {
        if let Err(error) = write_new(path, text, &mut made) {
            report.file_error(path, format!("cannot be written: {error}")).help("choose another directory");
            remove(&made, report);
            return false;
        }
    }
    true
}

/// Writes a file that is not there, and makes its directory. What is made is added to `made`.
fn write_new(path: &Path, text: &str, made: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let folders = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    let missing: Vec<&Path> = folders.take_while(|folder| folder.symlink_metadata().is_err()).collect();
    for folder in missing.into_iter().rev() {
        std::fs::create_dir(folder)?;
        made.push(folder.to_owned());
    }
    let mut file = std::fs::File::create_new(path)?;
    made.push(path.to_owned());
    std::io::Write::write_all(&mut file, text.as_bytes())
}

/// Removes what was made, the last first.
fn remove(made: &[PathBuf], report: &mut Report) {
    for path in made.iter().rev() {
        let removed = if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
        if let Err(error) = removed {
            report.file_error(path, format!("cannot be removed: {error}")).help("remove it by hand");
        }
    }
}

/// What was written, and what to do next.
fn summary(args: &InitArgs, files: &[(PathBuf, String)]) -> String {
    let mut text = String::from("Written:\n");
    for (path, _) in files {
        text.push_str(&format!("  {}\n", path.display()));
    }
    let schemas = args.directory.join("schemas");
    text.push_str(&format!("  {}, by which editors know the keys of these files\n", schemas.display()));
    let (config, policies) = (args.directory.join("opgate.yaml"), args.directory.join("policies"));
    text.push_str(&format!(
        "\nNext:\n  opgate check --config {config}\n  opgate test {policies}\n\n\
         Then write into {config} where {} listens and who signs its tokens, and run it:\n  \
         opgate run --config {config}\n",
        args.service,
        config = config.display(),
        policies = policies.display(),
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_label_of_a_host_name_is_the_id() {
        for (service, id) in [
            ("jobs.example.com", Some("jobs")),
            ("a-1.b", Some("a-1")),
            ("jobs", None),
            ("Jobs.example.com", None),
            ("1.example.com", None),
            ("jobs..com", None),
            ("jobs.example.com.", None),
            ("../x.y", None),
            ("*.example.com", None),
            ("-a.b", None),
            ("", None),
        ] {
            assert_eq!(id_of(service), id, "{service}");
        }
    }
}
