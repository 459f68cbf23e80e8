//! Lists of words that rules join with commas: scopes and audiences. A word that would be read as two, or as none, is told
//! and never passed over: a shorter list asks for something else.

use crate::diagnostic::Span;
use crate::document::{Node, Value};
use crate::import::lookup::{as_text, items};

/// Why something cannot be read, as a question to a person, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Unclear {
    pub(super) why: String,
    pub(super) span: Span,
}

impl Unclear {
    pub(super) fn new(node: &Node, why: impl Into<String>) -> Self {
        Self { why: why.into(), span: node.span.clone() }
    }
}

/// The words of a list. `what` says in the plural what they are.
pub(super) fn listed(node: &Node, what: &str) -> Result<Vec<String>, Unclear> {
    if !matches!(node.value, Value::List(_)) {
        return Err(Unclear::new(node, format!("{what} are not a list but {}", node.kind())));
    }
    let word = |item: &Node| match as_text(item) {
        Some(text) => word(text, item, what),
        None => Err(Unclear::new(item, format!("one of {what} is not a string but {}", item.kind()))),
    };
    items(node).iter().map(word).collect()
}

/// The words of a list, or of one text with commas between them.
pub(super) fn listed_or_joined(node: &Node, what: &str) -> Result<Vec<String>, Unclear> {
    match as_text(node) {
        Some("") => Ok(Vec::new()),
        Some(text) => text.split(',').map(|part| word(part.trim(), node, what)).collect(),
        None => listed(node, what),
    }
}

fn word(text: &str, node: &Node, what: &str) -> Result<String, Unclear> {
    if text.is_empty() {
        return Err(Unclear::new(node, format!("one of {what} is empty")));
    }
    // RFC 6749, section 3.3, without the comma that stands between words.
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b",\"\\".contains(&byte)) {
        let why = format!(
            "one of {what}, `{}`, is not one plain word: a comma, white space or another sign in it does not go into a list",
            text.escape_debug()
        );
        return Err(Unclear::new(node, why));
    }
    Ok(text.to_owned())
}
