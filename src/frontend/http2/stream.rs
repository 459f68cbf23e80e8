//! One stream: the body of a request and its answer, as the h2 library hands them out.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason as Code, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};

use crate::frontend::date;
use crate::http::RpcProtocol;
use crate::listener::{LINGER, LINGER_BYTES};
use crate::proxy::SentAnswer;
use crate::respond::ErrorResponse;

/// How long the rest of a body is read behind the answer to a refused request. What has left the client by then arrives; the gate
/// waits for no other.
const REST_OF_BODY: Duration = Duration::from_millis(100);

/// A stream on which a request has come.
pub(super) struct Http2Stream {
    /// The head of the request.
    pub(super) head: http::request::Parts,
    /// Its body.
    pub(super) body: RecvStream,
    respond: SendResponse<Bytes>,
    /// Once the head of the answer is out.
    writer: Option<SendStream<Bytes>>,
    has_ended: bool,
    sent: SentAnswer,
}

/// Why an answer was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSent {
    #[error("the client does not take the answer")]
    NotTaken,
    #[error("the client has reset the stream")]
    Reset,
    #[error(transparent)]
    Broken(#[from] h2::Error),
}

impl Http2Stream {
    pub(super) fn new(request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Self {
        let (head, body) = request.into_parts();
        Self { head, body, respond, writer: None, has_ended: false, sent: SentAnswer::default() }
    }

    pub(super) fn is_head(&self) -> bool {
        self.head.method == Method::HEAD
    }

    /// Whether the head has the content type of gRPC.
    pub(super) fn has_grpc_type(&self) -> bool {
        let content_type = self.head.headers.get(header::CONTENT_TYPE);
        content_type.is_some_and(|value| RpcProtocol::is_grpc_type(value.as_bytes()))
    }

    /// Whether the end of the answer was handed to the library.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// What was handed to the library of the answer.
    pub(super) fn sent(&self) -> SentAnswer {
        self.sent
    }

    /// Ends the stream with an error code, where it has not ended.
    pub(super) fn reset(&mut self, code: Code) {
        if !self.has_ended {
            self.has_ended = true;
            self.respond.send_reset(code);
        }
    }

    /// Ready once the client has reset the stream, or its connection is over.
    pub(super) fn poll_reset(&mut self, context: &mut Context<'_>) -> Poll<Result<Code, h2::Error>> {
        match &mut self.writer {
            Some(writer) => writer.poll_reset(context),
            None => self.respond.poll_reset(context),
        }
    }

    /// Sends the head of an interim answer.
    pub(super) fn send_interim(&mut self, status: StatusCode, fields: HeaderMap) -> Result<(), h2::Error> {
        self.respond.send_informational(response(status, fields))
    }

    /// Sends the head of the answer, and the end of the stream with it if `ends`.
    pub(super) fn send_head(
        &mut self,
        status: StatusCode,
        mut fields: HeaderMap,
        ends: bool,
    ) -> Result<(), h2::Error> {
        fields.insert(header::DATE, date::now());
        self.writer = Some(self.respond.send_response(response(status, fields), ends)?);
        self.sent.status = status.as_u16();
        self.has_ended = ends;
        Ok(())
    }

    /// How many of the next `wanted` bytes the client has room for; at least one. Waits for room.
    pub(super) fn poll_room(
        &mut self,
        context: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, NotSent>> {
        let Some(writer) = &mut self.writer else { return Poll::Ready(Err(NotSent::Reset)) };
        let room = writer.capacity();
        if room > 0 {
            return Poll::Ready(Ok(room));
        }
        writer.reserve_capacity(wanted);
        Poll::Ready(match ready!(writer.poll_capacity(context)) {
            Some(Ok(room)) => Ok(room),
            Some(Err(error)) => Err(error.into()),
            None => Err(NotSent::Reset),
        })
    }

    /// Sends data for which there is room.
    pub(super) fn send_data(&mut self, data: Bytes, ends: bool) -> Result<(), NotSent> {
        let Some(writer) = &mut self.writer else { return Err(NotSent::Reset) };
        let length = data.len();
        writer.send_data(data, ends)?;
        self.sent.size = self.sent.size.saturating_add(length as u64);
        self.has_ended = ends;
        Ok(())
    }

    /// Sends the fields behind the body, and the end of the stream with them.
    pub(super) fn send_trailers(&mut self, fields: HeaderMap) -> Result<(), NotSent> {
        let Some(writer) = &mut self.writer else { return Err(NotSent::Reset) };
        writer.send_trailers(fields)?;
        self.has_ended = true;
        Ok(())
    }

    /// Writes an answer of ours and the end of the stream. The client may still be sending: see [`Self::linger`]. Dropping the
    /// stream resets it with NO_ERROR then (RFC 9113, section 8.1). One that is not patient waits for no window.
    ///
    /// # Errors
    /// Where the client does not take it: the stream is reset then, and counts among the resets that its connection may have.
    pub(super) async fn answer(&mut self, answer: ErrorResponse, is_patient: bool) -> Result<(), NotSent> {
        let has_body = !self.is_head() && !answer.body.is_empty();
        self.send_head(answer.status, answer.headers.into_iter().collect(), !has_body)?;
        if !has_body {
            return Ok(());
        }
        let written = self.write(answer.body);
        let taken =
            if is_patient { tokio::time::timeout(LINGER, written).await.ok() } else { at_once(written) };
        taken.unwrap_or_else(|| {
            self.reset(Code::ENHANCE_YOUR_CALM);
            Err(NotSent::NotTaken)
        })
    }

    /// The same, without any wait.
    pub(super) fn answer_at_once(&mut self, answer: ErrorResponse) -> Result<(), NotSent> {
        at_once(self.answer(answer, false)).unwrap_or(Ok(()))
    }

    /// Reads on for a moment where the client is still sending behind a whole answer.
    ///
    /// A reset is due otherwise, which old clients mistake (curl 7.88): where it comes before the last of their body has left,
    /// they tell of an error instead of the answer.
    pub(super) async fn linger(&mut self) {
        if !self.has_ended || self.body.is_end_stream() {
            return;
        }
        let read = async {
            let mut seen = 0;
            while seen < LINGER_BYTES
                && let Some(Ok(piece)) = self.body.data().await
            {
                seen += piece.len();
                // An error means that the stream is over, which the next piece tells.
                let _ = self.body.flow_control().release_capacity(piece.len());
            }
        };
        // A client that sends longer is reset.
        let _ = tokio::time::timeout(REST_OF_BODY, read).await;
    }

    /// Writes a body and the end of the stream.
    async fn write(&mut self, mut body: Bytes) -> Result<(), NotSent> {
        while !body.is_empty() {
            let wanted = body.len();
            let room = std::future::poll_fn(|context| self.poll_room(context, wanted)).await?;
            let piece = body.split_to(room.min(wanted));
            self.send_data(piece, body.is_empty())?;
        }
        Ok(())
    }
}

fn response(status: StatusCode, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}

/// The result of a future that does not wait; `None` where it does.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}
