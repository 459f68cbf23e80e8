//! One exchange on a connection to a backend that speaks HTTP/1: a request leaves, and its answer is judged as it comes.
//!
//! Bytes that two readers could read in two ways end the exchange, and so do bytes that come where no answer is due.
//! Nothing of a head is given out before it is whole. After the answer nothing is given out, whatever the backend sends:
//! its connection carries no other exchange then.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::backend::{AnswerSink, BackendFailure, BackendSide};
use crate::http::answer::{AnswerFault, ResponseTracker};
use crate::http::chunked::{LAST_CHUNK, put_chunk};

/// Room for the first read: a head, and the body of most answers.
const FIRST_READ: usize = 4 * 1024;
/// Room for a read of a long answer.
const LARGEST_READ: usize = 64 * 1024;
/// A held body of at most this many bytes is copied behind the head.
pub const COPIED: usize = 16 * 1024;
/// The most bytes of a TLS record (RFC 8446, section 5.1).
const RECORD: u64 = 16 * 1024;

/// A connection while an exchange has it.
#[derive(Debug)]
pub struct BackendExchange<W> {
    /// `None` once it is given back.
    wire: Option<W>,
    is_secured: bool,
    request: Outgoing,
    answer: ResponseTracker,
    to_head: bool,
    /// What was read and is not judged whole yet: the beginning of a head.
    input: BytesMut,
    /// How much of it the parser knows.
    known: usize,
    next_read: usize,
    /// What is wrong with the answer. What came before is given out first.
    fault: Option<AnswerFault>,
    /// Whether the connection can carry no other exchange.
    is_over: bool,
}

/// The request on its way out.
#[derive(Debug, Default)]
struct Outgoing {
    /// Bytes to be sent.
    out: BytesMut,
    /// A body that follows them.
    held: Bytes,
    /// How many bytes of the head are not out.
    head_left: usize,
    /// How many bytes the connection has taken.
    taken: u64,
    /// Whether it has sent what it had taken, once at least.
    was_flushed: bool,
    /// Whether it has taken bytes since.
    is_unflushed: bool,
    has_chunks: bool,
    /// Whether nothing follows.
    is_whole: bool,
}

impl<W: AsyncRead + AsyncWrite + Unpin> BackendExchange<W> {
    /// An exchange whose request begins with `head`, a whole one. `to_head` where its method is HEAD; `has_chunks` where its
    /// body is sent in chunks. `is_secured` where TLS is below.
    pub fn new(wire: W, is_secured: bool, head: BytesMut, to_head: bool, has_chunks: bool) -> Self {
        let head_left = head.len();
        Self {
            wire: Some(wire),
            is_secured,
            request: Outgoing { out: head, head_left, has_chunks, ..Outgoing::default() },
            answer: ResponseTracker::new(),
            to_head,
            input: BytesMut::new(),
            known: 0,
            next_read: FIRST_READ,
            fault: None,
            is_over: false,
        }
    }

    /// Sends a body that is held whole, and ends the request. It leaves together with the head.
    pub fn send_held(&mut self, body: Bytes) {
        if body.len() <= COPIED {
            self.request.out.extend_from_slice(&body);
        } else {
            self.request.held = body;
        }
        self.request.is_whole = true;
    }

    /// Judges what was read.
    fn judge(&mut self, sink: &mut impl AnswerSink) {
        let mut at = 0;
        let judged = loop {
            let bytes = self.input.get(at..).unwrap_or_default();
            if self.answer.is_done() {
                self.is_over |= !bytes.is_empty();
                sink.end();
                break Ok(());
            }
            if self.answer.awaits_head() {
                match self.answer.advance_head(bytes, self.known, self.to_head) {
                    Ok((length, Some(head))) => {
                        sink.head(&head);
                        at += length;
                        self.known = 0;
                    }
                    Ok((length, None)) => {
                        self.known = length;
                        break Ok(());
                    }
                    Err(fault) => break Err(fault),
                }
            } else {
                if bytes.is_empty() {
                    break Ok(());
                }
                match self.answer.advance_body(bytes, |data| sink.data(data)) {
                    Ok(length) => at += length,
                    Err(fault) => break Err(fault),
                }
            }
        };
        if let Err(fault) = judged {
            self.fails(fault);
            self.input.clear();
            return;
        }
        self.input.advance(at);
    }

    /// The connection has ended, cleanly or not.
    fn ended(&mut self, error: Option<io::Error>, sink: &mut impl AnswerSink) -> Result<(), BackendFailure> {
        self.is_over = true;
        match error {
            // Not a clean end: an answer that goes up to the end of its connection is not whole.
            Some(error) if !self.answer.is_within_head() => return Err(BackendFailure::Read(error)),
            _ => self.answer.end().map_err(|fault| self.fails(fault))?,
        }
        if !self.answer.is_done() {
            return Err(BackendFailure::Closed);
        }
        sink.end();
        Ok(())
    }

    fn fails(&mut self, fault: AnswerFault) -> BackendFailure {
        self.is_over = true;
        self.fault = Some(fault);
        fault.into()
    }
}

impl<W: AsyncRead + AsyncWrite + Unpin> BackendSide for BackendExchange<W> {
    type Connection = W;

    fn send_data(&mut self, data: &[u8]) {
        if self.request.has_chunks {
            put_chunk(&mut self.request.out, data);
        } else {
            self.request.out.extend_from_slice(data);
        }
    }

    fn send_end(&mut self) {
        if self.request.has_chunks {
            self.request.out.extend_from_slice(LAST_CHUNK);
        }
        self.request.is_whole = true;
    }

    fn is_request_whole(&self) -> bool {
        self.request.is_whole
    }

    fn is_unsent(&self) -> bool {
        let Outgoing { out, held, head_left, taken, was_flushed, .. } = &self.request;
        if !self.is_secured {
            return *head_left > 0;
        }
        // A TLS record that is not out whole cannot be read. Of several, the first may be out.
        let all = taken.saturating_add(out.len() as u64).saturating_add(held.len() as u64);
        !was_flushed && all <= RECORD
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BackendFailure>> {
        let Some(wire) = &mut self.wire else { return Poll::Ready(Ok(())) };
        let sent = self.request.poll_send(wire, context);
        if matches!(sent, Poll::Ready(Err(_))) {
            self.is_over = true;
        }
        sent.map_err(BackendFailure::Write)
    }

    fn taken(&self) -> u64 {
        self.request.taken
    }

    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl AnswerSink,
    ) -> Poll<Result<(), BackendFailure>> {
        if let Some(fault) = self.fault {
            return Poll::Ready(Err(fault.into()));
        }
        let Some(wire) = self.wire.as_mut().filter(|_| !self.answer.is_done()) else {
            return Poll::Ready(Ok(()));
        };
        // A read takes what there is room for. Without any, the buffer would grow by some bytes at a time.
        self.input.reserve(self.next_read);
        let room = self.input.capacity() - self.input.len();
        let read = ready!(pin!(wire.read_buf(&mut self.input)).poll(context));
        match read {
            Ok(0) => Poll::Ready(self.ended(None, sink)),
            Err(error) => Poll::Ready(self.ended(Some(error), sink)),
            Ok(_) if self.request.head_left > 0 => Poll::Ready(Err(self.fails(AnswerFault::Unasked))),
            Ok(length) => {
                if length == room {
                    self.next_read = (self.next_read * 4).min(LARGEST_READ);
                }
                self.judge(sink);
                Poll::Ready(Ok(()))
            }
        }
    }

    fn is_answered(&self) -> bool {
        self.answer.is_done()
    }

    fn release(&mut self) -> Option<W> {
        let is_clean = !self.is_over && self.request.is_over() && self.answer.keeps_the_connection();
        self.wire.take().filter(|_| is_clean)
    }
}

impl Outgoing {
    fn poll_send<W: AsyncWrite + Unpin>(
        &mut self,
        wire: &mut W,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), io::Error>> {
        while !self.out.is_empty() || !self.held.is_empty() {
            let written = if self.held.is_empty() {
                ready!(Pin::new(&mut *wire).poll_write(context, &self.out))?
            } else {
                let slices = [io::IoSlice::new(&self.out), io::IoSlice::new(&self.held)];
                ready!(Pin::new(&mut *wire).poll_write_vectored(context, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken = self.taken.saturating_add(written as u64);
            self.head_left = self.head_left.saturating_sub(written);
            let of_out = written.min(self.out.len());
            self.out.advance(of_out);
            self.held.advance((written - of_out).min(self.held.len()));
            self.is_unflushed = true;
        }
        if self.is_unflushed {
            ready!(Pin::new(wire).poll_flush(context))?;
            (self.is_unflushed, self.was_flushed) = (false, true);
        }
        Poll::Ready(Ok(()))
    }

    fn is_sent(&self) -> bool {
        self.out.is_empty() && self.held.is_empty() && !self.is_unflushed
    }

    fn is_over(&self) -> bool {
        self.is_whole && self.is_sent()
    }
}

#[cfg(test)]
mod tests;
