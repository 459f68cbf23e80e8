//! Which version a connection speaks, and what serves it then.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::sync::watch;

use super::http::{HTTP2_PREFACE, Http};
use super::http1::Http1;
use super::http2;
use super::read::read_some;
use crate::listener::{Accepted, ClientStream, Handler, MADE_ROOM, last_call};

impl Handler for Http {
    async fn serve(&self, mut connection: Accepted, mut shutdown: watch::Receiver<bool>) {
        let mut buffer = BytesMut::new();
        let mut wait = FirstWord::new(self.limits.idle_timeout, self.limits.head_timeout);
        let agreed = connection.stream.agreed_http2();
        if agreed.unwrap_or(self.http2) {
            let mut draining = false;
            let preface = loop {
                tokio::select! {
                    biased;
                    read = read_preface(&mut connection.stream, &mut buffer, &mut wait) => break read,
                    () = connection.slot.made_room() => return self.count_cut(MADE_ROOM),
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
                Ok(Some(true)) => {
                    connection.stream.rewind(buffer);
                    return http2::serve(self, connection, shutdown).await;
                }
                // A client that agreed on HTTP/2 and speaks something else is not listened to.
                _ if agreed.is_some() => return connection.stream.close().await,
                // It was opened for a request that did not come.
                Ok(None) if buffer.is_empty() => return connection.stream.close().await,
                // The deadline of the first head is the same one: reading it will report that.
                Ok(_) => {}
                Err(_) => return,
            }
        }
        Http1::new(self, connection, buffer, wait.began, shutdown).serve().await;
    }
}

/// How long the first bytes of a connection are waited for. Browsers and pools connect before they have a request, so a
/// connection on which nothing was said is idle; the time for a head runs from its first byte.
struct FirstWord {
    idle_until: Instant,
    head_timeout: Duration,
    /// When the first byte came.
    began: Option<Instant>,
}

impl FirstWord {
    fn new(idle_timeout: Duration, head_timeout: Duration) -> Self {
        Self { idle_until: Instant::now() + idle_timeout, head_timeout, began: None }
    }

    fn deadline(&self) -> Instant {
        self.began.map_or(self.idle_until, |began| began + self.head_timeout)
    }
}

/// Reads enough to know whether the connection begins with the HTTP/2 preface; `None` where that did not come in time.
/// Can be cancelled and called again.
async fn read_preface(
    stream: &mut ClientStream,
    buffer: &mut BytesMut,
    wait: &mut FirstWord,
) -> std::io::Result<Option<bool>> {
    loop {
        let seen = buffer.len().min(HTTP2_PREFACE.len());
        if buffer.get(..seen) != HTTP2_PREFACE.get(..seen) {
            return Ok(Some(false));
        }
        if seen == HTTP2_PREFACE.len() {
            return Ok(Some(true));
        }
        let Ok(read) = tokio::time::timeout_at(wait.deadline().into(), read_some(stream, buffer)).await
        else {
            return Ok(None);
        };
        if read? == 0 {
            let is_silent = buffer.is_empty();
            return if is_silent { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(Some(false)) };
        }
        wait.began.get_or_insert_with(Instant::now);
    }
}
