//! `limits` of a service: what a call of it, or of one of its methods, may take.

use crate::catalog::limits::{MAX_MESSAGE_BYTES, MethodLimits, ServiceLimits};
use crate::diagnostic::Report;
use crate::document::scalar::{duration, size};
use crate::document::{Fields, Node, Spelling};

/// Reads them.
pub(super) fn limits(node: &Node, report: &mut Report) -> ServiceLimits {
    let Some(mut fields) = node.fields("`limits`", Spelling::Exact, report) else {
        return ServiceLimits::default();
    };
    let all = read(&mut fields, report);
    let methods = fields.optional("methods").and_then(|node| node.entries(report)).unwrap_or_default();
    fields.finish(report);
    let mut limits = ServiceLimits { all, methods: Vec::new() };
    for (name, key, node) in methods {
        let Some(mut fields) = node.fields("`limits` of a method", Spelling::Exact, report) else {
            continue;
        };
        let own = read(&mut fields, report);
        fields.finish(report);
        limits.methods.push((name.to_owned(), key.span.clone(), own));
    }
    limits
}

fn read(fields: &mut Fields<'_>, report: &mut Report) -> MethodLimits {
    let message_bytes = fields.optional("message_bytes");
    let stream_bytes = fields.optional("stream_bytes");
    let stream_timeout = fields.optional("stream_timeout");
    let deadline = fields.optional("deadline");
    MethodLimits {
        message_bytes: message_bytes.and_then(|node| message_size(node, report)),
        stream_bytes: stream_bytes.and_then(|node| size(node, report)),
        stream_timeout: stream_timeout.and_then(|node| duration(node, report)),
        deadline: deadline.and_then(|node| duration(node, report)),
        declared_deadline: None,
    }
}

/// The size of a body that is held whole before it is sent.
fn message_size(node: &Node, report: &mut Report) -> Option<u64> {
    let bytes = size(node, report)?;
    if bytes > MAX_MESSAGE_BYTES {
        report
            .error(&node.span, "a body of more than 10MiB cannot be judged whole")
            .help("use `body: stream` for methods that take larger ones");
        return None;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use crate::document;

    #[test]
    fn every_mistake_is_reported_at_once() {
        let text = "{message_bytes: 11MiB, stream_bytes: 1, deadline: 0s, stream_timout: 1m, methods: {a.B.C: {deadline: 5}, a.B.D: x}}";
        let mut report = Report::new();
        let node = document::parse(&Source::new("opgate.yaml", text), &mut report).unwrap();
        limits(&node, &mut report);
        insta::assert_snapshot!(report.render(false));
    }
}
