//! The spans of a request that is over: its own, one for each stage and each wait, and one for each attempt at a backend.
//! Attributes are named by OpenTelemetry's semantic conventions for HTTP, where there is one. No span says who called.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use super::Event;
use crate::catalog::Catalog;
use crate::engine::forwarding::{Attempted, EarlierAttempt};
use crate::http::Version;
use crate::otlp::{Ending, Span, SpanKind};
use crate::reason::{DecisionOutcome, DecisionStage, Denial, outcome};
use crate::trace_context::{SpanId, TraceContext};

/// Most bytes of a path or a user agent in an attribute.
const MOST: usize = 1024;
/// Methods that HTTP defines; every other one is `_OTHER` (`http.request.method`).
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// One attempt at an endpoint, however it ended.
struct AttemptSpan<'a> {
    span_id: SpanId,
    upstream: &'a str,
    address: SocketAddr,
    begun: Instant,
    ended: Instant,
    fault: Option<&'static str>,
    /// The status of the answer that was passed on.
    status: Option<u16>,
}

/// A request that is recorded.
struct Recorded<'e> {
    event: &'e Event<'e>,
    context: &'e TraceContext,
    /// The path template of its method.
    route: Option<String>,
}

impl Event<'_> {
    /// The spans, the request's own first.
    pub(in crate::engine) fn spans(&self, context: &TraceContext, catalog: &Catalog) -> Vec<Span> {
        let called = self.request.filter(|_| self.trace.call.is_some());
        let route = called
            .and_then(|request| catalog.template(request.host.as_str(), &request.method, &request.path));
        let recorded = Recorded { event: self, context, route };
        let mut spans = vec![recorded.of_request()];
        spans.extend(recorded.of_stages());
        spans.extend(recorded.of_attempts());
        spans
    }

    /// How the request ended, for what is recorded of it.
    pub(in crate::engine) fn ending(&self) -> Ending {
        match self.outcome().0 {
            _ if self.answered.is_some() => Ending::Good,
            DecisionOutcome::Allowed if self.status >= 500 => Ending::Undecided,
            DecisionOutcome::Allowed => Ending::Good,
            DecisionOutcome::Denied | DecisionOutcome::Pending => Ending::Denied,
            DecisionOutcome::Undecided => Ending::Undecided,
        }
    }

    fn outcome(&self) -> (DecisionOutcome, DecisionStage) {
        outcome(self.denial.map(Denial::reason), self.permit.is_some(), self.trace.stage)
    }
}

impl Recorded<'_> {
    fn of_request(&self) -> Span {
        let span = Span::of_request(self.span_name(), self.context, self.event.time, self.event.duration);
        let span = self.with_request(span);
        let span = self.with_decision(span);
        let span = match self.event.denial {
            Some(denial) if self.event.status >= 500 => span.failed(denial.reason().entry().name),
            None if self.event.status >= 500 => span.failed(&self.event.status.to_string()),
            _ => span,
        };
        if self.event.status == 0 {
            span
        } else {
            span.with_number("http.response.status_code", self.event.status)
        }
    }

    /// `{method} {http.route}`.
    fn span_name(&self) -> String {
        match (self.event.request, self.route.as_deref()) {
            (Some(_), Some(route)) => format!("{} {route}", self.method_name()),
            (Some(_), None) if self.method_name() != "_OTHER" => self.method_name().to_owned(),
            _ => "HTTP".to_owned(),
        }
    }

    fn method_name(&self) -> &str {
        let method = self.event.request.map_or("_OTHER", |request| request.method.as_str());
        if METHODS.contains(&method) { method } else { "_OTHER" }
    }

    fn with_request(&self, span: Span) -> Span {
        let Some(request) = self.event.request else {
            return span.with_any(
                "client.address",
                self.event.peer.map(|peer| peer.ip().to_canonical().to_string()),
            );
        };
        let method = self.method_name();
        let original = (method == "_OTHER").then(|| request.method.as_str());
        let agent = request.headers.all("user-agent").next().and_then(|agent| agent.to_str().ok());
        let version = match request.version {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        };
        span.with("http.request.method", method)
            .with_any("http.request.method_original", original)
            .with_any("http.route", self.route.as_deref())
            .with("url.path", bounded(request.path.as_str()))
            .with("url.scheme", request.scheme().as_str())
            .with("server.address", request.host.as_str())
            .with_any("client.address", request.origin.address.map(|address| address.to_string()))
            .with("network.protocol.version", version)
            .with_any("user_agent.original", agent.map(bounded))
    }

    fn with_decision(&self, span: Span) -> Span {
        let (outcome, stage) = self.event.outcome();
        let call = self.event.trace.call.as_deref();
        let resource = call.filter(|call| !call.resource().is_empty());
        let resource =
            resource.map(|call| format!("//{}/{}", call.method.service.name, bounded(call.resource())));
        span.with("opgate.decision", outcome.as_str())
            .with("opgate.reason", self.event.reason())
            .with("opgate.stage", stage.as_str())
            .with_any("opgate.method", call.map(|call| call.method.name.as_str()))
            .with("opgate.policy.revision", self.event.revision)
            .with_any("opgate.rule", self.event.rule().map(|rule| rule.place.to_string()))
            .with("opgate.request_id", self.event.request_id)
            .with_any("gcp.resource.destination.id", resource)
    }

    /// A span for each stage that was reached, one after the other, and for what they waited for in between. The stage that
    /// decided says what.
    fn of_stages(&self) -> Vec<Span> {
        let (_, deciding) = self.event.outcome();
        let mut begun = self.event.time;
        let mut spans = Vec::new();
        let mut add = |name: &str, lasted: Duration| {
            let id = SpanId::random();
            let span = Span::within(name.to_owned(), SpanKind::Internal, self.context, id, begun, lasted);
            begun += lasted;
            span
        };
        for (stage, spent) in self.event.trace.times.spent() {
            // The wait for a body comes before it is judged.
            if stage == DecisionStage::Body && !self.event.timing.body.is_zero() {
                spans.push(add("await body", self.event.timing.body));
            }
            let span = add(stage.as_str(), spent);
            spans.push(if stage == deciding { self.with_decision(span) } else { span });
            if stage == DecisionStage::Authenticate && !self.event.timing.issuer.is_zero() {
                spans.push(add("await issuer", self.event.timing.issuer));
            }
        }
        spans
    }

    fn of_attempts(&self) -> Vec<Span> {
        let Some(forwarding) = self.event.forwarding else { return Vec::new() };
        let ended = self.event.arrived + self.event.duration;
        let earlier = forwarding.earlier.iter().map(|attempt: &EarlierAttempt| AttemptSpan {
            span_id: attempt.span_id.unwrap_or_else(SpanId::random),
            upstream: &attempt.upstream,
            address: attempt.address,
            begun: attempt.since,
            ended: attempt.ended,
            fault: attempt.fault,
            status: None,
        });
        let last = forwarding.attempt.iter().map(|attempt: &Attempted| AttemptSpan {
            span_id: attempt.span_id.unwrap_or_else(SpanId::random),
            upstream: attempt.attempt.upstream(),
            address: attempt.attempt.address(),
            begun: attempt.since,
            ended: attempt.fault.map_or(ended, |(_, at)| at),
            fault: attempt.fault.map(|(kind, _)| kind),
            status: (forwarding.begun >= 200).then_some(forwarding.begun),
        });
        earlier.chain(last).zip(0_u32..).map(|(attempt, number)| self.of_attempt(&attempt, number)).collect()
    }

    fn of_attempt(&self, attempt: &AttemptSpan<'_>, number: u32) -> Span {
        let lasted = attempt.ended.saturating_duration_since(attempt.begun);
        let (name, begun) = (self.span_name(), self.wall(attempt.begun));
        let span = Span::within(name, SpanKind::Client, self.context, attempt.span_id, begun, lasted)
            .with("http.request.method", self.method_name())
            .with_server(attempt.address)
            .with("opgate.upstream", attempt.upstream)
            .with_any("url.template", self.route.as_deref());
        let span = if number > 0 { span.with_number("http.request.resend_count", number) } else { span };
        let span = match attempt.status {
            Some(status) => span.with_number("http.response.status_code", status),
            None => span,
        };
        match (attempt.fault, attempt.status) {
            (Some(kind), _) => span.failed(kind),
            // To its client an answer of the 4xx is an error as well.
            (None, Some(status)) if status >= 400 => span.failed(&status.to_string()),
            _ => span,
        }
    }

    /// A moment on the wall clock, by the time that has passed since the head came.
    fn wall(&self, moment: Instant) -> SystemTime {
        self.event.time + moment.saturating_duration_since(self.event.arrived)
    }
}

/// The beginning of a text that a client has chosen.
fn bounded(text: &str) -> &str {
    let end = text.floor_char_boundary(MOST);
    text.get(..end).unwrap_or(text)
}
