//! gRPC as it is on the wire ("gRPC over HTTP2"): messages, their fields, timeouts and statuses. Pure.
//!
//! ```text
//! body ─► MessagePrefix, message ─► MessageFields::read ─► the resource ─► judged
//!                                         ▲
//!                                    descriptor
//! ```
//!
//! A message is judged by the bytes that are sent on. So nothing here repairs anything: what two decoders could read in two
//! ways is refused.

pub mod fields;
pub mod message;
pub mod name;
pub mod status;
pub mod stream;
pub mod timeout;
mod wire;

use std::borrow::Cow;

pub use self::fields::{FieldFault, MessageFields};
pub use self::message::{MessageEncoding, MessagePrefix, PREFIX};
pub use self::stream::MessageStream;
use crate::reason::{Denial, Reason};

/// The denial of what is not a well-formed message. The client is told: the detail is only about what it sent.
pub(crate) fn refused(detail: impl Into<Cow<'static, str>>) -> Denial {
    Denial::new(Reason::MessageRefused, detail).told()
}
