//! One HTTP/1 connection: its requests, one after the other, and its end.
//!
//! Every head is read from the raw stream, within a total deadline, and parsed by [`RawHead`]: HTTP libraries repair heads, and
//! answer malformed ones by themselves, unseen by audit and metrics.

mod asked;
mod body;
mod client;
mod connection;
mod write;

use std::time::Instant;

use bytes::{Buf, BytesMut};
use tokio::sync::watch;

use self::body::Http1Body;
use self::client::Http1Client;
use self::connection::Http1Connection;
use self::write::{answer, linger, refuse, refuse_head};
use super::answer::own;
use super::http::Http;
use crate::engine::{Arrival, Exchange, FrontendAction};
use crate::http::head::find_end;
use crate::http::{ConnectionPeer, Peer, RawHead, Request};
use crate::listener::{Accepted, ConnectionSlot, MADE_ROOM, last_call};
use crate::proxy::{Forwarded, forward};
use crate::reason::{Denial, Reason};

/// A connection that speaks HTTP/1, between two requests of it or within one.
pub(super) struct Http1<'f> {
    front: &'f Http,
    /// `None` while a request has it.
    connection: Option<Http1Connection>,
    /// What was read of the next head.
    buffer: BytesMut,
    peer: ConnectionPeer,
    opened: Instant,
    /// When the first byte of the next head came.
    began: Option<Instant>,
    slot: ConnectionSlot,
    shutdown: watch::Receiver<bool>,
}

/// What was read of a head.
enum HeadRead {
    /// The head ends at this offset.
    Complete(usize),
    /// The client went away, or stayed idle.
    Closed,
    /// The connection's slot was given to another one.
    MadeRoom,
    /// The head is too long or too slow.
    Refused(Denial),
}

impl<'f> Http1<'f> {
    /// A connection of which `buffer` was read. The first byte of that came at `began`.
    pub(super) fn new(
        front: &'f Http,
        accepted: Accepted,
        buffer: BytesMut,
        began: Option<Instant>,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        let Accepted { stream, peer, opened, slot } = accepted;
        let connection = Some(Http1Connection::new(stream));
        Self { front, connection, buffer, peer, opened, began, slot, shutdown }
    }

    /// Serves its requests.
    pub(super) async fn serve(mut self) {
        let mut deadline = self.began.map(|began| began + self.front.limits.head_timeout);
        let mut used = self.opened;
        let mut is_first = true;
        while let Some(mut connection) = self.connection.take() {
            let end = match self.next_head(&mut connection, deadline, used, is_first).await {
                HeadRead::Complete(end) => end,
                HeadRead::Closed => return connection.close().await,
                HeadRead::MadeRoom => return self.front.count_cut(MADE_ROOM),
                HeadRead::Refused(denial) => {
                    return Box::pin(refuse_head(self.front, self.peer, connection, self.began, denial))
                        .await;
                }
            };
            if !self.slot.begin() {
                let detail = "the connection was idle, and others waited for its place";
                let denial = Denial::new(Reason::Overloaded, detail);
                return Box::pin(refuse_head(self.front, self.peer, connection, self.began, denial)).await;
            }
            // By itself: an idle connection holds no room for a request.
            match Box::pin(self.exchange(connection, end)).await {
                None => return,
                Some(connection) => self.connection = Some(connection),
            }
            self.slot.rest();
            used = Instant::now();
            (deadline, is_first) = (None, false);
            // What is read already came within the time of the request before.
            self.began = (!self.buffer.is_empty()).then_some(used);
        }
    }

    /// Waits for the next head, unless the connection is to end first.
    async fn next_head(
        &mut self,
        connection: &mut Http1Connection,
        mut deadline: Option<Instant>,
        used: Instant,
        is_first: bool,
    ) -> HeadRead {
        let Self { front, buffer, slot, shutdown, began, .. } = self;
        let mut draining = false;
        loop {
            tokio::select! {
                biased;
                read = front.read_head(connection, buffer, &mut deadline, began, is_first) => return read,
                () = slot.made_room() => return HeadRead::MadeRoom,
                () = last_call(shutdown, used), if !draining => {
                    // An idle connection holds no request and may end; a head that has begun is still read.
                    if buffer.is_empty() {
                        return HeadRead::Closed;
                    }
                    draining = true;
                }
            }
        }
    }

    /// Serves the request whose head is the first `end` bytes of the buffer.
    async fn exchange(&mut self, mut connection: Http1Connection, end: usize) -> Option<Http1Connection> {
        let front = self.front;
        if let Some(authorizer) = &front.authorizer {
            return Box::pin(self.answer_question(connection, end, authorizer)).await;
        }
        let mut exchange = front.engine.receive(Arrival::now(), self.peer.socket());
        let request = match self.request(&connection, &exchange, end) {
            Ok(request) => request,
            Err(denial) => {
                return refuse(front, connection, exchange, denial, false).await;
            }
        };
        self.buffer.advance(end);
        // Most often there is nothing behind it. While it waits for the next head, a connection holds no buffer.
        let behind = std::mem::take(&mut self.buffer);
        connection.begin_body(request.framing, behind);
        let persists = request.persists && self.opened.elapsed() < front.limits.connection_lifetime;
        let mut body = Http1Body::new(&mut connection, &request, &self.slot, front.limits.body_timeout);
        let decided = front.engine.admit(&mut exchange, request, &mut body).await;
        match decided {
            Ok(FrontendAction::Forward) => Box::pin(self.forward(connection, exchange, persists)).await,
            Ok(FrontendAction::Answer(ours)) => {
                let answered = own(&exchange, ours);
                answer(front, connection, exchange, &answered, persists).await
            }
            Err(denial) => refuse(front, connection, exchange, denial, persists).await,
        }
    }

    /// Parses the head at the start of the buffer.
    fn request(
        &self,
        connection: &Http1Connection,
        exchange: &Exchange,
        end: usize,
    ) -> Result<Request, Denial> {
        let head = self.buffer.get(..end).unwrap_or_default();
        let head = RawHead::parse(head, self.front.limits.head)?;
        let channel = connection.established().map(|established| established.channel(exchange.arrival.time));
        let peer = Peer {
            address: self.peer,
            port: self.front.port,
            health_path: self.front.health_path.clone(),
            channel,
        };
        Request::new(head, &peer, &self.front.engine.proxies())
    }

    /// Forwards an admitted exchange, and gives the connection back if it goes on.
    async fn forward(
        &self,
        mut connection: Http1Connection,
        mut exchange: Exchange,
        persists: bool,
    ) -> Option<Http1Connection> {
        let front = self.front;
        let request = exchange.request.clone()?;
        let mut client = Http1Client::new(&front.engine, &mut connection, &request, persists);
        let forwarded = forward(&mut exchange, &mut client).await;
        let persists = client.persists();
        match forwarded {
            Forwarded::Refused(denial) => refuse(front, connection, exchange, denial, false).await,
            Forwarded::Broken => None,
            Forwarded::Whole if persists && connection.is_between_requests() => Some(connection),
            Forwarded::Whole => {
                let is_unread = !connection.is_between_requests();
                linger(&mut connection, is_unread).await;
                None
            }
        }
    }
}

impl Http {
    /// Reads until a head is complete. `began` and the deadline are set at its first byte; until then, the connection is
    /// idle. Can be cancelled and called again.
    async fn read_head(
        &self,
        connection: &mut Http1Connection,
        buffer: &mut BytesMut,
        deadline: &mut Option<Instant>,
        began: &mut Option<Instant>,
        is_first: bool,
    ) -> HeadRead {
        let mut scanned = 0;
        loop {
            // RFC 9112, section 2.2: some clients send a CRLF after a request's body that does not belong to it.
            while !is_first && buffer.starts_with(b"\r\n") {
                buffer.advance(2);
                scanned = 0;
            }
            if let Some(end) = find_end(buffer, scanned) {
                return HeadRead::Complete(end);
            }
            // A head over the limit is never complete: it is refused before more of it is held.
            if buffer.len() > self.limits.head.bytes {
                return HeadRead::Refused(
                    Denial::new(Reason::HeadTooLarge, "the head did not end within its limit").told(),
                );
            }
            scanned = buffer.len();
            let until = deadline.unwrap_or_else(|| Instant::now() + self.limits.idle_timeout);
            match tokio::time::timeout_at(until.into(), connection.read_head(buffer)).await {
                Ok(Ok(0) | Err(_)) => return HeadRead::Closed,
                Ok(Ok(_)) => {
                    began.get_or_insert_with(Instant::now);
                    deadline.get_or_insert_with(|| Instant::now() + self.limits.head_timeout);
                }
                Err(_) if buffer.is_empty() => return HeadRead::Closed,
                Err(_) => {
                    return HeadRead::Refused(Denial::new(
                        Reason::HeadTimeout,
                        "the head did not end in time",
                    ));
                }
            }
        }
    }
}
