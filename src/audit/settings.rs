//! The `audit` of the file: where audit lines go, in which form, and which are written.

use std::fmt;
use std::path::{Path, PathBuf};

use super::redaction::{Redacted, Redaction};
use crate::diagnostic::Report;
use crate::document::location::located;
use crate::document::scalar::{choice, set};
use crate::document::{Fields, Node, Spelling};

/// Where audit lines go, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Where they go.
    pub output: AuditOutput,
    /// Their form.
    pub format: AuditFormat,
    /// What happens while lines cannot be queued or written.
    pub when_full: WhenFull,
    /// The parent of the logs: `projects/demo`.
    pub parent: String,
    /// The id that the logs have in common: `cloudaudit.googleapis.com`.
    pub log_id: String,
    /// Which gate it is. `None` for the name of the host.
    pub instance: Option<String>,
    /// Which calls are written.
    pub selection: Selection,
    /// What is left out of each line.
    pub redacted: Redacted,
}

/// Which of the calls that were allowed, and failed at no point, are written. All others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Of a million allowed reads, how many.
    pub reads_per_million: u32,
    /// Allowed reads of these methods are not: full names, or beginnings that end with `*`.
    pub skipped_reads: Vec<String>,
    /// Whether `auditConfigs` of the policy tree count.
    pub by_audit_configs: bool,
}

/// Where audit lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutput {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
    /// A Unix stream socket, each line with its end.
    Unix(PathBuf),
    /// Syslog (RFC 5424) over a Unix datagram socket: `/dev/log`.
    SyslogDatagram(PathBuf),
    /// Syslog over TCP, each message with its length in front (RFC 6587, section 3.4.1): host and port.
    SyslogTcp(String),
}

/// The form of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditFormat {
    /// As Google's tools read them.
    #[default]
    Full,
    /// The same facts in about half the bytes.
    Compact,
}

/// What happens while lines cannot be queued or written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Requests go on. Lines are lost, and counted.
    #[default]
    Drop,
    /// Nothing goes upstream without a place for its line.
    Refuse,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            output: AuditOutput::Stdout,
            format: AuditFormat::Full,
            when_full: WhenFull::Drop,
            parent: "projects/opgate".to_owned(),
            log_id: "cloudaudit.googleapis.com".to_owned(),
            instance: None,
            selection: Selection::default(),
            redacted: Redacted::default(),
        }
    }
}

impl Default for Selection {
    fn default() -> Self {
        Self { reads_per_million: MILLION, skipped_reads: Vec::new(), by_audit_configs: true }
    }
}

const MILLION: u32 = 1_000_000;

impl fmt::Display for AuditOutput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => formatter.write_str("off"),
            Self::Stdout => formatter.write_str("stdout"),
            Self::Stderr => formatter.write_str("stderr"),
            Self::File(path) => path.display().fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::SyslogDatagram(path) => write!(formatter, "syslog:{}", path.display()),
            Self::SyslogTcp(address) => write!(formatter, "syslog:tcp://{address}"),
        }
    }
}

/// Reads `audit`.
pub(crate) fn audit(node: &Node, base: &Path, report: &mut Report) -> Option<AuditSettings> {
    let mut fields = node.fields("`audit`", Spelling::Exact, report)?;
    let mut settings = AuditSettings::default();
    let here = |node: &Node, report: &mut Report| output(node, base, report);
    set(&mut fields, "output", &mut settings.output, here, report);
    let formats = [("full", AuditFormat::Full), ("compact", AuditFormat::Compact)];
    set(&mut fields, "format", &mut settings.format, |node, report| choice(node, &formats, report), report);
    let policies = [("drop", WhenFull::Drop), ("refuse", WhenFull::Refuse)];
    set(
        &mut fields,
        "when_full",
        &mut settings.when_full,
        |node, report| choice(node, &policies, report),
        report,
    );
    set(&mut fields, "parent", &mut settings.parent, parent, report);
    set(&mut fields, "log_id", &mut settings.log_id, log_id, report);
    settings.instance = fields.optional("instance").and_then(|node| instance(node, report));
    selection(&mut fields, &mut settings.selection, report);
    if let Some(node) = fields.optional("redact") {
        settings.redacted = redacted(node, report);
    }
    fields.finish(report);
    Some(settings)
}

fn output(node: &Node, base: &Path, report: &mut Report) -> Option<AuditOutput> {
    let text = node.string(report)?;
    let known = match text {
        "off" => AuditOutput::Off,
        "stdout" => AuditOutput::Stdout,
        "stderr" => AuditOutput::Stderr,
        _ => match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => AuditOutput::Unix(located(base, path)),
            Some(("syslog", target)) => return syslog(target, node, base, report),
            _ => AuditOutput::File(located(base, text)),
        },
    };
    Some(known)
}

fn syslog(target: &str, node: &Node, base: &Path, report: &mut Report) -> Option<AuditOutput> {
    let Some(address) = target.strip_prefix("tcp://") else {
        if target.is_empty() || target.contains("://") {
            report
                .error(&node.span, format!("`syslog:{}` names no syslog", target.escape_debug()))
                .help("write `syslog:/dev/log`, or `syslog:tcp://HOST:PORT`");
            return None;
        }
        return Some(AuditOutput::SyslogDatagram(located(base, target)));
    };
    let is_address = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !is_address {
        report
            .error(&node.span, format!("`{}` is not a host and a port", address.escape_debug()))
            .help("write `syslog:tcp://logs.example.com:601`");
        return None;
    }
    Some(AuditOutput::SyslogTcp(address.to_owned()))
}

/// google/logging/v2/log_entry.proto, `log_name`: the four kinds of parents.
fn parent(node: &Node, report: &mut Report) -> Option<String> {
    let text = node.string(report)?;
    let kinds = ["projects", "folders", "organizations", "billingAccounts"];
    let is_parent = text.split_once('/').is_some_and(|(kind, id)| kinds.contains(&kind) && is_id(id));
    if !is_parent {
        report
            .error(&node.span, format!("`{}` is not the parent of a log", text.escape_debug()))
            .help("write `projects/PROJECT_ID`, or an id below folders, organizations or billingAccounts");
    }
    is_parent.then(|| text.to_owned())
}

fn log_id(node: &Node, report: &mut Report) -> Option<String> {
    let text = node.string(report)?;
    if !is_id(text) {
        report
            .error(&node.span, format!("`{}` is not the id of a log", text.escape_debug()))
            .help("write letters, digits, `-`, `_` and `.`, as in `cloudaudit.googleapis.com`");
    }
    is_id(text).then(|| text.to_owned())
}

fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=256).contains(&text.len()) && text.bytes().all(plain)
}

fn instance(node: &Node, report: &mut Report) -> Option<String> {
    let text = node.string(report)?;
    let is_name = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_name {
        report
            .error(&node.span, format!("`{}` cannot name a gate", text.escape_debug()))
            .help("write at most 255 printable ASCII characters without blanks");
    }
    is_name.then(|| text.to_owned())
}

fn selection(fields: &mut Fields<'_>, selection: &mut Selection, report: &mut Report) {
    set(fields, "sample_allowed_reads", &mut selection.reads_per_million, share, report);
    if let Some(node) = fields.optional("skip_allowed_reads") {
        selection.skipped_reads = skipped(node, report);
    }
    let ways = [("apply", true), ("ignore", false)];
    let read = |node: &Node, report: &mut Report| choice(node, &ways, report);
    set(fields, "audit_configs", &mut selection.by_audit_configs, read, report);
}

/// `10%`, `0.5%`.
fn share(node: &Node, report: &mut Report) -> Option<u32> {
    let text = node.string(report)?;
    let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    if percent.is_none() {
        report
            .error(&node.span, format!("`{}` is not a share", text.escape_debug()))
            .help("write a number from 0 to 100 and `%`, such as `10%` or `0.5%`");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number from 0 to a million"
    )]
    percent.map(|percent| (percent / 100.0 * f64::from(MILLION)).round() as u32)
}

fn skipped(node: &Node, report: &mut Report) -> Vec<String> {
    let mut patterns = Vec::new();
    for (text, item) in node.strings(report) {
        let name = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || name.contains('*') || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            report
                .error(&item.span, format!("`{}` names no method", text.escape_debug()))
                .help("write `google.longrunning.Operations.GetOperation`, or a beginning and `*`");
        } else {
            patterns.push(text.to_owned());
        }
    }
    patterns
}

fn redacted(node: &Node, report: &mut Report) -> Redacted {
    let choices: Vec<(&str, Redaction)> =
        Redaction::ALL.iter().map(|redaction| (redaction.as_str(), *redaction)).collect();
    let chosen = node.list(report).unwrap_or_default().iter();
    chosen.filter_map(|item| choice(item, &choices, report)).collect()
}
