//! A finding in a file: what is wrong, where, and what to do next.
//!
//! Loading never stops at the first mistake. Every loader takes a [`Report`], adds what it finds and goes on;
//! the caller asks [`Report::is_fatal`] once, at the end. A diagnostic names its file and line, underlines the text it
//! is about, and carries a `help` line whenever there is a next step to name.
//!
//! Wording follows rustc: no capital, no full stop, the user's own text in backticks.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// A file as it was read, kept while it is loaded so that diagnostics can quote it.
#[derive(Debug)]
pub struct Source {
    /// The path as the user would type it.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
    /// Where its line breaks are, found when a line is first asked for: every rule of a file keeps its own.
    line_breaks: OnceLock<Box<[usize]>>,
}

impl Source {
    /// A source from text that is already in memory.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: text.into(), line_breaks: OnceLock::new() })
    }

    /// The 1-based line of a byte offset.
    pub fn line(&self, offset: usize) -> usize {
        let breaks =
            self.line_breaks.get_or_init(|| self.text.match_indices('\n').map(|(at, _)| at).collect());
        breaks.partition_point(|at| *at < offset) + 1
    }

    fn column(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or_default();
        before.rsplit('\n').next().unwrap_or_default().chars().count() + 1
    }
}

/// A stretch of a source: byte offsets, end exclusive.
#[derive(Clone)]
pub struct Span {
    /// The file.
    pub source: Arc<Source>,
    /// The bytes within it.
    pub range: Range<usize>,
}

impl Span {
    /// File and line, the form kept beside compiled policy: `policies/allow/projects/demo.yaml:7`.
    pub fn place(&self) -> Place {
        Place {
            file: self.source.path.display().to_string().into(),
            line: self.source.line(self.range.start),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.place())
    }
}

/// Where a rule was written: the rest of a [`Span`] once the file's text is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The path as the user would type it.
    pub file: Arc<str>,
    /// 1-based line.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Probably a mistake; loading goes on.
    Warning,
    /// The text cannot be used, so nothing of the tree is used.
    Error,
}

/// Most diagnostics of one severity that text shows.
const MOST_SHOWN: usize = 200;

impl Severity {
    fn noun(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where, or `None` where it is about the file as a whole.
    pub span: Option<Span>,
    /// The file, where there is no text to underline (it is missing or cannot be read).
    pub file: Option<PathBuf>,
    /// The next step.
    pub help: Option<String>,
    /// Another place that belongs to it, with its description.
    pub related: Option<(Span, String)>,
}

impl Diagnostic {
    /// Adds the next step.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place, say the first of two rules that conflict.
    pub fn related(&mut self, span: &Span, label: impl Into<String>) -> &mut Self {
        self.related = Some((span.clone(), label.into()));
        self
    }
}

/// Everything found while loading, in the order it was found.
#[derive(Debug, Default)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// An empty report.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an error at a place.
    pub fn error(&mut self, span: &Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, Some(span.clone()), None, message.into())
    }

    /// Adds a warning at a place.
    pub fn warning(&mut self, span: &Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, Some(span.clone()), None, message.into())
    }

    /// Adds a note at a place.
    pub fn note(&mut self, span: &Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Note, Some(span.clone()), None, message.into())
    }

    /// Adds an error about a file as a whole.
    pub fn file_error(&mut self, file: &Path, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, None, Some(file.to_owned()), message.into())
    }

    /// Adds a warning about a file as a whole.
    pub fn file_warning(&mut self, file: &Path, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, None, Some(file.to_owned()), message.into())
    }

    fn add(
        &mut self,
        severity: Severity,
        span: Option<Span>,
        file: Option<PathBuf>,
        message: String,
    ) -> &mut Diagnostic {
        let diagnostic = Diagnostic { severity, message, span, file, help: None, related: None };
        self.diagnostics.push_mut(diagnostic)
    }

    /// Whether anything was found that forbids using what was loaded.
    pub fn is_fatal(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many diagnostics have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// Every diagnostic, in the order found.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Adds another report's diagnostics.
    pub fn absorb(&mut self, other: Self) {
        self.diagnostics.extend(other.diagnostics);
    }

    /// The report as text for a terminal or a log: one block per diagnostic, with the lines it is about. Of each severity,
    /// the first 200 are in it, and how many more there are.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        let mut shown: BTreeMap<Severity, usize> = BTreeMap::new();
        for diagnostic in &self.diagnostics {
            let count = shown.entry(diagnostic.severity).or_default();
            *count += 1;
            if *count <= MOST_SHOWN {
                text.push_str(&diagnostic.render(&renderer));
                text.push_str("\n\n");
            }
        }
        for (severity, count) in shown.into_iter().rev() {
            if let Some(more @ 1..) = count.checked_sub(MOST_SHOWN) {
                let plural = if more == 1 { "" } else { "s" };
                text.push_str(&format!(
                    "… and {more} more {}{plural}, which JSON output lists\n\n",
                    severity.noun()
                ));
            }
        }
        text
    }

    /// The report as JSON values, one object per diagnostic.
    pub fn to_json(&self) -> Vec<serde_json::Value> {
        self.diagnostics.iter().map(Diagnostic::to_json).collect()
    }
}

impl Diagnostic {
    fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let title = level.primary_title(self.message.as_str());
        let mut group = match (&self.span, &self.file) {
            (Some(span), _) => title.element(span.snippet()),
            (None, Some(file)) => title.element(annotate_snippets::Origin::path(file.display().to_string())),
            (None, None) => Group::with_title(title),
        };
        if let Some((span, label)) = &self.related {
            group = group.element(Level::NOTE.message(label.as_str())).element(span.snippet());
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }

    fn to_json(&self) -> serde_json::Value {
        let place = |span: &Span| {
            serde_json::json!({
                "file": span.source.path.display().to_string(),
                "line": span.source.line(span.range.start),
                "column": span.source.column(span.range.start),
                "endColumn": span.source.column(span.clamped().end),
            })
        };
        let mut object = serde_json::json!({
            "severity": self.severity,
            "message": self.message,
        });
        let members = [
            (
                "place",
                match (&self.span, &self.file) {
                    (Some(span), _) => Some(place(span)),
                    (None, Some(file)) => Some(serde_json::json!({ "file": file.display().to_string() })),
                    (None, None) => None,
                },
            ),
            ("help", self.help.clone().map(Into::into)),
            (
                "related",
                self.related
                    .as_ref()
                    .map(|(span, label)| serde_json::json!({ "message": label, "place": place(span) })),
            ),
        ];
        if let Some(object) = object.as_object_mut() {
            for (name, value) in members {
                if let Some(value) = value {
                    object.insert(name.to_owned(), value);
                }
            }
        }
        object
    }
}

impl Span {
    /// The line with the range underlined. The renderer gets only that line: it reads all that it gets, and a file may
    /// hold a million bindings.
    fn snippet(&self) -> Snippet<'_, Annotation<'_>> {
        let (text, range) = (self.source.text.as_str(), self.clamped());
        let start = text.get(..range.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        Snippet::source(line)
            .line_start(self.source.line(start))
            .path(self.source.path.display().to_string())
            .annotation(AnnotationKind::Primary.span(range.start - start..range.end - start))
    }

    /// The range cut down to one line: a value that spans a block underlines its first line.
    fn clamped(&self) -> Range<usize> {
        let text = self.source.text.as_str();
        let start = self.range.start.min(text.len());
        let end = self.range.end.clamp(start, text.len());
        let line_end = text.get(start..end).and_then(|slice| slice.find('\n')).map_or(end, |at| start + at);
        let trimmed = text.get(start..line_end).map_or(line_end, |slice| start + slice.trim_end().len());
        start..trimmed.max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_report_is_cut_with_a_count_and_json_lists_all() {
        let source = Source::new("a.yaml", "x");
        let mut report = Report::new();
        for number in 0..MOST_SHOWN + 3 {
            report.error(&Span { source: Arc::clone(&source), range: 0..1 }, format!("mistake {number}."));
        }
        report.warning(&Span { source, range: 0..1 }, "one warning.");
        let text = report.render(false);
        assert!(text.contains("mistake 199.") && !text.contains("mistake 200."), "{text}");
        assert!(text.contains("… and 3 more errors, which JSON output lists"), "{text}");
        assert!(text.contains("one warning."), "{text}");
        assert_eq!(report.to_json().len(), MOST_SHOWN + 4);
    }
}
