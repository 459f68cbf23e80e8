//! Envoy's external authorization: `envoy.service.auth.v3.Authorization/Check`, over gRPC on the listener's own HTTP/2.
//!
//! ```text
//! CheckRequest ─► describe ─► authorizer::judge ─► answer ─► CheckResponse
//! ```

mod answer;
mod describe;
mod message;
#[cfg(test)]
mod tests;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

pub(super) use self::answer::response;
pub(super) use self::describe::describe;
use self::message::CheckRequest;
use crate::http::malformed;
use crate::reason::Denial;

/// The one method, as gRPC has it in the path.
pub(super) const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The length of what stands before a message of gRPC: whether it is compressed, and how many bytes it has.
const PREFIX: usize = 5;

/// Reads the one message of a call.
///
/// # Errors
/// Where there is none, or something else than one.
pub(super) fn question(mut body: Bytes) -> Result<CheckRequest, Denial> {
    if body.len() < PREFIX {
        return Err(malformed("the call has no message"));
    }
    if body.get_u8() != 0 {
        return Err(malformed("the message is compressed, which Envoy does not ask with"));
    }
    if body.get_u32() as usize != body.len() {
        return Err(malformed("the call has not one message"));
    }
    CheckRequest::decode(body)
        .map_err(|error| malformed(format!("the message is not a CheckRequest: {error}")))
}

/// A message as gRPC writes it.
pub(super) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    framed.put_slice(&message.encode_to_vec());
    framed.freeze()
}
