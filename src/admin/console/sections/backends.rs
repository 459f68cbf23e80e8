//! Backends: which endpoints are used, how full they are, and what failed.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::admin::console::layout::{Mood, badge, nothing, table};
use crate::admin::console::metric;
use crate::admin::console::state::{Concern, GateView};
use crate::admin::console::words::number;
use crate::upstream::EndpointStatus;

fn by_upstream(view: &GateView<'_>) -> BTreeMap<String, Vec<EndpointStatus>> {
    let mut by_upstream = BTreeMap::<String, Vec<EndpointStatus>>::new();
    for status in view.live.upstreams().status() {
        by_upstream.entry(status.upstream.to_string()).or_default().push(status);
    }
    by_upstream
}

pub(in crate::admin::console) fn concerns(view: &GateView<'_>) -> Vec<Concern> {
    let of = |(name, endpoints): (String, Vec<EndpointStatus>)| {
        let ill = endpoints.iter().filter(|endpoint| !endpoint.is_healthy).count();
        let concern = match ill {
            0 => return None,
            all if all == endpoints.len() => Concern::new(Mood::Bad, "no endpoint of a backend is healthy")
                .told(format!("no endpoint of `{name}` is healthy")),
            some => Concern::new(Mood::Warning, "an endpoint of a backend is left out")
                .told(format!("{some} of {} endpoints of `{name}` are left out", endpoints.len())),
        };
        Some(concern.at("backends"))
    };
    by_upstream(view).into_iter().filter_map(of).collect()
}

pub(in crate::admin::console) fn content(view: &GateView<'_>) -> Markup {
    let upstreams = by_upstream(view);
    if upstreams.is_empty() {
        return nothing("There are no backends.");
    }
    let columns = ["Endpoint", "State", "Failed attempts", "Times left out"];
    let count = |name: &str, endpoint: &EndpointStatus| {
        let labels = [("upstream", &*endpoint.upstream), ("endpoint", &*endpoint.address.to_string())];
        view.scraped.sum(name, &labels).map_or("–".to_owned(), number)
    };
    html! {
        @for (name, endpoints) in &upstreams {
            h3 { (name) }
            p.note { (load(view, name)) }
            (table(&format!("Endpoints of {name}"), &columns, endpoints.iter().map(|endpoint| vec![
                html! { code { (endpoint.address) } },
                if endpoint.is_healthy { badge(Mood::Good, "in use") } else { badge(Mood::Bad, "left out") },
                html! { (count(metric::UPSTREAM_ENDPOINT_ERRORS_TOTAL, endpoint)) },
                html! { (count(metric::UPSTREAM_EJECTIONS_TOTAL, endpoint)) },
            ])))
        }
    }
}

/// How full a backend is, and what came of attempts.
fn load(view: &GateView<'_>, name: &str) -> Markup {
    let sum = |metric: &str| view.scraped.sum(metric, &[("upstream", name)]);
    let kinds = view.scraped.by(metric::UPSTREAM_ERRORS_TOTAL, "kind", &[("upstream", name)]);
    let kinds: Vec<String> = kinds
        .into_iter()
        .filter(|(_, count)| *count > 0.0)
        .map(|(kind, count)| format!("{} {kind}", number(count)))
        .collect();
    html! {
        @if let Some(now) = sum(metric::UPSTREAM_IN_FLIGHT) {
            (number(now)) " in flight"
            @if let Some(limit) = sum(metric::UPSTREAM_LIMIT) { " of " (number(limit)) }
            ". "
        }
        @if let Some(attempts) = sum(metric::UPSTREAM_ATTEMPTS_TOTAL) {
            (number(attempts)) " attempts, " (number(sum(metric::UPSTREAM_RETRIES_TOTAL).unwrap_or_default())) " of them retries. "
        }
        @if let Some((took, count)) = sum(metric::UPSTREAM_RESPONSE_HEAD_SECONDS_SUM).zip(sum(metric::UPSTREAM_RESPONSE_HEAD_SECONDS_COUNT)).filter(|(_, count)| *count > 0.0) {
            "On average " (format!("{:.1} ms", 1e3 * took / count)) " to the head of an answer. "
        }
        @if kinds.is_empty() { "No errors." } @else { "Errors: " (kinds.join(", ")) "." }
    }
}
