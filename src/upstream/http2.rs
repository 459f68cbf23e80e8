//! One exchange on a stream of a connection to a backend that speaks HTTP/2.
//!
//! The h2 library reads the frames strictly. What it lets pass and a client could read in another way ends the exchange
//! here ([`response::judge`]). A fault of one exchange resets its stream, and no other one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};

use super::backend::{AnswerSink, BackendFailure, BackendSide, StreamFault};
use super::response;
use super::rewrite::OutgoingFields;
use super::shared::StreamLease;
use crate::http::RpcProtocol;
use crate::http::answer::{AnswerBody, AnswerFault, AnswerHead, MAX_INTERIM};

/// So much of an answer is taken at once, if it has come: four frames of the usual size.
const PIECE: usize = 64 * 1024;

fn broke(error: &h2::Error) -> BackendFailure {
    StreamFault::of(error).into()
}

/// A stream while an exchange has it. Dropped before its end, it is reset (CANCEL).
#[derive(Debug)]
pub struct BackendStream {
    /// `None` once it is over.
    lease: Option<StreamLease>,
    /// Until it is sent.
    head: Option<Request<()>>,
    to_head: bool,
    request: OutgoingStream,
    answer: IncomingAnswer,
    interim: usize,
    /// Whether the body is to have no bytes.
    is_bodiless: bool,
    /// Whether the answer is to be one of gRPC.
    is_grpc: bool,
}

/// The body of the request on its way out.
#[derive(Debug, Default)]
struct OutgoingStream {
    stream: Option<SendStream<Bytes>>,
    /// Bytes that have come, and those of a body that is held whole.
    out: BytesMut,
    held: Bytes,
    taken: u64,
    is_whole: bool,
    has_ended: bool,
}

/// How far the answer has come.
#[derive(Debug)]
enum IncomingAnswer {
    /// Its request is not out.
    Unasked,
    Head(ResponseFuture),
    Body(RecvStream),
    Trailers(RecvStream),
    Done,
    /// None of it will come any more.
    Broken,
}

impl BackendStream {
    /// An exchange on a stream whose request begins with `head`.
    pub fn new(lease: StreamLease, head: Request<()>) -> Self {
        let to_head = head.method() == Method::HEAD;
        Self {
            lease: Some(lease),
            head: Some(head),
            to_head,
            request: OutgoingStream::default(),
            answer: IncomingAnswer::Unasked,
            interim: 0,
            is_bodiless: false,
            is_grpc: false,
        }
    }

    /// The same exchange as a call over gRPC: an answer of anything else is a failure.
    pub fn over_grpc(self) -> Self {
        Self { is_grpc: true, ..self }
    }

    /// Sends a body that is held whole, and ends the request.
    pub fn send_held(&mut self, body: Bytes) {
        self.request.held = body;
        self.request.is_whole = true;
    }

    /// The backend did not end the exchange in time: its connection may be dead, and gets no more streams.
    pub(super) fn fell_silent(&mut self) {
        if let Some(lease) = &self.lease {
            lease.retire();
        }
    }

    /// Gives the stream back where both directions are over; else it is reset.
    pub(super) fn release(&mut self) {
        self.lease = None;
        self.request.stream = None;
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BackendFailure>> {
        let Some(lease) = self.lease.as_mut().filter(|_| self.head.is_some()) else {
            return Poll::Ready(Ok(()));
        };
        let sender = lease.sender();
        ready!(sender.poll_ready(context)).map_err(|error| broke(&error))?;
        let Some(head) = self.head.take() else { return Poll::Ready(Ok(())) };
        let ends = self.request.is_whole && self.request.left() == 0;
        let (answer, stream) = sender.send_request(head, ends).map_err(|error| broke(&error))?;
        self.answer = IncomingAnswer::Head(answer);
        self.request.stream = Some(stream);
        self.request.has_ended = ends;
        self.request.taken += 1;
        Poll::Ready(Ok(()))
    }

    /// Reads the head of an interim answer or of the answer.
    fn poll_answer_head(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl AnswerSink,
    ) -> Poll<Result<(), BackendFailure>> {
        let IncomingAnswer::Head(answer) = &mut self.answer else { return Poll::Ready(Ok(())) };
        let interim = ready!(answer.poll_informational(context)).transpose();
        let interim = interim.map_err(|error| self.fails(&error))?;
        if let Some(interim) = interim {
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Poll::Ready(Err(self.is_none(AnswerFault::Interim.into())));
            }
            let (parts, ()) = interim.into_parts();
            return Poll::Ready(self.pass_head(&parts, AnswerBody::Nothing, sink));
        }
        let IncomingAnswer::Head(answer) = &mut self.answer else { return Poll::Ready(Ok(())) };
        let answer = ready!(Pin::new(answer).poll(context)).map_err(|error| self.fails(&error))?;
        let (parts, body) = answer.into_parts();
        let status = parts.status.as_u16();
        if self.is_grpc && !is_of_grpc(&parts) {
            return Poll::Ready(Err(self.is_none(BackendFailure::NotGrpc(status))));
        }
        self.is_bodiless = self.to_head || matches!(status, 204 | 304);
        let has_ended = body.is_end_stream();
        let framing = match length(&parts.headers) {
            _ if self.is_bodiless => AnswerBody::Nothing,
            Some(0) => AnswerBody::Nothing,
            Some(length) => AnswerBody::Length(length),
            None => AnswerBody::Chunked,
        };
        self.pass_head(&parts, framing, sink)?;
        self.answer = if has_ended {
            sink.end();
            IncomingAnswer::Done
        } else {
            IncomingAnswer::Body(body)
        };
        Poll::Ready(Ok(()))
    }

    fn pass_head(
        &mut self,
        parts: &http::response::Parts,
        framing: AnswerBody,
        sink: &mut impl AnswerSink,
    ) -> Result<(), BackendFailure> {
        let status = parts.status.as_u16();
        if let Err(why) = response::judge(status, Version::HTTP_2, &parts.headers) {
            return Err(self.is_none(BackendFailure::Head(why)));
        }
        sink.head(&AnswerHead::of_http2(status, &parts.headers, framing));
        Ok(())
    }

    /// Takes what has come of the body. Ready once something has.
    fn poll_answer_body(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl AnswerSink,
    ) -> Poll<Result<(), BackendFailure>> {
        let mut length = 0;
        while let IncomingAnswer::Body(body) = &mut self.answer {
            let piece = match body.poll_data(context) {
                Poll::Ready(piece) => piece.transpose(),
                Poll::Pending if length > 0 => break,
                Poll::Pending => return Poll::Pending,
            };
            let piece = match piece {
                // What came before it is given out first: the next call finds it again.
                Err(_) if length > 0 => break,
                Err(error) => return Poll::Ready(Err(self.fails(&error))),
                Ok(Some(piece)) => piece,
                Ok(None) => {
                    let ended = std::mem::replace(&mut self.answer, IncomingAnswer::Done);
                    if let IncomingAnswer::Body(body) = ended {
                        self.answer = IncomingAnswer::Trailers(body);
                    }
                    break;
                }
            };
            if self.is_bodiless && !piece.is_empty() {
                return Poll::Ready(Err(self.is_none(AnswerFault::NoBody.into())));
            }
            // An error means that the stream is over, which the next call tells.
            let _ = body.flow_control().release_capacity(piece.len());
            length += piece.len();
            if !piece.is_empty() {
                sink.data(&piece);
            }
            if length >= PIECE {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_answer_end(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl AnswerSink,
    ) -> Poll<Result<(), BackendFailure>> {
        let IncomingAnswer::Trailers(body) = &mut self.answer else { return Poll::Ready(Ok(())) };
        let trailers = ready!(body.poll_trailers(context)).map_err(|error| self.fails(&error))?;
        if let Some(mut trailers) = trailers {
            if let Err(why) = response::judge_trailers(&mut trailers) {
                return Poll::Ready(Err(self.is_none(BackendFailure::Head(why))));
            }
            sink.trailers(trailers);
        }
        self.answer = IncomingAnswer::Done;
        sink.end();
        Poll::Ready(Ok(()))
    }

    fn fails(&mut self, error: &h2::Error) -> BackendFailure {
        self.is_none(broke(error))
    }

    /// What came is not an answer: nothing more is read.
    fn is_none(&mut self, failure: BackendFailure) -> BackendFailure {
        self.answer = IncomingAnswer::Broken;
        failure
    }
}

impl BackendSide for BackendStream {
    type Connection = ();

    fn send_data(&mut self, data: &[u8]) {
        self.request.out.extend_from_slice(data);
    }

    fn send_end(&mut self) {
        self.request.is_whole = true;
    }

    fn is_request_whole(&self) -> bool {
        self.request.is_whole
    }

    fn is_unsent(&self) -> bool {
        self.request.stream.is_none() && matches!(self.answer, IncomingAnswer::Unasked)
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BackendFailure>> {
        ready!(self.poll_head(context))?;
        self.request.poll_send(context)
    }

    fn taken(&self) -> u64 {
        self.request.taken
    }

    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl AnswerSink,
    ) -> Poll<Result<(), BackendFailure>> {
        if matches!(self.answer, IncomingAnswer::Head(_)) {
            return self.poll_answer_head(context, sink);
        }
        if matches!(self.answer, IncomingAnswer::Body(_)) {
            ready!(self.poll_answer_body(context, sink))?;
            if matches!(self.answer, IncomingAnswer::Body(_)) {
                return Poll::Ready(Ok(()));
            }
        }
        match self.answer {
            IncomingAnswer::Trailers(_) => self.poll_answer_end(context, sink),
            IncomingAnswer::Done => Poll::Ready(Ok(())),
            IncomingAnswer::Broken => Poll::Ready(Err(BackendFailure::Closed)),
            // Its request is not out: to send it wakes the task.
            _ => Poll::Pending,
        }
    }

    fn is_answered(&self) -> bool {
        matches!(self.answer, IncomingAnswer::Done)
    }

    fn release(&mut self) -> Option<()> {
        Self::release(self);
        None
    }
}

impl OutgoingStream {
    fn left(&self) -> usize {
        self.out.len() + self.held.len()
    }

    /// Hands over what the backend's window admits.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BackendFailure>> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.has_ended) else {
            return Poll::Ready(Ok(()));
        };
        loop {
            let left = self.out.len() + self.held.len();
            if left == 0 {
                break;
            }
            let mut room = stream.capacity();
            if room == 0 {
                stream.reserve_capacity(left);
                room = match ready!(stream.poll_capacity(context)) {
                    Some(Ok(room)) => room,
                    // The backend has reset the stream: what it has said of that is read with the answer.
                    Some(Err(_)) | None => return Poll::Ready(Err(BackendFailure::Stopped)),
                };
            }
            let piece = if self.out.is_empty() {
                self.held.split_to(room.min(self.held.len()))
            } else {
                self.out.split_to(room.min(self.out.len())).freeze()
            };
            let length = piece.len();
            let ends = self.is_whole && length == left;
            if stream.send_data(piece, ends).is_err() {
                return Poll::Ready(Err(BackendFailure::Stopped));
            }
            self.has_ended = ends;
            self.taken = self.taken.saturating_add(length as u64);
        }
        if self.is_whole && !self.has_ended {
            if stream.send_data(Bytes::new(), true).is_err() {
                return Poll::Ready(Err(BackendFailure::Stopped));
            }
            self.has_ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// The head of a request in HTTP/2 (RFC 9113, section 8.3.1).
///
/// # Errors
/// Where it cannot be one.
pub fn request_head(
    method: &Method,
    is_secured: bool,
    authority: &HeaderValue,
    target: &str,
    fields: OutgoingFields,
) -> Result<Request<()>, http::Error> {
    let uri = Uri::builder()
        .scheme(if is_secured { "https" } else { "http" })
        .authority(authority.as_bytes())
        .path_and_query(target)
        .build()?;
    let mut head = Request::builder().method(method).uri(uri).version(Version::HTTP_2).body(())?;
    let space = head.headers_mut();
    for (name, value) in fields {
        // `:authority` stands for `Host`, and HTTP/2 has no transfer codings (RFC 9113, sections 8.3.1 and 8.2.2): DATA
        // frames delimit the body.
        if name != HOST && name != TRANSFER_ENCODING {
            space.append(name, value);
        }
    }
    Ok(head)
}

/// Whether an answer is one of gRPC: 200, with its content type ("gRPC over HTTP2", Responses).
fn is_of_grpc(answer: &http::response::Parts) -> bool {
    let content_type = answer.headers.get(CONTENT_TYPE);
    answer.status == 200 && content_type.is_some_and(|value| RpcProtocol::is_grpc_type(value.as_bytes()))
}

/// The length that a judged head announces.
fn length(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
