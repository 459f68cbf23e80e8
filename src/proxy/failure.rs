//! What went wrong while forwarding, in the words of the reason table: ours, theirs or the client's.

use pingora::{Error, ErrorSource, ErrorType};

use super::stream;
use crate::reason::{Denial, Reason};

/// What a failure while forwarding is called.
pub(super) fn denial_of(error: &Error) -> Denial {
    let reason = match (error.esource(), error.etype()) {
        (
            ErrorSource::Downstream,
            ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::Custom(_),
        ) => Reason::RequestMalformed,
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Reason::BodyTimeout,
        (ErrorSource::Downstream, ErrorType::WriteTimedout) => Reason::AnswerNotTaken,
        (ErrorSource::Downstream, _) if is_not_taken(error) => Reason::AnswerNotTaken,
        (ErrorSource::Downstream, _) => Reason::ClientClosed,
        (ErrorSource::Upstream, kind) if is_connect(kind) => Reason::UpstreamUnavailable,
        (ErrorSource::Upstream, kind) if is_timeout(kind) => Reason::UpstreamTimeout,
        (ErrorSource::Upstream, _) => Reason::UpstreamInvalid,
        (ErrorSource::Internal | ErrorSource::Unset, _) => Reason::Internal,
    };
    Denial::new(reason, error.to_string())
}

/// What the door says of a client that does not take what it is sent.
fn is_not_taken(error: &Error) -> bool {
    if stream::is_not_taken() {
        return true;
    }
    let Some(cause) = &error.cause else { return false };
    let io = cause.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
}

pub(super) fn is_timeout(kind: &ErrorType) -> bool {
    matches!(kind, ErrorType::ReadTimedout | ErrorType::WriteTimedout)
}

/// No connection for want of trust, or of a common language.
pub(super) fn is_tls(kind: &ErrorType) -> bool {
    matches!(kind, ErrorType::TLSHandshakeFailure | ErrorType::TLSHandshakeTimedout | ErrorType::InvalidCert)
}

fn is_connect(kind: &ErrorType) -> bool {
    matches!(
        kind,
        ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::HandshakeError
            | ErrorType::TLSHandshakeFailure
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::InvalidCert
            | ErrorType::SocketError
            | ErrorType::BindError
    )
}

pub(super) fn unreadable(error: &Error) -> Denial {
    // Pingora's own timeout, of a single read, may be the first of the two to tell.
    let reason = if is_timeout(error.etype()) { Reason::BodyTimeout } else { Reason::RequestMalformed };
    Denial::new(reason, format!("the body could not be read: {error}"))
}
