//! A fast reader for plain documents, as almost every large one is: what gcloud prints, in YAML or JSON.
//!
//! serde-saphyr reads every document. For one of a million bindings it takes three times as long as the parser below
//! it, since each event passes through anchors, tags, merge keys and serde. This reader takes the events of that same
//! parser as they come. It never judges: at the first thing that is not plain (an anchor, a tag, a key given twice, a
//! scalar whose type is not obvious, a syntax error) it gives up, and serde-saphyr reads or refuses the whole document.
//! So the two can differ only in what this one accepts, and a property test compares that, spans included.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span as Place, StrInput};

use super::node::{Node, Value};
use crate::diagnostic::{Source, Span};

// Each bound lies below serde-saphyr's (`options` in document.rs), so that this reader accepts no document that the
// other refuses.
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 40_000_000;
const MAX_BYTES: usize = 1 << 29;

/// Mappings up to this many keys are searched for duplicates without a set.
const FEW: usize = 8;

/// The document, if it is plain.
pub(super) fn read(source: &Arc<Source>) -> Option<Node> {
    if source.text.len() > MAX_BYTES {
        return None;
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut events = Parser::with_options(StrInput::new(&source.text), options);
    let mut next = || events.next()?.ok();
    let (Event::StreamStart, _) = next()? else { return None };
    let (Event::DocumentStart(_, None), _) = next()? else { return None };
    let mut reader = Reader { source, open: Vec::new(), read: Vec::new(), count: 0 };
    loop {
        let (event, place) = next()?;
        reader.take(event, &place)?;
        if reader.open.is_empty() {
            break;
        }
    }
    let (Event::DocumentEnd, _) = next()? else { return None };
    let (Event::StreamEnd, _) = next()? else { return None };
    reader.read.pop()
}

struct Reader<'s> {
    source: &'s Arc<Source>,
    /// Lists and mappings that have begun and not ended.
    open: Vec<Open>,
    /// Nodes that were read and belong to an open list or mapping, in order: a mapping's keys and values take turns.
    read: Vec<Node>,
    /// Nodes of the whole document.
    count: usize,
}

struct Open {
    span: Span,
    /// Where its contents begin in `Reader::read`.
    from: usize,
}

impl Reader<'_> {
    /// `None` where the event is not plain.
    fn take(&mut self, event: Event<'_>, place: &Place) -> Option<()> {
        match event {
            Event::Scalar(text, style, 0, None) => {
                let value = scalar(text, style)?;
                let span = self.span(place)?;
                self.read.push(Node { span, value });
            }
            Event::SequenceStart(_, 0, None) | Event::MappingStart(_, 0, None) => {
                let open = Open { span: self.span(place)?, from: self.read.len() };
                self.open.push(open);
                if self.open.len() > MAX_DEPTH {
                    return None;
                }
            }
            Event::SequenceEnd => {
                let Open { span, from } = self.open.pop()?;
                let value = Value::List(self.read.drain(from..).collect());
                self.read.push(Node { span, value });
            }
            Event::MappingEnd => {
                let Open { span, from } = self.open.pop()?;
                let mut nodes = self.read.drain(from..);
                let mut entries = Vec::with_capacity(nodes.len() / 2);
                while let Some(key) = nodes.next() {
                    entries.push((key, nodes.next()?));
                }
                drop(nodes);
                has_plain_keys(&entries).then_some(())?;
                self.read.push(Node { span, value: Value::Map(entries) });
            }
            _ => return None,
        }
        self.count += 1;
        (self.count <= MAX_NODES).then_some(())
    }

    fn span(&self, place: &Place) -> Option<Span> {
        let range = place.byte_range()?;
        Some(Span { source: self.source.clone(), range: range.start..range.end.max(range.start) })
    }
}

/// The type of a scalar, where it is obvious: in quotes, or a word, or a number in digits alone.
fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Option<Value> {
    if style != ScalarStyle::Plain {
        return Some(Value::String(text.into_owned()));
    }
    let first = *text.as_bytes().first()?;
    if first.is_ascii_alphabetic() {
        let word = !["null", "true", "false"].iter().any(|typed| typed.eq_ignore_ascii_case(&text));
        return word.then(|| Value::String(text.into_owned()));
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && (first != b'0' || text.len() == 1);
    digits.then(|| text.parse().ok().map(Value::Integer))?
}

/// Whether all keys are strings, each once, and no key merges another mapping in.
fn has_plain_keys(entries: &[(Node, Node)]) -> bool {
    let mut keys = entries.iter().map(|(key, _)| match &key.value {
        Value::String(text) if text != "<<" => Some(text.as_str()),
        _ => None,
    });
    if entries.len() > FEW {
        let mut seen = HashSet::with_capacity(entries.len());
        return keys.all(|key| key.is_some_and(|key| seen.insert(key)));
    }
    entries.iter().enumerate().all(|(number, (key, _))| {
        keys.next().flatten().is_some()
            && entries.iter().take(number).all(|(other, _)| other.value != key.value)
    })
}

#[cfg(test)]
mod tests;
