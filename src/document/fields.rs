//! The fields of a mapping, asked for one by one; a field that is never asked for is an error.

use super::{Node, Value};
use crate::diagnostic::{Report, Span};

/// How the keys of a file are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// Ours: exactly as documented.
    Exact,
    /// Google's: snake_case or lowerCamelCase, as proto JSON accepts both
    /// (<https://protobuf.dev/programming-guides/json/>).
    Proto,
}

/// A mapping being read. Call [`Fields::finish`] at the end: it reports the keys that were not asked for.
#[derive(Debug)]
pub struct Fields<'n> {
    what: &'static str,
    spelling: Spelling,
    span: &'n Span,
    entries: Vec<(&'n str, &'n Node, &'n Node, bool)>,
    asked: Vec<&'static str>,
    /// Fields that were reported as missing.
    missing: Vec<&'static str>,
}

impl Node {
    /// The fields of a mapping that has a fixed set of them. `what` names it in messages: `a role`.
    pub fn fields<'n>(
        &'n self,
        what: &'static str,
        spelling: Spelling,
        report: &mut Report,
    ) -> Option<Fields<'n>> {
        Fields::new(self, what, spelling, report)
    }
}

impl<'n> Fields<'n> {
    pub(super) fn new(
        node: &'n Node,
        what: &'static str,
        spelling: Spelling,
        report: &mut Report,
    ) -> Option<Self> {
        let Value::Map(written) = &node.value else {
            node.wrong_kind("a mapping", report);
            return None;
        };
        // Not `Node::entries`: a second list for each of a million bindings.
        let mut entries: Vec<(&str, &Node, &Node, bool)> = Vec::with_capacity(written.len());
        for (key_node, value) in written {
            let Some(key) = key_node.string(report) else { continue };
            // Proto JSON lets one field be written in two ways; both in one mapping is one field given twice.
            if let Some((_, first, ..)) = entries.iter().find(|(other, ..)| spelling.same(other, key)) {
                report
                    .error(&key_node.span, format!("`{key}` is given twice"))
                    .related(&first.span, "the first is here")
                    .help("remove one of the two");
                continue;
            }
            entries.push((key, key_node, value, false));
        }
        Some(Self { what, spelling, span: &node.span, entries, asked: Vec::new(), missing: Vec::new() })
    }

    /// The whole mapping's span.
    pub fn span(&self) -> &'n Span {
        self.span
    }

    /// The value of a field, or `None` where it is absent or null.
    pub fn optional(&mut self, name: &'static str) -> Option<&'n Node> {
        self.asked.push(name);
        let spelling = self.spelling;
        let entry = self.entries.iter_mut().find(|(key, ..)| spelling.same(key, name))?;
        entry.3 = true;
        match entry.2.value {
            Value::Null => None,
            _ => Some(entry.2),
        }
    }

    /// The value of a field that must be there.
    pub fn required(&mut self, name: &'static str, report: &mut Report) -> Option<&'n Node> {
        let value = self.optional(name);
        if value.is_none() {
            self.missing.push(name);
            report.error(self.span, format!("{} needs `{name}`", self.what)).help(format!("add `{name}: …`"));
        }
        value
    }

    /// The string of a field that may be absent.
    pub fn optional_string(&mut self, name: &'static str, report: &mut Report) -> Option<&'n str> {
        self.optional(name)?.string(report)
    }

    /// The key of a field that is there, whatever its value; [`Fields::optional`] passes over one without a value.
    pub fn key(&self, name: &str) -> Option<&'n Node> {
        let entry = self.entries.iter().find(|(key, ..)| self.spelling.same(key, name))?;
        Some(entry.1)
    }

    /// Whether a field has the value `null`, written out. A key with nothing behind it has no value either, and may be a
    /// mistake.
    pub fn is_written_null(&self, name: &str) -> bool {
        let entry = self.entries.iter().find(|(key, ..)| self.spelling.same(key, name));
        entry.is_some_and(|(.., value, _)| {
            let Span { source, range } = &value.span;
            value.value == Value::Null && source.text.get(range.clone()).map(str::trim) == Some("null")
        })
    }

    /// The string of a field that must be there.
    pub fn required_string(&mut self, name: &'static str, report: &mut Report) -> Option<&'n str> {
        self.required(name, report)?.string(report)
    }

    /// Accepts fields without looking at their values.
    pub fn ignore(&mut self, names: &[&'static str]) {
        for name in names {
            self.optional(name);
        }
    }

    /// Reports the keys that were not asked for, and those of our own files that have nothing behind them: what stood there may be a
    /// comment by now, and a listener without its `tls` would serve everyone.
    pub fn finish(self, report: &mut Report) {
        for (key, key_node, value, taken) in &self.entries {
            let is_missing = || self.missing.iter().any(|name| self.spelling.same(key, name));
            if *taken && self.spelling == Spelling::Exact && is_left_out(value) && !is_missing() {
                report
                    .error(&key_node.span, format!("there is nothing behind `{key}`"))
                    .help("write what belongs there, or remove the key; `null` says that it is left out");
            }
            if *taken {
                continue;
            }
            let diagnostic = report.error(&key_node.span, format!("{} has no field `{key}`", self.what));
            match nearest(key, self.asked.iter().copied()) {
                Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
                None => diagnostic.help(format!("its fields are {}", quoted(&self.asked))),
            };
        }
    }
}

impl Spelling {
    fn same(self, left: &str, right: &str) -> bool {
        match self {
            Self::Exact => left == right,
            Self::Proto => left == right || camel(left).eq(camel(right)),
        }
    }
}

/// The lowerCamelCase of a proto field name, as a stream of characters.
fn camel(name: &str) -> impl Iterator<Item = char> {
    let mut raise = false;
    name.chars().filter_map(move |character| {
        if character == '_' {
            raise = true;
            return None;
        }
        Some(if std::mem::take(&mut raise) { character.to_ascii_uppercase() } else { character })
    })
}

/// The candidate that a mistyped name most likely meant, or `None` where none is near.
pub fn nearest<'c>(typed: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(typed, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The first of many names, and how many more there are.
pub fn some_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    const MOST: usize = 10;
    let names: Vec<&str> = names.into_iter().collect();
    let first = names.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(MOST) {
        Some(more @ 1..) => format!("{first} and {more} more"),
        _ => first,
    }
}

/// Each once: some are asked for by several parts.
fn quoted(names: &[&str]) -> String {
    let is_first = |(place, name): &(usize, &&str)| !names.iter().take(*place).any(|other| other == *name);
    let names = names.iter().enumerate().filter(is_first);
    names.map(|(_, name)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Whether a value is not there, and its absence is not said.
fn is_left_out(value: &Node) -> bool {
    let Span { source, range } = &value.span;
    let written = source.text.get(range.clone()).map(str::trim);
    value.value == Value::Null && !matches!(written, Some("null" | "Null" | "NULL" | "~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_names_is_cut_with_a_count() {
        assert_eq!(some_of(["a", "b"]), "a, b");
        let names: Vec<String> = (0..12).map(|number| number.to_string()).collect();
        assert_eq!(some_of(names.iter().map(String::as_str)), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
    }
}
