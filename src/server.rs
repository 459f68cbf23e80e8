//! The process: from files to listeners that serve, and to the last answered request.

pub(crate) mod announcement;
mod loaded;
pub(crate) mod open_files;
mod options;
mod parts;
mod ready;
#[cfg(test)]
mod reference;
mod registered;
mod serve;
pub(crate) mod signals;
pub(crate) mod sockets;
mod start_error;
mod successor;

use std::time::Duration;

pub(crate) use self::loaded::{Loaded, load};
pub(crate) use self::options::Options;
pub(crate) use self::start_error::StartError;
pub(crate) use self::successor::start_in_place;
use crate::config::ConfigSource;
use crate::handover::Predecessor;
use crate::telemetry::{LogFilter, start_log};

/// How long the end of the process waits for threads that no longer serve.
const END: Duration = Duration::from_millis(200);

/// Serves until the process is to end.
///
/// # Errors
/// Where it cannot start, or a part that it needs breaks off.
pub(crate) fn run(origin: ConfigSource, loaded: Loaded, options: &Options) -> Result<(), StartError> {
    let log = start_log(&loaded.config.telemetry);
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
async fn start(
    options: &Options,
    origin: ConfigSource,
    loaded: Loaded,
    log: LogFilter,
) -> Result<(), StartError> {
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
