//! The operator's log: where it goes, and what a reload changes about it.

use std::path::Path;

use tracing_subscriber::EnvFilter;

use crate::diagnostic::Report;
use crate::document::scalar::choice;
use crate::document::{Node, Spelling};
use crate::otlp::settings::{OtlpSettings, otlp};
use crate::terminal::{eprint, stderr_has_colours};

/// What the operator is told beside metrics and audit lines: the log, on standard error, and what goes to a collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// A tracing filter: `info`, `opgate=debug,pingora=warn`.
    pub log: String,
    /// JSON lines instead of text.
    pub json: bool,
    /// The collector of spans and metrics; `None` where nothing is sent.
    pub otlp: Option<OtlpSettings>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "info".to_owned(), json: false, otlp: None }
    }
}

/// Reads `telemetry`.
pub(crate) fn telemetry(node: &Node, base: &Path, report: &mut Report) -> Option<Telemetry> {
    let mut fields = node.fields("`telemetry`", Spelling::Exact, report)?;
    let mut telemetry = Telemetry::default();
    if let Some(node) = fields.optional("log")
        && let Some(text) = node.string(report)
    {
        if let Err(error) = text.parse::<EnvFilter>() {
            report
                .error(&node.span, format!("`{text}` is not a log filter: {error}"))
                .help("for example `info`");
        }
        telemetry.log = text.to_owned();
    }
    if let Some(node) = fields.optional("format") {
        telemetry.json = choice(node, &[("text", false), ("json", true)], report).unwrap_or_default();
    }
    telemetry.otlp = fields.optional("otlp").and_then(|node| otlp(node, base, report));
    fields.finish(report);
    Some(telemetry)
}

/// Applies new settings to the operator's log.
pub type SetLog = Box<dyn Fn(&Telemetry) + Send + Sync>;

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
