//! The client of a stream, for one exchange that is forwarded: its body is read, its answer written.
//!
//! Of the answer, no more than a piece waits here: the backend is asked for more once the client has room for it. An answer
//! that does not end is reset when its stream is dropped, behind what was sent of it.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::stream::{Http2Stream, NotSent};
use crate::http::answer::PassedHead;
use crate::listener::{ListenerLimits, MinimumRate, StalledFlag};
use crate::proxy::{ClientSide, SentAnswer};
use crate::reason::{Denial, Reason};

/// So much of a body is taken at once, if it has come: four frames of the usual size make one write.
const PIECE: usize = 64 * 1024;

/// A client and its stream.
pub(super) struct Http2Client<'s> {
    stream: &'s mut Http2Stream,
    /// Whether its connection ended because it does not read.
    stalled: StalledFlag,
    /// How fast it has to take its answer: it may open no window, on a connection with room.
    minimum_rate: MinimumRate,
    /// Heads that were put and not sent, and whether each is an interim one.
    heads: Vec<(StatusCode, HeaderMap)>,
    /// What was put of the body and not sent.
    out: BytesMut,
    trailers: Option<HeaderMap>,
    /// Whether the end was put.
    ends: bool,
    has_begun: bool,
    /// Whether a head cannot be sent.
    is_unwritable: bool,
}

impl<'s> Http2Client<'s> {
    pub(super) fn new(stream: &'s mut Http2Stream, stalled: StalledFlag, limits: &ListenerLimits) -> Self {
        Self {
            stream,
            stalled,
            minimum_rate: MinimumRate::new(limits.write_timeout),
            heads: Vec::new(),
            out: BytesMut::new(),
            trailers: None,
            ends: false,
            has_begun: false,
            is_unwritable: false,
        }
    }

    /// Why the stream is over.
    fn gone(&self, why: &dyn std::fmt::Display) -> Denial {
        if self.stalled.is_told() {
            return Denial::new(Reason::AnswerNotTaken, "the client does not take what it is sent");
        }
        Denial::new(Reason::ClientClosed, format!("the client left before the answer was whole: {why}"))
    }

    fn send_heads(&mut self) -> Result<(), Denial> {
        if self.is_unwritable {
            return Err(Denial::new(
                Reason::UpstreamInvalid,
                "the answer's head cannot be written in HTTP/2",
            ));
        }
        for (status, fields) in std::mem::take(&mut self.heads) {
            let sent = if status.is_informational() {
                self.stream.send_interim(status, fields)
            } else {
                let ends = self.ends && self.out.is_empty() && self.trailers.is_none();
                self.stream.send_head(status, fields, ends)
            };
            sent.map_err(|error| self.gone(&error))?;
        }
        Ok(())
    }

    /// Sends what was put of the body, as far as there is room.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Denial>> {
        while !self.out.is_empty() {
            let wanted = self.out.len();
            let room = match self.stream.poll_room(context, wanted) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.gone(&error))),
                Poll::Ready(Ok(room)) => Poll::Ready(Ok(room.min(wanted))),
                Poll::Pending => Poll::Pending,
            };
            let length = match ready!(self.minimum_rate.judge(context, room)) {
                Ok(length) => length,
                Err(error) => return Poll::Ready(Err(not_taken(&error))),
            };
            let piece = self.out.split_to(length).freeze();
            let ends = self.ends && self.out.is_empty() && self.trailers.is_none();
            self.stream.send_data(piece, ends).map_err(|error| self.gone(&error))?;
            if ends {
                self.ends = false;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn send_end(&mut self) -> Result<(), NotSent> {
        if !std::mem::take(&mut self.ends) {
            return Ok(());
        }
        match self.trailers.take() {
            Some(trailers) => self.stream.send_trailers(trailers),
            None if self.stream.has_ended() => Ok(()),
            None => self.stream.send_data(Bytes::new(), true),
        }
    }
}

fn not_taken(error: &io::Error) -> Denial {
    Denial::new(Reason::AnswerNotTaken, error.to_string())
}

impl ClientSide for Http2Client<'_> {
    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        on_data: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<bool, Denial>> {
        let mut length = 0;
        while length < PIECE {
            let piece = match self.stream.body.poll_data(context) {
                Poll::Ready(piece) => piece.transpose(),
                Poll::Pending if length > 0 => break,
                Poll::Pending => return Poll::Pending,
            };
            let piece = match piece {
                Ok(Some(piece)) => piece,
                // Trailers are dropped (RFC 9110, section 6.5.1).
                Ok(None) => return Poll::Ready(Ok(true)),
                // What came before it is passed on first: the next call finds it again.
                Err(_) if length > 0 => break,
                Err(error) if error.is_library() => {
                    let why = format!("the body could not be read: {error}");
                    return Poll::Ready(Err(Denial::new(Reason::RequestMalformed, why)));
                }
                Err(error) => return Poll::Ready(Err(self.gone(&error))),
            };
            length += piece.len();
            on_data(&piece);
            // An error means that the stream is over, which the next call tells.
            let _ = self.stream.body.flow_control().release_capacity(piece.len());
        }
        Poll::Ready(Ok(false))
    }

    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<Denial> {
        Poll::Ready(match ready!(self.stream.poll_reset(context)) {
            Ok(code) => self.gone(&code),
            Err(error) => self.gone(&error),
        })
    }

    fn put_head(&mut self, head: &PassedHead<'_>) {
        let mut fields = HeaderMap::with_capacity(head.fields.len() + head.added.len() + 1);
        let mut is_good = true;
        for (name, value) in &head.fields {
            match (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                (Ok(name), Ok(value)) => {
                    fields.append(name, value);
                }
                _ => is_good = false,
            }
        }
        for (name, value) in &head.added {
            fields.append(name, value.clone());
        }
        self.has_begun |= !head.is_interim();
        match StatusCode::from_u16(head.status).ok().filter(|_| is_good) {
            Some(status) => self.heads.push((status, fields)),
            None => self.is_unwritable = true,
        }
    }

    fn put_data(&mut self, data: &[u8]) {
        self.out.extend_from_slice(data);
    }

    fn put_trailers(&mut self, fields: HeaderMap) {
        self.trailers = Some(fields);
    }

    fn put_end(&mut self) {
        self.ends = true;
    }

    fn has_begun(&self) -> bool {
        self.has_begun
    }

    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Denial>> {
        self.send_heads()?;
        ready!(self.poll_data(context))?;
        Poll::Ready(self.send_end().map_err(|error| self.gone(&error)))
    }

    fn sent(&self) -> SentAnswer {
        self.stream.sent()
    }
}
