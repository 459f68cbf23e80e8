//! The request model: one strict parse. Everything else is judged by it, and everything that is sent is made from it.
//!
//! A gate is bypassed where it reads a request in one way and the backend in another. So nothing here repairs anything:
//! a request that could be read in two ways is refused, and what is forwarded is rebuilt from the parsed [`Request`],
//! never copied from the wire. Pure: no I/O, no clock.

pub mod answer;
mod channel;
pub mod chunked;
pub mod coding;
mod field_line;
pub mod field_path;
pub mod fold;
pub mod head;
pub mod headers;
pub mod path;
pub mod preflight;
mod proxies;
pub mod query;
pub mod request;
mod request_line;
mod rpc;
pub(crate) mod settings;
mod traced;
mod version;

use std::borrow::Cow;

pub use self::channel::{Channel, ClientCertificate, NoCaller, ServerNames};
pub use self::fold::fold;
pub use self::head::{HeadLimits, RawHead};
pub use self::headers::{HeaderNames, Headers};
pub use self::path::Path;
pub use self::preflight::Preflight;
pub use self::proxies::{ClientOrigin, ConnectionPeer, HopField, Scheme, TrustedProxies, network};
pub use self::query::Query;
pub use self::request::{Framing, Host, Peer, Request};
pub use self::request_line::is_method;
pub use self::rpc::RpcProtocol;
pub use self::version::Version;
use crate::bytewise;
use crate::reason::{Denial, Reason};

/// The denial of a request that can be read in two ways, or in none. The client is told: the detail is only about what
/// it sent.
pub(crate) fn malformed(detail: impl Into<Cow<'static, str>>) -> Denial {
    Denial::new(Reason::RequestMalformed, detail).told()
}

/// `tchar` (RFC 9110, section 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    const TOKEN: [bool; 256] =
        bytewise::table(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&'*+-.^_`|~");
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}
