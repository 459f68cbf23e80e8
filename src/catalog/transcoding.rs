//! The methods of a service whose HTTP calls go upstream as calls of gRPC (`transcode: true`).

use std::sync::Arc;

use super::method::{BodyRule, Method};
use super::router::RouteTarget;
use super::service::{HttpBinding, HttpBody};
use super::settings::ExposureSettings;
use crate::diagnostic::{Report, Span};
use crate::transcode::{BodyMapping, Rpc, TranscodeError, TranscodedMethod};

/// Where a binding of a transcoded service leads. What cannot be transcoded leads nowhere: the backend does not speak HTTP.
pub(super) fn target(
    method: &Arc<Method>,
    binding: &HttpBinding,
    body: BodyRule,
    body_field: Option<Arc<str>>,
    report: &mut Report,
) -> RouteTarget {
    let closed = || RouteTarget::Closed { rpc: method.name.clone() };
    let open = |transcoding| RouteTarget::Open { method: method.clone(), body, body_field, transcoding };
    // It is never forwarded.
    if method.unimplemented {
        return open(None);
    }
    let Some(rpc) = &method.rpc else {
        report
            .error(&binding.span, format!("`{}` cannot be transcoded: its messages are not known", method.name))
            .help("put a descriptor set beside the service file, `services/ID.binpb`: `protoc --include_imports --descriptor_set_out=FILE …` or `buf build -o FILE`");
        return closed();
    };
    if body == BodyRule::Stream {
        report
            .error(&binding.span, format!("`{}` cannot be transcoded: its body is `stream`", method.name))
            .help("write `body: message` in the iam rule: a body that becomes a message has to be whole");
        return closed();
    }
    let rpc = Rpc {
        name: &method.name,
        input: &rpc.input,
        output: &rpc.output,
        is_client_streaming: rpc.is_client_streaming,
        is_server_streaming: rpc.is_server_streaming,
    };
    let mapping = match &binding.body {
        HttpBody::None => BodyMapping::Nothing,
        HttpBody::Whole => BodyMapping::Whole,
        HttpBody::Field(field) => BodyMapping::Field(field),
    };
    let variables = binding.template.variables().iter().map(|variable| &*variable.field);
    match TranscodedMethod::new(rpc, variables, mapping, binding.response_body.as_deref()) {
        Ok(transcoded) => open(Some(Arc::new(transcoded))),
        Err(errors) => {
            for error in errors {
                tell(&error, method, binding, report);
            }
            closed()
        }
    }
}

/// Whether OPTIONS goes to the backend where the service file says so. A backend of gRPC does not answer it.
pub(super) fn may_answer_options(settings: &ExposureSettings, span: &Span, report: &mut Report) -> bool {
    if settings.transcode {
        report
            .warning(span, format!("`allow_cors` does nothing: the backend of `{}` speaks gRPC", settings.id))
            .help("say under `cors` of the service in the configuration which web pages may call it");
    }
    !settings.transcode
}

fn tell(error: &TranscodeError, method: &Method, binding: &HttpBinding, report: &mut Report) {
    let message = format!("`{}` cannot be transcoded: {error}", method.name);
    match error {
        // The method is what it is, and may be served over gRPC.
        TranscodeError::ClientStreaming | TranscodeError::RawRequest => {
            report
                .warning(&binding.span, message)
                .help("this binding is answered like a path that does not exist");
        }
        TranscodeError::NoField { .. } | TranscodeError::NotPlain { .. } => {
            report
                .error(&binding.span, message)
                .help("correct the rule, or the descriptor set if it is older than the rule");
        }
    }
}
