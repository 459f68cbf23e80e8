//! `opgate fmt`: policy files, written tidily.

use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::diagnostic::{Report, Source};
use crate::document::MAX_BYTES;
use crate::files;
use crate::schema::FileSchema;
use crate::terminal::{FAILED, INVALID, eprint_report, print};
use crate::tidy::tidy;

/// Arguments of `opgate fmt`.
#[derive(Debug, clap::Args)]
pub struct FmtArgs {
    /// Policies directories, or files in one
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Change nothing, and exit 1 where a file is not tidy
    #[arg(long)]
    check: bool,
}

/// A file, and what it is.
struct PolicyPath {
    path: PathBuf,
    schema: FileSchema,
}

/// Writes each file tidily, and prints which were changed. Exits 1 where `--check` finds one that is not tidy or a file cannot
/// be written, and 3 where one cannot be read or made tidy; it stays as it is, and the others are done.
pub fn run(args: &FmtArgs) -> ExitCode {
    let mut report = Report::new();
    let mut files = Vec::new();
    for path in &args.paths {
        if path.is_dir() {
            walk(path, path, &mut files, &mut report);
        } else {
            files.extend(of_tree(path, &mut report));
        }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    let (mut changed, mut failed) = (String::new(), false);
    for file in &files {
        match one(file, args.check, &mut report) {
            Ok(true) => changed.push_str(&format!("{}\n", file.path.display())),
            Ok(false) => {}
            Err(error) => {
                failed = true;
                report
                    .file_error(&file.path, format!("cannot be written: {error}"))
                    .help("let your user write it; the file is as it was");
            }
        }
    }
    print(&changed);
    if !report.diagnostics().is_empty() {
        eprint_report(&report);
    }
    match (failed, report.is_fatal()) {
        (true, _) => ExitCode::from(FAILED),
        (false, true) => ExitCode::from(INVALID),
        (false, false) if args.check && !changed.is_empty() => ExitCode::from(FAILED),
        _ => ExitCode::SUCCESS,
    }
}

/// Whether a file is not tidy; it is by then, unless it is only checked.
fn one(file: &PolicyPath, is_check: bool, report: &mut Report) -> std::io::Result<bool> {
    let Some(text) = read(&file.path, report) else { return Ok(false) };
    let source = Source::new(&file.path, text);
    let Some(text) = tidy(&source, file.schema, report) else { return Ok(false) };
    if text == source.text {
        return Ok(false);
    }
    if !is_check {
        replace(&file.path, &text)?;
    }
    Ok(true)
}

fn read(path: &Path, report: &mut Report) -> Option<String> {
    let problem = match files::read(path, MAX_BYTES).map(String::from_utf8) {
        Ok(Ok(text)) => return Some(text),
        Ok(Err(_)) => "the file is not UTF-8".to_owned(),
        Err(error) => format!("cannot read the file: {error}"),
    };
    report.file_error(path, problem).help("it has to be a text file that your user can read");
    None
}

/// Puts a new file in the place of the old one in one step: a gate that serves must never read half of it.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // Not the link, but what it leads to.
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Sources pass over names that begin with a dot.
    let new = folder.join(format!(".{name}.{}.opgate-fmt", std::process::id()));
    let written = write_like(&path, &new, text).and_then(|()| std::fs::rename(&new, &path));
    if written.is_err() {
        // What cannot be put in place is removed; that it cannot be removed either says nothing more.
        drop(std::fs::remove_file(&new));
    }
    written
}

/// Writes a new file with the owner and the permissions of another one: the gate may be another user, and has to read it.
fn write_like(path: &Path, new: &Path, text: &str) -> std::io::Result<()> {
    let like = path.metadata()?;
    // One that is there is not written into: it may be a link that another user has made.
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
        fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(like.permissions())
}

/// The files of a tree that are text, and that a gate reads.
fn walk(tree: &Path, folder: &Path, found: &mut Vec<PolicyPath>, report: &mut Report) {
    let entries = match std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>()) {
        Ok(entries) => entries,
        Err(error) => {
            report
                .file_error(folder, format!("cannot list the directory: {error}"))
                .help("let your user read it");
            return;
        }
    };
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() && !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            walk(tree, &path, found, report);
        } else if let Some(schema) = schema_of(tree, &path) {
            found.push(PolicyPath { path, schema });
        }
    }
}

/// What a file of a tree is.
fn schema_of(tree: &Path, path: &Path) -> Option<FileSchema> {
    let is_text =
        path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|text| ending == *text));
    let parts: Option<Vec<&str>> =
        path.strip_prefix(tree).ok()?.components().map(|part| part.as_os_str().to_str()).collect();
    FileSchema::of_policy_file(&parts?.join("/")).filter(|_| is_text)
}

/// A file by itself: the tree around it says what it is.
fn of_tree(path: &Path, report: &mut Report) -> Option<PolicyPath> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let is_tree = |folder: &&Path| {
        ["services", "roles", "hierarchy.yaml", "groups.yaml"].iter().any(|name| folder.join(name).exists())
    };
    let found = whole.ancestors().skip(1).filter(is_tree).find_map(|tree| schema_of(tree, &whole));
    if found.is_none() {
        report
            .file_error(path, "this is not a file of a policy tree")
            .help("name a policies directory, or a file in one: its place says what it is");
    }
    found.map(|schema| PolicyPath { path: path.to_owned(), schema })
}
