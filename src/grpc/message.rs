//! A message with its prefix: a flag for compression and a length.

use std::borrow::Cow;

use super::refused;
use crate::http::Headers;
use crate::http::coding::{InflateFault, inflate};
use crate::reason::{Denial, Reason};

/// The bytes before each message: a flag, and a length of four bytes, the highest first.
pub const PREFIX: usize = 5;

/// Most bytes that a byte of gzip makes.
const MOST_INFLATED: u64 = 1032;

/// What stands before a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePrefix {
    /// Whether the message is compressed as `grpc-encoding` says.
    pub is_compressed: bool,
    /// Bytes of the message, as they come.
    pub length: u32,
}

/// How the messages of a request are compressed (`grpc-encoding`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageEncoding {
    /// Not at all.
    #[default]
    Identity,
    /// `gzip`.
    Gzip,
}

impl MessagePrefix {
    /// Reads a prefix. The flag is one that this encoding lets a message have, and the length is at most `limit`.
    ///
    /// # Errors
    /// Where it is not.
    pub fn read(prefix: [u8; PREFIX], encoding: MessageEncoding, limit: u64) -> Result<Self, Denial> {
        let [flag, length @ ..] = prefix;
        let is_compressed = match (flag, encoding) {
            (0, _) => false,
            (1, MessageEncoding::Gzip) => true,
            (1, MessageEncoding::Identity) => {
                return Err(refused(
                    "a message is marked as compressed, and `grpc-encoding` names no compression",
                ));
            }
            _ => return Err(refused("the flag before a message is neither 0 nor 1")),
        };
        let length = u32::from_be_bytes(length);
        if u64::from(length) > limit {
            return Err(too_large(limit));
        }
        Ok(Self { is_compressed, length })
    }

    /// Bytes of the message and its prefix.
    pub fn whole(&self) -> usize {
        usize::try_from(self.length).map_or(usize::MAX, |length| length.saturating_add(PREFIX))
    }

    /// How many bytes the message may take in memory, its content included.
    pub fn held(&self, limit: u64) -> u64 {
        let length = u64::from(self.length);
        if self.is_compressed { length + length.saturating_mul(MOST_INFLATED).min(limit) } else { length }
    }

    /// The message without its compression, at most `limit` bytes of it.
    ///
    /// # Errors
    /// Where it is longer, or not one whole gzip member.
    pub fn content<'m>(&self, message: &'m [u8], limit: u64) -> Result<Cow<'m, [u8]>, Denial> {
        if !self.is_compressed {
            return Ok(Cow::Borrowed(message));
        }
        match inflate(message, limit) {
            Ok(content) => Ok(Cow::Owned(content)),
            Err(InflateFault::TooLong) => Err(too_large(limit)),
            Err(InflateFault::Broken | InflateFault::Trailing) => {
                Err(refused("a message is marked as compressed, and is not one whole gzip member"))
            }
        }
    }
}

impl MessageEncoding {
    /// The encoding that a head names.
    ///
    /// # Errors
    /// For every other encoding, for two of them, for a content coding of the whole body, and where the content type names another
    /// format than protobuf: what is judged has one reading.
    pub fn of(headers: &Headers) -> Result<Self, Denial> {
        // grpc-go takes what follows `+` or `;` for the name of the format, and JSON can be written that protobuf reads too.
        let mut types = headers.all("content-type").map(http::HeaderValue::as_bytes);
        if !types.all(|name| matches!(name, b"application/grpc" | b"application/grpc+proto")) {
            return Err(unsupported(
                "the content type is neither `application/grpc` nor `application/grpc+proto`",
            ));
        }
        if headers.all("content-encoding").any(|coding| coding != "identity") {
            return Err(unsupported("the body has a content coding, which gRPC does not know"));
        }
        match headers.one("grpc-encoding")?.map(http::HeaderValue::as_bytes) {
            None | Some(b"identity") => Ok(Self::Identity),
            Some(b"gzip") => Ok(Self::Gzip),
            Some(_) => Err(unsupported("`grpc-encoding` names a compression other than gzip")),
        }
    }
}

fn unsupported(detail: &'static str) -> Denial {
    Denial::new(Reason::MessageEncodingUnsupported, detail).told()
}

pub(crate) fn too_large(limit: u64) -> Denial {
    Denial::new(Reason::MessageTooLarge, format!("a message has more than {limit} bytes")).told()
}
