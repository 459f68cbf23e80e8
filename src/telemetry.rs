//! The operator's log: where it goes, and what a reload changes about it.

use tracing_subscriber::EnvFilter;

use crate::config::Telemetry;
use crate::reload::SetLog;
use crate::terminal::{eprint, stderr_has_colours};

/// A log that was started.
pub(crate) struct Log {
    /// Applies new settings to it.
    pub(crate) filter: SetLog,
}

impl Log {
    /// The log goes to standard error; standard output is the audit log's by default.
    pub(crate) fn start(telemetry: &Telemetry) -> Self {
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter(telemetry))
            .with_ansi(stderr_has_colours())
            .with_writer(std::io::stderr);
        let (started, filter): (_, SetLog) = if telemetry.json {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.try_init(), Box::new(move |telemetry| told(handle.reload(filter(telemetry)))))
        } else {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.try_init(), Box::new(move |telemetry| told(handle.reload(filter(telemetry)))))
        };
        if let Err(error) = started {
            eprint(&format!("opgate: the log could not be started: {error}\n"));
        }
        Self { filter }
    }
}

fn told(reloaded: Result<(), tracing_subscriber::reload::Error>) {
    if let Err(error) = reloaded {
        eprint(&format!("opgate: the log could not be changed: {error}\n"));
    }
}

fn filter(telemetry: &Telemetry) -> EnvFilter {
    // The filter was checked with the configuration.
    let filter = EnvFilter::try_new(&telemetry.log).unwrap_or_else(|_| EnvFilter::new("info"));
    // Pingora logs an error when a pooled connection is taken up a moment too early; it opens another one.
    match "pingora_core::connectors=off".parse() {
        Ok(directive) if !telemetry.log.contains("pingora") => filter.add_directive(directive),
        _ => filter,
    }
}
