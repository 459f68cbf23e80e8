//! Cancels of operations, and what became of them: the question that this gate exists for.

use maud::{Markup, html};

use crate::admin::console::layout::{facts, nothing};
use crate::admin::console::metric;
use crate::admin::console::state::GateView;
use crate::admin::console::words::{number, percent, span};

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
    facts([
        ("Asked since start", number(asked)),
        ("Outcome awaited", number(scraped.sum(metric::CANCELS_PENDING, &[]).unwrap_or_default())),
        ("Effective", html! { (percent(effective)) }),
        ("Cancelled", number(cancelled)),
        ("Finished anyway", number(of("succeeded"))),
        ("Failed", number(of("failed"))),
        ("Deleted", number(of("deleted"))),
        ("Not seen again", number(of("unobserved") + of("evicted"))),
        ("Average time to the end", html! { (average.unwrap_or("–".to_owned())) }),
    ])
}
