//! Certificates and when they end.

use std::time::Duration;

use maud::{Markup, html};

use crate::admin::console::layout::{Mood, badge, nothing, table};
use crate::admin::console::metric;
use crate::admin::console::state::{Concern, GateView};
use crate::admin::console::words::{instant, left};

const METRIC: &str = metric::CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn mood(seconds: f64, view: &GateView<'_>) -> (Mood, &'static str) {
    let remaining = instant(seconds).and_then(|end| end.duration_since(view.now).ok());
    match remaining {
        None => (Mood::Bad, "over"),
        Some(remaining) if remaining < DAY => (Mood::Bad, "ends today"),
        Some(remaining) if remaining < 7 * DAY => (Mood::Warning, "ends soon"),
        Some(_) => (Mood::Good, "good"),
    }
}

pub(in crate::admin::console) fn concerns(view: &GateView<'_>) -> Vec<Concern> {
    let all = view.scraped.pairs(METRIC, "use", "name").into_iter();
    let of = |(_, name, end): (String, String, f64)| {
        let (mood, word) = mood(end, view);
        let concern = Concern::new(mood, "a certificate ends, or has ended");
        (mood > Mood::Good && mood != Mood::Neutral)
            .then(|| concern.told(format!("the certificate {name}: {word}")).at("certificates"))
    };
    all.filter_map(of).collect()
}

pub(in crate::admin::console) fn content(view: &GateView<'_>) -> Markup {
    let mut all = view.scraped.pairs(METRIC, "use", "name");
    if all.is_empty() {
        return nothing("The gate uses no certificates.");
    }
    all.sort_by(|(.., one), (.., other)| one.total_cmp(other));
    let columns = ["Certificate", "Use", "State", "Ends"];
    let rows = all.into_iter().map(|(used, name, end)| {
        let (mood, word) = mood(end, view);
        let end = instant(end).map_or_else(|| html! { "–" }, |end| left(end, view.now));
        vec![html! { (name) }, html! { (used) }, badge(mood, word), end]
    });
    table("Certificates, the next to end first", &columns, rows)
}
