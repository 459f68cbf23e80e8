//! The `limits` of the file: bounds on what a client may take, each read by the stage that holds to it.

use crate::admission::AdmissionLimits;
use crate::authn::Authenticator;
use crate::catalog::ExposureSettings;
use crate::decision::body::{BodyLimits, LARGE_BODY};
use crate::diagnostic::Report;
use crate::document::scalar::size;
use crate::document::{Node, Spelling};
use crate::listener::ListenerLimits;

/// Bounds on what a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of connections, and of request heads.
    pub listener: ListenerLimits,
    /// The longest token, in bytes. A token is part of a head: `head_bytes` is at least as much.
    pub token_bytes: usize,
    /// Of request bodies.
    pub body: BodyLimits,
    /// Of requests at one time.
    pub admission: AdmissionLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            listener: ListenerLimits::default(),
            token_bytes: Authenticator::DEFAULT_TOKEN_BYTES,
            body: BodyLimits::default(),
            admission: AdmissionLimits::default(),
        }
    }
}

impl Limits {
    /// Reports a service one of whose messages would never find room.
    pub(super) fn check_room(&self, service: &ExposureSettings, report: &mut Report) {
        let held = self.admission.held_bytes.max(LARGE_BODY);
        if service.limits.longest_message().is_some_and(|bytes| bytes > held) {
            report
                .error(
                    &service.span,
                    "`limits.held_bytes` has no room for one message of its `message_bytes`",
                )
                .help("raise `held_bytes`, or make `message_bytes` of the service less");
        }
    }

    /// Reads `limits`. Fields are asked for in the order of `config/opgate.yaml`: mistakes are told in it.
    pub(super) fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let mut fields = node.fields("`limits`", Spelling::Exact, report)?;
        let mut listener = ListenerLimits::default();
        listener.read_beginning(&mut fields, report);
        let token_bytes = token_bytes(fields.optional("token_bytes"), listener.head.bytes, report);
        let mut body = BodyLimits::read(&mut fields, report);
        body.target = listener.head.target as u64;
        listener.read_answers(&mut fields, report);
        let admission = AdmissionLimits::read(&mut fields, report);
        listener.read_connections(&mut fields, report);
        fields.finish(report);
        if body.message > LARGE_BODY && body.message > admission.held_bytes {
            report
                .error(&node.span, "`held_bytes` has no room for one message of `message_bytes`")
                .help("a message whose length is not announced counts as one: raise `held_bytes`");
        }
        Some(Self { listener, token_bytes, body, admission })
    }
}

/// The longest token. A head that is longer than `head_bytes` is refused before its token is looked at.
fn token_bytes(node: Option<&Node>, head_bytes: usize, report: &mut Report) -> usize {
    let default = Authenticator::DEFAULT_TOKEN_BYTES.min(head_bytes);
    let Some(node) = node else { return default };
    let Some(bytes) = size(node, report) else { return default };
    match usize::try_from(bytes) {
        Ok(bytes) if bytes <= head_bytes => bytes,
        _ => {
            let message = format!("a token of {bytes} bytes does not fit into a head of {head_bytes}");
            report.error(&node.span, message).help("make it less, or `head_bytes` more");
            default
        }
    }
}
