//! One exchange's view of a connection: the stream that Pingora gets.
//!
//! It begins with the first byte of a request and ends with the last of its answer, and both are parsed as they pass.
//! Bytes that another reader could take in another way end the exchange before Pingora sees them, and so do bytes that
//! come where no answer is due. A head is given out once it is whole. After the answer nothing is given out, whatever
//! the backend sends: what follows is not part of it, and its connection carries no other exchange.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::kept::IdleConnections;
use super::wire::UpstreamConnection;
use crate::http::answer::{AnswerFault, Broken, ResponseTracker};
use crate::http::asked::RequestTracker;

/// A connection while an exchange has it.
#[derive(Debug)]
pub(super) struct ExchangeStream {
    /// `None` once it is given back.
    connection: Option<UpstreamConnection>,
    /// Where it may go when the exchange is over.
    kept: Option<Arc<IdleConnections>>,
    asked: RequestTracker,
    answer: ResponseTracker,
    /// The beginning of a head.
    held: Vec<u8>,
    /// What may be read, and how much of it has been.
    ready: Vec<u8>,
    given: usize,
    /// Why no more may be read.
    fault: Option<AnswerFault>,
    /// How the connection broke, where it did not end.
    broke: Option<io::ErrorKind>,
    /// Whether Pingora is done with the answer and looks whether more has come, as it does before it keeps a connection.
    is_offered: bool,
    /// Whether the connection is over: closed from here, or with more on it than the answer.
    is_over: bool,
}

impl ExchangeStream {
    pub(super) fn new(connection: UpstreamConnection, kept: Option<Arc<IdleConnections>>) -> Self {
        Self {
            connection: Some(connection),
            kept,
            asked: RequestTracker::new(),
            answer: ResponseTracker::new(),
            held: Vec::new(),
            ready: Vec::new(),
            given: 0,
            fault: None,
            broke: None,
            is_offered: false,
            is_over: false,
        }
    }

    fn connection(&mut self) -> io::Result<&mut UpstreamConnection> {
        self.connection.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Gives out what is ready. `false` where nothing is.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let rest = self.ready.get(self.given..).unwrap_or_default();
        if rest.is_empty() {
            return false;
        }
        let piece = rest.get(..buffer.remaining()).unwrap_or(rest);
        buffer.put_slice(piece);
        self.given += piece.len();
        if self.given == self.ready.len() {
            self.ready.clear();
            self.given = 0;
        }
        true
    }

    /// Judges the bytes that were read into `buffer` from `before` on, and leaves there those that may be read.
    fn judge(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let new = buffer.filled().get(before..).unwrap_or_default();
        let (passed, used) = match self.follow(new) {
            Ok(used) => {
                self.is_over |= used < new.len();
                // Nothing of a head that is not whole.
                let passed = (self.held.len() + used).saturating_sub(self.answer.head_bytes());
                (passed, used)
            }
            Err(Broken { good, fault }) => {
                self.fault = Some(fault);
                self.is_over = true;
                let passed = if good == 0 { 0 } else { self.held.len() + good };
                (passed, good)
            }
        };
        let new = new.get(..used).unwrap_or_default();
        if self.held.is_empty() {
            self.held.extend_from_slice(new.get(passed..).unwrap_or_default());
            buffer.set_filled(before + passed);
            return;
        }
        self.held.extend_from_slice(new);
        let begun = self.held.split_off(passed.min(self.held.len()));
        self.ready = std::mem::replace(&mut self.held, begun);
        if self.fault.is_some() {
            self.held.clear();
        }
        buffer.set_filled(before);
    }

    fn follow(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        if !self.asked.has_head() {
            return Err(Broken { good: 0, fault: AnswerFault::Unasked });
        }
        self.answer.advance(bytes, self.asked.is_head())
    }

    /// The connection has ended, cleanly or not.
    fn ended(&mut self, error: Option<io::Error>) -> io::Result<()> {
        self.is_over = true;
        match error {
            // Not a clean end, so an answer that goes up to the end of its connection is not whole. Every later read
            // gets this error, too.
            Some(error) if !self.answer.is_within_head() => {
                self.broke = Some(error.kind());
                Err(error)
            }
            // Pingora sees which part of a body is missing; of a head, it has seen nothing.
            _ => self.answer.end().map_err(|fault| self.fails(fault)),
        }
    }

    fn fails(&mut self, fault: AnswerFault) -> io::Error {
        self.is_over = true;
        self.fault = Some(fault);
        io::Error::new(io::ErrorKind::InvalidData, fault)
    }

    /// Looks once more at a kept connection before the first byte of a request leaves on it: bytes that came while it
    /// was idle would be taken for the answer. Nothing is sent then, and the request may go elsewhere.
    fn begin(&mut self) -> io::Result<()> {
        if self.asked.has_begun() {
            return Ok(());
        }
        let connection = self.connection()?;
        if connection.is_used && !connection.is_quiet() {
            self.is_over = true;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }

    /// Whether the connection may carry another exchange.
    fn may_be_kept(&self) -> bool {
        self.is_offered && !self.is_over && self.asked.is_done() && self.answer.keeps_the_connection()
    }
}

/// The fault of an answer that ended an exchange, where one did.
pub fn answer_fault(error: &io::Error) -> Option<AnswerFault> {
    error.get_ref().and_then(|error| error.downcast_ref()).copied()
}

impl AsyncRead for ExchangeStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        loop {
            if watched.give(buffer) {
                return Poll::Ready(Ok(()));
            }
            if let Some(fault) = watched.fault {
                return Poll::Ready(Err(watched.fails(fault)));
            }
            if let Some(kind) = watched.broke {
                return Poll::Ready(Err(kind.into()));
            }
            if watched.answer.is_done() {
                watched.is_offered = true;
                return Poll::Ready(Ok(()));
            }
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            if let Err(error) = ready!(Pin::new(&mut watched.connection()?.wire).poll_read(context, buffer)) {
                return Poll::Ready(watched.ended(Some(error)));
            }
            if buffer.filled().len() == before {
                return Poll::Ready(watched.ended(None));
            }
            watched.judge(buffer, before);
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for ExchangeStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let watched = self.get_mut();
        watched.begin()?;
        let length = ready!(Pin::new(&mut watched.connection()?.wire).poll_write(context, bytes))?;
        watched.asked.advance(bytes.get(..length).unwrap_or_default());
        Poll::Ready(Ok(length))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let watched = self.get_mut();
        watched.begin()?;
        let wire = &mut watched.connection()?.wire;
        let length = ready!(Pin::new(wire).poll_write_vectored(context, slices))?;
        let mut left = length;
        for slice in slices {
            let part = slice.get(..left.min(slice.len())).unwrap_or_default();
            watched.asked.advance(part);
            left -= part.len();
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.wire.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection()?.wire).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        watched.is_over = true;
        Pin::new(&mut watched.connection()?.wire).poll_shutdown(context)
    }
}

impl VirtualSocket for ExchangeStream {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            // Set once, when the connection was opened: an exchange that takes a kept one asks again.
            VirtualSockOpt::NoDelay => Ok(()),
            // The peers that are made here do not ask for any.
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Drop for ExchangeStream {
    fn drop(&mut self) {
        if self.may_be_kept()
            && let (Some(connection), Some(kept)) = (self.connection.take(), &self.kept)
        {
            kept.put(connection);
        }
    }
}

#[cfg(test)]
mod tests;
