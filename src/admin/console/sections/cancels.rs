//! Cancels of operations, and what became of them: the question that this gate exists for.

use maud::{Markup, html};

use super::find::why;
use crate::admin::console::layout::{Mood, badge, facts, nothing, table};
use crate::admin::console::metric;
use crate::admin::console::state::GateView;
use crate::admin::console::words::{ago, name, number, percent, span};
use crate::cancels::{Cancel, CancelOutcome};

/// How many of each are listed.
const MOST: usize = 20;

pub(in crate::admin::console) fn content(view: &GateView<'_>) -> Markup {
    let scraped = &view.scraped;
    let asked = scraped.sum(metric::CANCELS_TOTAL, &[]);
    let Some(asked) = asked else { return nothing("No service that is exposed has a method that cancels.") };
    let ends = scraped.by(metric::CANCEL_OUTCOMES_TOTAL, "outcome", &[]);
    let of = |outcome: &str| ends.get(outcome).copied().unwrap_or_default();
    let (cancelled, other) = (of("cancelled"), of("succeeded") + of("failed"));
    let effective = (cancelled + other > 0.0).then(|| 100.0 * cancelled / (cancelled + other));
    let (took, count) = (
        scraped.sum(metric::CANCEL_SETTLE_SECONDS_SUM, &[]).unwrap_or_default(),
        scraped.sum(metric::CANCEL_SETTLE_SECONDS_COUNT, &[]).unwrap_or_default(),
    );
    let average = (count > 0.0).then(|| span(std::time::Duration::from_secs_f64((took / count).max(0.0))));
    let number = |value: f64| html! { (number(value)) };
    let numbers = facts([
        ("Asked since start", number(asked)),
        ("Outcome awaited", number(scraped.sum(metric::CANCELS_PENDING, &[]).unwrap_or_default())),
        ("Effective", html! { (percent(effective)) }),
        ("Cancelled", number(cancelled)),
        ("Finished anyway", number(of("succeeded"))),
        ("Failed", number(of("failed"))),
        ("Deleted", number(of("deleted"))),
        ("Not seen again", number(of("unobserved") + of("evicted"))),
        ("Average time to the end", html! { (average.unwrap_or("–".to_owned())) }),
    ]);
    html! {
        (numbers)
        @if view.reader.is_told() { (pending(view)) (ended(view)) }
    }
}

/// Cancels whose outcome is awaited.
fn pending(view: &GateView<'_>) -> Markup {
    let pending = view.admin.engine.cancels().pending(MOST);
    if pending.is_empty() {
        return html! {};
    }
    let columns = ["Operation", "Asked by", "State", "Asked", "Why"];
    let rows = pending.iter().map(|pending| {
        let cancel = &pending.cancel;
        vec![
            html! { (name(&cancel.name)) },
            caller(cancel),
            badge(Mood::Neutral, pending.state.as_str()),
            ago(cancel.asked.time, view.now),
            why(&cancel.request_id),
        ]
    });
    html! { h3 { "Outcome awaited" } (table("Cancels whose outcome is awaited, newest first", &columns, rows)) }
}

/// Cancels whose outcome was seen, or is not awaited any more.
fn ended(view: &GateView<'_>) -> Markup {
    let ends = view.admin.engine.cancels().ends();
    if ends.is_empty() {
        return html! {};
    }
    let columns = ["Operation", "Asked by", "Outcome", "After", "Why"];
    let rows = ends.iter().take(MOST).map(|end| {
        let mood = match end.outcome {
            CancelOutcome::Cancelled | CancelOutcome::Deleted => Mood::Good,
            CancelOutcome::Succeeded | CancelOutcome::Failed => Mood::Warning,
            _ => Mood::Neutral,
        };
        vec![
            html! { (name(&end.cancel.name)) },
            caller(&end.cancel),
            html! { span { (badge(mood, end.outcome.label())) span.under { (ago(end.observed.time, view.now)) } } },
            html! { (span(end.took())) },
            why(&end.cancel.request_id),
        ]
    });
    html! { h3 { "The last ends" } (table("The last ends of cancels, newest first", &columns, rows)) }
}

fn caller(cancel: &Cancel) -> Markup {
    name(cancel.principal.as_ref().map_or("no caller", |principal| principal.as_str()))
}
