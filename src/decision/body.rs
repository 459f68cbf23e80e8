//! The body rule of a method, checked before the first byte goes upstream.
//!
//! With `body: "*"`, a transcoder takes fields from the body over those from the path: a cancel of
//! `projects/mine/…` whose body names `projects/yours/…` cancels yours. So a body that could say anything is not
//! forwarded: it is empty, or it says what the path says (docs/services.md, "Bodies"). Official clients send
//! nothing, `{}`, `""` or `{"name": …}`, plain or gzipped.

pub mod as_sent;
mod content;
pub(super) mod form;
mod message;

use bytes::Bytes;

use self::content::{decoded, media_type, refused, trim_blanks, unsupported_coding, without_mark};
use crate::catalog::{BodyRule, Call, MAX_MESSAGE_BYTES, MethodLimits};
use crate::http::coding::ContentCoding;
use crate::http::request::{Framing, Request};
use crate::reason::{Denial, Reason};

/// Bounds of bodies, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Of `message` bodies, which are held in memory.
    pub message: u64,
    /// Of `stream` bodies, which are passed on as they come.
    pub stream: u64,
    /// Of a request target, with the query that came as a body: that of the listener.
    pub target: u64,
}

impl BodyLimits {
    /// Those of a method, where the operator says so.
    pub fn of(self, limits: &MethodLimits) -> Self {
        Self {
            message: limits.message_bytes.unwrap_or(self.message),
            stream: limits.stream_bytes.unwrap_or(self.stream),
            target: self.target,
        }
    }
}

impl Default for BodyLimits {
    fn default() -> Self {
        let target = crate::http::HeadLimits::default().target as u64;
        Self { message: 64 * 1024, stream: 64 * 1024 * 1024, target }
    }
}

/// Most bytes that the operator may let a body have that is held whole.
pub const MAX_HELD_BODY: u64 = MAX_MESSAGE_BYTES;
/// A body of more bytes is judged off the threads that serve connections, and held within `limits.held_bytes`.
pub const LARGE_BODY: u64 = 64 * 1024;
/// Most bytes of an `empty_message` body: a name of 8 KiB in which every byte is escaped, and a margin.
const EMPTY_MESSAGE_BYTES: u64 = 50 * 1024;

/// Most bytes of an `empty` body that is gzip: the gzip of nothing, with a name and a time in its head.
const EMPTY_GZIP_BYTES: u64 = 128;

/// Most bytes that a byte of a gzip body stands for, itself included.
const MOST_INFLATED: u64 = 1033;

/// How a body is read before the request may be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPlan {
    /// There is none: nothing to read.
    Nothing,
    /// Read until the end or until there are more than `limit` bytes, then [`settle`].
    Collect {
        /// The most bytes that [`settle`] will take, as they come.
        limit: u64,
        /// The coding that they come in.
        coding: ContentCoding,
        /// Whether they have a type that they can be judged as, if there are any.
        is_typed: bool,
    },
    /// Forward as it comes, up to [`BodyLimits::stream`] bytes.
    Pass,
    /// Messages of a gRPC call, which were judged before.
    Judged,
}

impl BodyPlan {
    /// How many bytes the body may take in memory, as far as its head tells.
    pub fn held(self, request: &Request) -> u64 {
        match (self, request.framing) {
            (Self::Nothing | Self::Pass | Self::Judged, _) => 0,
            (
                Self::Collect { coding: ContentCoding::Identity, .. },
                Framing::Length(length) | Framing::Stream(Some(length)),
            ) => length,
            // Deflate makes a byte into 1,032 at the most.
            (
                Self::Collect { coding: ContentCoding::Gzip, limit, .. },
                Framing::Length(length) | Framing::Stream(Some(length)),
            ) => length.saturating_mul(MOST_INFLATED).min(limit),
            (Self::Collect { limit, .. }, _) => limit,
        }
    }
}

/// Decides from the head alone how the body is read.
///
/// # Errors
/// Where the announced length is too large already: no byte of it is waited for. 415 for a content coding other than
/// gzip.
pub fn plan(request: &Request, call: &Call, limits: BodyLimits) -> Result<BodyPlan, Denial> {
    let (rule, limits) = (call.body, limits.of(&call.method.limits));
    let announced = match request.framing {
        Framing::None | Framing::Length(0) => return Ok(BodyPlan::Nothing),
        Framing::Length(length) => Some(length),
        Framing::Stream(length) => length,
        Framing::Chunked => None,
    };
    let coding = ContentCoding::of(&request.headers);
    if form::stands_for_query(request) {
        return plan_form(request, announced, coding, limits.target);
    }
    let limit = match rule {
        // Java's discovery clients compress every body, also one that is empty.
        BodyRule::Empty if coding == Some(ContentCoding::Gzip) && request.expects_body() => EMPTY_GZIP_BYTES,
        BodyRule::Empty => 0,
        BodyRule::EmptyMessage => EMPTY_MESSAGE_BYTES,
        BodyRule::Message => limits.message,
        BodyRule::Stream => limits.stream,
    };
    if announced.is_some_and(|length| length > limit) {
        return Err(overflow(rule, limit));
    }
    let coding = match (coding, rule) {
        (_, BodyRule::Stream) => return Ok(BodyPlan::Pass),
        (Some(coding), _) => coding,
        // Not one byte is taken in any coding.
        (None, BodyRule::Empty) => ContentCoding::Identity,
        (None, _) => return Err(unsupported_coding()),
    };
    let is_typed = rule != BodyRule::Message || is_json(request)?;
    if !is_typed && coding == ContentCoding::Identity && announced.is_some_and(|length| length > 0) {
        return Err(not_json());
    }
    Ok(BodyPlan::Collect { limit, coding, is_typed })
}

fn plan_form(
    request: &Request,
    announced: Option<u64>,
    coding: Option<ContentCoding>,
    limit: u64,
) -> Result<BodyPlan, Denial> {
    if announced.is_some_and(|length| length > limit) {
        return Err(form::too_long(limit));
    }
    let coding = coding.ok_or_else(unsupported_coding)?;
    let is_typed = media_type(request)?.as_deref() == Some("application/x-www-form-urlencoded");
    if !is_typed && coding == ContentCoding::Identity && announced.is_some_and(|length| length > 0) {
        return Err(form::not_a_form());
    }
    Ok(BodyPlan::Collect { limit, coding, is_typed })
}

/// Whether the body has the type that it is judged as: one reader's JSON may be another's form.
fn is_json(request: &Request) -> Result<bool, Denial> {
    if !request.headers.contains("content-type") {
        return Ok(true);
    }
    Ok(media_type(request)?.as_deref() == Some("application/json"))
}

/// The denial of a body that grew beyond its limit while it was read.
pub fn overflow(rule: BodyRule, limit: u64) -> Denial {
    if rule == BodyRule::Empty { not_empty() } else { too_large(rule, limit) }
}

/// Judges a collected body and gives the bytes that go upstream: its content, without a coding.
///
/// # Errors
/// 400 where it says anything that the path does not, or is not what its coding says; 413 where its content has more
/// than `limit` bytes.
pub fn settle(
    body: &Bytes,
    coding: ContentCoding,
    is_typed: bool,
    call: &Call,
    limit: u64,
) -> Result<Bytes, Denial> {
    let content = decoded(body, coding, limit, || overflow(call.body, limit))?;
    match call.body {
        BodyRule::Empty if content.is_empty() => Ok(content),
        BodyRule::Empty => Err(not_empty()),
        BodyRule::EmptyMessage => {
            let content = without_mark(&content);
            let text = trim_blanks(&content);
            // Node's client sends `""` where a rule takes no body.
            if !text.is_empty() && text != b"\"\"" {
                let fields = message::parse(&content)?;
                message::refuse_unknown(&fields, |name| call.binding(name).is_some())?;
                message::agree_with_path(&fields, call)?;
            }
            // Never the client's bytes: an empty message has one form, and that form is sent.
            Ok(Bytes::new())
        }
        BodyRule::Message => {
            let content = without_mark(&content);
            if trim_blanks(&content).is_empty() {
                return Ok(Bytes::new());
            }
            if !is_typed {
                return Err(not_json());
            }
            message::agree_with_path(&message::parse(&content)?, call)?;
            Ok(content)
        }
        BodyRule::Stream => Ok(content),
    }
}

fn not_empty() -> Denial {
    Denial::new(Reason::BodyRefused, "the method takes no body, and one was sent")
}

fn not_json() -> Denial {
    refused("the body's content type is not `application/json`")
}

fn too_large(rule: BodyRule, limit: u64) -> Denial {
    Denial::new(Reason::BodyTooLarge, format!("the body has more than {limit} bytes, the bound for `{rule}`"))
        .told()
}

#[cfg(test)]
mod tests;
