//! The last reloads: what was loaded, how long that took, and what it did to the share of denials.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};

use crate::admin::console::layout::{Mood, badge, nothing, table};
use crate::admin::console::state::{Concern, GateView};
use crate::admin::console::words::{ago, percent, span};
use crate::admin::reloads::ReloadChange;

/// Of the time before a change, and of the time after it.
const COMPARED: Duration = Duration::from_secs(5 * 60);

/// A change is suspected of denials for so long.
const RECENT: Duration = Duration::from_secs(30 * 60);

/// So many percent more denials are worth a look, from so many decisions on.
const MORE_DENIALS: f64 = 10.0;
const ENOUGH: u64 = 20;

pub(in crate::admin::console) fn concerns(view: &GateView<'_>) -> Vec<Concern> {
    let failed = view.reloads.failed.iter().map(|(part, _)| {
        Concern::new(Mood::Warning, "a part is not as its files say: its last good state is in force")
            .told(format!("{part}: the files do not load, and the last good state is in force"))
            .at("changes")
    });
    let restart = (!view.reloads.restart.is_empty()).then(|| {
        let settings = view.reloads.restart.join(", ");
        Concern::new(Mood::Warning, "the configuration has changed where only a restart helps")
            .told(format!("a restart is needed for: {settings}"))
            .at("changes")
    });
    let denials =
        view.reloads.changes.iter().find(|change| has_raised_denials(view, change)).map(|_| {
            Concern::new(Mood::Warning, "more requests are denied since the last change").at("changes")
        });
    failed.chain(restart).chain(denials).collect()
}

fn shares(
    view: &GateView<'_>,
    change: &ReloadChange,
) -> (crate::recent::DecisionShare, crate::recent::DecisionShare) {
    let at = change.time;
    let before = view.admin.recent.share(at - COMPARED, at);
    // The step in which it came counts as after it.
    let after = view.admin.recent.share(at, end(at, view.now));
    (before, after)
}

fn end(at: SystemTime, now: SystemTime) -> SystemTime {
    // The step that is under way counts.
    (at + COMPARED).min(now + Duration::from_secs(10))
}

fn has_raised_denials(view: &GateView<'_>, change: &ReloadChange) -> bool {
    let is_recent = view.now.duration_since(change.time).is_ok_and(|since| since < RECENT);
    let (before, after) = shares(view, change);
    let (Some(was), Some(is)) = (before.percent(), after.percent()) else { return false };
    is_recent
        && change.diagnostic.is_none()
        && before.decided >= ENOUGH
        && after.decided >= ENOUGH
        && is > was + MORE_DENIALS
}

pub(in crate::admin::console) fn content(view: &GateView<'_>) -> Markup {
    let changes = &view.reloads.changes;
    if changes.is_empty() {
        return nothing("Nothing was loaded since the start.");
    }
    let columns = ["When", "Parts", "Outcome", "In force after", "Denied before → after"];
    let rows = changes.iter().map(|change| {
        let (before, after) = shares(view, change);
        vec![
            ago(change.time, view.now),
            html! { (change.parts.join(", ")) span.under { (change.cause) } },
            match &change.diagnostic {
                None => badge(Mood::Good, "loaded"),
                Some(why) => html! {
                    (badge(Mood::Bad, "not loaded"))
                    details { summary { "Why" } pre.diagnostic tabindex="0" { (why) } }
                },
            },
            html! { (change.lag.map_or("–".to_owned(), span)) },
            html! { (percent(before.percent())) " → " (percent(after.percent())) },
        ]
    });
    html! {
        (table("The last reloads, newest first", &columns, rows))
        p.note { "Denied: the share of requests that were refused, in the five minutes before and after." }
    }
}
