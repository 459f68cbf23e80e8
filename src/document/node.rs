//! A value of a document, and where it was written.

use crate::diagnostic::{Report, Span};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it was written.
    pub span: Span,
    /// What was written.
    pub value: Value,
}

/// What a node holds. YAML's implicit types (YAML 1.2 core schema), JSON's types.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    String(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// The kind of value, with its article, for messages: `a string`, `a list`.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    pub(super) fn wrong_kind(&self, expected: &str, report: &mut Report) {
        let scalar = matches!(self.value, Value::Bool(_) | Value::Integer(_) | Value::Float(_));
        let help = match expected {
            "a string" if scalar => "put it in quotes to make it a string",
            "a string" => "write one value here",
            "`true` or `false`" => "write it without quotes",
            "a whole number" => "write digits alone, without quotes or a unit",
            "a list" => "write `[one, two]`, or one `- item` per line",
            _ => "write `key: value` lines, indented alike",
        };
        let message = format!("expected {expected}, found {}", self.kind());
        match self.is_split().filter(|_| expected == "a string") {
            Some(whole) => {
                let message = format!("{message}: a `:` with a blank behind it begins one");
                report.error(&self.span, message).help(format!("remove the blank: `{whole}`"));
            }
            None => {
                report.error(&self.span, message).help(help);
            }
        }
    }

    /// The string that was meant by `user: ana@example.com`, which is a mapping.
    fn is_split(&self) -> Option<String> {
        let Value::Map(entries) = &self.value else { return None };
        match entries.as_slice() {
            [(Node { value: Value::String(key), .. }, Node { value: Value::String(text), .. })] => {
                Some(format!("{key}:{text}"))
            }
            _ => None,
        }
    }

    /// The string, or a diagnostic.
    pub fn string(&self, report: &mut Report) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => {
                self.wrong_kind("a string", report);
                None
            }
        }
    }

    /// The boolean, or a diagnostic.
    pub fn boolean(&self, report: &mut Report) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => {
                self.wrong_kind("`true` or `false`", report);
                None
            }
        }
    }

    /// The whole number, or a diagnostic.
    pub fn integer(&self, report: &mut Report) -> Option<i64> {
        match self.value {
            Value::Integer(value) => Some(value),
            _ => {
                self.wrong_kind("a whole number", report);
                None
            }
        }
    }

    /// The items of a list, or a diagnostic.
    pub fn list(&self, report: &mut Report) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => {
                self.wrong_kind("a list", report);
                None
            }
        }
    }

    /// The strings of a list, each with its node; items of another kind are reported and left out.
    pub fn strings<'n>(&'n self, report: &mut Report) -> Vec<(&'n str, &'n Node)> {
        let items = self.list(report).unwrap_or_default();
        items.iter().filter_map(|item| Some((item.string(report)?, item))).collect()
    }

    /// The entries of a mapping with string keys, or a diagnostic.
    pub fn entries(&self, report: &mut Report) -> Option<Vec<(&str, &Node, &Node)>> {
        match &self.value {
            Value::Map(entries) => Some(
                entries.iter().filter_map(|(key, value)| Some((key.string(report)?, key, value))).collect(),
            ),
            _ => {
                self.wrong_kind("a mapping", report);
                None
            }
        }
    }
}
