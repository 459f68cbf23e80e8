//! Facts about files that are known without reading them, and when they last changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::files::{Entered, Stamp};

/// More symbolic links on the way to a file than any system follows.
const MAX_LINKS: usize = 40;

/// More files than a tree may have (`source::directory::MAX_FILES`), and the others. Files beyond that are not looked at.
const MAX_FILES: usize = 300_000;

/// Files and trees, as they were at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Fingerprint {
    /// Of each file, the one that its path leads to. That a path leads nowhere counts as well.
    files: BTreeMap<PathBuf, Option<Stamp>>,
    /// Directories of trees.
    directories: BTreeMap<PathBuf, Option<Stamp>>,
    /// Directories that decide where the path of a file or a tree leads.
    ways: BTreeMap<PathBuf, Option<Stamp>>,
    /// The symbolic links on these paths.
    crossed: Vec<Stamp>,
    /// Files that do not lie in a directory of a tree: those that are named, and what symbolic links in trees lead to.
    alone: BTreeSet<PathBuf>,
}

/// Which events of a path are of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    /// Everything that changes it or what is in it.
    Content,
    /// The names in a directory. Other programs write files beside them, a log for example.
    Names,
}

/// Two are equal where all files are the same. What else happens in their directories does not count.
impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl Fingerprint {
    /// Looks at files and trees.
    pub(super) fn of(roots: &[PathBuf]) -> Self {
        let mut found = Self::default();
        let mut entered = Entered::default();
        let mut pending = Vec::new();
        for root in roots {
            found.way_to(root);
            found.alone.extend((!root.is_dir()).then(|| root.clone()));
            pending.push(root.clone());
        }
        while let Some(path) = pending.pop().filter(|_| found.files.len() < MAX_FILES) {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {
                    // Once each: a symbolic link may lead back up.
                    if entered.enter(&metadata) {
                        found.enter(&path, &metadata, &mut pending);
                    }
                }
                known => {
                    found.files.insert(path, known.ok().as_ref().map(Stamp::of));
                }
            }
        }
        found
    }

    fn enter(&mut self, directory: &Path, metadata: &Metadata, pending: &mut Vec<PathBuf>) {
        self.directories.insert(directory.to_owned(), Some(Stamp::of(metadata)));
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            // A tree is read without these: `.git`, and the data of a ConfigMap, which links lead into.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                self.alone.insert(path.clone());
            }
            pending.push(path);
        }
    }

    /// Notes the directories that decide where a path leads: its own, and those of every symbolic link on it.
    fn way_to(&mut self, path: &Path) {
        let mut pending = vec![std::path::absolute(path).unwrap_or_else(|_| path.to_owned())];
        for _ in 0..MAX_LINKS {
            let Some(path) = pending.pop() else { return };
            let links = path.ancestors().filter(|part| part.is_symlink());
            for link in links {
                let Some(parent) = link.parent() else { continue };
                self.crossed.extend(fs::symlink_metadata(link).ok().as_ref().map(Stamp::of));
                self.note(parent);
                pending.extend(fs::read_link(link).map(|target| parent.join(target)));
            }
            if let Some(parent) = path.parent() {
                self.note(parent);
            }
        }
    }

    fn note(&mut self, directory: &Path) {
        let stamp = fs::metadata(directory).ok().as_ref().map(Stamp::of);
        self.ways.insert(directory.to_owned(), stamp);
    }

    /// Whether nothing at all has happened since, in directories either.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.files == other.files
            && self.directories == other.directories
            && self.ways == other.ways
            && self.alone == other.alone
    }

    /// The paths to watch to hear of any change.
    pub(super) fn watched(&self) -> impl Iterator<Item = (&PathBuf, Interest)> {
        let content = self.directories.keys().chain(&self.alone).map(|path| (path, Interest::Content));
        content.chain(self.ways.keys().map(|path| (path, Interest::Names)))
    }

    /// When the last change since `before` was made.
    pub(super) fn changed_since(&self, before: &Self) -> Option<SystemTime> {
        let files = self.files.iter().filter(|(path, stamp)| before.files.get(*path) != Some(stamp));
        let directories =
            self.directories.iter().filter(|(path, stamp)| before.directories.get(*path) != Some(stamp));
        let ways = self.ways.iter().filter(|(path, stamp)| before.ways.get(*path) != Some(stamp));
        files.chain(directories).chain(ways).filter_map(|(_, stamp)| Some(stamp.as_ref()?.changed())).max()
    }

    /// Whether anything may have been changed after a moment: a file, the names in a directory of a tree, a link on the
    /// way.
    pub(super) fn is_newer_than(&self, moment: SystemTime) -> bool {
        let files = self.files.values().chain(self.directories.values());
        files.flatten().chain(&self.crossed).any(|stamp| stamp.is_newer_than(moment))
            // A file that was removed does not say when.
            || self.files.values().any(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::files::TICK;

    fn look(root: &Path) -> Fingerprint {
        Fingerprint::of(&[root.to_owned()])
    }

    #[test]
    fn symlinks_that_lead_round_and_round_end_the_look() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::os::unix::fs::symlink(".", directory.path().join(name)).unwrap();
        }
        std::fs::write(directory.path().join("file"), "").unwrap();
        assert_eq!(look(directory.path()).files.len(), 1);
    }

    #[test]
    fn a_fingerprint_sees_edits_additions_and_a_swapped_symlink() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for version in ["v1", "v2"] {
            std::fs::create_dir(root.join(version)).unwrap();
            std::fs::write(root.join(version).join("a.yaml"), "same length").unwrap();
        }
        std::os::unix::fs::symlink("v1", root.join("current")).unwrap();
        let current = root.join("current");
        let first = look(&current);
        assert!(look(&current) == first);
        assert!(first.watched().any(|(watched, _)| watched == root), "the link is swapped there");

        // As a ConfigMap is updated: a new symlink, renamed over the old one.
        std::os::unix::fs::symlink("v2", root.join("next")).unwrap();
        std::fs::rename(root.join("next"), &current).unwrap();
        let second = look(&current);
        assert!(second != first);
        assert!(second.changed_since(&first).is_some());

        std::fs::write(root.join("v2/b.yaml"), "x").unwrap();
        let third = look(&current);
        assert!(third != second);
        std::fs::remove_dir_all(root.join("v2")).unwrap();
        assert!(look(&current) != third);
    }

    #[test]
    fn a_file_that_was_taken_away_before_the_first_look_is_told() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), "").unwrap();
        std::fs::write(directory.path().join("b.yaml"), "").unwrap();
        std::thread::sleep(TICK * 2);
        let read_at = crate::clock::now();
        assert!(!look(directory.path()).is_newer_than(read_at));
        std::fs::remove_file(directory.path().join("a.yaml")).unwrap();
        assert!(look(directory.path()).is_newer_than(read_at));
    }

    #[test]
    fn a_change_that_keeps_length_and_modification_time_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        std::fs::write(&path, "user:ana").unwrap();
        let before = look(directory.path());
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        // The change time advances in ticks of the kernel.
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(&path, "user:bob").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert!(look(directory.path()) != before);

        let before = look(directory.path());
        let beside = directory.path().join(".next");
        std::fs::write(&beside, "user:eve").unwrap();
        std::fs::File::options().write(true).open(&beside).unwrap().set_modified(modified).unwrap();
        std::fs::rename(beside, &path).unwrap();
        assert!(look(directory.path()) != before);
    }
}
