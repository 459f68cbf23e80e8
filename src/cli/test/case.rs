//! A decision test as its author wrote it: who calls what, when and from where, and the expected decision.

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use crate::diagnostic::{Report, Span};
use crate::document::{Fields, Node, Spelling, Value, nearest};
use crate::principal::Principal;
use crate::reason::Reason;
use crate::simulation::written;

/// A test.
#[derive(Debug)]
pub(super) struct TestCase {
    pub(super) name: String,
    /// The whole entry.
    pub(super) span: Span,
    pub(super) who: CaseCaller,
    /// What the token may be used for; `None` where the test does not say.
    pub(super) scopes: Option<Vec<String>>,
    pub(super) call: CaseCall,
    /// `None` for now.
    pub(super) time: Option<SystemTime>,
    pub(super) origin: Option<IpAddr>,
    pub(super) expected: Expected,
    pub(super) rule: Option<ExpectedRule>,
}

/// Who calls.
#[derive(Debug)]
pub(super) enum CaseCaller {
    Anonymous,
    Principal(Principal),
    /// What a token says.
    Claims(serde_json::Map<String, serde_json::Value>, Span),
}

/// What is called.
#[derive(Debug)]
pub(super) enum CaseCall {
    /// `POST /v1/projects/…`
    Request {
        http_method: http::Method,
        /// Path and query.
        target: String,
        host: Option<String>,
        span: Span,
        host_span: Option<Span>,
    },
    /// A method by its full name, on a resource.
    Method { method: String, resource: String, host: Option<String>, span: Span, host_span: Option<Span> },
    /// A method over gRPC, with its message.
    Rpc { rpc: String, message: serde_json::Value, host: Option<String>, span: Span, host_span: Option<Span> },
}

/// The expected decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Allowed,
    Refused(Reason),
    /// Any refusal.
    Denied,
}

/// The rule that decides.
#[derive(Debug)]
pub(super) struct ExpectedRule {
    /// Below the policies directory, with `/`.
    pub(super) file: String,
    pub(super) line: Option<usize>,
    pub(super) span: Span,
}

impl fmt::Display for ExpectedRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}", self.file),
            None => formatter.write_str(&self.file),
        }
    }
}

/// The word for a call that is let through.
pub(super) const ALLOWED: &str = "allowed";
/// The word for a call that is refused, for whatever reason.
const DENIED: &str = "denied";

/// The reasons that a decision can end in.
fn decidable() -> impl Iterator<Item = Reason> {
    Reason::ALL.iter().copied().filter(|reason| reason.entry().is_testable)
}

impl TestCase {
    /// Whether an issuer's rules have to make the caller.
    pub(super) fn has_claims(&self) -> bool {
        matches!(self.who, CaseCaller::Claims(..))
    }
}

impl Expected {
    /// Whether a decision is what a test expects.
    pub(super) fn admits(self, decision: Self) -> bool {
        self == decision || (self == Self::Denied && matches!(decision, Self::Refused(_)))
    }

    /// As a test writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Allowed => ALLOWED,
            Self::Denied => DENIED,
            Self::Refused(reason) => reason.entry().name,
        }
    }
}

/// Reads a file of tests. What is wrong is in the report; the tests that are right are given back all the same.
pub(super) fn read(root: &Node, report: &mut Report) -> Vec<TestCase> {
    let items = root.list(report).unwrap_or_default();
    let cases: Vec<TestCase> = items.iter().filter_map(|item| case(item, report)).collect();
    for (index, case) in cases.iter().enumerate() {
        // Reports are read by name, and dashboards tell tests apart by it.
        if let Some(first) = cases.iter().take(index).find(|first| first.name == case.name) {
            report
                .error(&case.span, format!("two tests of this file are named `{}`", case.name))
                .related(&first.span, "the first is here")
                .help("give each a name of its own");
        }
    }
    cases
}

fn case(node: &Node, report: &mut Report) -> Option<TestCase> {
    let mut fields = node.fields("a test", Spelling::Exact, report)?;
    let name = fields.required("name", report).and_then(|node| name(node, report));
    let who = who(&mut fields, report);
    let scopes = fields.optional("scopes").map(|node| {
        node.strings(report).into_iter().map(|(scope, _)| scope.to_owned()).collect::<Vec<String>>()
    });
    let call = asked(&mut fields, report);
    let time = fields.optional("time").map(|node| time(node, report));
    let origin = fields.optional("origin").map(|node| origin(node, report));
    let expected = fields.required("expect", report).and_then(|node| expected(node, report));
    let rule = fields.optional("rule").map(|node| rule(node, report));
    fields.finish(report);
    Some(TestCase {
        name: name?,
        span: node.span.clone(),
        who: who?,
        scopes,
        call: call?,
        time: time.map_or(Some(None), |time| time.map(Some))?,
        origin: origin.map_or(Some(None), |origin| origin.map(Some))?,
        expected: expected?,
        rule: rule.map_or(Some(None), |rule| rule.map(Some))?,
    })
}

fn name(node: &Node, report: &mut Report) -> Option<String> {
    let text = node.string(report)?.trim();
    if text.is_empty() {
        report.error(&node.span, "the test has no name").help("say in a few words which caller may do what");
        return None;
    }
    Some(text.to_owned())
}

fn who(fields: &mut Fields<'_>, report: &mut Report) -> Option<CaseCaller> {
    match (fields.optional("principal"), fields.optional("claims")) {
        (Some(principal), Some(claims)) => {
            report
                .error(&claims.span, "the test says twice who calls")
                .related(&principal.span, "the principal is here")
                .help("keep `principal`, or `claims` to have an issuer's rules make a principal of them");
            None
        }
        (Some(node), None) => {
            let text = node.string(report)?;
            match Principal::parse(text) {
                Ok(principal) => Some(CaseCaller::Principal(principal)),
                Err(error) => {
                    report.error(&node.span, format!("`{text}` is not a caller: {error}")).help(
                        "write `user:EMAIL`, `serviceAccount:EMAIL` or `principal://POOL/subject/SUBJECT`; leave the \
                         line out for a caller without a credential",
                    );
                    None
                }
            }
        }
        (None, Some(node)) => match json(node, report)? {
            serde_json::Value::Object(claims) => Some(CaseCaller::Claims(claims, node.span.clone())),
            _ => {
                report
                    .error(&node.span, format!("expected a mapping, found {}", node.kind()))
                    .help("write `claims: {iss: …, email: …}`");
                None
            }
        },
        (None, None) => Some(CaseCaller::Anonymous),
    }
}

/// A value as JSON, as a token would hold it.
fn json(node: &Node, report: &mut Report) -> Option<serde_json::Value> {
    Some(match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Float(value) => match serde_json::Number::from_f64(*value) {
            Some(number) => number.into(),
            None => {
                report
                    .error(&node.span, "JSON has no such number")
                    .help("a token cannot hold it; write a finite number");
                return None;
            }
        },
        Value::String(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(|item| json(item, report)).collect::<Option<Vec<_>>>()?.into(),
        Value::Map(_) => {
            let entries = node.entries(report)?;
            let members =
                entries.into_iter().map(|(key, _, value)| Some((key.to_owned(), json(value, report)?)));
            serde_json::Value::Object(members.collect::<Option<_>>()?)
        }
    })
}

fn asked(fields: &mut Fields<'_>, report: &mut Report) -> Option<CaseCall> {
    let whole = fields.span();
    let call = fields.optional("call");
    let rpc = fields.optional("grpc");
    let message = fields.optional("message");
    let method = fields.optional("method");
    let resource = fields.optional("resource");
    let host = fields.optional("host");
    let host_span = host.map(|node| node.span.clone());
    let host = match host {
        None => None,
        Some(node) => Some(node.string(report)?.to_ascii_lowercase()),
    };
    if let Some(rpc) = rpc.or(message) {
        return over_grpc(rpc, message, [call, method, resource], host.zip(host_span), report);
    }
    match (call, method, resource) {
        (Some(node), None, None) => {
            let (http_method, host_in_url, target) = request_line(node, report)?;
            if let (Some(_), Some(span)) = (&host_in_url, &host_span) {
                report
                    .error(span, "the test says twice which host is asked")
                    .related(&node.span, "the URL names one")
                    .help("remove this line, or write the path alone");
                return None;
            }
            let host_span = host_span.or_else(|| host_in_url.is_some().then(|| node.span.clone()));
            let host = host.or(host_in_url);
            Some(CaseCall::Request { http_method, target, host, span: node.span.clone(), host_span })
        }
        (None, Some(method), Some(resource)) => {
            let (name, resource) = (method.string(report), resource.string(report));
            Some(CaseCall::Method {
                method: name?.to_owned(),
                resource: resource?.to_owned(),
                host,
                span: method.span.clone(),
                host_span,
            })
        }
        (None, Some(method), None) => {
            report.error(&method.span, "a method is called on a resource").help("add `resource: projects/…`");
            None
        }
        (None, None, Some(resource)) => {
            report
                .error(&resource.span, "the test does not say what is called on the resource")
                .help("add `method:` with the full name of an RPC, or write `call: POST /v1/…` instead");
            None
        }
        (Some(call), Some(other), _) | (Some(call), None, Some(other)) => {
            report
                .error(&other.span, "the test says twice what is called")
                .related(&call.span, "the call is here")
                .help("keep `call`, or `method` with `resource`");
            None
        }
        (None, None, None) => {
            report
                .error(whole, "a test needs `call`")
                .help("add `call: POST /v1/…`, or `method:` with `resource:`");
            None
        }
    }
}

/// A call over gRPC: `named` is the key `grpc` or, where that is missing, `message`. `others` are other ways to say what is called.
fn over_grpc(
    named: &Node,
    message: Option<&Node>,
    others: [Option<&Node>; 3],
    host: Option<(String, Span)>,
    report: &mut Report,
) -> Option<CaseCall> {
    if let Some(other) = others.into_iter().flatten().next() {
        report
            .error(&other.span, "the test says twice what is called")
            .related(&named.span, "the call over gRPC is here")
            .help("keep `grpc` with `message`, or the other one");
        return None;
    }
    let Some(message_node) = message else {
        report
            .error(&named.span, "a call over gRPC brings a message")
            .help("add `message: {name: projects/…}`; `message: {}` is an empty one");
        return None;
    };
    if std::ptr::eq(named, message_node) {
        report
            .error(&named.span, "the test does not say which method gets the message")
            .help("add `grpc: package.Service/Method`");
        return None;
    }
    let (host, host_span) = host.unzip();
    Some(CaseCall::Rpc {
        rpc: named.string(report)?.to_owned(),
        message: json(message_node, report)?,
        host,
        span: named.span.clone(),
        host_span,
    })
}

/// `POST /v1/…`, or with the host: `POST https://host/v1/…`.
fn request_line(node: &Node, report: &mut Report) -> Option<(http::Method, Option<String>, String)> {
    let text = node.string(report)?;
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    let [method, target] = parts.as_slice() else {
        report
            .error(&node.span, format!("`{text}` is not an HTTP method and path"))
            .help("write `POST /v1/projects/…`");
        return None;
    };
    let method = match written::http_method(method) {
        Ok(method) => method,
        Err(unreadable) => {
            report.error(&node.span, unreadable.message).help(unreadable.help);
            return None;
        }
    };
    let (host, target) = written::split_url(target);
    Some((method, host, target.to_owned()))
}

fn time(node: &Node, report: &mut Report) -> Option<SystemTime> {
    let text = node.string(report)?;
    match written::time(text) {
        Ok(time) => Some(time),
        Err(unreadable) => {
            report.error(&node.span, unreadable.message).help(unreadable.help);
            None
        }
    }
}

fn origin(node: &Node, report: &mut Report) -> Option<IpAddr> {
    let mut fields = node.fields("`origin`", Spelling::Exact, report)?;
    let ip = fields.required("ip", report);
    fields.finish(report);
    let node = ip?;
    let text = node.string(report)?;
    match written::address(text) {
        Ok(ip) => Some(ip),
        Err(unreadable) => {
            report.error(&node.span, unreadable.message).help(unreadable.help);
            None
        }
    }
}

fn expected(node: &Node, report: &mut Report) -> Option<Expected> {
    let text = node.string(report)?;
    if text == ALLOWED {
        return Some(Expected::Allowed);
    }
    if text == DENIED {
        return Some(Expected::Denied);
    }
    if let Some(reason) = decidable().find(|reason| reason.entry().name == text) {
        return Some(Expected::Refused(reason));
    }
    let names = || [ALLOWED, DENIED].into_iter().chain(decidable().map(|reason| reason.entry().name));
    let known = Reason::named(text).is_some();
    let list = || names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if known {
        report
            .error(
                &node.span,
                format!("no decision ends in `{text}`: it happens later, or outside of policy"),
            )
            .help(format!("choose from {}", list()));
        return None;
    }
    let diagnostic = report.error(&node.span, format!("`{text}` is nothing that a test can expect"));
    let lower = names().find(|name| name.eq_ignore_ascii_case(text));
    match lower.or_else(|| nearest(&text.to_ascii_uppercase(), names())).or_else(|| nearest(text, names())) {
        Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
        None => diagnostic.help(format!("choose from {}", list())),
    };
    None
}

fn rule(node: &Node, report: &mut Report) -> Option<ExpectedRule> {
    let text = node.string(report)?;
    let (file, line) = match text.rsplit_once(':') {
        None => (text, None),
        Some((file, line)) => match line.parse() {
            Ok(line) => (file, Some(line)),
            Err(_) => {
                report
                    .error(&node.span, format!("`{line}` is not a line number"))
                    .help("write a file of the policies directory, and a line if it matters: `allow/projects/demo.yaml:12`");
                return None;
            }
        },
    };
    Some(ExpectedRule { file: file.to_owned(), line, span: node.span.clone() })
}
