//! From what is said of a request to the answer to the question.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::describe::is_the_proxys;
use crate::engine::{Exchange, FieldChanges, Phase};
use crate::frontend::answer;
use crate::frontend::authorizer::AuthorizerRuling;
use crate::listener::ForwardAuthShape;
use crate::reason::{Denial, Reason};
use crate::respond::ErrorResponse;

/// The status of a refusal, where the proxy takes 401 and 403 alone.
const STATUS: HeaderName = HeaderName::from_static("x-opgate-status");
const REASON: HeaderName = HeaderName::from_static("x-opgate-reason");
/// The fields that HAProxy's script copies and removes.
const SET: HeaderName = HeaderName::from_static("x-opgate-set");
const REMOVE: HeaderName = HeaderName::from_static("x-opgate-remove");

/// The answer, and the status that the request has in records.
pub(in crate::frontend) fn answer(
    shape: ForwardAuthShape,
    exchange: &mut Exchange,
    ruling: AuthorizerRuling,
) -> (ErrorResponse, u16) {
    let denial = match ruling {
        AuthorizerRuling::Allowed(changes) => match passable(shape, &changes) {
            Ok(()) => return (allowed(shape, exchange, changes), 200),
            Err(denial) => {
                exchange.phase = Phase::Received;
                denial
            }
        },
        AuthorizerRuling::Refused(denial) => denial,
        AuthorizerRuling::Own(own) => {
            // Every 2xx means that the request may pass.
            exchange.phase = Phase::Received;
            let what = own.reason();
            Denial::new(
                Reason::NotOffered,
                format!("{what}: a proxy that asks cannot be given an answer of the gate's own"),
            )
        }
    };
    let denial = exchange.worded(denial);
    let mut answer = answer::refusal_over_http(exchange, &denial);
    let status = answer.status;
    answer.headers.push((REASON, HeaderValue::from_static(denial.reason().entry().name)));
    exchange.denial = Some(denial);
    let is_taken = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if shape == ForwardAuthShape::Nginx && !is_taken {
        answer.status = StatusCode::FORBIDDEN;
        answer.headers.push((STATUS, HeaderValue::from(status.as_u16())));
    }
    (answer, status.as_u16())
}

/// Whether the proxy makes these changes: those that its settings name.
fn passable(shape: ForwardAuthShape, changes: &FieldChanges) -> Result<(), Denial> {
    if shape == ForwardAuthShape::Haproxy {
        return Ok(());
    }
    let rewritten = |what: &str, name: &HeaderName| {
        let detail = format!("the header `{name}` would have to be {what}, which the proxy does not do");
        Err(Denial::new(Reason::RewriteNeeded, detail).told())
    };
    if let Some(name) = changes.removed.iter().find(|name| !is_the_proxys(name)) {
        return rewritten("removed", name);
    }
    match changes.set.iter().find(|(name, _)| !is_the_proxys(name)) {
        Some((name, _)) => rewritten("changed", name),
        None => Ok(()),
    }
}

fn allowed(shape: ForwardAuthShape, exchange: &Exchange, changes: FieldChanges) -> ErrorResponse {
    let FieldChanges { set, removed } = changes;
    let mut headers = vec![
        (header::CONTENT_LENGTH, HeaderValue::from(0)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    if shape == ForwardAuthShape::Haproxy {
        let list = |names: Vec<&str>| HeaderValue::from_str(&names.join(",")).ok();
        let lists = [
            (SET, list(set.iter().map(|(name, _)| name.as_str()).collect())),
            (REMOVE, list(removed.iter().map(HeaderName::as_str).collect())),
        ];
        headers.extend(lists.into_iter().filter_map(|(name, value)| Some((name, value?))));
    }
    let mut own = exchange.fields_for_client(200);
    // Of the shapes without a script, Traefik alone shows bodies. It sets the type that it is told, or none.
    if shape == ForwardAuthShape::Traefik && !removed.contains(&header::CONTENT_TYPE) {
        let sent =
            exchange.request.as_ref().and_then(|request| request.headers.one("content-type").ok()?.cloned());
        own.extend(sent.map(|sent| (header::CONTENT_TYPE, sent)));
    }
    own.retain(|(name, _)| set.iter().all(|(other, _)| other != name));
    headers.extend(set.into_iter().chain(own));
    ErrorResponse { status: StatusCode::OK, headers, body: Bytes::new() }
}
