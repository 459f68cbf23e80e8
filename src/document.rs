//! A YAML or JSON file as a tree in which every value knows where it was written.
//!
//! Every file that opgate reads (config, service, iam rules, roles, policies, hierarchy, groups) goes through here,
//! so all of them refuse the same things (duplicate keys, unbounded aliases, several documents) and all of their
//! mistakes are reported alike. Decoding into a struct with serde would stop at a file's first mistake; here a
//! loader asks a [`Fields`] for what it needs, gets `None` and a diagnostic for what is missing or of the wrong
//! kind, and goes on.

mod fields;
pub(crate) mod location;
mod node;
mod outdented;
mod reader;
pub(crate) mod scalar;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

pub use self::fields::some_of;
pub use self::fields::{Fields, Spelling, nearest};
pub use self::node::{Node, Value};
use crate::diagnostic::{Report, Source, Span};
use crate::files;

/// Longest file, in bytes: about five million bindings.
pub const MAX_BYTES: u64 = 512 << 20;

/// Reads a file and parses it. The report says what went wrong.
pub fn read(path: &Path, report: &mut Report) -> Option<Node> {
    match files::read(path, MAX_BYTES) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => parse(&Source::new(path, text), report),
            Err(error) => {
                report_not_text(path, error.utf8_error().valid_up_to(), report);
                None
            }
        },
        Err(error) => {
            let help = match error.kind() {
                std::io::ErrorKind::NotFound => "check the spelling of the path",
                std::io::ErrorKind::PermissionDenied => "let the user that opgate runs as read it",
                _ => "it has to be a file that opgate can read",
            };
            report.file_error(path, format!("cannot read the file: {error}")).help(help);
            None
        }
    }
}

/// Reports a file that is not UTF-8 from a byte on.
pub fn report_not_text(path: &Path, at: usize, report: &mut Report) {
    report.file_error(path, format!("the file is not UTF-8 (at byte {at})")).help("save it as UTF-8");
}

/// Parses one document, YAML or JSON. The report says what went wrong.
pub fn parse(source: &Arc<Source>, report: &mut Report) -> Option<Node> {
    if let Some(node) = reader::read(source) {
        return Some(node);
    }
    match outdented::indent(source) {
        None => parse_any(source, report),
        Some(indented) => {
            let node = reader::read(&indented.source).or_else(|| {
                let place = |range: Range<usize>| Span {
                    range: indented.original(range.start)..indented.original(range.end),
                    source: Arc::clone(source),
                };
                read_any(&indented.source, place, report)
            });
            node.map(|node| indented.restore(node, source))
        }
    }
}

/// Parses any document, plain or not.
fn parse_any(source: &Arc<Source>, report: &mut Report) -> Option<Node> {
    read_any(source, |range| Span { source: Arc::clone(source), range }, report)
}

/// Parses any document. `place` says where a piece of it is, as a report shows it.
fn read_any(
    source: &Arc<Source>,
    place: impl FnOnce(Range<usize>) -> Span,
    report: &mut Report,
) -> Option<Node> {
    match serde_saphyr::from_str_with_options::<Spanned<Tree>>(&source.text, options()) {
        Ok(tree) => Some(tree.into_node(source)),
        Err(error) => {
            let error = error.without_snippet();
            let range = error.location().map_or(0..0, |location| range_of(source, location));
            // The library repeats the position in its text; the snippet shows it already.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message);
            if let Some(tab) = message.contains("tab").then(|| tab_from(source, range.start)).flatten() {
                report.error(&place(tab), "a tab cannot indent a line").help("put blanks in its place");
                return None;
            }
            let (message, help) = explained(message);
            report.error(&place(range), message).help(help);
            None
        }
    }
}

/// What the library says of a document, in words of ours where it has none for users, and the next step.
fn explained(message: &str) -> (String, &'static str) {
    if let Some(rest) = message.strip_prefix("duplicate mapping key: ") {
        let key = rest.split(',').next().unwrap_or(rest);
        return (format!("`{key}` is given twice"), "remove one of the two");
    }
    if is_of_several(message) {
        return (
            "the file holds several documents".to_owned(),
            "put each document into a file of its own; `opgate import roles` does so for roles",
        );
    }
    (
        message.to_owned(),
        "look here and just above for a quote or bracket left open, a `:` without a space after it, or lines that are \
         not indented alike",
    )
}

/// The first tab among what indents a line, from the line of an offset on. The library reports some of them at the line
/// before, where the text begins that it could not end.
fn tab_from(source: &Source, offset: usize) -> Option<std::ops::Range<usize>> {
    let mut at = source.text.get(..offset)?.rfind('\n').map_or(0, |newline| newline + 1);
    for line in source.text.get(at..)?.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t', '-', '?']).len();
        if let Some(tab) = line.get(..indent).and_then(|indent| indent.find('\t')) {
            return Some(at + tab..at + tab + 1);
        }
        at += line.len();
    }
    None
}

/// Whether the library says that a second document begins.
fn is_of_several(message: &str) -> bool {
    message.contains("breached: Documents") || message.contains("expected <document start>")
}

fn options() -> serde_saphyr::Options {
    let mut options = serde_saphyr::Options::default();
    options.with_snippet = false;
    // `yes`, `on` and the like stay strings, as in YAML 1.2 and in what gcloud writes.
    options.strict_booleans = true;
    // Merge keys would make a span point at text with another meaning.
    options.merge_keys = serde_saphyr::MergeKeyPolicy::Error;
    // Aliases are a convenience of hand-written files; a file with thousands of them is an attack.
    options.alias_limits.max_total_replayed_events = 100_000;
    let mut budget = serde_saphyr::Budget::default();
    // A policy with a million bindings has to load.
    budget.max_events = 100_000_000;
    budget.max_nodes = 50_000_000;
    budget.max_total_scalar_bytes = 1 << 30;
    budget.max_documents = 1;
    options.budget = Some(budget);
    options
}

fn range_of(source: &Source, location: serde_saphyr::Location) -> Range<usize> {
    let span = location.span();
    if let (Some(offset), Some(length)) = (span.byte_offset(), span.byte_len()) {
        let (start, length) = (offset as usize, length as usize);
        return start..start + length;
    }
    // Without byte offsets there is at least the line.
    let line = usize::try_from(location.line()).unwrap_or(1).max(1);
    let start: usize = source.text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let length = source.text.get(start..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
    start..start + length
}

/// The tree as serde hands it over; it becomes a [`Node`] once the source is attached.
enum Tree {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    String(String),
    List(Vec<Spanned<Tree>>),
    Map(Vec<(Spanned<Tree>, Spanned<Tree>)>),
}

trait IntoNode {
    fn into_node(self, source: &Arc<Source>) -> Node;
}

impl IntoNode for Spanned<Tree> {
    fn into_node(self, source: &Arc<Source>) -> Node {
        let span = Span { source: source.clone(), range: range_of(source, self.referenced) };
        let value = match self.value {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(value),
            Tree::Integer(value) => Value::Integer(value),
            Tree::Float(value) => Value::Float(value),
            Tree::String(value) => Value::String(value),
            Tree::List(items) => Value::List(items.into_iter().map(|item| item.into_node(source)).collect()),
            Tree::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.into_node(source), value.into_node(source)))
                    .collect(),
            ),
        };
        Node { span, value }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML or JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Tree, E> {
        i64::try_from(value).map(Tree::Integer).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests;
