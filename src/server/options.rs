//! What the command line asks of a process that serves.

use std::path::PathBuf;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Whether the listeners are taken over from the running process.
    pub(crate) takes_over: bool,
    /// Where the process's id is written while it serves.
    pub(crate) pid_file: Option<PathBuf>,
    /// Where the bound addresses are written once requests are served.
    pub(crate) addresses_file: Option<PathBuf>,
}
