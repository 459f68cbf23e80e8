//! Questions: why was this request refused, may A call B, who can.

use maud::{Markup, html};

/// What was asked, to fill the forms again.
#[derive(Clone, Debug, Default)]
pub(in crate::admin::console) struct Asked {
    pub(in crate::admin::console) id: String,
    pub(in crate::admin::console) principal: String,
    pub(in crate::admin::console) groups: String,
    pub(in crate::admin::console) method: String,
    pub(in crate::admin::console) target: String,
    pub(in crate::admin::console) permission: String,
    pub(in crate::admin::console) resource: String,
}

/// The link to the explanation of a request.
pub(super) fn why(id: &str) -> Markup {
    let query: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
    html! { a href={ "/console/decision?id=" (query) } aria-label={ "Why: request " (id) } { "why" } }
}

pub(in crate::admin::console) fn content(asked: &Asked) -> Markup {
    html! {
        h3 { "Why was this request decided so?" }
        (by_id(asked))
        h3 { "May they call it?" }
        (may(asked))
        h3 { "Who can?" }
        (who_can(asked))
    }
}

fn field(name: &str, label: &str, hint: &str, value: &str, is_required: bool) -> Markup {
    html! {
        label {
            (label) " " span.hint { (hint) }
            input name=(name) value=(value) required[is_required] autocomplete="off" autocapitalize="none" spellcheck="false";
        }
    }
}

pub(in crate::admin::console) fn by_id(asked: &Asked) -> Markup {
    html! {
        form.ask.single method="get" action="/console/decision" {
            (field("id", "Request id", "x-request-id of the answer", &asked.id, true))
            button { "Explain" }
        }
    }
}

pub(in crate::admin::console) fn may(asked: &Asked) -> Markup {
    let method = if asked.method.is_empty() { "GET" } else { &asked.method };
    html! {
        form.ask method="get" action="/console/explain" {
            (field("principal", "Caller", "user:ana@example.com", &asked.principal, false))
            (field("groups", "Groups", "that the token asserts", &asked.groups, false))
            label {
                "HTTP method"
                select name="method" {
                    @for known in crate::simulation::written::HTTP_METHODS {
                        option value=(known) selected[known == method] { (known) }
                    }
                }
            }
            (field("target", "Path or URL", "/v1/projects/…", &asked.target, true))
            button { "Ask" }
        }
    }
}

pub(in crate::admin::console) fn who_can(asked: &Asked) -> Markup {
    html! {
        form.ask method="get" action="/console/who-can" {
            (field("permission", "Permission", "", &asked.permission, true))
            (field("resource", "Resource", "projects/…", &asked.resource, true))
            button { "List" }
        }
    }
}
