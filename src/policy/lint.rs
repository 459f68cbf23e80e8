//! What a valid policy tree says that its author may not mean. Only `opgate check` reports it.
//!
//! A mistake is an error, and loading the tree finds it ([`super::Policy::load`]). This module looks for rules that are
//! well-formed and do nothing, or do more than they seem to. It parses the policies a second time, since the compiled
//! policy no longer knows where each member was written; a gate that starts or reloads does not pay for that.
//!
//! ```text
//! allow/, deny/, … ──► view ─┬─► method    exposed, and who can call it
//!                            ├─► role      bound, and asked for
//!                            ├─► group     referred to
//!                            ├─► binding   grants something, to some caller, and not too much
//!                            ├─► reach     on a resource that some call is about, below what denies
//!                            ├─► shadow    changes something that another binding does not
//!                            └─► denial    denies something, to some caller
//! ```
//!
//! Notes are worth knowing; warnings are probably a mistake.

mod binding;
mod denial;
mod exposed;
mod group;
mod membership;
mod method;
mod reach;
mod role;
mod shadow;
mod view;

use std::collections::BTreeMap;
use std::time::SystemTime;

use self::exposed::Exposed;
use self::view::PolicyView;
use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Report, Severity, Span};
use crate::policy::model::Model;
use crate::source::PolicyFiles;

/// Most findings of one kind that are listed. An author with more of them fixes the cause, or does not mind.
const MOST_OF_A_KIND: usize = 20;

/// Looks for what the author of a tree may not mean. The tree has to be one that loads without an error.
pub fn lint(files: &PolicyFiles, catalog: &Catalog, now: SystemTime, report: &mut Report) {
    // The first reading has reported its own findings already.
    let mut again = Report::new();
    let model = Model::load(files, &mut again);
    if again.is_fatal() {
        report.absorb(again);
        return;
    }
    let view = PolicyView::of(&model, now);
    let exposed = Exposed::of(catalog);
    let mut findings = Findings { report, of_a_kind: BTreeMap::new() };
    method::closed(files, catalog, &mut findings);
    method::out_of_reach(files, &view, &exposed, &mut findings);
    role::unbound(&view, &mut findings);
    role::unasked(&view, &exposed, &mut findings);
    group::unnamed(&view, &mut findings);
    binding::fruitless(&view, &mut findings);
    binding::conditions(&view, &mut findings);
    binding::public(&view, &exposed, &mut findings);
    binding::broad(&view, &exposed, &mut findings);
    reach::beyond(&view, catalog, &mut findings);
    reach::adrift(&view, &mut findings);
    shadow::shadowed(&view, &mut findings);
    denial::fruitless(&view, &exposed, &mut findings);
    findings.finish();
}

/// The report, with a limit to findings of one kind.
struct Findings<'r> {
    report: &'r mut Report,
    of_a_kind: BTreeMap<&'static str, FindingKind>,
}

#[derive(Default)]
struct FindingKind {
    count: usize,
    /// The first finding that was not told.
    untold: Option<Span>,
}

impl Findings<'_> {
    fn note(
        &mut self,
        kind: &'static str,
        span: &Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<&mut Diagnostic> {
        self.find(Severity::Note, kind, span, message.into(), help.into())
    }

    fn warning(
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
    fn finish(self) {
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
fn and_more(first: &str, more: usize) -> String {
    if more == 0 { format!("`{first}`") } else { format!("`{first}` and {more} more") }
}

#[cfg(test)]
mod tests;
