//! A gRPC call up to its first message, which names the resource.
//!
//! Over HTTP the path names the resource, and IAM is asked from the head alone. Over gRPC the first message does: so the
//! decision waits for it when the caller is known and has a scope. Nothing of the request goes upstream before.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::judged_messages::JudgedMessages;
use crate::catalog::{Call, Method, RpcDescriptor};
use crate::grpc::{self, MessageEncoding, MessagePrefix, MessageStream, PREFIX};
use crate::http::Request;
use crate::principal::Caller;
use crate::reason::{Denial, Reason};

/// A decision that waits for the first message of a gRPC call.
#[derive(Debug)]
pub struct AwaitingMessage {
    pub(super) request: Arc<Request>,
    pub(super) method: Arc<Method>,
    pub(super) caller: Option<Arc<Caller>>,
    pub(super) now: SystemTime,
    pub(super) encoding: MessageEncoding,
    pub(super) timeout: Option<Duration>,
}

/// What is read of a gRPC request before it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessagePlan {
    /// All of it: the method takes one message.
    Whole,
    /// The first message; others may follow it.
    First,
    /// Nothing: no message names a resource, and any number may come.
    Nothing,
}

impl AwaitingMessage {
    /// What is to be read.
    pub fn plan(&self) -> MessagePlan {
        match &self.method.rpc {
            Some(rpc) if !rpc.is_client_streaming => MessagePlan::Whole,
            Some(rpc) if !rpc.fields.is_empty() => MessagePlan::First,
            _ => MessagePlan::Nothing,
        }
    }

    /// The method that is called.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// How long the client waits.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// How the messages are compressed.
    pub fn encoding(&self) -> MessageEncoding {
        self.encoding
    }

    pub(super) fn judge(&self, read: &Bytes, limit: u64) -> Result<(Call, JudgedMessages), Denial> {
        let no_descriptor =
            || Denial::new(Reason::Internal, "a method without a descriptor was called over gRPC");
        let rpc = self.method.rpc.as_ref().ok_or_else(no_descriptor)?;
        if self.plan() == MessagePlan::Nothing {
            let mut rest = MessageStream::new(rpc.fields.clone(), Vec::new(), self.encoding, limit);
            let initial = passed(&mut rest, read)?;
            let call = Call::of_rpc(self.method.clone(), &[]);
            return Ok((call, JudgedMessages { initial, rest: Some(rest) }));
        }
        let (message, behind) = self.first(read, limit)?;
        let call = call_of(&self.method, rpc, &message)?;
        if self.plan() == MessagePlan::Whole {
            if !behind.is_empty() {
                return Err(grpc::refused("the method takes one message, and more was sent"));
            }
            return Ok((call, JudgedMessages { initial: read.clone(), rest: None }));
        }
        let judged = call.bindings.iter().map(|(_, value)| value.as_str().into()).collect();
        let mut rest = MessageStream::new(rpc.fields.clone(), judged, self.encoding, limit);
        // Read once more, as what follows it is: all that goes on has passed one place.
        let initial = passed(&mut rest, read)?;
        Ok((call, JudgedMessages { initial, rest: Some(rest) }))
    }

    /// The content of the first message, and the bytes behind it.
    fn first<'r>(&self, read: &'r Bytes, limit: u64) -> Result<(Cow<'r, [u8]>, &'r [u8]), Denial> {
        let Some((prefix, rest)) = read.split_first_chunk::<PREFIX>() else {
            return Err(grpc::refused(if read.is_empty() {
                "the request has no message"
            } else {
                "the request ends within the prefix of a message"
            }));
        };
        let prefix = MessagePrefix::read(*prefix, self.encoding, limit)?;
        let length = usize::try_from(prefix.length).unwrap_or(usize::MAX);
        let (message, behind) = rest
            .split_at_checked(length)
            .ok_or_else(|| grpc::refused("the request ends within a message"))?;
        Ok((prefix.content(message, limit)?, behind))
    }
}

/// The call that a message makes, without its compression.
pub(super) fn call_of(method: &Arc<Method>, rpc: &RpcDescriptor, message: &[u8]) -> Result<Call, Denial> {
    let values = rpc.fields.read(message)?;
    let values: Vec<&str> = values.into_iter().map(Option::unwrap_or_default).collect();
    rpc.judge_values(&method.resource, &values).map_err(|why| {
        let field = rpc.fields.paths().first().map(|path| &**path);
        Denial::new(Reason::ResourceNameRefused, why.clone()).told().violation(field, why)
    })?;
    let values: Vec<Cow<'_, str>> = values.into_iter().map(Cow::Borrowed).collect();
    Ok(Call::of_rpc(method.clone(), &values))
}

/// What may pass of these bytes now.
fn passed(rest: &mut MessageStream, read: &[u8]) -> Result<Bytes, Denial> {
    let mut initial = Vec::with_capacity(read.len());
    rest.push(read, &mut |data| initial.extend_from_slice(data))?;
    Ok(initial.into())
}
