//! Which version a connection speaks, and what serves it then.

use std::time::Instant;

use bytes::BytesMut;
use tokio::sync::watch;

use super::http::{HTTP2_PREFACE, Http};
use super::http1::Http1;
use super::http2;
use crate::listener::{Accepted, ClientStream, Handler, last_call};

impl Handler for Http {
    async fn serve(&self, mut connection: Accepted, mut shutdown: watch::Receiver<bool>) {
        let mut buffer = BytesMut::new();
        let deadline = Instant::now() + self.limits.head_timeout;
        let agreed = connection.stream.agreed_http2();
        if agreed.unwrap_or(self.http2) {
            let mut draining = false;
            let preface = loop {
                tokio::select! {
                    biased;
                    read = tokio::time::timeout_at(
                        deadline.into(),
                        read_preface(&mut connection.stream, &mut buffer),
                    ) => break read,
                    () = connection.slot.made_room() => return self.count_cut("made_room"),
                    () = last_call(&mut shutdown, connection.opened), if !draining => {
                        // A connection on which nothing was said yet may end, as over HTTP/1.
                        if buffer.is_empty() {
                            return connection.stream.close().await;
                        }
                        draining = true;
                    }
                }
            };
            match preface {
                Ok(Ok(true)) => {
                    connection.stream.rewind(buffer);
                    // Each by itself: a connection need not have room for what the other version takes.
                    return Box::pin(http2::serve(self, connection, shutdown)).await;
                }
                // A client that agreed on HTTP/2 and speaks something else is not listened to.
                _ if agreed.is_some() => return connection.stream.close().await,
                Ok(Ok(false)) => {}
                Ok(Err(_)) => return,
                // The deadline of the first head is the same one: reading it will report that.
                Err(_) => {}
            }
        }
        Box::pin(Http1::new(self, connection, buffer, shutdown).serve(deadline)).await;
    }
}

/// Reads enough to know whether the connection begins with the HTTP/2 preface.
async fn read_preface(stream: &mut ClientStream, buffer: &mut BytesMut) -> std::io::Result<bool> {
    loop {
        let seen = buffer.len().min(HTTP2_PREFACE.len());
        if buffer.get(..seen) != HTTP2_PREFACE.get(..seen) {
            return Ok(false);
        }
        if seen == HTTP2_PREFACE.len() {
            return Ok(true);
        }
        if stream.read_some(buffer).await? == 0 {
            return if buffer.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(false) };
        }
    }
}
