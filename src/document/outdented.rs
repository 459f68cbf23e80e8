//! Quoted scalars that go on at the left margin.
//!
//! YAML 1.2 wants each line of a quoted scalar indented as deep as the block that it stands in (section 7.3, rule 69).
//! libyaml and the readers made on it do not, and what they write and read is published:
//!
//! ```yaml
//! documentation:
//!   rules:
//!   - description: 'A text that
//! goes on here.'
//! ```
//!
//! The parser says where such a line begins. Blanks in front of it are not part of the text, so the lines are indented,
//! the document is read again, and every place is counted back to the file as it is.

use std::sync::Arc;

use serde_saphyr::granit_parser::{ErrorKind, Parser, StrInput};

use super::node::{Node, Value};
use crate::diagnostic::Source;

/// What is put in front of a line: more than the indentation of any block that is read.
const BLANKS: &str = "                                                                ";

/// Most bytes that are read for the sake of such lines, since each is found by a reading of its own.
const MOST_WORK: usize = 32 << 20;

/// A document with its quoted scalars indented.
pub(super) struct Indented {
    /// The text to read.
    pub(super) source: Arc<Source>,
    /// Where lines begin that were indented, in the text as it was, from the front.
    lines: Vec<usize>,
}

/// The document indented, where that is what it needs; `None` where it is good as it is, or wrong in another way.
pub(super) fn indent(source: &Arc<Source>) -> Option<Indented> {
    let mut text = source.text.clone();
    let mut lines: Vec<usize> = Vec::new();
    let mut work = 0;
    while let Some(at) = outdented_line(&text) {
        let original = at.checked_sub(lines.len() * BLANKS.len())?;
        work += at;
        // A line that is indented, and still is not enough.
        let is_again = lines.last().is_some_and(|last| original <= *last);
        if is_again || work > MOST_WORK || !text.is_char_boundary(at) {
            return None;
        }
        // A marker of documents ends the document, in quotes too (YAML 1.2.2, section 9.1.2): what is behind it is not text.
        if text.get(at..).is_some_and(is_marker) {
            return None;
        }
        text.insert_str(at, BLANKS);
        lines.push(original);
    }
    (!lines.is_empty()).then(|| Indented { source: Source::new(source.path.clone(), text), lines })
}

/// Whether a line begins with `---` or `...` and a blank, or is one of these.
fn is_marker(text: &str) -> bool {
    let rest = text.strip_prefix("---").or_else(|| text.strip_prefix("..."));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Where a line of a quoted scalar begins that is not indented enough, if that is the first mistake.
fn outdented_line(text: &str) -> Option<usize> {
    let error = Parser::new(StrInput::new(text)).find_map(Result::err)?;
    let is_line = matches!(error.kind(), ErrorKind::InvalidQuotedScalarIndent | ErrorKind::TabInIndentation);
    is_line.then(|| error.marker().byte_offset())?
}

impl Indented {
    /// The tree with the places of the text as it was.
    pub(super) fn restore(&self, mut node: Node, source: &Arc<Source>) -> Node {
        self.restore_in_place(&mut node, source);
        node
    }

    fn restore_in_place(&self, node: &mut Node, source: &Arc<Source>) {
        node.span.range = self.original(node.span.range.start)..self.original(node.span.range.end);
        node.span.source = Arc::clone(source);
        match &mut node.value {
            Value::List(items) => items.iter_mut().for_each(|item| self.restore_in_place(item, source)),
            Value::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
                self.restore_in_place(key, source);
                self.restore_in_place(value, source);
            }),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) => {}
        }
    }

    /// The place in the text as it was.
    pub(super) fn original(&self, at: usize) -> usize {
        let mut original = at;
        for line in &self.lines {
            if original <= *line {
                break;
            }
            original = original.saturating_sub(BLANKS.len()).max(*line);
        }
        original
    }
}
