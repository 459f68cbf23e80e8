//! Failures while forwarding, as reasons of the table: ours, the backend's or the client's.
//!
//! The status tells a client what it may do next. 503 says that no backend has the request: it may be sent again. 502
//! and 504 say that one may have it, and that its fate is not known.

use std::io;

use pingora::{Error, ErrorSource, ErrorType};

use super::task;
use crate::http::answer::AnswerFault;
use crate::http::chunked::ChunkError;
use crate::reason::{Denial, Reason};
use crate::upstream::answer_fault;

/// How an attempt at an upstream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpstreamError {
    /// No connection.
    Connect,
    /// A connection, but no trust, or no common language.
    Tls,
    /// Not in time.
    Timeout,
    /// Something that is not HTTP, or an end before the end.
    Invalid,
    /// A kept connection that the backend closed just as it was used again.
    Stale,
    /// The backend says over HTTP/2 that it has not begun with the request, and will not.
    Refused,
    /// This machine has no files or ports left: no backend was reached.
    Local,
}

/// Whether the time for the whole exchange ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    No,
    BeforeIt,
    WithinTheAnswer,
}

/// An attempt that got a connection and failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct BrokenAttempt {
    pub(super) kind: BrokenKind,
    /// Whether no backend can have acted on the request.
    pub(super) is_unsent: bool,
    /// Whether an answer has begun, if only an interim one.
    pub(super) is_answered: bool,
    /// Whether the time of the exchange was over.
    pub(super) was_cut: bool,
    /// Whether all of the request can be sent again.
    pub(super) has_whole_request: bool,
    /// Whether it failed as a kept connection fails that the backend has closed.
    pub(super) is_worth_a_retry: bool,
}

/// What was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrokenKind {
    /// Nothing, for too long.
    Timeout,
    /// The backend says over HTTP/2 that it has not begun.
    Refused,
    /// What came is not an answer.
    Answer(AnswerFault),
    /// The connection ended or broke.
    Connection,
    /// Anything else that is not an answer.
    Other,
}

impl BrokenAttempt {
    /// How it failed, on a `reused` connection or a new one.
    pub(super) fn fault(&self, reused: bool) -> UpstreamError {
        match self.kind {
            BrokenKind::Timeout => UpstreamError::Timeout,
            _ if self.is_answered => UpstreamError::Invalid,
            BrokenKind::Refused => UpstreamError::Refused,
            // A server may say why it closes an idle connection (408) just as it is used again: it has no byte of the
            // request.
            BrokenKind::Answer(AnswerFault::Unasked) | BrokenKind::Connection if reused => {
                UpstreamError::Stale
            }
            // Any other bytes that came answer this request.
            BrokenKind::Answer(_) | BrokenKind::Connection | BrokenKind::Other => UpstreamError::Invalid,
        }
    }
}

impl BrokenKind {
    /// Of an exchange that Pingora had.
    pub(super) fn of(error: &Error) -> Self {
        match error.etype() {
            kind if is_timeout(kind) => Self::Timeout,
            _ if is_refused(error) => Self::Refused,
            kind => match (bad_answer(error), kind) {
                (Some(fault), _) => Self::Answer(fault),
                (None, ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError) => {
                    Self::Connection
                }
                (None, _) => Self::Other,
            },
        }
    }
}

impl UpstreamError {
    /// Of an attempt without a connection.
    pub(super) fn of_connect(error: &Error) -> Self {
        if is_tls(error.etype()) {
            Self::Tls
        } else if is_local(error) {
            Self::Local
        } else {
            Self::Connect
        }
    }

    /// The `kind` of `opgate_upstream_errors_total`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Invalid => "invalid",
            Self::Stale => "stale",
            Self::Refused => "refused",
            Self::Local => "local",
        }
    }

    /// Whether it counts against the endpoint. A server may close an idle connection, and may refuse a stream.
    pub(super) fn is_held_against_the_endpoint(self) -> bool {
        !matches!(self, Self::Stale | Self::Refused | Self::Local)
    }
}

/// Whether the backend says that it did nothing with the request: its stream was refused, or is beyond the last one of
/// a GOAWAY (RFC 9113, sections 8.7 and 6.8).
pub(super) fn is_refused(error: &Error) -> bool {
    error.root_cause().downcast_ref::<h2::Error>().is_some_and(|error| {
        error.is_remote()
            && (error.is_go_away() || error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// What is wrong with the bytes that came, where they are not an answer.
fn bad_answer(error: &Error) -> Option<AnswerFault> {
    error.root_cause().downcast_ref::<std::io::Error>().and_then(answer_fault)
}

/// Whether a connection could not even be tried: no file (EMFILE, ENFILE), no memory for it (ENOBUFS) or no port
/// (EADDRNOTAVAIL), as Linux numbers them.
fn is_local(error: &Error) -> bool {
    let io = error.root_cause().downcast_ref::<io::Error>();
    io.and_then(io::Error::raw_os_error).is_some_and(|number| matches!(number, 23 | 24 | 99 | 105))
}

/// The denial for a failure while forwarding.
pub(super) fn denial_of(error: &Error) -> Denial {
    if *error.esource() == ErrorSource::Downstream
        && let Some(error) = bad_chunk(error)
    {
        return error.denial();
    }
    let reason = match (error.esource(), error.etype()) {
        (
            ErrorSource::Downstream,
            ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::Custom(_),
        ) => Reason::RequestMalformed,
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Reason::BodyTimeout,
        (ErrorSource::Downstream, ErrorType::WriteTimedout) => Reason::AnswerNotTaken,
        (ErrorSource::Downstream, _) if is_not_taken(error) => Reason::AnswerNotTaken,
        (ErrorSource::Downstream, _) => Reason::ClientClosed,
        (ErrorSource::Upstream, kind) if is_timeout(kind) => Reason::UpstreamTimeout,
        (ErrorSource::Upstream, _) => Reason::UpstreamInvalid,
        (ErrorSource::Internal | ErrorSource::Unset, _) => Reason::Internal,
    };
    Denial::new(reason, error.to_string())
}

/// The denial for a client that does not take its answer.
fn is_not_taken(error: &Error) -> bool {
    if task::is_stalled() {
        return true;
    }
    let Some(cause) = &error.cause else { return false };
    let io = cause.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

pub(super) fn is_timeout(kind: &ErrorType) -> bool {
    matches!(kind, ErrorType::ReadTimedout | ErrorType::WriteTimedout)
}

fn is_tls(kind: &ErrorType) -> bool {
    matches!(kind, ErrorType::TLSHandshakeFailure | ErrorType::TLSHandshakeTimedout | ErrorType::InvalidCert)
}

/// The denial for a request's body that is not well chunked.
pub(super) fn bad_chunk(error: &Error) -> Option<ChunkError> {
    let io = error.root_cause().downcast_ref::<io::Error>()?;
    io.get_ref()?.downcast_ref::<ChunkError>().copied()
}
