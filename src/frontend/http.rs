//! Which version a connection speaks, and what serves it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use pingora::proxy::HttpProxy;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

use super::http1::Http1;
use super::http2;
use crate::engine::Engine;
use crate::listener::{Accepted, ClientStream, Handler, Instruments, ListenerLimits, last_call};
use crate::proxy::Proxy;

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
pub(super) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// HTTP of either version on the connections of one listener.
pub struct Http {
    pub(super) engine: Engine,
    /// What forwards.
    pub(super) proxy: Arc<HttpProxy<Proxy>>,
    pub(super) limits: ListenerLimits,
    instruments: Instruments,
    /// Whether HTTP/2 is spoken where TLS has not agreed on anything.
    http2: bool,
    /// The listener's address, for log lines.
    pub(super) name: String,
    pub(super) port: u16,
}

impl Http {
    /// Serves what `engine` admits by `proxy`, on the listener at `address`.
    pub fn new(
        address: SocketAddr,
        http2: bool,
        limits: ListenerLimits,
        instruments: Instruments,
        engine: Engine,
        proxy: Arc<HttpProxy<Proxy>>,
    ) -> Self {
        Self { engine, proxy, limits, instruments, http2, name: address.to_string(), port: address.port() }
    }

    /// Counts a connection that the gate has cut.
    pub(super) fn count_cut(&self, reason: &str) {
        self.instruments.cut(reason);
    }
}

impl Handler for Http {
    async fn serve(&self, mut connection: Accepted, mut shutdown: watch::Receiver<bool>) {
        let mut buffer = BytesMut::with_capacity(4096);
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
                    return http2::serve(self, connection, shutdown).await;
                }
                // A client that agreed on HTTP/2 and speaks something else is not listened to.
                _ if agreed.is_some() => return connection.stream.close().await,
                Ok(Ok(false)) => {}
                Ok(Err(_)) => return,
                // The deadline of the first head is the same one: reading it will report that.
                Err(_) => {}
            }
        }
        Http1::new(self, connection, buffer, shutdown).serve(deadline).await;
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
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(false) };
        }
    }
}
