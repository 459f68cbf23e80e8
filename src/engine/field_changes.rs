//! What a proxy that asks has to change of an allowed request, so that its backend gets what the gate would send.
//!
//! There is one rule of what a backend gets: [`crate::upstream::rewrite`]. Here its result is compared with the fields that the
//! proxy has. What differs is to be set, what is missing to be removed. What would have to change beyond fields (the method, the
//! target, the body) is refused: the proxy sends what it has.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::Exchange;
use crate::decision::JudgedBody;
use crate::decision::body::as_sent::{judge_as_sent, to_be_rewritten};
use crate::http::Headers;
use crate::reason::{Denial, Reason};
use crate::upstream::rewrite::OutgoingBody;

/// A request as the proxy has it and will send it.
#[derive(Clone, Debug)]
pub struct ShownRequest {
    /// Path and query.
    pub target: String,
    /// All of its fields, as the proxy told them.
    pub headers: Headers,
    /// The body, where the proxy shows it.
    pub body: Option<Bytes>,
}

/// The changes that a proxy makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldChanges {
    /// Fields that get this one value, whether they are there or not.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields that go.
    pub removed: Vec<HeaderName>,
}

/// Fields that are the proxy's own, about the message and its connection: it writes them anew for its backend.
const OF_THE_PROXY: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Exchange {
    /// The changes of the request that was admitted.
    ///
    /// # Errors
    /// Where it would have to be sent in another form.
    pub fn field_changes(&self, shown: &ShownRequest) -> Result<FieldChanges, Denial> {
        let admitted =
            self.admitted().ok_or_else(|| Denial::new(Reason::Internal, "nothing was admitted"))?;
        let request = admitted.request();
        if let Some(sent) = &request.overridden {
            let judged = &request.method;
            return Err(to_be_rewritten(format!(
                "the {sent} stands for a {judged}, and would be sent as it is"
            )));
        }
        if request.target() != shown.target.as_str() {
            return Err(to_be_rewritten("the body stands for the query, and would be sent as a body"));
        }
        let body = match admitted.body() {
            JudgedBody::Passed => OutgoingBody::Passed,
            JudgedBody::Messages(_) => {
                let left = |until: Instant| until.saturating_duration_since(Instant::now());
                OutgoingBody::Messages(self.deadline.map(left))
            }
            JudgedBody::Transcoded(_) => {
                return Err(to_be_rewritten("the call becomes one of gRPC, and would be sent as it is"));
            }
            JudgedBody::Held(held) => {
                let sent = shown.body.clone().unwrap_or_default();
                judge_as_sent(request, admitted.permit().call(), held, &sent)?;
                OutgoingBody::Held(sent.len())
            }
        };
        let outgoing = self.fields_for_backend(admitted, body, None)?;
        changes(&shown.headers, &outgoing)
    }
}

fn changes(shown: &Headers, outgoing: &[(HeaderName, HeaderValue)]) -> Result<FieldChanges, Denial> {
    let is_judged =
        |name: &HeaderName| !OF_THE_PROXY.contains(&name.as_str()) && !name.as_str().starts_with(':');
    let mut changes = FieldChanges::default();
    for (name, _) in shown.iter().filter(|(name, _)| is_judged(name)) {
        if outgoing.iter().all(|(kept, _)| kept != name) && !changes.removed.contains(name) {
            changes.removed.push(name.clone());
        }
    }
    for (name, value) in outgoing.iter().filter(|(name, _)| is_judged(name)) {
        let values = || outgoing.iter().filter(|(other, _)| other == name).map(|(_, value)| value);
        if shown.all(name.as_str()).eq(values()) {
            continue;
        }
        // No rule changes one of several values of a name.
        if values().count() > 1 {
            return Err(Denial::new(Reason::Internal, format!("several values of `{name}` would change")));
        }
        // The protocols of the proxies carry texts.
        if std::str::from_utf8(value.as_bytes()).is_err() {
            return Err(to_be_rewritten(format!(
                "the value of `{name}` would have to be joined, and is not UTF-8"
            )));
        }
        changes.set.push((name.clone(), value.clone()));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> Vec<(HeaderName, HeaderValue)> {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    fn headers(written: &[(&'static str, &'static str)]) -> Headers {
        let mut headers = Headers::default();
        for (name, value) in fields(written) {
            headers.push(name, value);
        }
        headers
    }

    #[test]
    fn what_differs_is_set_and_what_is_missing_is_removed() {
        let shown = headers(&[
            ("host", "a"),
            ("accept", "x"),
            ("accept", "y"),
            ("authorization", "Bearer t"),
            ("x-opgate-principal", "user:root@example.com"),
            ("x-user", "root"),
            ("x-user", "again"),
            ("content-length", "3"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ]);
        let outgoing = fields(&[
            ("host", "a"),
            ("accept", "x"),
            ("accept", "y"),
            ("cookie", "a=1; b=2"),
            ("content-length", "0"),
            ("x-opgate-principal", "user:ana@example.com"),
        ]);
        let found = changes(&shown, &outgoing).unwrap();
        let set = fields(&[("cookie", "a=1; b=2"), ("x-opgate-principal", "user:ana@example.com")]);
        assert_eq!(found.set, set);
        assert_eq!(
            found.removed,
            [HeaderName::from_static("authorization"), HeaderName::from_static("x-user")]
        );
    }

    #[test]
    fn fields_that_stay_are_not_named() {
        let shown = headers(&[("accept", "x"), ("te", "trailers"), ("expect", "100-continue")]);
        assert_eq!(changes(&shown, &fields(&[("accept", "x")])).unwrap(), FieldChanges::default());
    }
}
