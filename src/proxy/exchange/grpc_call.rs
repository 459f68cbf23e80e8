//! What is of gRPC in an exchange: its deadline, the messages of its stream, and its status.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use http::HeaderMap;

use super::client::ClientSide;
use crate::engine::Exchange;
use crate::grpc::status;
use crate::reason::{Denial, Reason};
use crate::respond;

/// How long a client may take to read the end of a call that broke off.
const END: Duration = Duration::from_secs(1);

impl Exchange {
    /// Whether it is a gRPC call in which a side sends any number of messages.
    pub(super) fn is_grpc_stream(&self) -> bool {
        let rpc = self.trace.call.as_ref().and_then(|call| call.method.rpc.as_ref());
        self.is_grpc() && rpc.is_some_and(|rpc| rpc.is_streaming())
    }

    /// When the answer is to be whole: by the upstream and the method, and as long as the client waits. A gRPC stream may last,
    /// unless its method has a deadline.
    pub(in crate::proxy) fn until(&self) -> Option<Instant> {
        let slot = self.forwarding().and_then(|forwarding| forwarding.slot.as_ref());
        let limits = self.trace.call.as_ref().map(|call| call.method.limits);
        let has_own = limits.is_some_and(|limits| limits.deadline.or(limits.declared_deadline).is_some());
        let until = slot.and_then(|(_, until)| *until).filter(|_| has_own || !self.is_grpc_stream());
        until.into_iter().chain(self.deadline).min()
    }

    /// The next bytes of the request have come. Of a gRPC stream, messages go on once they are judged.
    pub(super) fn message_came(&mut self, data: &[u8], send: &mut dyn FnMut(&[u8])) {
        let Some(forwarding) = self.forwarding_mut() else { return };
        match &mut forwarding.messages {
            None => send(data),
            Some(_) if forwarding.message_fault.is_some() => {}
            Some(messages) => forwarding.message_fault = messages.push(data, send).err(),
        }
    }

    /// The backend has ended a gRPC call with this status.
    pub(super) fn grpc_ended(&mut self, sent: Option<&[u8]>) {
        let Some(sent) = sent.filter(|_| self.is_grpc()) else { return };
        let code = status::code(sent).unwrap_or(2);
        if let Some(forwarding) = self.forwarding_mut() {
            forwarding.grpc_status = Some(code);
        }
        self.cancel_ended(status::http_of(code));
    }

    /// The status of a gRPC call whose backend has ended it without one.
    pub(super) fn missing_status(&mut self) -> Option<HeaderMap> {
        if !self.is_grpc() || self.forwarding()?.grpc_status.is_some() {
            return None;
        }
        let detail = "the backend ended a gRPC call without a status";
        let denial = Denial::new(Reason::UpstreamInvalid, detail).with_grpc_code(13);
        let trailers = respond::grpc::trailers(&denial, &self.arrival.request_id);
        self.denial.get_or_insert(denial);
        Some(trailers)
    }
}

/// Ends a call whose answer has begun and broke off: the client is told why, behind what it has.
pub(super) async fn end_call(exchange: &Exchange, client: &mut impl ClientSide, denial: &Denial) {
    if matches!(denial.reason(), Reason::ClientClosed | Reason::AnswerNotTaken) {
        return;
    }
    client.put_trailers(respond::grpc::trailers(denial, &exchange.arrival.request_id));
    client.put_end();
    // A client that does not take it has its stream reset, as without it.
    let _ = tokio::time::timeout(END, poll_fn(|context| client.poll_sent(context))).await;
}
