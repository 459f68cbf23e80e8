//! The client of an HTTP/1 connection, for one exchange that is forwarded: its body is read, its answer written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use tokio::io::AsyncWrite;

use super::connection::Http1Connection;
use crate::engine::Engine;
use crate::frontend::date;
use crate::http::answer::{AnswerWriter, ClientConnection, PassedHead};
use crate::http::{Request, Version};
use crate::proxy::{ClientSide, SentAnswer};
use crate::reason::{Denial, Reason};

/// A client and its connection.
#[derive(Debug)]
pub(super) struct Http1Client<'c> {
    engine: &'c Engine,
    connection: &'c mut Http1Connection,
    is_http10: bool,
    /// Whether its connection goes on after the answer.
    persists: bool,
    /// What is to be written.
    answer: AnswerWriter,
    is_unflushed: bool,
    /// The status of the answer whose head was put; 0 before.
    begun: u16,
    /// What was put, and is to be counted once it is written.
    put: SentAnswer,
    sent: SentAnswer,
}

impl<'c> Http1Client<'c> {
    /// The client that has sent `request`. Its connection `persists`, as far as the request tells.
    pub(super) fn new(
        engine: &'c Engine,
        connection: &'c mut Http1Connection,
        request: &Request,
        persists: bool,
    ) -> Self {
        Self {
            engine,
            connection,
            is_http10: request.version == Version::Http10,
            persists,
            answer: AnswerWriter::default(),
            is_unflushed: false,
            begun: 0,
            put: SentAnswer::default(),
            sent: SentAnswer::default(),
        }
    }

    /// Whether the client was told that its connection goes on.
    pub(super) fn persists(&self) -> bool {
        self.persists
    }

    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.answer.out.is_empty() {
            let written = ready!(Pin::new(&mut *self.connection).poll_write(context, &self.answer.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.answer.out.advance(written);
            self.is_unflushed = true;
            self.sent.status = self.put.status;
        }
        if self.is_unflushed {
            ready!(Pin::new(&mut *self.connection).poll_flush(context))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl ClientSide for Http1Client<'_> {
    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        on_data: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<bool, Denial>> {
        self.connection.poll_body(context, on_data).map_err(|error| error.passed_denial())
    }

    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<Denial> {
        self.connection.poll_broken(context).map(|error| {
            Denial::new(Reason::ClientClosed, format!("the client left before the answer was whole: {error}"))
        })
    }

    fn put_head(&mut self, head: &PassedHead<'_>) {
        // RFC 9110, section 15.2: not to a client that does not know them.
        if head.is_interim() && self.is_http10 {
            return;
        }
        let date = date::now();
        let persists = self.persists && !self.engine.is_draining();
        let connection = ClientConnection { is_http10: self.is_http10, persists, date: date.as_bytes() };
        let goes_on = self.answer.head(head, connection);
        if !head.is_interim() {
            self.persists = goes_on;
            self.begun = head.status;
            self.put.status = head.status;
        }
    }

    fn put_data(&mut self, data: &[u8]) {
        self.put.size = self.put.size.saturating_add(data.len() as u64);
        self.answer.data(data);
    }

    fn put_end(&mut self) {
        self.answer.end();
    }

    fn has_begun(&self) -> bool {
        self.begun > 0
    }

    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Denial>> {
        let written = ready!(self.poll_out(context));
        Poll::Ready(match written {
            Ok(()) => {
                self.sent = self.put;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(Denial::new(Reason::AnswerNotTaken, error.to_string()))
            }
            Err(error) => {
                Err(Denial::new(Reason::ClientClosed, format!("the answer could not be written: {error}")))
            }
        })
    }

    fn sent(&self) -> SentAnswer {
        self.sent
    }
}
