//! The role files that an import writes. It changes files that an import made, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::described::DescribedRole;
use crate::diagnostic::Report;
use crate::document::{Node, Value};
use crate::source::PolicyFiles;

/// How the files of an import begin.
const HEADER: &str = "# Made by `opgate import roles`: ";

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    New,
    Changed,
    /// It is there already, with the same text.
    Same,
    /// The role is defined in a file that no import made.
    Foreign,
}

impl Written {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Changed => "CHANGED",
            Self::Same => "SAME",
            Self::Foreign => "LEFT_ALONE",
        }
    }
}

/// The file of one role.
#[derive(Debug)]
pub(super) struct RoleFile {
    pub(super) role: String,
    pub(super) path: PathBuf,
    pub(super) state: Written,
    /// How many permissions are kept.
    pub(super) kept: usize,
    /// How many the role has.
    pub(super) of: usize,
    text: String,
}

/// What an import writes.
#[derive(Debug)]
pub(super) struct WrittenRoles {
    pub(super) out: PathBuf,
    pub(super) files: Vec<RoleFile>,
}

impl WrittenRoles {
    /// Decides what becomes of each file. `asked` are the permissions to keep, `tree` the policy tree.
    pub(super) fn plan(
        roles: Vec<DescribedRole>,
        asked: &BTreeSet<String>,
        tree: &PolicyFiles,
        out: &Path,
        report: &mut Report,
    ) -> Self {
        let defined = defined(tree);
        let mut files = Vec::new();
        for role in roles {
            let path = out.join(file_name(&role.name));
            let (text, kept, of) = rendered(&role, asked);
            let before = fs::read_to_string(&path).ok();
            let is_own = before.as_ref().is_none_or(|before| before.starts_with(HEADER));
            let elsewhere = defined.get(&role.name).filter(|other| **other != path);
            let foreign = elsewhere.or((!is_own).then_some(&path));
            let state = match (foreign, &before) {
                (Some(_), _) => Written::Foreign,
                (None, None) => Written::New,
                (None, Some(before)) if *before == text => Written::Same,
                (None, Some(_)) => Written::Changed,
            };
            if let Some(foreign) = foreign {
                let message = format!("`{}` is defined here already, and is left as it is", role.name);
                report.file_warning(foreign, message).help("delete the file to have the role imported");
            }
            files.push(RoleFile { role: role.name, path, state, kept, of, text });
        }
        Self { out: out.to_owned(), files }
    }

    /// Writes what is new or changed.
    pub(super) fn write(&self) -> io::Result<()> {
        let changed = self.files.iter().filter(|file| matches!(file.state, Written::New | Written::Changed));
        for RoleFile { path, text, .. } in changed {
            write(path, text).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
            })?;
        }
        Ok(())
    }
}

/// Writes a file at once: a gate may be reading the directory.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidFilename));
    };
    fs::create_dir_all(folder)?;
    // A name that begins with a dot is not read.
    let temporary = folder.join(format!(".{}.new", name.to_string_lossy()));
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}

/// By role: the file of the tree that defines it. A file that cannot be read defines none: `check` reports it.
fn defined(tree: &PolicyFiles) -> BTreeMap<String, PathBuf> {
    let mut unread = Report::new();
    let name = |node: &Node| match &node.value {
        Value::Map(entries) => entries.iter().find_map(|(key, value)| match (&key.value, &value.value) {
            (Value::String(key), Value::String(name)) if key == "name" => Some(name.clone()),
            _ => None,
        }),
        _ => None,
    };
    let files = tree.below("roles", &mut unread);
    let named =
        files.iter().filter_map(|file| Some((name(&file.parse(&mut unread)?)?, file.path().to_owned())));
    named.collect()
}

/// `dataproc.editor.yaml`, or below the owner of a custom role: `projects/demo/deployer.yaml`.
fn file_name(role: &str) -> String {
    match role.split_once("/roles/") {
        Some((owner, id)) => format!("{owner}/{id}.yaml"),
        None => format!("{}.yaml", role.strip_prefix("roles/").unwrap_or(role)),
    }
}

/// The text of a role's file, how many permissions it keeps, and of how many.
fn rendered(role: &DescribedRole, asked: &BTreeSet<String>) -> (String, usize, usize) {
    let all: BTreeSet<&String> = role.permissions.iter().flatten().collect();
    let kept: Vec<&String> = all.iter().copied().filter(|permission| asked.contains(*permission)).collect();
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text =
        format!("{HEADER}{} of {} permissions, those that exposed methods ask for.\n", kept.len(), all.len());
    text.push_str(&format!("name: {}\n", role.name));
    for (key, value) in [("title", &role.title), ("stage", &role.stage)] {
        if let Some(value) = value {
            text.push_str(&format!("{key}: {}\n", quoted(value)));
        }
    }
    if role.deleted {
        text.push_str("deleted: true\n");
    }
    if kept.is_empty() {
        text.push_str("includedPermissions: []\n");
    } else {
        text.push_str("includedPermissions:\n");
        for permission in &kept {
            text.push_str(&format!("- {permission}\n"));
        }
    }
    (text, kept.len(), all.len())
}
