//! `backend` of a service file (google/api/backend.proto): the deadlines of methods. The other fields say where a backend
//! is and how it is called, which the operator does here.

use std::time::Duration;

use super::authentication::read_selectors;
use crate::catalog::limits::BackendRule;
use crate::diagnostic::Report;
use crate::document::{Fields, Node, Spelling, Value};

/// The longest deadline that is read as such, in seconds: ten years.
const LONGEST: f64 = 315_576_000.0;

/// The rest of `BackendRule`.
const NOT_READ: &[&str] = &[
    "address",
    "min_deadline",
    "operation_deadline",
    "path_translation",
    "jwt_audience",
    "disable_auth",
    "protocol",
    "overrides_by_request_protocol",
    "load_balancing_policy",
];

/// Reads the rules. One that is wrong is left out.
pub(super) fn read(node: &Node, report: &mut Report) -> Vec<BackendRule> {
    let Some(mut fields) = node.fields("`backend`", Spelling::Proto, report) else { return Vec::new() };
    let rules = fields.optional("rules").and_then(|rules| rules.list(report)).unwrap_or_default();
    fields.finish(report);
    rules.iter().filter_map(|node| rule(node, report)).collect()
}

fn rule(node: &Node, report: &mut Report) -> Option<BackendRule> {
    let mut fields: Fields<'_> = node.fields("a google.api.BackendRule", Spelling::Proto, report)?;
    let selector = fields.required("selector", report);
    let deadline = fields.optional("deadline");
    fields.ignore(NOT_READ);
    fields.finish(report);
    let selectors = read_selectors(selector?, report)?;
    let deadline = deadline.and_then(|node| seconds(node, report));
    Some(BackendRule { selectors, deadline })
}

/// A number of seconds. Zero means that there is no deadline, as in proto3.
fn seconds(node: &Node, report: &mut Report) -> Option<Duration> {
    let seconds = match node.value {
        #[expect(clippy::cast_precision_loss, reason = "a number of seconds")]
        Value::Integer(seconds) => seconds as f64,
        Value::Float(seconds) => seconds,
        _ => f64::NAN,
    };
    if seconds == 0.0 {
        return None;
    }
    let read = (0.0..=LONGEST).contains(&seconds).then(|| Duration::from_secs_f64(seconds));
    if read.is_none() {
        report
            .error(&node.span, "a deadline is a number of seconds")
            .help("write `deadline: 30.0`, without a unit");
    }
    read.filter(|deadline| !deadline.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use crate::document;

    fn read_text(text: &str) -> (Vec<BackendRule>, String) {
        let mut report = Report::new();
        let node = document::parse(&Source::new("lab.yaml", text), &mut report).unwrap();
        (read(&node, &mut report), report.render(false))
    }

    #[test]
    fn deadlines_are_seconds() {
        let text = "rules: [{selector: '*', deadline: 30.5, address: x, pathTranslation: APPEND_PATH_TO_ADDRESS}, \
                    {selector: a.B.*, deadline: 7}, {selector: a.B.C, deadline: 0.0}, {selector: a.B.D}]";
        let (rules, report) = read_text(text);
        assert_eq!(report, "");
        let deadlines: Vec<_> = rules.iter().map(|rule| rule.deadline).collect();
        assert_eq!(
            deadlines,
            [Some(Duration::from_millis(30_500)), Some(Duration::from_secs(7)), None, None]
        );
    }

    #[test]
    fn what_is_not_a_number_of_seconds_is_an_error() {
        for deadline in ["30s", "-1", "1e300", "true"] {
            let (_, report) = read_text(&format!("rules: [{{selector: '*', deadline: {deadline}}}]"));
            assert!(report.contains("a deadline is a number of seconds"), "{deadline}: {report}");
        }
        let (_, report) = read_text("rules: [{selector: '*', deadlin: 1}, {deadline: 1}]");
        assert!(
            report.contains("did you mean `deadline`?") && report.contains("needs `selector`"),
            "{report}"
        );
    }
}
