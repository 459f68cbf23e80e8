//! Looks things up in a description. Its keys are open: what is not looked up is passed over.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr;

use crate::diagnostic::Report;
use crate::document::{Node, Value};

/// How many references may lead to one another.
const MOST_STEPS: usize = 100;

/// From how many entries on a mapping that references lead through is looked up in a table.
const MANY_ENTRIES: usize = 16;

/// The value of a key of a mapping, unless it is null.
pub(super) fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    present(node, name).filter(|found| found.value != Value::Null)
}

/// The value of a key of a mapping, null too. For keys that open or close something: one without a value is a mistake there.
pub(super) fn present<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    entries(node).find(|(key, ..)| *key == name).map(|(.., value)| value)
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

/// Follows `$ref` (RFC 6901) within a document.
pub(super) struct References<'n> {
    root: &'n Node,
    /// The keys of the large mappings that were passed through, by their address: descriptions have thousands of references
    /// to components, and thousands of components.
    tables: RefCell<HashMap<*const Node, HashMap<&'n str, &'n Node>>>,
}

impl<'n> References<'n> {
    pub(super) fn new(root: &'n Node) -> Self {
        Self { root, tables: RefCell::default() }
    }

    /// What a node stands for. `None` where a reference leads out of the document, nowhere or in a circle, which the report
    /// says.
    pub(super) fn resolve(&self, node: &'n Node, report: &mut Report) -> Option<&'n Node> {
        let mut at = node;
        for _ in 0..=MOST_STEPS {
            let Some(reference) = field(at, "$ref") else { return Some(at) };
            let path = as_text(reference).and_then(|text| text.strip_prefix("#/"));
            let Some(next) = path.and_then(|path| self.pointed(path)) else {
                report
                    .warning(&reference.span, "the reference leads to nothing in this file")
                    .help("bundle the description into one file first; what it stands for is not translated");
                return None;
            };
            at = next;
        }
        report
            .error(
                &node.span,
                format!("more than {MOST_STEPS} references lead to one another, or in a circle"),
            )
            .help("let the reference lead to what it stands for");
        None
    }

    fn pointed(&self, path: &str) -> Option<&'n Node> {
        path.split('/').try_fold(self.root, |node, step| {
            let step = percent_encoding::percent_decode_str(step).decode_utf8_lossy();
            self.child(node, &step.replace("~1", "/").replace("~0", "~"))
        })
    }

    fn child(&self, node: &'n Node, name: &str) -> Option<&'n Node> {
        if !matches!(&node.value, Value::Map(entries) if entries.len() > MANY_ENTRIES) {
            return field(node, name);
        }
        let mut tables = self.tables.borrow_mut();
        let table = tables
            .entry(ptr::from_ref(node))
            .or_insert_with(|| entries(node).map(|(key, _, value)| (key, value)).collect());
        table.get(name).copied().filter(|found| found.value != Value::Null)
    }
}
