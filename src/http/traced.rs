//! What a request says of the trace that it belongs to, and the id that its client has given it.

use http::HeaderValue;
use http::header::HeaderName;

use super::Headers;
use crate::trace_context::{SentTrace, TraceParent, is_state};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Most bytes of a client's id that are kept.
const MOST_OF_AN_ID: usize = 128;

impl Headers {
    /// Reads `traceparent`. Of a trusted proxy, fields that are not well formed are taken out: they do not go upstream
    /// (W3C Trace Context, section 4.3). Those of others end here in any case ([`Headers::settle`]).
    pub(super) fn take_trace(&mut self, is_trusted: bool) -> Option<SentTrace> {
        let parent = self.all(TRACEPARENT).next().and_then(|value| TraceParent::parse(value.as_bytes()));
        if is_trusted {
            let is_state_good = parent.is_some() && is_state(self.all(TRACESTATE).map(HeaderValue::as_bytes));
            self.retain(|name| match name.as_str() {
                TRACEPARENT => parent.is_some(),
                TRACESTATE => is_state_good,
                _ => true,
            });
        }
        parent.map(|parent| SentTrace { parent, is_trusted })
    }

    /// The client's own `X-Request-Id`: the first one that is short and of letters, digits and a few signs, so that it can
    /// stand in any log. It is never taken for the gate's.
    pub(super) fn client_request_id(&self) -> Option<Box<str>> {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/+=@".contains(byte);
        let is_good = |value: &&HeaderValue| {
            (1..=MOST_OF_AN_ID).contains(&value.len()) && value.as_bytes().iter().all(is_plain)
        };
        let name = HeaderName::from_static("x-request-id");
        self.all(name.as_str()).find(is_good)?.to_str().ok().map(Box::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(fields: &[(&'static str, &str)]) -> Headers {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn names(headers: &Headers) -> Vec<&str> {
        headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn fields_of_a_trusted_proxy_that_are_not_well_formed_are_taken_out() {
        for (fields, kept) in [
            (
                &[("traceparent", VALUE), ("tracestate", "a=1"), ("b3", "0")][..],
                &["traceparent", "tracestate", "b3"][..],
            ),
            (&[("traceparent", VALUE), ("tracestate", "a=1"), ("tracestate", "A")], &["traceparent"]),
            (&[("traceparent", "00-x"), ("tracestate", "a=1"), ("b3", "0")], &["b3"]),
            (&[("tracestate", "a=1")], &[]),
        ] {
            let mut headers = headers(fields);
            let trace = headers.take_trace(true);
            assert_eq!(names(&headers), kept, "{fields:?}");
            assert_eq!(trace.is_some_and(|trace| trace.is_trusted), kept.contains(&"traceparent"));
        }
        let mut strangers = headers(&[("traceparent", VALUE)]);
        assert!(!strangers.take_trace(false).unwrap().is_trusted);
    }

    #[test]
    fn the_id_of_a_client_is_short_and_plain() {
        for good in ["a", "7b1e2c0a-1f0e-4d52-9a63-2f9a1c1b8f10", "svc/job:1.2~x+y=@z", &"a".repeat(128)] {
            assert_eq!(headers(&[("x-request-id", good)]).client_request_id().as_deref(), Some(good));
        }
        for bad in ["", "a b", "a,b", "\"a\"", "a\\b", "<a>", "a;b", "%0a", &"a".repeat(129)] {
            assert_eq!(headers(&[("x-request-id", bad)]).client_request_id(), None, "{bad}");
        }
        let several = headers(&[("x-request-id", "a b"), ("x-request-id", "c"), ("x-request-id", "d")]);
        assert_eq!(several.client_request_id().as_deref(), Some("c"));
    }
}
