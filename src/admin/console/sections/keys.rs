//! The keys of issuers: how long they last, and why they could not be fetched.

use std::collections::BTreeMap;
use std::time::Duration;

use maud::{Markup, html};

use crate::admin::console::layout::{Mood, badge, nothing, table};
use crate::admin::console::metric;
use crate::admin::console::state::{Concern, GateView};
use crate::admin::console::words::{ago, counted, instant, left, number, percent};
use crate::authn::KeySetStatus;

/// Keys that end so soon are worth a look.
const SOON: Duration = Duration::from_secs(60 * 60);

fn statuses(view: &GateView<'_>) -> Vec<KeySetStatus> {
    view.live.snapshot.authn.key_sets(view.now)
}

fn mood(status: &KeySetStatus) -> (Mood, &'static str) {
    match (status.keys, &status.last_error) {
        (0, _) => (Mood::Bad, "no keys"),
        (_, Some(_)) => (Mood::Warning, "old keys"),
        (_, None) => (Mood::Good, "good"),
    }
}

/// Issuers without keys are those that the gate is not ready for: they are told already.
pub(in crate::admin::console) fn concerns(view: &GateView<'_>) -> Vec<Concern> {
    let ends = ends(view);
    let of = |status: KeySetStatus| {
        let issuer = &status.issuer;
        let is_near = ends.get(issuer).and_then(|end| instant(*end)).is_some_and(|end| end < view.now + SOON);
        let concern = match mood(&status).0 {
            Mood::Warning if is_near => Concern::new(Mood::Bad, "keys of an issuer end within the hour")
                .told(format!("the keys of `{issuer}` end within the hour, and cannot be fetched")),
            Mood::Warning => Concern::new(Mood::Warning, "keys of an issuer cannot be fetched")
                .told(format!("the keys of `{issuer}` cannot be fetched: the old ones are in use")),
            _ => return None,
        };
        Some(concern.at("keys"))
    };
    statuses(view).into_iter().filter_map(of).collect()
}

fn ends(view: &GateView<'_>) -> BTreeMap<String, f64> {
    view.scraped.by(metric::JWKS_EXPIRY_TIMESTAMP_SECONDS, "issuer", &[])
}

pub(in crate::admin::console) fn content(view: &GateView<'_>) -> Markup {
    let statuses = statuses(view);
    if statuses.is_empty() {
        return nothing("No issuer has keys: its tokens are opaque, or callers show certificates.");
    }
    let ends = ends(view);
    let columns = ["Issuer", "Keys", "Loaded", "End", "Tokens refused"];
    let rows = statuses.iter().map(|status| {
        let (mood, word) = mood(status);
        let end = ends.get(&status.issuer).copied();
        let problems: Vec<&String> = status.problems.iter().chain(&status.skipped).collect();
        vec![
            html! { (status.issuer) },
            html! {
                span {
                    (badge(mood, word)) span.under { (counted(status.keys, "key")) }
                    @if let Some(error) = &status.last_error {
                        details { summary { "Last error" } pre.diagnostic tabindex="0" { (error) } }
                    }
                    @if !problems.is_empty() {
                        details {
                            summary { (counted(problems.len(), "key")) " not used" }
                            ul { @for problem in problems { li { (problem) } } }
                        }
                    }
                }
            },
            match status.last_success {
                Some(time) => ago(time, view.now),
                None => html! { "never" },
            },
            match end.map(|end| (end, instant(end))) {
                Some((_, Some(end))) => left(end, view.now),
                Some((end, None)) if end.is_infinite() => html! { "never: a file" },
                _ => html! { "–" },
            },
            refused_tokens(view, &status.issuer),
        ]
    });
    html! {
        (table("Issuers and their keys", &columns, rows))
        p.note { (waits(view)) }
    }
}

/// Tokens of an issuer that were not good, and their share.
fn refused_tokens(view: &GateView<'_>, issuer: &str) -> Markup {
    let by = view.scraped.by(metric::TOKENS_TOTAL, "outcome", &[("issuer", issuer)]);
    let all: f64 = by.values().sum();
    let bad: BTreeMap<&String, f64> = by
        .iter()
        .filter(|(outcome, count)| *outcome != "accepted" && **count > 0.0)
        .map(|(name, count)| (name, *count))
        .collect();
    let refused: f64 = bad.values().sum();
    if all == 0.0 {
        return html! { "–" };
    }
    html! {
        span {
            (number(refused)) " of " (number(all)) " (" (percent(Some(100.0 * refused / all))) ")"
            @for (outcome, count) in bad { span.under { (outcome) ": " (number(count)) } }
        }
    }
}

/// How long requests waited for issuers.
fn waits(view: &GateView<'_>) -> String {
    let count = view.scraped.sum(metric::ISSUER_WAIT_SECONDS_COUNT, &[]).unwrap_or_default();
    let seconds = view.scraped.sum(metric::ISSUER_WAIT_SECONDS_SUM, &[]).unwrap_or_default();
    if count == 0.0 {
        return "No request has waited for an issuer.".to_owned();
    }
    format!("{} requests waited for an issuer, {:.0} ms on average.", number(count), 1e3 * seconds / count)
}
