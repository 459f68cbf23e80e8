//! A directory as a source of policy files.
//!
//! A file that is not read is a rule that is not applied, so each of these is an error: an unknown name at the top
//! (`alow/`), another extension (`demo.yml`), a directory that cannot be listed.
//! There are three exceptions. Names that begin with a dot are passed over: editors' lock files, `.git`, and the
//! `..data` links with which Kubernetes mounts a volume. Files that editors and merges leave behind (`demo.yaml~`,
//! `demo.yaml.orig`) are passed over with a warning, and so are files that hold no rule since they are not regular
//! files (a pipe, a device): a revocation beside such a file must not wait until it is removed.
//!
//! A directory is entered once, however many symbolic links lead to it, and a tree is bounded.
//!
//! Files that change while they are read would make a policy of some old files and some new ones, which no author wrote. So
//! the tree is looked at before and after: the same names have to lead to the same inodes of the same length and change
//! time. A file that was changed within the last tick of the kernel's clock could change again without another time, and
//! such a file alone is read a second time and compared.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file_name::FileName;
use super::stray::Stray;
use super::{Collected, PolicyFiles};
use crate::clock;
use crate::diagnostic::Report;
use crate::document::MAX_BYTES as MAX_FILE_BYTES;
use crate::files::{self, Entered, Stamp};

/// Deeper than any resource name that a service has.
const MAX_DEPTH: usize = 64;

/// Most files of a tree. One for each project of a large organization is tens of thousands.
pub(crate) const MAX_FILES: usize = 250_000;

/// Most bytes of a tree, over all files.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// How often a tree is read before it is said to change all the time.
const ATTEMPTS: usize = 5;

/// A directory with policy files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The directory at a path. It is not looked at yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads every file of the tree, as they were together at one moment. `None` where that is not possible: the report
    /// says why.
    pub fn read(&self, report: &mut Report) -> Option<PolicyFiles> {
        self.read_unchanged(report, |survey, begun, found| self.read_files(survey, begun, found))
    }

    /// Reads until the tree is the same before and after. What a reading found counts only then.
    fn read_unchanged<T>(
        &self,
        report: &mut Report,
        mut read: impl FnMut(&Survey, SystemTime, &mut Report) -> ReadAttempt<T>,
    ) -> Option<T> {
        for _ in 0..ATTEMPTS {
            let begun = clock::now();
            let before = Survey::of(&self.path, report)?;
            let mut found = Report::new();
            let read = read(&before, begun, &mut found);
            let after = Survey::of(&self.path, report)?;
            match read {
                ReadAttempt::Whole(files) if before == after => {
                    report.absorb(found);
                    return Some(files);
                }
                ReadAttempt::Unreadable if before == after => {
                    report.absorb(found);
                    return None;
                }
                ReadAttempt::Whole(_) | ReadAttempt::Unreadable | ReadAttempt::Changed => {}
            }
        }
        report
            .file_error(&self.path, "the files changed each time they were read")
            .help("write a tree whole, beside the old one, and put it in place in one step");
        None
    }

    fn read_files(&self, survey: &Survey, begun: SystemTime, found: &mut Report) -> ReadAttempt<PolicyFiles> {
        let mut collected = Collected::new(&self.path);
        let mut fresh = Vec::new();
        for (name, stamp) in &survey.files {
            let path = self.path.join(name.as_str());
            match files::read_stamped(&path, MAX_FILE_BYTES) {
                Ok((_, read)) if read != *stamp => return ReadAttempt::Changed,
                Ok((bytes, _)) => {
                    if stamp.is_newer_than(begun) {
                        fresh.push((path, digest_of(&bytes)));
                    }
                    collected.add(name.clone(), bytes);
                }
                Err(error) => {
                    found
                        .file_error(&path, format!("cannot read it: {error}"))
                        .help("the policy tree may hold only what the user that opgate runs as can read");
                }
            }
        }
        if found.is_fatal() {
            return ReadAttempt::Unreadable;
        }
        let is_same = |(path, digest): &(PathBuf, [u8; 32])| {
            files::read(path, MAX_FILE_BYTES).is_ok_and(|bytes| digest_of(&bytes) == *digest)
        };
        if !fresh.iter().all(is_same) {
            return ReadAttempt::Changed;
        }
        ReadAttempt::Whole(collected.finish(survey.strays.clone()))
    }
}

/// What came of an attempt.
enum ReadAttempt<T> {
    Whole(T),
    /// Some file cannot be read; the report has it.
    Unreadable,
    /// A file is not the one that was seen before.
    Changed,
}

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    digest
}

/// The names of a tree and what the system says of each file, without reading any.
#[derive(Debug, Default, PartialEq, Eq)]
struct Survey {
    files: BTreeMap<FileName, Stamp>,
    strays: BTreeMap<FileName, Stray>,
}

/// A look at a tree under way.
struct TreeWalk<'w> {
    survey: Survey,
    entered: Entered,
    bytes: u64,
    report: &'w mut Report,
}

impl Survey {
    /// Looks at a whole tree. `None`, and the report says why, where it is unreadable as a whole: a directory is in it twice
    /// or cannot be listed, or there are more files or bytes than a tree may have.
    fn of(root: &Path, report: &mut Report) -> Option<Self> {
        let mut found = Report::new();
        let mut walk =
            TreeWalk { survey: Self::default(), entered: Entered::default(), bytes: 0, report: &mut found };
        walk.enter(root, "", 0);
        let mut survey = walk.survey;
        if found.is_fatal() {
            report.absorb(found);
            return None;
        }
        // Its absence is told where services are asked for.
        let services = FileName::new("services");
        if !survey.strays.contains_key(&services)
            && !survey.files.contains_key(&services)
            && let Err(error) = fs::metadata(root.join(services.as_str()))
        {
            survey.strays.insert(services, Stray::Absent(error.to_string()));
        }
        Some(survey)
    }
}

impl TreeWalk<'_> {
    fn enter(&mut self, directory: &Path, name: &str, depth: usize) {
        if !self.may_enter(directory, depth) {
            return;
        }
        let Some(entries) = self.list(directory, name) else { return };
        for entry in entries {
            let path = directory.join(&entry);
            let name = below(name, &entry);
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {
                    if depth == 0 || super::ENDINGS.iter().any(|ending| entry.ends_with(ending)) {
                        self.survey.strays.insert(FileName::new(&name), Stray::Folder);
                    }
                    self.enter(&path, &name, depth + 1);
                }
                Ok(metadata) if metadata.is_file() => {
                    self.bytes = self.bytes.saturating_add(metadata.len());
                    self.survey.files.insert(FileName::new(&name), Stamp::of(&metadata));
                }
                Ok(_) => {
                    self.survey.strays.insert(FileName::new(&name), Stray::NotRegular);
                }
                Err(error) => {
                    let stray = match error.kind() {
                        io::ErrorKind::NotFound => Stray::Dangling(error.to_string()),
                        _ => Stray::Unknown(error.to_string()),
                    };
                    self.survey.strays.insert(FileName::new(&name), stray);
                }
            }
            if self.is_full() {
                return self.tell_full(directory);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.survey.files.len() > MAX_FILES || self.bytes > MAX_BYTES
    }

    /// Tells of a tree that is too large once: the directories around this one come by here as well.
    fn tell_full(&mut self, directory: &Path) {
        if self.report.is_fatal() {
            return;
        }
        self.report
            .file_error(directory, format!("the tree has more than {MAX_FILES} files or {MAX_BYTES} bytes"))
            .help("look in it for a file or a link that is not meant as policy");
    }

    /// Enters a directory, unless it was entered before or lies too deep.
    fn may_enter(&mut self, directory: &Path, depth: usize) -> bool {
        if depth > MAX_DEPTH {
            self.report
                .file_error(directory, format!("directories are nested deeper than {MAX_DEPTH}"))
                .help("no resource name has so many parts");
            return false;
        }
        match fs::metadata(directory) {
            Ok(metadata) if self.entered.enter(&metadata) => true,
            Ok(_) => {
                self.report.file_error(directory, "the directory is in the tree twice").help(
                    "a symbolic link leads to it, or to a directory around it: each may be in the tree once",
                );
                false
            }
            Err(error) => {
                self.report
                    .file_error(directory, format!("cannot read the directory: {error}"))
                    .help("let the user that opgate runs as read it");
                false
            }
        }
    }

    /// The names in a directory, sorted, without those that begin with a dot or were left behind.
    fn list(&mut self, directory: &Path, name: &str) -> Option<Vec<String>> {
        let entries = match fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) => {
                self.report
                    .file_error(directory, format!("cannot list the directory: {error}"))
                    .help("let the user that opgate runs as read it");
                return None;
            }
        };
        let mut names = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry.file_name().into_string() {
                Ok(entry) if entry.starts_with('.') => {}
                // A directory is meant: `deny/buckets/archive.tmp/` is the policy of a bucket of that name.
                Ok(left) if is_left_behind(&left) && !entry.path().is_dir() => {
                    self.survey.strays.insert(FileName::new(&below(name, &left)), Stray::LeftBehind);
                }
                Ok(entry) => names.push(entry),
                Err(other) => {
                    let shown = below(name, &other.to_string_lossy());
                    self.survey.strays.insert(FileName::new(&shown), Stray::UnreadableName);
                }
            }
        }
        names.sort();
        Some(names)
    }
}

/// A name in a folder of the tree; the folder at the top has none.
fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Whether a name is one that editors, merges, package managers and desktops give to the files they leave behind: a
/// backup, a lock, the other side of a conflict. None of them can be meant as a policy, and a policy that was edited
/// beside one must not wait for it.
fn is_left_behind(name: &str) -> bool {
    const ENDINGS: [&str; 21] = [
        "~",
        ".bak",
        ".orig",
        ".rej",
        ".save",
        ".swo",
        ".swp",
        ".kate-swp",
        ".tmp",
        "___jb_old___",
        "___jb_tmp___",
        ".rpmnew",
        ".rpmsave",
        ".rpmorig",
        ".dpkg-dist",
        ".dpkg-new",
        ".dpkg-old",
        ".dpkg-tmp",
        ".ucf-dist",
        ".ucf-new",
        ".ucf-old",
    ];
    // Vim finds out by the first whether it may write here.
    const NAMES: [&str; 3] = ["4913", "Thumbs.db", "desktop.ini"];
    let is_wrapped = name.len() > 1 && name.starts_with('#') && name.ends_with('#');
    let has_ending = ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending));
    is_wrapped || has_ending || NAMES.contains(&name)
}

#[cfg(test)]
mod tests;
