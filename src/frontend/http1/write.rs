//! What is written on an HTTP/1 connection by the gate itself: answers of ours.

use std::time::Instant;

use bytes::BytesMut;
use http::{HeaderValue, Method, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::Http1Connection;
use crate::engine::{Arrival, Exchange};
use crate::frontend::answer::refusal;
use crate::frontend::date;
use crate::frontend::http::Http;
use crate::http::ConnectionPeer;
use crate::listener::{LINGER, LINGER_BYTES};
use crate::reason::Denial;
use crate::respond::ErrorResponse;

/// Answers a head that is not a request, records it, and closes. Its first byte came when it `began`.
pub(super) async fn refuse_head(
    front: &Http,
    peer: ConnectionPeer,
    connection: Http1Connection,
    began: Option<Instant>,
    denial: Denial,
) {
    let arrival = Arrival::since(began.unwrap_or_else(Instant::now));
    let exchange = front.engine.receive(arrival, peer.socket());
    refuse(front, connection, exchange, denial, false).await;
}

/// Answers a refused request and records it. Gives the connection back if it goes on.
pub(super) async fn refuse(
    front: &Http,
    connection: Http1Connection,
    mut exchange: Exchange,
    denial: Denial,
    persists: bool,
) -> Option<Http1Connection> {
    let denial = exchange.worded(denial);
    let refusal = refusal(&exchange, &denial);
    exchange.denial = Some(denial);
    answer(front, connection, exchange, &refusal, persists).await
}

/// Writes an answer of ours and records the exchange. A body that was not read to its end ends the connection: it would
/// be taken for the next request. Gives the connection back if it goes on.
pub(super) async fn answer(
    front: &Http,
    connection: Http1Connection,
    exchange: Exchange,
    answer: &ErrorResponse,
    persists: bool,
) -> Option<Http1Connection> {
    let is_unread = exchange.request.is_none() || !connection.is_between_requests();
    let is_head = exchange.request.as_ref().is_some_and(|request| request.method == Method::HEAD);
    let recorded = answer.status.as_u16();
    let written = WrittenAnswer { answer, is_head, is_unread, recorded };
    write_answer(front, connection, exchange, written, persists).await
}

/// An answer of ours, and what it answers.
pub(super) struct WrittenAnswer<'a> {
    pub(super) answer: &'a ErrorResponse,
    /// Whether it answers a HEAD, and has no body.
    pub(super) is_head: bool,
    /// Whether something of the request was not read.
    pub(super) is_unread: bool,
    /// The status that the exchange has in records.
    pub(super) recorded: u16,
}

/// Writes it, and records the exchange.
pub(super) async fn write_answer(
    front: &Http,
    mut connection: Http1Connection,
    mut exchange: Exchange,
    written: WrittenAnswer<'_>,
    persists: bool,
) -> Option<Http1Connection> {
    let WrittenAnswer { answer, is_head, is_unread, recorded } = written;
    let persists =
        persists && !is_unread && !exchange.is_on_a_refused_connection() && !front.engine.is_draining();
    let option = if persists { "keep-alive" } else { "close" };
    let fields = [(header::DATE, date::now()), (header::CONNECTION, HeaderValue::from_static(option))];
    let message = answer.http1_message(&fields, !is_head);
    exchange.begin_answer();
    let written = async {
        connection.write_all(&message).await?;
        connection.flush().await
    };
    let written = tokio::time::timeout(front.limits.head_timeout, written).await;
    let is_written = matches!(written, Ok(Ok(())));
    if is_written {
        exchange.response_size = Some(if is_head { 0 } else { answer.body.len() as u64 });
    }
    exchange.record(if is_written { recorded } else { 0 });
    if is_written && persists {
        return Some(connection);
    }
    if is_written {
        linger(&mut connection, is_unread).await;
    }
    None
}

/// Writes an answer to what has been recorded already. Gives the connection back if it goes on.
pub(super) async fn write_unrecorded(
    front: &Http,
    mut connection: Http1Connection,
    answer: &ErrorResponse,
    is_head: bool,
    persists: bool,
) -> Option<Http1Connection> {
    let is_unread = !connection.is_between_requests();
    let persists = persists && !is_unread && !front.engine.is_draining();
    let option = if persists { "keep-alive" } else { "close" };
    let fields = [(header::DATE, date::now()), (header::CONNECTION, HeaderValue::from_static(option))];
    let message = answer.http1_message(&fields, !is_head);
    let written = async {
        connection.write_all(&message).await?;
        connection.flush().await
    };
    let written = tokio::time::timeout(front.limits.head_timeout, written).await;
    let is_written = matches!(written, Ok(Ok(())));
    if is_written && persists {
        return Some(connection);
    }
    if is_written {
        linger(&mut connection, is_unread).await;
    }
    None
}

/// Ends a connection after its last answer. A client that is cut off while it sends may never read the answer (RFC 9112,
/// section 9.6): so what it still sends is read for a moment.
pub(super) async fn linger(connection: &mut Http1Connection, is_unread: bool) {
    if AsyncWriteExt::shutdown(connection).await.is_err() || !is_unread {
        return;
    }
    connection.linger();
    let mut rest = BytesMut::with_capacity(4096);
    let mut seen = 0;
    let read = async {
        while seen < LINGER_BYTES {
            rest.clear();
            match connection.read_buf(&mut rest).await {
                Ok(0) | Err(_) => break,
                Ok(length) => seen += length,
            }
        }
    };
    // The connection is over, whether or not the client stops in time.
    let _ = tokio::time::timeout(LINGER, read).await;
}
