//! A backend's side of an exchange: what the relay asks of a backend, whatever its protocol.

use std::io;
use std::task::{Context, Poll};

use http::HeaderMap;

use crate::http::answer::{AnswerFault, AnswerHead};
use crate::transcode::AnswerProblem;

/// What takes an answer as it comes.
pub trait AnswerSink {
    /// A head, of an interim answer or of the answer.
    fn head(&mut self, head: &AnswerHead<'_>);
    /// The next data of the body, without its coding.
    fn data(&mut self, bytes: &[u8]);
    /// The fields that follow the body, without those that end here. The end comes next. They may be dropped.
    fn trailers(&mut self, fields: HeaderMap) {
        drop(fields);
    }
    /// The answer is whole.
    fn end(&mut self);
}

/// Why a backend has no more of an answer, or takes no more of a request.
#[derive(Debug, thiserror::Error)]
pub enum BackendFailure {
    /// What came is not an answer.
    #[error("{0}")]
    Answer(#[from] AnswerFault),
    /// What came over HTTP/2 is not an answer.
    #[error("{0}")]
    Head(&'static str),
    /// What came is an answer, and not one of gRPC.
    #[error("the backend's answer to a gRPC call is not one of gRPC (HTTP status {0})")]
    NotGrpc(u16),
    /// The connection ended before the answer, or within its body.
    #[error("the backend closed the connection before its answer was whole")]
    Closed,
    /// It broke while the answer was read.
    #[error("the answer could not be read: {0}")]
    Read(#[source] io::Error),
    /// It broke while the request was sent.
    #[error("the request could not be sent: {0}")]
    Write(#[source] io::Error),
    /// The backend takes no more of the request. Its answer says why, or how the stream ends.
    #[error("the backend takes no more of the request")]
    Stopped,
    /// The stream broke.
    #[error("{0}")]
    Stream(#[from] StreamFault),
    /// It is not an answer of gRPC that can be written as JSON.
    #[error("{0}")]
    Transcoding(#[from] AnswerProblem),
}

/// How a stream ended before its answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamFault {
    /// The backend says that it did nothing with the request: its stream was refused, or is beyond the last one of a GOAWAY
    /// (RFC 9113, sections 8.7 and 6.8).
    #[error("the backend has not begun with the request: {0}")]
    Refused(String),
    /// The connection ended or broke.
    #[error("the connection to the backend ended: {0}")]
    Connection(String),
    /// Anything else that is not an answer.
    #[error("the backend broke the exchange off: {0}")]
    Other(String),
}

impl StreamFault {
    /// What an error of the h2 library tells.
    pub(super) fn of(error: &h2::Error) -> Self {
        let is_refused =
            error.is_go_away() || error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        if error.is_remote() && is_refused {
            Self::Refused(error.to_string())
        } else if error.is_io() {
            Self::Connection(error.to_string())
        } else {
            Self::Other(error.to_string())
        }
    }
}

/// A backend, for one exchange.
pub trait BackendSide {
    /// What may carry another exchange.
    type Connection;

    /// Sends the next data of the body.
    fn send_data(&mut self, data: &[u8]);

    /// Ends the body.
    fn send_end(&mut self);

    /// Whether all of the request was handed over, if not sent.
    fn is_request_whole(&self) -> bool;

    /// Whether no backend can have the head of the request whole, and so none can have acted on it.
    fn is_unsent(&self) -> bool;

    /// Sends what was handed over. Ready once all of it is out.
    ///
    /// # Errors
    /// Where no more can be sent. An answer may still be read.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BackendFailure>>;

    /// How many bytes of the request the connection has taken.
    fn taken(&self) -> u64;

    /// Reads on, and gives what is good to `sink`. Ready once something came. After the end of the answer nothing is read.
    ///
    /// # Errors
    /// Where the answer is not one or does not go on: none of it will come any more.
    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl AnswerSink,
    ) -> Poll<Result<(), BackendFailure>>;

    /// Whether the answer has come whole.
    fn is_answered(&self) -> bool;

    /// Gives the connection back where it may carry another exchange, and has none then.
    fn release(&mut self) -> Option<Self::Connection>;
}
