//! The process: from files to listeners that serve, and to the last answered request.

pub(crate) mod announcement;
pub(crate) mod open_files;
mod parts;
mod serve;
pub(crate) mod signals;
pub(crate) mod sockets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::clock;
use crate::config::{self, Config, ConfigSource};
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Report;
use crate::handover::{HandoverError, Predecessor};
use crate::signing::SigningError;
use crate::telemetry::Log;
use crate::terminal::eprint_report;

/// How long the end of the process waits for threads that no longer serve.
const END: Duration = Duration::from_millis(200);

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

/// What a process starts with.
#[derive(Debug)]
pub(crate) struct Loaded {
    config: Config,
    snapshot: Snapshot,
    /// When the files were read.
    read_at: SystemTime,
}

impl Loaded {
    /// Whether the configuration says where the running process offers its listeners.
    pub(crate) fn can_take_over(&self) -> bool {
        self.config.upgrade.is_some()
    }
}

/// Why the gate could not start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
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

/// Everything that the configuration names, or nothing. What is wrong is printed.
pub(crate) fn load(origin: &ConfigSource) -> Option<Loaded> {
    let read_at = clock::now();
    let mut report = Report::new();
    let config = origin.load(&mut report);
    let snapshot =
        config.as_ref().and_then(|config| config::snapshot::load(config, clock::now(), &mut report));
    if !report.diagnostics().is_empty() {
        eprint_report(&report);
    }
    let loaded = Loaded { config: config?, snapshot: snapshot?, read_at };
    (!report.is_fatal()).then_some(loaded)
}

/// Serves until the process is to end.
///
/// # Errors
/// Where it cannot start, or a part that it needs breaks off.
pub(crate) fn run(origin: ConfigSource, loaded: Loaded, options: &Options) -> Result<(), StartError> {
    let log = Log::start(&loaded.config.telemetry);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(loaded.config.workers)
        .thread_name("opgate")
        .enable_all()
        .build()?;
    let served = runtime.block_on(start(options, origin, loaded, log));
    runtime.shutdown_timeout(END);
    served
}

/// Serves. Where the process is to take over from a running one, it waits until that one offers its listeners.
async fn start(options: &Options, origin: ConfigSource, loaded: Loaded, log: Log) -> Result<(), StartError> {
    let Some(upgrade) = loaded.config.upgrade.as_ref().filter(|_| options.takes_over) else {
        return serve::serve(options, origin, loaded, log, &mut None).await;
    };
    tracing::info!(socket = %upgrade.socket.display(), "waiting for the running process to offer its listeners");
    let mut predecessor = Some(Predecessor::find(upgrade).await?);
    // Waiting may have taken a while: the files may have changed meanwhile, so they are read again.
    let served = match load(&origin) {
        Some(loaded) => serve::serve(options, origin, loaded, log, &mut predecessor).await,
        None => Err(StartError::Changed),
    };
    if let (Err(error), Some(predecessor)) = (&served, predecessor) {
        predecessor.give_up(&error.to_string()).await;
    }
    served
}
