//! What lint has found, with a limit to findings of one kind.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, Report, Severity, Span};

/// Most findings of one kind that are listed. An author with more of them fixes the cause, or does not mind.
pub(super) const MOST_OF_A_KIND: usize = 20;

/// The report, with a limit to findings of one kind.
pub(super) struct Findings<'r> {
    report: &'r mut Report,
    of_a_kind: BTreeMap<&'static str, FindingKind>,
}

#[derive(Default)]
struct FindingKind {
    count: usize,
    /// The first finding that was not told.
    untold: Option<Span>,
}

impl<'r> Findings<'r> {
    pub(super) fn new(report: &'r mut Report) -> Self {
        Self { report, of_a_kind: BTreeMap::new() }
    }

    pub(super) fn note(
        &mut self,
        kind: &'static str,
        span: &Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<&mut Diagnostic> {
        self.find(Severity::Note, kind, span, message.into(), help.into())
    }

    pub(super) fn warning(
        &mut self,
        kind: &'static str,
        span: &Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<&mut Diagnostic> {
        self.find(Severity::Warning, kind, span, message.into(), help.into())
    }

    /// Adds a finding; `None` where there are too many of its kind. `kind` names them in the plural.
    fn find(
        &mut self,
        severity: Severity,
        kind: &'static str,
        span: &Span,
        message: String,
        help: String,
    ) -> Option<&mut Diagnostic> {
        let of_a_kind = self.of_a_kind.entry(kind).or_default();
        of_a_kind.count += 1;
        if of_a_kind.count > MOST_OF_A_KIND {
            of_a_kind.untold.get_or_insert_with(|| span.clone());
            return None;
        }
        let diagnostic = match severity {
            Severity::Warning => self.report.warning(span, message),
            _ => self.report.note(span, message),
        };
        Some(diagnostic.help(help))
    }

    /// Says how much was not told.
    pub(super) fn finish(self) {
        for (kind, FindingKind { count, untold }) in self.of_a_kind {
            let Some(span) = untold else { continue };
            let more = count - MOST_OF_A_KIND;
            self.report
                .note(&span, format!("{more} more {kind} are not listed, of which this is the first"))
                .help(format!("fix the {MOST_OF_A_KIND} above and check again"));
        }
    }
}

/// `user:a@x.com`, or `user:a@x.com` and 3 more.
pub(super) fn and_more(first: &str, more: usize) -> String {
    if more == 0 { format!("`{first}`") } else { format!("`{first}` and {more} more") }
}
