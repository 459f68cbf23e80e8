//! Why a process could not start or go on.

use std::path::PathBuf;

use crate::handover::HandoverError;
use crate::listener::ListenAddress;
use crate::signing::SigningError;

/// Why the gate could not start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: ListenAddress, source: std::io::Error },
    #[error("cannot open the audit log ({output}): {source}")]
    Audit { output: String, source: std::io::Error },
    #[error("cannot write {path}: {source}", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("the metrics are inconsistent: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("upstream `{name}`: {why}")]
    Upstream { name: String, why: String },
    #[error("no key can be made to sign assertions with: {0}")]
    Assertion(#[from] SigningError),
    #[error("{0}")]
    Handover(#[from] HandoverError),
    #[error(
        "the configuration was changed while this process waited for the running one, and is not valid any more"
    )]
    Changed,
    #[error("not ready in time: {0}")]
    Unready(String),
    #[error("{what} broke off: {why}")]
    Broken { what: &'static str, why: String },
    #[error("stopped before it was ready")]
    Stopped,
}
