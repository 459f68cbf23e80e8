//! Where policy files come from: a set of named files with a revision, read once.
//!
//! ```text
//! Directory ──┐ read: every file opened once, nothing changed meanwhile
//!             ├──► PolicyFiles ──► Catalog, Policy, lint, tests: pure from here on
//! memory ─────┘    names, texts, revision
//! ```
//!
//! A file that is not read is a rule that is not applied. So what a source passes over is part of [`PolicyFiles`] too
//! (`Stray`), and is told of when a loader asks for the folder or the file.

pub mod directory;
mod file_name;
pub mod memory;
mod revision;
mod stray;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::directory::Directory;
use self::file_name::FileName;
pub use self::revision::Revision;
use self::revision::RevisionDigest;
use self::stray::Stray;
use crate::diagnostic::{Place, Report, Source};
use crate::document::{self, Node};

/// What files with rules end in, and what is often written in their place.
const ENDINGS: [&str; 3] = [".yaml", ".json", ".yml"];

/// What policy files are read from.
#[derive(Clone, Debug)]
pub enum PolicySource {
    /// A directory of the machine.
    Directory(Directory),
    /// Files that are in memory already.
    Memory(PolicyFiles),
}

impl PolicySource {
    /// The source that a configuration names by a path.
    pub fn directory(path: &Path) -> Self {
        Self::Directory(Directory::new(path))
    }

    /// Reads every file once, as they were together at one moment. `None` where that is not possible: the report says why.
    pub fn read(&self, report: &mut Report) -> Option<PolicyFiles> {
        match self {
            Self::Directory(directory) => directory.read(report),
            Self::Memory(files) => Some(files.clone()),
        }
    }

    /// The path below which a change of files has to be looked for. What is in memory does not change.
    pub fn watched(&self) -> Option<&Path> {
        match self {
            Self::Directory(directory) => Some(directory.path()),
            Self::Memory(_) => None,
        }
    }
}

/// The files of a policy tree with their texts, by name (`allow/projects/demo.yaml`), and the revision of them all.
///
/// A clone shares the texts. A loader that owns its files drops each text once it has used it.
#[derive(Clone, Debug)]
pub struct PolicyFiles {
    root: PathBuf,
    revision: Revision,
    files: BTreeMap<FileName, Content>,
    strays: BTreeMap<FileName, Stray>,
}

/// What descriptor sets end in (services/ID.binpb).
const BINARY: &str = ".binpb";

/// What is in a file.
#[derive(Clone, Debug)]
enum Content {
    Text(Arc<Source>),
    Binary {
        path: PathBuf,
        bytes: Arc<[u8]>,
    },
    /// It is not UTF-8 from this byte on.
    NotText {
        path: PathBuf,
        at: usize,
    },
}

/// A file below a folder of the tree, `.yaml` or `.json`.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// Its name below the folder, without extension: `projects/demo`.
    pub stem: Box<str>,
    content: Content,
}

impl PolicyFile {
    /// The path as the user would type it.
    pub fn path(&self) -> &Path {
        self.content.path()
    }

    /// The file as a tree of values. What is wrong with it is in the report.
    pub fn parse(&self, report: &mut Report) -> Option<Node> {
        self.content.parse(report)
    }

    /// The file as it was read, where it is text.
    pub fn source(&self) -> Option<&Arc<Source>> {
        match &self.content {
            Content::Text(source) => Some(source),
            Content::Binary { .. } | Content::NotText { .. } => None,
        }
    }
}

impl Content {
    fn path(&self) -> &Path {
        match self {
            Self::Text(source) => &source.path,
            Self::NotText { path, .. } | Self::Binary { path, .. } => path,
        }
    }

    fn parse(&self, report: &mut Report) -> Option<Node> {
        match self {
            Self::Text(source) => document::parse(source, report),
            Self::NotText { path, at } => {
                document::report_not_text(path, *at, report);
                None
            }
            Self::Binary { path, .. } => {
                document::report_not_text(path, 0, report);
                None
            }
        }
    }
}

impl PolicyFiles {
    /// Names the files by their content.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// A name as the user would type it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The files below a folder, which need not exist, in the order of their names. What is in the folder and cannot hold
    /// a rule is in the report.
    pub fn below(&self, folder: &str, report: &mut Report) -> Vec<PolicyFile> {
        let root = FileName::new(folder);
        if let Some(stray) = self.strays.get(&root) {
            stray.tell_as_folder(&self.path(folder), report);
        } else if let Some(file) = self.files.get(&root) {
            Stray::OtherEnding.tell_as_folder(file.path(), report);
        }
        let first = FileName::new(&format!("{folder}/"));
        let prefix = first.as_str();
        let mut strays = self.strays.range(&first..).take_while(|(name, _)| name.is_below(prefix)).peekable();
        let mut found = Vec::new();
        for (name, content) in self.files.range(&first..).take_while(|(name, _)| name.is_below(prefix)) {
            while let Some((stray, what)) = strays.next_if(|(stray, _)| *stray < name) {
                what.tell(&self.path(stray.as_str()), report);
            }
            match name.as_str().strip_prefix(prefix).and_then(|name| name.rsplit_once('.')) {
                Some((stem, "yaml" | "json")) if !stem.is_empty() && !stem.ends_with('/') => {
                    found.push(PolicyFile { stem: stem.into(), content: content.clone() });
                }
                _ => Stray::OtherEnding.tell(content.path(), report),
            }
        }
        strays.for_each(|(name, what)| what.tell(&self.path(name.as_str()), report));
        found
    }

    /// The file of this name as a tree of values, or `None` where there is none. What is wrong with it is in the report.
    pub fn parse(&self, name: &str, report: &mut Report) -> Option<Node> {
        let name = FileName::new(name);
        if let Some(stray) = self.strays.get(&name) {
            stray.tell_as_file(&self.path(name.as_str()), report);
        }
        self.files.get(&name)?.parse(report)
    }

    /// The path and the content of a descriptor set, or `None` where there is none.
    pub fn binary(&self, name: &str) -> Option<(&Path, &[u8])> {
        match self.files.get(&FileName::new(name))? {
            Content::Binary { path, bytes } => Some((path, bytes)),
            Content::Text(_) | Content::NotText { .. } => None,
        }
    }

    /// Whether something stands at a name, be it a file that can be read or not.
    pub fn contains(&self, name: &str) -> bool {
        let name = FileName::new(name);
        self.files.contains_key(&name) || self.strays.get(&name).is_some_and(Stray::is_there)
    }

    /// The names right below a folder; `None` where the folder cannot be listed, which is in the report then.
    pub fn names_in(&self, folder: &str, report: &mut Report) -> Option<Vec<&str>> {
        let why = match (self.strays.get(&FileName::new(folder)), self.files.get(&FileName::new(folder))) {
            (Some(stray), _) => stray.why_no_folder(),
            (None, Some(_)) => Stray::OtherEnding.why_no_folder(),
            (None, None) => None,
        };
        if let Some(why) = why {
            report
                .file_error(&self.path(folder), format!("cannot read the directory: {why}"))
                .help("it holds the service files, `<id>.yaml` and `<id>.iam.yaml`");
            return None;
        }
        let prefix = format!("{folder}/");
        let strays = self.strays.iter().filter(|(_, stray)| stray.is_there()).map(|(name, _)| name);
        let names = self.files.keys().chain(strays).map(FileName::as_str);
        Some(names.filter_map(|name| name.strip_prefix(&prefix)).filter(|name| !name.contains('/')).collect())
    }

    /// What stands at the top, sorted: files and folders. What was passed over there is in the report.
    pub fn top(&self, report: &mut Report) -> Vec<&str> {
        for (name, stray) in &self.strays {
            if stray.is_passed_over() && !name.as_str().contains('/') {
                stray.tell(&self.path(name.as_str()), report);
            }
        }
        let strays = self.strays.iter().filter(|(_, stray)| stray.is_there()).map(|(name, _)| name);
        let all = self.files.keys().chain(strays);
        let mut names: Vec<&str> =
            all.map(|name| name.as_str().split('/').next().unwrap_or_default()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The text in which a place is.
    pub fn source_of(&self, place: &Place) -> Option<&Arc<Source>> {
        let name = Path::new(&*place.file).strip_prefix(&self.root).ok()?;
        match self.files.get(&FileName::new(name.to_str()?))? {
            Content::Text(source) => Some(source),
            Content::NotText { .. } | Content::Binary { .. } => None,
        }
    }
}

/// Collects the files of a tree. They are added in the order of their names: the revision depends on it.
#[derive(Debug)]
struct Collected {
    files: PolicyFiles,
    digest: RevisionDigest,
}

impl Collected {
    fn new(root: &Path) -> Self {
        let files = PolicyFiles {
            root: root.to_owned(),
            revision: Revision::default(),
            files: BTreeMap::new(),
            strays: BTreeMap::new(),
        };
        Self { files, digest: RevisionDigest::new() }
    }

    /// Takes a file in. Of one that cannot hold a rule by its name, the name alone is kept.
    fn add(&mut self, name: FileName, bytes: Vec<u8>) {
        self.digest.add(name.as_str(), &bytes);
        if name.as_str().ends_with(BINARY) {
            let content = Content::Binary { path: self.files.path(name.as_str()), bytes: bytes.into() };
            self.files.files.insert(name, content);
            return;
        }
        if !ENDINGS.iter().any(|ending| name.as_str().ends_with(ending)) {
            self.files.strays.insert(name, Stray::OtherEnding);
            return;
        }
        let path = self.files.path(name.as_str());
        let content = match String::from_utf8(bytes) {
            Ok(text) => Content::Text(Source::new(path, text)),
            Err(error) => Content::NotText { path, at: error.utf8_error().valid_up_to() },
        };
        self.files.files.insert(name, content);
    }

    fn finish(self, strays: impl IntoIterator<Item = (FileName, Stray)>) -> PolicyFiles {
        let Self { mut files, digest } = self;
        files.strays.extend(strays);
        files.revision = digest.finish();
        files
    }
}

#[cfg(test)]
mod tests;
