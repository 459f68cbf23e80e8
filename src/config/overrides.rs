//! Values from a flag or an environment variable that replace those of the file.

use std::str::FromStr;

use crate::diagnostic::{Report, Source};
use crate::document::{self, Node, Value};

/// A path into the file and the value to put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Its source, for messages: `--set a.b` or the variable's name.
    origin: String,
    steps: Vec<String>,
    value: String,
}

/// Environment variables that override begin with this; `__` separates steps.
const PREFIX: &str = "OPGATE__";

impl FromStr for Override {
    type Err = String;

    /// `path.to.value=VALUE`; items of lists by number.
    fn from_str(text: &str) -> Result<Self, String> {
        let (path, value) = text
            .split_once('=')
            .ok_or_else(|| "expected PATH=VALUE, like admin.address=127.0.0.1:0".to_owned())?;
        if path.is_empty() || path.split('.').any(str::is_empty) {
            return Err(format!("`{path}` is not a path like admin.address"));
        }
        let steps = path.split('.').map(str::to_owned).collect();
        Ok(Self { origin: format!("--set {path}"), steps, value: value.to_owned() })
    }
}

impl Override {
    /// The overrides that the environment holds, by name.
    pub fn from_environment(variables: impl Iterator<Item = (String, String)>) -> Vec<Self> {
        let mut overrides: Vec<Self> = variables
            .filter_map(|(name, value)| {
                let steps = name.strip_prefix(PREFIX)?.split("__").map(str::to_ascii_lowercase).collect();
                Some(Self { origin: name, steps, value })
            })
            .collect();
        overrides.sort_by(|left, right| left.origin.cmp(&right.origin));
        overrides
    }

    /// Puts the value into the tree. Missing mappings on the way are made; a list takes an existing item, or the next.
    pub(super) fn apply(&self, root: &mut Node, report: &mut Report) {
        let source = Source::new(&self.origin, &self.value);
        let Some(value) = document::parse(&source, report) else {
            return;
        };
        let mut node = root;
        for step in &self.steps {
            if node.value == Value::Null {
                node.value = Value::Map(Vec::new());
            }
            let reached = match &mut node.value {
                Value::Map(entries) => entry(entries, step, &value),
                Value::List(items) => item(items, step, &value),
                _ => None,
            };
            match reached {
                Some(inner) => node = inner,
                None => {
                    report
                        .error(
                            &value.span,
                            format!("`{}` leads nowhere: `{step}` is not there", self.steps.join(".")),
                        )
                        .help("name keys of the file, and items of lists by their number, from 0");
                    return;
                }
            }
        }
        *node = value;
    }
}

fn entry<'n>(entries: &'n mut Vec<(Node, Node)>, step: &str, value: &Node) -> Option<&'n mut Node> {
    let position =
        entries.iter().position(|(key, _)| matches!(&key.value, Value::String(name) if name == step));
    let position = position.unwrap_or_else(|| {
        let key = Node { span: value.span.clone(), value: Value::String(step.to_owned()) };
        entries.push((key, Node { span: value.span.clone(), value: Value::Null }));
        entries.len() - 1
    });
    entries.get_mut(position).map(|(_, inner)| inner)
}

fn item<'n>(items: &'n mut Vec<Node>, step: &str, value: &Node) -> Option<&'n mut Node> {
    let index: usize = step.parse().ok()?;
    if index == items.len() {
        items.push(Node { span: value.span.clone(), value: Value::Null });
    }
    items.get_mut(index)
}
