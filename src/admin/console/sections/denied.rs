//! Who is denied what: the first place to look when a caller asks for help.

use maud::{Markup, html};

use super::find::why;
use crate::admin::console::layout::{nothing, table};
use crate::admin::console::state::GateView;
use crate::admin::console::words::{ago, name, number};

const MOST: usize = 20;

pub(in crate::admin::console) fn content(view: &GateView<'_>) -> Markup {
    let denied = view.admin.recent.denied(MOST);
    if denied.is_empty() {
        return nothing("Nothing was denied since the start.");
    }
    let columns = ["Caller", "Method", "Reason", "Count", "Last"];
    let rows = denied.iter().map(|denied| {
        vec![
            html! { (name(denied.principal.as_deref().unwrap_or("no caller"))) },
            html! { (name(denied.method.as_deref().unwrap_or("no method"))) },
            html! { code { (name(&denied.reason)) } },
            html! { span title={ "since " (crate::admin::console::words::rfc3339(denied.since)) } { (number(denied.count as f64)) } },
            html! { span { (ago(denied.last, view.now)) " " (why(&denied.last_id)) } },
        ]
    });
    html! {
        (table("Who is denied what, most of late first", &columns, rows))
        p.note { "The " (MOST) " that were denied most of late: a denial counts half after an hour. Counts are since the first one." }
    }
}
