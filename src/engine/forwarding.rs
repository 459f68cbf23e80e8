//! An admitted request on its way: its attempts at endpoints.

use std::net::SocketAddr;
use std::time::Instant;

use crate::cancels::{SentCancel, Watch};
use crate::decision::Admitted;
use crate::grpc::MessageStream;
use crate::reason::Denial;
use crate::trace_context::SpanId;
use crate::upstream::{Attempt, UpstreamSlot};

/// An admitted request on its way to an endpoint and back.
#[derive(Debug)]
pub struct ForwardingPhase {
    /// What is sent.
    pub admitted: Admitted,
    /// The slot at the upstream, and until when the exchange there may go on.
    pub slot: Option<(UpstreamSlot, Option<Instant>)>,
    /// The attempt under way, or the last one.
    pub attempt: Option<Attempted>,
    /// The attempts before it.
    pub earlier: Vec<EarlierAttempt>,
    /// How many attempts there were.
    pub attempts: usize,
    /// The endpoint that failed, and must not be used again.
    pub failed: Option<SocketAddr>,
    /// When the client had sent all of its body.
    pub body_whole: Option<Instant>,
    /// Until when a body that is passed on may come.
    pub body_until: Option<Instant>,
    /// The cancel that it is, until its answer is known.
    pub cancel: Option<SentCancel>,
    /// What reads the answer for the outcome of another cancel.
    pub watch: Option<Watch>,
    /// The status of the answer that has begun; 0 before.
    pub begun: u16,
    /// What the messages of a gRPC stream are held against as they pass.
    pub messages: Option<MessageStream>,
    /// What is wrong with the last of them.
    pub message_fault: Option<Denial>,
    /// The google.rpc.Code that the backend ended a gRPC call with.
    pub grpc_status: Option<u8>,
}

/// One attempt to have an endpoint answer.
#[derive(Debug)]
pub struct Attempted {
    /// The endpoint.
    pub attempt: Attempt,
    /// When it was chosen.
    pub since: Instant,
    /// Whether its connection has carried another exchange before.
    pub reused: bool,
    /// Bytes of a passed body so far.
    pub passed: u64,
    /// Names its span, once its head is written and where the gate writes spans.
    pub span_id: Option<SpanId>,
    /// The kind of error that it ended with, and when.
    pub fault: Option<(&'static str, Instant)>,
}

/// An attempt that was followed by another one.
#[derive(Debug)]
pub struct EarlierAttempt {
    /// The upstream's name.
    pub upstream: String,
    /// The endpoint's address.
    pub address: SocketAddr,
    /// When it was chosen.
    pub since: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Names its span.
    pub span_id: Option<SpanId>,
    /// The kind of error that it ended with.
    pub fault: Option<&'static str>,
}

impl Attempted {
    /// An attempt that begins now.
    pub fn new(attempt: Attempt) -> Self {
        Self { attempt, since: Instant::now(), reused: false, passed: 0, span_id: None, fault: None }
    }

    /// What is kept of it once another one follows.
    fn into_earlier(self) -> EarlierAttempt {
        let Self { attempt, since, span_id, fault, .. } = self;
        EarlierAttempt {
            upstream: attempt.upstream().to_owned(),
            address: attempt.address(),
            since,
            ended: fault.map_or_else(Instant::now, |(_, ended)| ended),
            span_id,
            fault: fault.map(|(kind, _)| kind),
        }
    }
}

impl ForwardingPhase {
    /// Another attempt begins.
    pub fn attempt(&mut self, attempt: Attempt) {
        let before = self.attempt.replace(Attempted::new(attempt));
        self.earlier.extend(before.map(Attempted::into_earlier));
        self.attempts += 1;
    }
}
