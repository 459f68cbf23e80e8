//! The last decisions, which go on by themselves where scripts run.

use std::time::SystemTime;

use maud::{Markup, html};

use super::find::why;
use crate::admin::console::layout::{Mood, badge, nothing, table};
use crate::admin::console::state::GateView;
use crate::admin::console::words::{ago, name};
use crate::recent::DecisionFacts;

/// How many are shown.
const MOST: usize = 100;

pub(in crate::admin::console) const COLUMNS: [&str; 5] = ["Decision", "Caller", "Call", "When", "Why"];

pub(in crate::admin::console) fn content(view: &GateView<'_>) -> Markup {
    let recent = &view.admin.recent;
    // Before the list: what comes in between is sent again, and not left out.
    let last = recent.last_number();
    let shown = recent.last(&view.filter, MOST);
    let rows = shown.iter().map(|(_, facts)| cells(facts, view.now));
    html! {
        (filters(view))
        div.bar id="live-bar" hidden {
            p id="live-state" role="status" { "" }
            label { input type="checkbox" id="live-pause"; " Pause" }
        }
        @if shown.is_empty() {
            div id="live-none" { (nothing(if view.filter.is_empty() { "No request was decided since the start." } else { "No decision that is remembered fits the filter." })) }
        }
        div data-stream=(stream(view)) data-last=(last) data-most=(MOST) hidden[shown.is_empty()] {
            (table("The last decisions, newest first", &COLUMNS, rows))
        }
    }
}

fn filters(view: &GateView<'_>) -> Markup {
    let filter = &view.filter;
    let field = |key: &str, label: &str, hint: &str, value: &str| {
        html! {
            label { (label) " " span.hint { (hint) } input name=(key) value=(value) autocomplete="off"; }
        }
    };
    html! {
        form.ask method="get" action="/#decisions" role="search" aria-label="Filter decisions" {
            (field("reason", "Reason", "or ALLOWED", &filter.reason))
            (field("service", "Service or method", "", &filter.service))
            (field("principal", "Caller", "", &filter.principal))
            button { "Filter" }
        }
        @if !filter.is_empty() { p { a href="/#decisions" { "Show all" } } }
    }
}

/// Where the list goes on.
fn stream(view: &GateView<'_>) -> String {
    let filter = &view.filter;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in
        [("reason", &filter.reason), ("service", &filter.service), ("principal", &filter.principal)]
    {
        query.append_pair(name, value);
    }
    format!("/console/live?{}", query.finish())
}

/// A decision as a row.
pub(in crate::admin::console) fn cells(facts: &DecisionFacts, now: SystemTime) -> Vec<Markup> {
    let mood = match (facts.decision.as_str(), facts.status) {
        ("ALLOWED", ..500) => Mood::Good,
        ("DENIED", ..500) => Mood::Warning,
        ("ALLOWED" | "DENIED", _) => Mood::Bad,
        _ => Mood::Neutral,
    };
    let time = facts.time.parse::<jiff::Timestamp>().map(SystemTime::from);
    let call = facts.method.as_deref().or(facts.path.as_deref()).unwrap_or("unreadable");
    let under = facts.resource.as_deref().or(facts.path.as_deref().filter(|path| *path != call));
    vec![
        html! {
            (badge(mood, &facts.decision.to_lowercase()))
            span.under { (facts.status) @if facts.reason != facts.decision { " " (name(&facts.reason)) } }
        },
        html! { (name(facts.principal.as_deref().unwrap_or("no caller"))) },
        html! {
            span {
                @if let Some(method) = facts.http_method.as_deref().filter(|_| facts.method.is_none()) { (method) " " }
                (name(call))
                @if let Some(under) = under { span.under { (name(under)) } }
            }
        },
        match time {
            Ok(time) => ago(time, now),
            Err(_) => html! { (facts.time) },
        },
        why(&facts.id),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::console::layout::row;

    #[test]
    fn whatever_a_client_writes_is_text() {
        let mark = "\"'><script>alert(1)</script>";
        let all = || Some(mark.to_owned());
        let facts = DecisionFacts {
            id: mark.to_owned(),
            time: mark.to_owned(),
            decision: mark.to_owned(),
            reason: mark.to_owned(),
            principal: all(),
            service: all(),
            method: all(),
            resource: all(),
            http_method: all(),
            path: all(),
            status: 403,
        };
        let html = row(&COLUMNS, &cells(&facts, SystemTime::UNIX_EPOCH)).into_string();
        assert!(!html.contains("<script") && !html.contains("'>") && !html.contains("\">\""), "{html}");
        assert!(html.contains("&lt;script&gt;"), "{html}");
    }
}
