//! The `upgrade` of the file: how one process hands its sockets to the next.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::diagnostic::Report;
use crate::document::location::located;
use crate::document::scalar::{duration, set};
use crate::document::{Node, Spelling};

/// The longest path of a Unix socket's address (unix(7)), less the suffix of one that is being made.
const MOST_BYTES: usize = 107 - ".4194304".len();

/// Where two processes meet, and how long one waits for the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The Unix socket that the running process offers its sockets on, once it is asked to.
    pub socket: PathBuf,
    /// How long a new process waits for the running one's offer, and then has to be ready; and how long the running one
    /// waits for both.
    pub timeout: Duration,
}

/// Reads `upgrade`.
pub(crate) fn upgrade(node: &Node, base: &Path, report: &mut Report) -> Option<Upgrade> {
    let mut fields = node.fields("`upgrade`", Spelling::Exact, report)?;
    let socket = fields.required("socket", report).and_then(|node| socket(node, base, report));
    let mut timeout = Duration::from_secs(60);
    set(&mut fields, "timeout", &mut timeout, duration, report);
    fields.finish(report);
    Some(Upgrade { socket: socket?, timeout })
}

fn socket(node: &Node, base: &Path, report: &mut Report) -> Option<PathBuf> {
    let path = located(base, node.string(report)?);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        report
            .error(&node.span, format!("there is no directory `{}`", folder.display()))
            .help("paths are relative to the configuration file; the directory must be there, the socket is made in it");
    } else if path.is_dir() {
        report
            .error(&node.span, format!("`{}` is a directory", path.display()))
            .help("name a file in it: the socket is made when it is needed");
    } else if path.as_os_str().as_bytes().len() > MOST_BYTES {
        report
            .error(&node.span, format!("the path of a socket has at most {MOST_BYTES} bytes"))
            .help("choose a shorter one, for example below /run");
    }
    Some(path)
}
