//! The pages behind the first one: a decision explained, a question answered, who holds a permission.

use std::collections::BTreeSet;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::access::{self, Reader};
use super::layout::{Mood, Page, listing, long_facts, refusal, section, verdict};
use super::sections::find::{self, Asked};
use super::words::{ago, name, rfc3339};
use crate::admin::decisions::explained;
use crate::admin::refused::AdminRefusal;
use crate::admin::surface::Surface;
use crate::clock;
use crate::explain::holders::WhoCan;
use crate::explain::recorded::RecordedExplanation;
use crate::explain::{Explained, explain};
use crate::policy::explain::Extent;
use crate::simulation::written;
use crate::simulation::{Scenario, ScenarioCaller};

/// A page, or the answer in its place.
type Answered = Result<Response, Box<Response>>;

fn answered(answered: Answered) -> Response {
    answered.unwrap_or_else(|instead| *instead)
}

/// Who asks, and what. For those who are told nothing, the page that says so.
fn asked<Q>(
    surface: &Surface,
    headers: &HeaderMap,
    uri: &Uri,
    query: Result<Query<Q>, QueryRejection>,
) -> Result<(Reader, Q), Box<Response>> {
    let next = uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    let reader = access::told(surface, headers, next)?;
    match query {
        Ok(Query(query)) => Ok((reader, query)),
        Err(_) => {
            let refused = AdminRefusal::new("the form is not filled in", "fill it in on the first page");
            Err(refused_to(reader)(refused))
        }
    }
}

fn refused_to(reader: Reader) -> impl FnOnce(AdminRefusal) -> Box<Response> {
    move |refused| Box::new(refusal(refused, reader.has_session()))
}

#[derive(Deserialize)]
pub(super) struct DecisionQuery {
    id: String,
}

/// `/console/decision?id=…`
pub(super) async fn decision(
    State(surface): State<Surface>,
    headers: HeaderMap,
    uri: Uri,
    query: Result<Query<DecisionQuery>, QueryRejection>,
) -> Response {
    answered(decision_page(&surface, &headers, &uri, query).await)
}

async fn decision_page(
    surface: &Surface,
    headers: &HeaderMap,
    uri: &Uri,
    query: Result<Query<DecisionQuery>, QueryRejection>,
) -> Answered {
    let (reader, DecisionQuery { id }) = asked(surface, headers, uri, query)?;
    let id = id.trim().to_owned();
    let found = explained(surface, id.clone(), false).await.map_err(refused_to(reader))?;
    let asked = Asked { id, ..Asked::default() };
    let main = html! {
        h1 { "Why was this request decided so?" }
        (recorded(&found))
        @if let Some(explained) = found.explained() { (in_short(explained)) }
        (section("explanation", "Everything that was weighed", listing("Text of the explanation", &found.text())))
        (section("again", "Another request", find::by_id(&asked)))
    };
    Ok(Page::inner("Explanation", reader.has_session(), main).answer(StatusCode::OK))
}

/// What the audit line says.
fn recorded(found: &RecordedExplanation) -> Markup {
    let told = found.facts();
    let was_allowed = found.was_allowed();
    let (mood, word) = if was_allowed { (Mood::Good, "Allowed") } else { (Mood::Warning, "Denied") };
    let sentence = if was_allowed { word.to_owned() } else { format!("{word}: {}", told.reason) };
    let value = |text: Option<&str>| name(text.unwrap_or("–"));
    let who = told.principal.as_deref().or(Some("no caller"));
    let call = match (&told.http_method, &told.path) {
        (Some(method), Some(path)) => Some(format!("{method} {path}")),
        _ => None,
    };
    let now = match found.explained().map(Explained::is_allowed) {
        Some(is_allowed) if is_allowed == was_allowed => "the same",
        Some(true) => "allowed by the policy in force",
        Some(false) => "denied by the policy in force",
        None => "cannot be asked again: the line says too little",
    };
    let time = told.time.parse::<jiff::Timestamp>().map(std::time::SystemTime::from);
    let all = long_facts([
        ("Caller", value(who)),
        ("Method", value(told.method.as_deref())),
        ("Resource", value(told.resource.as_deref())),
        ("Request", value(call.as_deref())),
        ("Status", html! { (told.status) }),
        (
            "When",
            match time {
                Ok(time) => html! { (ago(time, clock::now())) ", " (rfc3339(time)) },
                Err(_) => html! { (told.time) },
            },
        ),
        ("Now", html! { (now) }),
    ]);
    verdict(mood, &sentence, all)
}

/// Why, and what would turn the answer.
fn in_short(explained: &Explained) -> Markup {
    let steps = explained.suggestions();
    let title = if explained.is_allowed() { "What would refuse it" } else { "What would allow it" };
    html! {
        (section("because", "Why", html! { p { (name(&explained.because())) } }))
        @if !steps.is_empty() {
            (section("changes", title, html! {
                @if steps.len() > 1 { p { "All of:" } }
                ul {
                    @for step in &steps {
                        @match step.as_slice() {
                            [only] => li { (name(only)) },
                            several => li { "one of" ul { @for change in several { li { (name(change)) } } } },
                        }
                    }
                }
            }))
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct ScenarioQuery {
    principal: String,
    groups: String,
    method: String,
    target: String,
}

/// `/console/explain?principal=…&method=…&target=…`
pub(super) async fn explanation(
    State(surface): State<Surface>,
    headers: HeaderMap,
    uri: Uri,
    query: Result<Query<ScenarioQuery>, QueryRejection>,
) -> Response {
    answered(explanation_page(&surface, &headers, &uri, query).await)
}

async fn explanation_page(
    surface: &Surface,
    headers: &HeaderMap,
    uri: &Uri,
    query: Result<Query<ScenarioQuery>, QueryRejection>,
) -> Answered {
    let (reader, query) = asked(surface, headers, uri, query)?;
    let scenario = query.scenario().map_err(refused_to(reader))?;
    let found = surface.work(move |admin| explain(scenario, &admin.engine.live().snapshot, Extent::Relevant));
    let found = found.await.map_err(refused_to(reader))?;
    let found: Explained = found.map_err(|mistake| refused_to(reader)(AdminRefusal::from(mistake)))?;
    let (mood, sentence) =
        if found.is_allowed() { (Mood::Good, "Allowed") } else { (Mood::Warning, "Denied") };
    let ScenarioQuery { principal, groups, method, target } = query;
    let asked = Asked { principal, groups, method, target, ..Asked::default() };
    let main = html! {
        h1 { "May they call it?" }
        (verdict(mood, sentence, html! { p { (asked.method) " " (asked.target) } }))
        (in_short(&found))
        (section("explanation", "Everything that was weighed", listing("Text of the explanation", &found.text())))
        (section("again", "Ask again", find::may(&asked)))
    };
    Ok(Page::inner("May they call it?", reader.has_session(), main).answer(StatusCode::OK))
}

impl ScenarioQuery {
    fn scenario(&self) -> Result<Scenario, AdminRefusal> {
        let who = match self.principal.trim() {
            "" => ScenarioCaller::Anonymous,
            principal => ScenarioCaller::Principal {
                principal: written::principal(principal)?,
                sets: self
                    .groups
                    .split([',', ' '])
                    .filter(|group| !group.is_empty())
                    .map(written::set)
                    .collect::<Result<_, _>>()?,
            },
        };
        let what = written::request(self.method.trim(), self.target.trim(), None)?;
        Ok(Scenario { who, scopes: None, what, time: clock::now(), origin: None })
    }
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct WhoCanQuery {
    permission: String,
    resource: String,
}

/// `/console/who-can?permission=…&resource=…`
pub(super) async fn who_can(
    State(surface): State<Surface>,
    headers: HeaderMap,
    uri: Uri,
    query: Result<Query<WhoCanQuery>, QueryRejection>,
) -> Response {
    answered(who_can_page(&surface, &headers, &uri, query).await)
}

async fn who_can_page(
    surface: &Surface,
    headers: &HeaderMap,
    uri: &Uri,
    query: Result<Query<WhoCanQuery>, QueryRejection>,
) -> Answered {
    let (reader, WhoCanQuery { permission, resource }) = asked(surface, headers, uri, query)?;
    let asked = Asked { permission, resource, ..Asked::default() };
    let (permission, resource) = (asked.permission.trim().to_owned(), asked.resource.trim().to_owned());
    let listed = surface.work(move |admin| {
        let live = admin.engine.live();
        let asked = WhoCan { permission: &permission, resource: &resource, time: clock::now(), origin: None };
        let permissions: BTreeSet<String> =
            live.snapshot.catalog.permissions().iter().map(|(name, _)| name.clone()).collect();
        let listed = asked.holders(&live.snapshot).map(|holders| asked.text(&holders));
        (listed, permissions)
    });
    let (listed, permissions) = listed.await.map_err(refused_to(reader))?;
    let content = match listed {
        Ok(text) => listing("Text of the answer", &text),
        Err(mistake) => html! {
            p role="alert" { strong { (mistake.message) } }
            p { (mistake.help) }
        },
    };
    let main = html! {
        h1 { "Who can?" }
        (section("answer", "Answer", content))
        (section("again", "Ask again", html! {
            (find::who_can(&asked))
            details { summary { "Permissions of exposed methods" } ul { @for permission in &permissions { li { code { (permission) } } } } }
        }))
    };
    Ok(Page::inner("Who can?", reader.has_session(), main).answer(StatusCode::OK))
}
