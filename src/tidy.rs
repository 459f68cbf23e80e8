//! Policy files, written tidily: keys in the order of Google's exports, members sorted, two blanks for each level.
//!
//! Comments have to stay with what they are about, and no YAML library for Rust writes comments back. So the text is taken
//! apart by the parser that also reads it (`layout`), and its pieces are put together again as they were written (`write`).
//! What cannot be taken apart safely is refused: anchors, aliases, tags, several documents. At the end the new text is read,
//! and its meaning and its comments are compared with those of the old one. If they differ, the file stays as it is.

mod comments;
mod json;
mod layout;
mod order;
mod pieces;
mod reader;
mod refusal;
mod write;

use std::sync::Arc;

use crate::diagnostic::{Report, Source, Span};
use crate::document::{self, Node, Value};
use crate::schema::FileSchema;

use self::comments::BYTE_ORDER_MARK;
use self::order::{Ordering, keys_of};
use self::refusal::Refusal;

/// The tidy text of a file. `None` if it cannot be made: the report says why.
pub fn tidy(source: &Arc<Source>, schema: FileSchema, report: &mut Report) -> Option<String> {
    let before = document::parse(source, report)?;
    // JSON is YAML without line structure.
    let is_json = source.path.extension().is_some_and(|ending| ending == "json");
    let written = if is_json {
        json::write(&before, Ordering(schema.root))
    } else {
        write_yaml(&source.text, Ordering(schema.root))
    };
    let text = match written {
        Ok(text) => text,
        Err(refusal) => {
            tell(source, &refusal, report);
            return None;
        }
    };
    let again = Source::new(&source.path, text.as_str());
    let after = document::parse(&again, &mut Report::new());
    let is_same = after.is_some_and(|after| {
        same(&before, &after, Ordering(schema.root))
            && comments::comments(&source.text) == comments::comments(&text)
    });
    if !is_same {
        let refusal = Refusal {
            at: 0,
            message: "the file cannot be rewritten without changing what it says",
            help: "indent it by hand; please report this, with the file",
        };
        tell(source, &refusal, report);
        return None;
    }
    Some(text)
}

/// The tidy text of a YAML file. What stands above a line of `---`, and that line, stay as they are.
fn write_yaml(text: &str, ordering: Ordering) -> Result<String, Refusal> {
    let normal = comments::normal(text);
    let head = head(&normal);
    let body = normal.get(head.len()..).unwrap_or_default();
    let written = layout::read(body).and_then(|layout| write::write(&layout, ordering));
    match written {
        Ok(body) => Ok(head.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>() + &body),
        Err(refusal) => Err(Refusal { at: place_of(refusal.at + head.len(), &normal, text), ..refusal }),
    }
}

/// The comments and blank lines above a line of `---`, with that line; nothing where there is none.
fn head(text: &str) -> &str {
    let mut length = 0;
    for line in text.split_inclusive('\n') {
        length += line.len();
        match line.trim_end() {
            "---" => return text.get(..length).unwrap_or_default(),
            line if line.is_empty() || line.starts_with('#') => {}
            _ => break,
        }
    }
    ""
}

/// Where a place of the normal text is in the text as it was written.
fn place_of(at: usize, normal: &str, written: &str) -> usize {
    let above = normal.get(..at).unwrap_or(normal);
    let line = above.matches('\n').count();
    let column = above.len() - above.rfind('\n').map_or(0, |end| end + 1);
    let mark = if written.starts_with(BYTE_ORDER_MARK) && line == 0 { BYTE_ORDER_MARK.len_utf8() } else { 0 };
    written.split_inclusive('\n').take(line).map(str::len).sum::<usize>() + mark + column
}

fn tell(source: &Arc<Source>, refusal: &Refusal, report: &mut Report) {
    let span = Span { source: Arc::clone(source), range: refusal.at..refusal.at };
    report.error(&span, refusal.message).help(refusal.help);
}

/// Whether two documents say the same: the order of keys does not matter, nor does that of a list that is a set.
fn same(left: &Node, right: &Node, ordering: Ordering) -> bool {
    match (&left.value, &right.value) {
        (Value::Map(left), Value::Map(right)) => {
            left.len() == right.len()
                && left.iter().enumerate().all(|(place, (key, value))| {
                    // Most stand where they stood.
                    let other = right.get(place).filter(|(other, _)| other == key);
                    let other = other.or_else(|| right.iter().find(|(other, _)| other == key));
                    let ordering = match &key.value {
                        Value::String(name) => ordering.of_key(name, keys_of(left)),
                        _ => ordering,
                    };
                    other.is_some_and(|(_, other)| same(value, other, ordering))
                })
        }
        (Value::List(left), Value::List(right)) if left.len() == right.len() => {
            if ordering.is_set() {
                return sorted(left) == sorted(right);
            }
            left.iter().zip(right).all(|(left, right)| same(left, right, ordering.of_item()))
        }
        _ => left == right,
    }
}

/// The items of a set, in an order that does not depend on how they were written.
fn sorted(items: &[Node]) -> Vec<String> {
    let mut texts: Vec<String> = items.iter().map(|item| format!("{:?}", item.value)).collect();
    texts.sort_unstable();
    texts
}

#[cfg(test)]
mod tests;
