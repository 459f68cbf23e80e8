//! Services and their methods: what is exposed, what it asks for, and how often it is called.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::admin::console::layout::{nothing, table};
use crate::admin::console::metric;
use crate::admin::console::state::GateView;
use crate::admin::console::words::{counted, name, number};
use crate::catalog::{Method, PermissionRule};

pub(in crate::admin::console) fn content(view: &GateView<'_>) -> Markup {
    let catalog = &view.live.snapshot.catalog;
    let mut by_service = BTreeMap::<&str, Vec<&Method>>::new();
    for method in catalog.methods() {
        by_service.entry(method.service.id.as_str()).or_default().push(method);
    }
    if by_service.is_empty() {
        return nothing("No service is exposed.");
    }
    html! {
        @for methods in by_service.values() {
            @if let Some(first) = methods.first() {
                details {
                    summary { strong { (first.service.name) } " · " (counted(methods.len(), "method")) }
                    p.note { "On " (first.service.hosts.join(", ")) "; calls go to " (first.service.upstream) "." }
                    (methods_of(view, methods))
                }
            }
        }
    }
}

fn methods_of(view: &GateView<'_>, methods: &[&Method]) -> Markup {
    let columns = ["Method", "Permission", "Answered", "Refused or failed"];
    let rows = methods.iter().map(|method| {
        let labels = [("service", method.service.name.as_str()), ("method", method.name.as_str())];
        let by = view.scraped.by(metric::REQUESTS_TOTAL, "reason", &labels);
        let allowed = by.get("ALLOWED").copied().unwrap_or_default();
        let all: f64 = by.values().sum();
        vec![
            html! { (name(&method.name)) @if method.unimplemented { span.under { "not implemented" } } },
            match &method.permission {
                PermissionRule::Required(permission) => html! { code { (name(permission)) } },
                PermissionRule::None => html! { "none" },
            },
            html! { (number(allowed)) },
            html! { (number(all - allowed)) },
        ]
    });
    table("Methods", &columns, rows)
}
