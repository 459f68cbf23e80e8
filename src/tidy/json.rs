//! JSON, as `gcloud` prints it.

use super::comments::first_comment;
use super::order::{Ordering, keys_of, text_of};
use super::refusal::Refusal;
use crate::document::{Node, Value};

/// The text of a file. Comments, which JSON does not have, are refused.
pub(super) fn write(root: &Node, ordering: Ordering) -> Result<String, Refusal> {
    if let Some(at) = first_comment(&root.span.source.text) {
        return Err(Refusal {
            at,
            message: "JSON has no comments",
            help: "name the file `.yaml`, or remove them",
        });
    }
    let mut text = String::new();
    value(root, ordering, 0, &mut text)?;
    text.push('\n');
    Ok(text)
}

fn value(node: &Node, ordering: Ordering, level: usize, text: &mut String) -> Result<(), Refusal> {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            let keys = keys_of(entries);
            let mut entries: Vec<(&str, &Node)> =
                keys.clone().zip(entries.iter().map(|(_, value)| value)).collect();
            entries.sort_by_key(|(key, _)| ordering.position(key, keys.clone()));
            let items =
                entries.iter().map(|(key, value)| (Some(*key), *value, ordering.of_key(key, keys.clone())));
            block(['{', '}'], items, level, text)
        }
        Value::List(items) if !items.is_empty() => {
            let mut items: Vec<&Node> = items.iter().collect();
            if ordering.is_set() {
                items.sort_by_key(|item| text_of(item));
            }
            block(['[', ']'], items.into_iter().map(|item| (None, item, ordering.of_item())), level, text)
        }
        Value::Map(_) => {
            text.push_str("{}");
            Ok(())
        }
        Value::List(_) => {
            text.push_str("[]");
            Ok(())
        }
        Value::String(string) => {
            text.push_str(&serde_json::Value::from(string.as_str()).to_string());
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => scalar(node, text),
    }
}

/// What stands between two brackets, one a line.
fn block<'n>(
    brackets: [char; 2],
    items: impl Iterator<Item = (Option<&'n str>, &'n Node, Ordering)>,
    level: usize,
    text: &mut String,
) -> Result<(), Refusal> {
    let [open, close] = brackets;
    text.push(open);
    for (number, (key, node, ordering)) in items.enumerate() {
        text.push_str(if number == 0 { "\n" } else { ",\n" });
        text.push_str(&"  ".repeat(level + 1));
        if let Some(key) = key {
            text.push_str(&serde_json::Value::from(key).to_string());
            text.push_str(": ");
        }
        value(node, ordering, level + 1, text)?;
    }
    text.push('\n');
    text.push_str(&"  ".repeat(level));
    text.push(close);
    Ok(())
}

/// A number, `true`, `false` or `null`, as it was written, if JSON has it so.
fn scalar(node: &Node, text: &mut String) -> Result<(), Refusal> {
    let written = node.span.source.text.get(node.span.range.clone()).unwrap_or_default().trim();
    if serde_json::from_str::<&serde_json::value::RawValue>(written).is_err() {
        return Err(Refusal {
            at: node.span.range.start,
            message: "this value is not JSON",
            help: "write it as JSON does: `null`, `true`, a number, or a text in quotes",
        });
    }
    text.push_str(written);
    Ok(())
}
