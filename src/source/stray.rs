//! What stands in a policy tree and holds no rule, and how that is told.

use std::path::Path;

use crate::diagnostic::Report;

/// Something in a tree that is not a file with text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// What editors and merges leave behind: `demo.yaml~`, `demo.yaml.orig`.
    LeftBehind,
    /// A pipe, a socket or a device.
    NotRegular,
    /// A name that is not UTF-8, shown as far as it is.
    UnreadableName,
    /// A regular file that cannot hold a rule, by its ending.
    OtherEnding,
    /// A directory that has the name of a file, or that stands at the top.
    Folder,
    /// Nothing: it is told where it is asked for.
    Absent(String),
    /// What is at the other end of a link is not there.
    Dangling(String),
    /// The system does not tell what it is.
    Unknown(String),
}

impl Stray {
    /// Whether it is told of as something that the source did not read, whatever is asked for.
    pub(super) fn is_passed_over(&self) -> bool {
        matches!(self, Self::LeftBehind | Self::UnreadableName)
    }

    /// Whether something stands there that a loader may have meant.
    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::LeftBehind | Self::UnreadableName | Self::Absent(_))
    }

    /// Tells of it where a folder around it is loaded.
    pub(super) fn tell(&self, path: &Path, report: &mut Report) {
        match self {
            Self::Folder | Self::Absent(_) => {}
            Self::LeftBehind => {
                report
                    .file_warning(path, "the file is passed over: an editor or a merge has left it behind")
                    .help("remove it; no rule in it is in force");
            }
            Self::NotRegular => {
                report
                    .file_warning(path, "the file is passed over: it is not a regular file")
                    .help("remove it: a pipe, a socket or a device holds no rules");
            }
            Self::UnreadableName => {
                report
                    .file_error(path, "the name of the file is not UTF-8")
                    .help("rename it: names of files are names of resources");
            }
            Self::OtherEnding => {
                let diagnostic = report.file_error(path, "the file is neither `.yaml` nor `.json`");
                match path.file_name().and_then(|name| name.to_str()?.strip_suffix(".yml")) {
                    Some(bare) => diagnostic.help(format!("rename it to `{bare}.yaml`")),
                    None => diagnostic.help("move it out of the policies directory"),
                };
            }
            Self::Dangling(error) | Self::Unknown(error) => {
                report
                    .file_error(path, format!("cannot read the file: {error}"))
                    .help("a link that leads nowhere, or a file that opgate may not read");
            }
        }
    }

    /// Tells of it where a file of this name is loaded.
    pub(super) fn tell_as_file(&self, path: &Path, report: &mut Report) {
        let why = match self {
            Self::Dangling(_) => {
                report
                    .file_error(path, "the link leads nowhere")
                    .help("remove it, or put back what it leads to");
                return;
            }
            Self::Unknown(error) => {
                report
                    .file_error(path, format!("cannot read the file: {error}"))
                    .help("let the user that opgate runs as read its directory");
                return;
            }
            Self::Folder => "it is a directory",
            Self::NotRegular => "it is not a regular file",
            Self::LeftBehind | Self::UnreadableName | Self::OtherEnding | Self::Absent(_) => return,
        };
        report
            .file_error(path, format!("cannot read the file: {why}"))
            .help("it has to be a file that opgate can read");
    }

    /// Tells of it where a folder of this name is loaded.
    pub(super) fn tell_as_folder(&self, path: &Path, report: &mut Report) {
        match self {
            Self::Dangling(_) | Self::Unknown(_) => self.tell_as_file(path, report),
            Self::NotRegular | Self::OtherEnding => {
                report
                    .file_error(path, "cannot list the directory: it is a file")
                    .help("move it away: a directory of policy files has this name");
            }
            Self::Folder | Self::LeftBehind | Self::UnreadableName | Self::Absent(_) => {}
        }
    }

    /// Why there is no folder of this name to list; `None` where there is.
    pub(super) fn why_no_folder(&self) -> Option<&str> {
        match self {
            Self::Absent(error) | Self::Dangling(error) | Self::Unknown(error) => Some(error),
            Self::NotRegular | Self::OtherEnding => Some("it is a file"),
            Self::Folder | Self::LeftBehind | Self::UnreadableName => None,
        }
    }
}
