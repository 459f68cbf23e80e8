//! Looks things up in a description. Its keys are open: what is not looked up is passed over.

use crate::diagnostic::Report;
use crate::document::{Node, Value};

/// How many references may lead to one another.
const MOST_STEPS: usize = 16;

/// The value of a key of a mapping, unless it is null.
pub(super) fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let found = entries(node).find(|(key, ..)| *key == name)?;
    (found.2.value != Value::Null).then_some(found.2)
}

/// The string of a key.
pub(super) fn text<'n>(node: &'n Node, name: &str) -> Option<&'n str> {
    as_text(field(node, name)?)
}

/// The string that a node is.
pub(super) fn as_text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Whether a node says yes: extensions of Cloud Endpoints write `"true"` as well.
pub(super) fn is_true(node: &Node) -> bool {
    node.value == Value::Bool(true) || as_text(node) == Some("true")
}

/// The entries with a string as the key, each with its key's node.
pub(super) fn entries(node: &Node) -> impl Iterator<Item = (&str, &Node, &Node)> {
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().filter_map(|(key, value)| Some((as_text(key)?, key, value)))
}

/// The items of a list.
pub(super) fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => &[],
    }
}

/// The texts of a list, or of one text with commas between them.
pub(super) fn texts(node: &Node) -> Vec<String> {
    match as_text(node) {
        Some(text) => {
            text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
        }
        None => items(node).iter().filter_map(as_text).map(str::to_owned).collect(),
    }
}

/// Follows `$ref` (RFC 6901) within the document. `None` where it leads out of it or nowhere, which the report says.
pub(super) fn resolve<'n>(root: &'n Node, node: &'n Node, report: &mut Report) -> Option<&'n Node> {
    let mut at = node;
    for _ in 0..MOST_STEPS {
        let Some(reference) = field(at, "$ref") else { return Some(at) };
        let found = as_text(reference).and_then(|text| text.strip_prefix("#/")).and_then(|path| {
            path.split('/').try_fold(root, |node, step| {
                let step = percent_encoding::percent_decode_str(step).decode_utf8_lossy();
                field(node, &step.replace("~1", "/").replace("~0", "~"))
            })
        });
        match found {
            Some(next) => at = next,
            None => {
                report
                    .warning(&reference.span, "the reference leads to nothing in this file")
                    .help("bundle the description into one file first; what it stands for is not translated");
                return None;
            }
        }
    }
    report.warning(&node.span, "the reference leads back to itself").help("give it something to stand for");
    None
}
