//! How full the gate is: now, at the most, and the limit.

use maud::{Markup, html};

use crate::admin::console::layout::{Mood, badge, table};
use crate::admin::console::metric;
use crate::admin::console::state::{Concern, GateView};
use crate::admin::console::words::{number, percent};

/// From this share of a limit on, it is worth a look.
const FULL: f64 = 80.0;

/// Something with a limit.
struct Room {
    what: &'static str,
    now: f64,
    limit: Option<f64>,
}

impl Room {
    fn share(&self) -> Option<f64> {
        self.limit.filter(|limit| *limit > 0.0).map(|limit| 100.0 * self.now / limit)
    }
}

/// What has a limit, and the metrics that tell it.
const ROOMS: [(&str, &str, &str); 6] = [
    ("Requests in flight", metric::REQUESTS_IN_FLIGHT, metric::REQUESTS_LIMIT),
    ("Requests not judged yet", metric::REQUESTS_PENDING, metric::REQUESTS_PENDING_LIMIT),
    ("Connections", metric::CONNECTIONS, metric::CONNECTIONS_LIMIT),
    ("Open files", metric::PROCESS_OPEN_FDS, metric::PROCESS_MAX_FDS),
    ("Lines that wait for the audit log", metric::AUDIT_QUEUE_LINES, metric::AUDIT_QUEUE_CAPACITY_LINES),
    ("Verified tokens remembered", metric::TOKEN_CACHE_ENTRIES, metric::TOKEN_CACHE_CAPACITY),
];

/// A full cache is what a cache is for.
const CACHE: &str = "Verified tokens remembered";

fn rooms(view: &GateView<'_>) -> Vec<Room> {
    let scraped = &view.scraped;
    let rooms = ROOMS.iter().filter_map(|(what, now, limit)| {
        Some(Room { what, now: scraped.sum(now, &[])?, limit: scraped.sum(limit, &[]) })
    });
    rooms.collect()
}

fn lost(view: &GateView<'_>) -> f64 {
    view.scraped.sum(metric::AUDIT_DROPPED_TOTAL, &[]).unwrap_or_default()
}

pub(in crate::admin::console) fn concerns(view: &GateView<'_>) -> Vec<Concern> {
    let full = rooms(view).into_iter().filter(|room| room.what != CACHE).filter_map(|room| {
        let share = room.share().filter(|share| *share >= FULL)?;
        let text = format!("{}: {} of the limit", room.what.to_lowercase(), percent(Some(share)));
        Some(Concern::new(Mood::Warning, text).at("room"))
    });
    let lost = lost(view);
    let lost = (lost > 0.0).then(|| {
        Concern::new(Mood::Bad, format!("{} lines of the audit log were lost since the start", number(lost)))
            .at("room")
    });
    full.chain(lost).collect()
}

pub(in crate::admin::console) fn content(view: &GateView<'_>) -> Markup {
    let columns = ["What", "Now", "Limit", "Full"];
    let rows = rooms(view).into_iter().map(|room| {
        let share = room.share();
        let mood = match share {
            Some(share) if share >= FULL && room.what != CACHE => Mood::Warning,
            _ => Mood::Good,
        };
        vec![
            html! { (room.what) },
            html! { (number(room.now)) },
            html! { (room.limit.map_or("none".to_owned(), number)) },
            match share {
                Some(share) => badge(mood, &percent(Some(share))),
                None => html! { "–" },
            },
        ]
    });
    html! {
        (table("What has a limit", &columns, rows))
        p.note { (turned_away(view)) }
    }
}

/// What found no room, and what came in a way that looks like an attack.
fn turned_away(view: &GateView<'_>) -> String {
    let sum = |name: &str| number(view.scraped.sum(name, &[]).unwrap_or_default());
    let handshakes = view.scraped.by(metric::TLS_HANDSHAKES_TOTAL, "outcome", &[]);
    let failed: f64 =
        handshakes.iter().filter(|(outcome, _)| *outcome != "success").map(|(_, count)| count).sum();
    let lost = number(lost(view));
    format!(
        "Since the start: {} connections refused, {} cut, {} TLS handshakes failed, {lost} audit lines lost.",
        sum(metric::CONNECTIONS_REFUSED_TOTAL),
        sum(metric::CONNECTIONS_CUT_TOTAL),
        number(failed)
    )
}
