//! The operator's log: where it goes, and what a reload changes about it.

mod filter;

use std::path::Path;

use tracing_subscriber::EnvFilter;

pub use self::filter::{FilterChange, LogFilter, LogFilterStatus};
use crate::diagnostic::Report;
use crate::document::scalar::choice;
use crate::document::{Node, Spelling};
use crate::otlp::settings::{OtlpSettings, otlp};
use crate::terminal::{eprint, stderr_has_colours};

/// What the operator is told beside metrics and audit lines: the log, on standard error, and what goes to a collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// A tracing filter: `info`, `opgate=debug,h2=warn`.
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

/// Starts the log, on standard error; standard output is the audit log's by default.
pub(crate) fn start_log(telemetry: &Telemetry) -> LogFilter {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter::parsed(&telemetry.log))
        .with_ansi(stderr_has_colours())
        .with_writer(std::io::stderr);
    let (started, filter) = if telemetry.json {
        let builder = builder.json().with_filter_reloading();
        let handle = builder.reload_handle();
        (builder.try_init(), LogFilter::new(&telemetry.log, Box::new(move |filter| handle.reload(filter))))
    } else {
        let builder = builder.with_filter_reloading();
        let handle = builder.reload_handle();
        (builder.try_init(), LogFilter::new(&telemetry.log, Box::new(move |filter| handle.reload(filter))))
    };
    if let Err(error) = started {
        eprint(&format!("opgate: the log could not be started: {error}\n"));
    }
    filter
}
