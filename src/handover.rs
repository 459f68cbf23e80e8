//! From one process to the next, without a connection that is refused in between.
//!
//! A listening socket belongs to every process that holds it. The running process passes its own to the new one, over a
//! Unix socket that exists only meanwhile:
//!
//! ```text
//! running process                                 new process: opgate run --upgrade
//!    │ SIGQUIT                                        │ the whole configuration is checked
//!    │ offers                                         │ waits for an offer
//!    │ ◄──────────── both say their version ────────► │
//!    │ ───────────── what it knows of names ────────► │
//!    │ ───────────── what is listened on ───────────► │ binds what is new
//!    │ ◄──────────── what it takes ────────────────── │
//!    │ ───────────── those sockets ─────────────────► │ loads keys, becomes ready
//!    │ serves all along                               │ accepts
//!    │ ◄──────────── ready ────────────────────────── │
//!    │ ───────────── yours ─────────────────────────► │ serves, and says who it is (`--pid-file`)
//!    │ drains and ends                       hangs up │
//! ```
//!
//! Until it has said `yours`, the running process has given nothing away. Where the new one fails, or is not ready in
//! time, it serves on as if nothing had been asked, and its log says why. A new process that hears "no" drains and
//! ends; one whose predecessor has ended without an answer serves on.

mod message;
mod offer;
pub(crate) mod settings;
mod take;

use std::path::PathBuf;
use std::time::Duration;

use crate::listener::ListenAddress;

pub use self::message::{PROTOCOL, Purpose};
pub use self::offer::offer;
pub use self::settings::Upgrade;
pub use self::take::{Predecessor, Relieved};

/// Why nothing was handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The socket could not be made.
    #[error("cannot offer the listeners at {path}: {source}", path = path.display())]
    Offer {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process offers its own there.
    #[error("another process offers its listeners at {path}", path = path.display())]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("cannot offer the listeners at {path}: something that is not a socket is there", path = path.display())]
    NoSocket {
        /// Where.
        path: PathBuf,
    },
    /// No new process came in time.
    #[error("no new process came to {path} within {timeout:?}: start one with `opgate run --upgrade`", path = path.display())]
    NobodyCame {
        /// Where.
        path: PathBuf,
        /// How long was waited.
        timeout: Duration,
    },
    /// The new process ended before it came.
    #[error("the new process ended before it asked for the listeners: what it has printed says why")]
    Gone,
    /// No process offered in time.
    #[error("no process offered listeners at {path} within {timeout:?}: send SIGQUIT to the running process", path = path.display())]
    NobodyOffered {
        /// Where.
        path: PathBuf,
        /// How long was waited.
        timeout: Duration,
    },
    /// The socket cannot be connected to.
    #[error("cannot ask for the listeners at {path}: {source}", path = path.display())]
    Ask {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The other process is another user's.
    #[error("the other process at {path} runs as user {theirs}, this one as {ours}", path = path.display())]
    Stranger {
        /// Where.
        path: PathBuf,
        /// The other one's user id.
        theirs: u32,
        /// This one's.
        ours: u32,
    },
    /// The other process speaks another protocol.
    #[error(
        "the other process (opgate {version}) hands over by protocol {protocol}, this one (opgate {}) by protocol {}: \
         stop the old one, then start the new one",
        env!("CARGO_PKG_VERSION"),
        PROTOCOL
    )]
    Version {
        /// The other one's version.
        version: String,
        /// The other one's protocol.
        protocol: u32,
    },
    /// The other process has ended, or closed the connection.
    #[error("the other process ended the handover: {source}")]
    Broken {
        /// What was seen of it.
        #[from]
        source: std::io::Error,
    },
    /// The other process breaks the protocol.
    #[error("the other process breaks the protocol: {0}")]
    Nonsense(String),
    /// The other process refuses.
    #[error("the other process says: {0}")]
    Refused(String),
    /// The whole took too long.
    #[error("the new process was not ready within {0:?}")]
    TooLate(Duration),
    /// The sockets are not the ones that were announced.
    #[error("the socket that was handed over for {0} does not listen there")]
    WrongSocket(ListenAddress),
}
