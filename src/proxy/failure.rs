//! Failures while forwarding, as reasons of the table: ours, the backend's or the client's.
//!
//! The status tells a client what it may do next. 503 says that no backend has the request: it may be sent again. 502
//! and 504 say that one may have it, and that its fate is not known.

use crate::http::answer::AnswerFault;
use crate::transcode::AnswerProblem;
use crate::upstream::backend::{BackendFailure, StreamFault};
use crate::upstream::{ConnectError, ConnectFault};

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
    /// A message that cannot be written as JSON, or is too large for that.
    Untranscodable,
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
    /// A message that cannot be written as JSON.
    Message,
    /// Anything else that is not an answer.
    Other,
}

impl BrokenAttempt {
    /// How it failed, on a `reused` connection or a new one.
    pub(super) fn fault(&self, reused: bool) -> UpstreamError {
        match self.kind {
            BrokenKind::Timeout => UpstreamError::Timeout,
            BrokenKind::Message => UpstreamError::Untranscodable,
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
    /// What a failure of the backend tells.
    pub(super) fn of(failure: &BackendFailure) -> Self {
        match failure {
            BackendFailure::Answer(fault) => Self::Answer(*fault),
            BackendFailure::Closed | BackendFailure::Read(_) | BackendFailure::Write(_) => Self::Connection,
            BackendFailure::Stream(StreamFault::Refused(_)) => Self::Refused,
            BackendFailure::Stream(StreamFault::Connection(_)) => Self::Connection,
            BackendFailure::Transcoding(AnswerProblem::Message(_) | AnswerProblem::TooLarge(_)) => {
                Self::Message
            }
            BackendFailure::Transcoding(AnswerProblem::NotGrpc(_) | AnswerProblem::Frame(_))
            | BackendFailure::Head(_)
            | BackendFailure::NotGrpc(_)
            | BackendFailure::Stopped
            | BackendFailure::Stream(StreamFault::Other(_)) => Self::Other,
        }
    }
}

impl UpstreamError {
    /// Of an attempt without a connection.
    pub(super) fn of_connect(error: &ConnectError) -> Self {
        match error.fault {
            ConnectFault::Connection => Self::Connect,
            ConnectFault::Tls => Self::Tls,
            ConnectFault::Local => Self::Local,
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
            Self::Untranscodable => "untranscodable",
        }
    }

    /// Whether it counts against the endpoint. A server may close an idle connection, and may refuse a stream. What a message
    /// holds is up to what the client asked for.
    pub(super) fn is_held_against_the_endpoint(self) -> bool {
        !matches!(self, Self::Stale | Self::Refused | Self::Local | Self::Untranscodable)
    }
}
