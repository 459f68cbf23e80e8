//! Which series an expression of PromQL asks for: the selectors in it, and the labels that it groups by.
//!
//! Not a parser of PromQL: Prometheus itself says whether an expression is right. This finds names in one that is.

use std::collections::BTreeSet;

use regex::Regex;

/// `name{label="value"}`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// The name of the series.
    pub name: String,
    /// Its matchers: label, operator, value.
    pub matchers: Vec<(String, String, String)>,
}

impl Selector {
    /// As Prometheus reads it.
    pub fn text(&self) -> String {
        let matchers: Vec<String> = self
            .matchers
            .iter()
            .map(|(label, operator, value)| format!("{label}{operator}{value:?}"))
            .collect();
        format!("{}{{{}}}", self.name, matchers.join(", "))
    }
}

/// Words of the language that could be names of series.
const WORDS: [&str; 8] = ["and", "or", "unless", "bool", "offset", "atan2", "Inf", "NaN"];
/// Words before a list of labels.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The selectors of an expression.
pub fn selectors(expression: &str) -> Vec<Selector> {
    found(expression).0
}

/// The labels that an expression groups or matches by.
pub fn labels(expression: &str) -> BTreeSet<String> {
    found(expression).1
}

fn found(expression: &str) -> (Vec<Selector>, BTreeSet<String>) {
    let token = Regex::new(
        r#"(?x)
        (?<text>"(?:[^"\\]|\\.)*")
        | (?<range>\[[^\]]*\])
        | (?<number>[0-9][0-9A-Za-z.]*)
        | (?<name>[A-Za-z_:][A-Za-z0-9_:]*) \s* (?: \{(?<matchers>(?:[^}"]|"(?:[^"\\]|\\.)*")*)\} | (?<call>\()(?<inside>[^()]*) )?
        "#,
    )
    .unwrap();
    let (mut selectors, mut labels) = (Vec::new(), BTreeSet::new());
    let mut at = 0;
    while let Some(found) = token.captures_at(expression, at) {
        at = found.get(0).unwrap().end();
        let Some(name) = found.name("name") else { continue };
        let name = name.as_str();
        if BEFORE_LABELS.contains(&name) {
            let inside = found.name("inside").map_or("", |inside| inside.as_str());
            labels.extend(
                inside.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()),
            );
        } else if let Some(call) = found.name("call") {
            // A function: what is in its parentheses is read next.
            at = call.end();
        } else if !WORDS.contains(&name) && !is_aggregation_before_labels(expression, at) {
            let matchers = found.name("matchers").map_or("", |matchers| matchers.as_str());
            selectors.push(Selector { name: name.to_owned(), matchers: matchers_of(matchers) });
        }
    }
    (selectors, labels)
}

/// `sum by (job)`: the name of an aggregation, whose parentheses come after its labels.
fn is_aggregation_before_labels(expression: &str, end: usize) -> bool {
    let rest = expression[end..].trim_start();
    ["by", "without"]
        .iter()
        .any(|word| rest.strip_prefix(word).is_some_and(|rest| rest.trim_start().starts_with('(')))
}

fn matchers_of(text: &str) -> Vec<(String, String, String)> {
    let matcher = Regex::new(r#"(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)""#).unwrap();
    let part = |found: &regex::Captures<'_>, at: usize| found[at].to_owned();
    matcher.captures_iter(text).map(|found| (part(&found, 1), part(&found, 2), part(&found, 3))).collect()
}

#[test]
fn the_series_and_labels_of_an_expression_are_found() {
    let expression = r#"
        label_replace(
          histogram_quantile(0.99, sum by (job, le) (rate(a_bucket{x="1,}", y=~"b|c"}[5m]))) > 5e-1,
          "of", "d", "", ""
        )
        or (e and on (job, instance) job:f:ratio_rate5m offset 1d) / ignoring (z) group_left (w) g < +Inf
        unless max(h{}) by (i) == 0"#;
    let names: Vec<String> = selectors(expression).iter().map(Selector::text).collect();
    assert_eq!(names, ["a_bucket{x=\"1,}\", y=~\"b|c\"}", "e{}", "job:f:ratio_rate5m{}", "g{}", "h{}"]);
    assert_eq!(labels(expression).into_iter().collect::<Vec<_>>(), ["i", "instance", "job", "le", "w", "z"]);
}
