//! A client's connection below HTTP, with TLS or without.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::client_socket::ClientSocket;
use super::flood::FloodGuard;
use super::minimum_rate::MinimumRate;
use crate::tls::Established;

/// How much and how long a refused client's remaining bytes are read, so that a reset does not overtake the answer.
pub(crate) const LINGER_BYTES: usize = 256 * 1024;
pub(crate) const LINGER: Duration = Duration::from_millis(500);

/// What is written before it is flushed goes out as one TLS record, up to this size.
const RECORD_BYTES: usize = 4096;

/// A connection, and bytes of it that were read ahead.
#[derive(Debug)]
pub(crate) struct ClientStream {
    ahead: BytesMut,
    wire: ClientTransport,
    minimum_rate: MinimumRate,
    guard: Option<Box<FloodGuard>>,
}

#[derive(Debug)]
enum ClientTransport {
    Plain(ClientSocket),
    Tls(Box<TlsSession>),
}

#[derive(Debug)]
struct TlsSession {
    stream: BufWriter<TlsStream<ClientSocket>>,
    established: Arc<Established>,
    http2: bool,
}

impl ClientStream {
    /// A connection without TLS, whose client takes what it is sent within `write_timeout`.
    pub(crate) fn plain(socket: ClientSocket, write_timeout: Duration) -> Self {
        Self::over(ClientTransport::Plain(socket), write_timeout)
    }

    /// A connection whose handshake is over.
    pub(crate) fn tls(
        stream: TlsStream<ClientSocket>,
        established: Established,
        write_timeout: Duration,
    ) -> Self {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = BufWriter::with_capacity(RECORD_BYTES, stream);
        let secured = TlsSession { stream, established: Arc::new(established), http2 };
        Self::over(ClientTransport::Tls(Box::new(secured)), write_timeout)
    }

    fn over(wire: ClientTransport, write_timeout: Duration) -> Self {
        Self { ahead: BytesMut::new(), wire, minimum_rate: MinimumRate::new(write_timeout), guard: None }
    }

    /// The facts of the handshake.
    pub(crate) fn established(&self) -> Option<&Arc<Established>> {
        match &self.wire {
            ClientTransport::Plain(_) => None,
            ClientTransport::Tls(secured) => Some(&secured.established),
        }
    }

    /// Whether the two ends have agreed on HTTP/2; `None` without TLS, where there is no agreement.
    pub(crate) fn agreed_http2(&self) -> Option<bool> {
        match &self.wire {
            ClientTransport::Plain(_) => None,
            ClientTransport::Tls(secured) => Some(secured.http2),
        }
    }

    /// Lets the next reads give these bytes first.
    pub(crate) fn rewind(&mut self, read: BytesMut) {
        self.ahead = read;
    }

    /// From here on, the connection speaks HTTP/2, and this watches it.
    pub(crate) fn watch(&mut self, guard: FloodGuard) {
        self.guard = Some(Box::new(guard));
    }

    /// Lets an HTTP/2 connection's owner know what became of a write.
    fn look_out<T>(&self, outcome: &Poll<io::Result<T>>) {
        let Some(guard) = &self.guard else { return };
        guard.blocked(self.minimum_rate.is_waiting());
        if matches!(outcome, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut) {
            guard.tell_stalled();
        }
    }

    /// Tells the client that this is the end: over TLS, anybody on the way could have cut a connection that ends
    /// without it.
    pub(crate) async fn close(&mut self) {
        // The connection is over, whether or not the client gets it in time.
        let _ = tokio::time::timeout(LINGER, AsyncWriteExt::shutdown(self)).await;
    }
}

impl ClientTransport {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(secured) => match ready!(Pin::new(&mut secured.stream).poll_read(context, buffer)) {
                // Many clients end a connection without saying so in TLS. Requests have their end in themselves.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                read => Poll::Ready(read),
            },
        }
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (self, slices) {
            (Self::Plain(tcp), [bytes]) => Pin::new(tcp).poll_write(context, bytes),
            (Self::Plain(tcp), slices) => Pin::new(tcp).poll_write_vectored(context, slices),
            (Self::Tls(secured), [bytes]) => Pin::new(&mut secured.stream).poll_write(context, bytes),
            (Self::Tls(secured), slices) => {
                Pin::new(&mut secured.stream).poll_write_vectored(context, slices)
            }
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(secured) => Pin::new(&mut secured.stream).poll_flush(context),
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { ahead, wire, guard, .. } = &mut *self;
        if guard.as_ref().is_some_and(|guard| guard.is_over()) {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = if ahead.is_empty() {
            wire.poll_read(context, buffer)
        } else {
            let length = ahead.len().min(buffer.remaining());
            buffer.put_slice(&ahead.split_to(length));
            if ahead.is_empty() {
                *ahead = BytesMut::new();
            }
            Poll::Ready(Ok(()))
        };
        if let Some(guard) = guard {
            match &read {
                Poll::Ready(Ok(())) => {
                    guard.came(buffer.filled().get(before..).unwrap_or_default());
                    if guard.is_over() {
                        // These bytes are not read any more; the connection's owner ends it.
                        return Poll::Pending;
                    }
                }
                Poll::Ready(Err(_)) => {}
                Poll::Pending => guard.waits(context),
            }
        }
        read
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { wire, minimum_rate, guard, .. } = &mut *self;
        let written = wire.poll_write(context, slices);
        if let (Some(guard), Poll::Ready(Ok(written))) = (guard, &written) {
            let mut left = *written;
            for slice in slices {
                guard.went(slice.get(..left.min(slice.len())).unwrap_or_default());
                left = left.saturating_sub(slice.len());
            }
        }
        let written = minimum_rate.judge(context, written);
        self.look_out(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { wire, minimum_rate, .. } = &mut *self;
        let flushed = wire.poll_flush(context);
        let flushed = minimum_rate.judge(context, flushed);
        self.look_out(&flushed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            ClientTransport::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            ClientTransport::Tls(secured) => Pin::new(&mut secured.stream).poll_shutdown(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            ClientTransport::Plain(tcp) => tcp.is_write_vectored(),
            ClientTransport::Tls(secured) => secured.stream.is_write_vectored(),
        }
    }
}
