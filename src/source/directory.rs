//! The policies directory as a list of files, in an order that does not depend on the file system.
//!
//! A file that is not read is a rule that is not applied, so each of these is an error: an unknown name at the top
//! (`alow/`), another extension (`demo.yml`), a directory that cannot be listed.
//! There are three exceptions. Names that begin with a dot are passed over: editors' lock files, `.git`, and the
//! `..data` links with which Kubernetes mounts a volume. Files that editors and merges leave behind (`demo.yaml~`,
//! `demo.yaml.orig`) are passed over with a warning, and so are files that hold no rule since they are not regular
//! files (a pipe, a device): a revocation beside such a file must not wait until it is removed.
//!
//! A directory is entered once, however many symbolic links lead to it, and a tree is bounded ([`survey`]).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::diagnostic::Report;
use crate::document::nearest;
use crate::files::Entered;

/// What may stand at the top of a policies directory, beside `README*`.
const TOP: [&str; 9] = [
    "services",
    "roles",
    "allow",
    "deny",
    "boundaries",
    "hierarchy.yaml",
    "groups.yaml",
    "tags.yaml",
    "tests",
];

/// Deeper than any resource name that a service has.
const MAX_DEPTH: usize = 64;

/// Most files of a tree. One for each project of a large organization is tens of thousands.
pub(crate) const MAX_FILES: usize = 250_000;

/// Most bytes of a tree, over all files.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// A YAML or JSON file below one of the directories.
#[derive(Debug)]
pub(crate) struct TreeFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its path below the directory with `/` between the parts, without extension: `projects/demo`.
    pub(crate) stem: String,
}

/// Reports what does not belong at the top of the directory.
pub(crate) fn check_top(directory: &Path, report: &mut Report) {
    let Some(entries) = list(directory, report) else { return };
    for (path, name) in entries {
        if TOP.contains(&name.as_str()) || name.starts_with("README") {
            continue;
        }
        let diagnostic = report.file_error(&path, format!("a policies directory has no `{name}`"));
        match nearest(&name, TOP.into_iter()) {
            Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
            None => diagnostic.help(format!("its entries are {}; move anything else away", TOP.join(", "))),
        };
    }
}

/// The file at the top with this name, or `None` where there is none.
pub(crate) fn top_file(directory: &Path, name: &str, report: &mut Report) -> Option<PathBuf> {
    let path = directory.join(name);
    exists(&path, report).then_some(path)
}

/// Every file below a directory of the tree, which need not exist, sorted by path.
pub(crate) fn files(directory: &Path, below: &str, report: &mut Report) -> Vec<TreeFile> {
    let root = directory.join(below);
    let mut found = Vec::new();
    if exists(&root, report) {
        walk(&root, "", 0, &mut Walk { entered: &mut Entered::default(), found: &mut found }, report);
    }
    found
}

/// What a walk has found.
struct Walk<'w> {
    entered: &'w mut Entered,
    found: &'w mut Vec<TreeFile>,
}

fn walk(directory: &Path, stem: &str, depth: usize, walked: &mut Walk<'_>, report: &mut Report) {
    if !may_enter(directory, depth, walked.entered, report) {
        return;
    }
    for (path, name) in list(directory, report).unwrap_or_default() {
        let below = |name: &str| if stem.is_empty() { name.to_owned() } else { format!("{stem}/{name}") };
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => walk(&path, &below(&name), depth + 1, walked, report),
            Ok(metadata) if !metadata.is_file() => {
                report
                    .file_warning(&path, "the file is passed over: it is not a regular file")
                    .help("remove it: a pipe, a socket or a device holds no rules");
            }
            Ok(_) => match name.rsplit_once('.') {
                Some((bare, "yaml" | "json")) if !bare.is_empty() => {
                    walked.found.push(TreeFile { stem: below(bare), path });
                }
                extension => {
                    let diagnostic = report.file_error(&path, "the file is neither `.yaml` nor `.json`");
                    match extension {
                        Some((bare, "yml")) => diagnostic.help(format!("rename it to `{bare}.yaml`")),
                        _ => diagnostic.help("move it out of the policies directory"),
                    };
                }
            },
            Err(error) => {
                report
                    .file_error(&path, format!("cannot read the file: {error}"))
                    .help("a link that leads nowhere, or a file that opgate may not read");
            }
        }
    }
}

/// Enters a directory, unless it was entered before or lies too deep.
fn may_enter(directory: &Path, depth: usize, entered: &mut Entered, report: &mut Report) -> bool {
    if depth > MAX_DEPTH {
        report
            .file_error(directory, format!("directories are nested deeper than {MAX_DEPTH}"))
            .help("no resource name has so many parts");
        return false;
    }
    match fs::metadata(directory) {
        Ok(metadata) if entered.enter(&metadata) => true,
        Ok(_) => {
            report.file_error(directory, "the directory is in the tree twice").help(
                "a symbolic link leads to it, or to a directory around it: each may be in the tree once",
            );
            false
        }
        Err(error) => {
            report
                .file_error(directory, format!("cannot read the directory: {error}"))
                .help("let the user that opgate runs as read it");
            false
        }
    }
}

/// Every file of a tree that may be read, by path: a look at the whole tree before any file is opened. The report says
/// what makes it unreadable as a whole: a directory that is in it twice, or more files or bytes than a tree may have.
pub(crate) fn survey(directory: &Path, report: &mut Report) -> Vec<PathBuf> {
    let mut survey = Survey::default();
    survey.enter(directory, 0, report);
    survey.files.sort();
    survey.files
}

#[derive(Default)]
struct Survey {
    entered: Entered,
    files: Vec<PathBuf>,
    bytes: u64,
    is_full: bool,
}

impl Survey {
    fn enter(&mut self, directory: &Path, depth: usize, report: &mut Report) {
        if self.is_full || !may_enter(directory, depth, &mut self.entered, report) {
            return;
        }
        // The readers of the files report what is passed over with a warning.
        let mut quiet = Report::new();
        let Some(entries) = list(directory, &mut quiet) else { return report.absorb(quiet) };
        for (path, _) in entries {
            // They report a link that leads nowhere, too.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_dir() {
                self.enter(&path, depth + 1, report);
            } else if metadata.is_file() {
                self.bytes = self.bytes.saturating_add(metadata.len());
                self.files.push(path);
            }
            if self.is_full {
                return;
            }
            if self.files.len() > MAX_FILES || self.bytes > MAX_BYTES {
                self.is_full = true;
                report
                    .file_error(
                        directory,
                        format!("the tree has more than {MAX_FILES} files or {MAX_BYTES} bytes"),
                    )
                    .help("look in it for a file or a link that is not meant as policy");
                return;
            }
        }
    }
}

/// Whether a name is one that editors and merges give to the files they leave behind: a backup, a lock, the other side
/// of a conflict. None of them can be meant as a policy, and a policy that was edited beside one must not wait for it.
fn is_left_behind(name: &str) -> bool {
    const ENDINGS: [&str; 10] =
        ["~", ".bak", ".orig", ".rej", ".swo", ".swp", ".tmp", ".rpmnew", ".rpmsave", ".dpkg-dist"];
    let is_wrapped = name.len() > 1 && name.starts_with('#') && name.ends_with('#');
    is_wrapped || ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
}

/// The entries of a directory, sorted by name, without those that begin with a dot or were left behind.
fn list(directory: &Path, report: &mut Report) -> Option<Vec<(PathBuf, String)>> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            report
                .file_error(directory, format!("cannot list the directory: {error}"))
                .help("let the user that opgate runs as read it");
            return None;
        }
    };
    let mut named = Vec::with_capacity(entries.len());
    for entry in entries {
        match entry.file_name().into_string() {
            Ok(name) if name.starts_with('.') => {}
            // A directory is meant: `deny/buckets/archive.tmp/` is the policy of a bucket of that name.
            Ok(name) if is_left_behind(&name) && !entry.path().is_dir() => {
                report
                    .file_warning(
                        &entry.path(),
                        "the file is passed over: an editor or a merge has left it behind",
                    )
                    .help("remove it; no rule in it is in force");
            }
            Ok(name) => named.push((entry.path(), name)),
            Err(_) => {
                report
                    .file_error(&entry.path(), "the name of the file is not UTF-8")
                    .help("rename it: names of files are names of resources");
            }
        }
    }
    named.sort_by(|(_, left), (_, right)| left.cmp(right));
    Some(named)
}

fn exists(path: &Path, report: &mut Report) -> bool {
    match path.try_exists() {
        // A broken link does not count as absent: the rules in the missing file would not be applied.
        Ok(false) if path.is_symlink() => {
            report.file_error(path, "the link leads nowhere").help("remove it, or put back what it leads to");
            false
        }
        Ok(exists) => exists,
        Err(error) => {
            report
                .file_error(path, format!("cannot read the file: {error}"))
                .help("let the user that opgate runs as read its directory");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of a resource may end like that of a backup.
    #[test]
    fn a_directory_is_not_taken_for_what_an_editor_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let bucket = directory.path().join("deny/projects/demo/buckets/archive.tmp");
        fs::create_dir_all(&bucket).unwrap();
        fs::write(bucket.join("freeze.yaml"), "").unwrap();
        fs::write(bucket.join("freeze.yaml~"), "").unwrap();
        let mut report = Report::new();
        let found = files(directory.path(), "deny", &mut report);
        let stems: Vec<&str> = found.iter().map(|file| file.stem.as_str()).collect();
        assert_eq!(stems, ["projects/demo/buckets/archive.tmp/freeze"]);
        assert_eq!(survey(directory.path(), &mut report).len(), 1);
    }

    #[test]
    fn a_directory_that_links_lead_to_is_in_the_tree_once() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("allow/projects")).unwrap();
        for name in ["a", "b"] {
            std::os::unix::fs::symlink("projects", directory.path().join("allow").join(name)).unwrap();
            std::os::unix::fs::symlink("..", directory.path().join("allow/projects").join(name)).unwrap();
        }
        let mut report = Report::new();
        survey(directory.path(), &mut report);
        assert!(report.is_fatal(), "{}", report.render(false));
    }
}
