//! A client's connection below HTTP, with TLS or without, as Pingora wants its streams.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::http::ResponseHeader;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::http::Channel;
use crate::proxy::LINGER;

/// What is written before it is flushed goes out as one TLS record, up to this size.
const RECORD_BYTES: usize = 4096;

/// A connection, and what has been read of it ahead of its turn.
#[derive(Debug)]
pub(super) struct Transport {
    ahead: BytesMut,
    wire: Wire,
}

#[derive(Debug)]
enum Wire {
    Plain(Box<TcpStream>),
    Tls(Box<Secured>),
}

#[derive(Debug)]
struct Secured {
    stream: BufWriter<TlsStream<tokio::net::TcpStream>>,
    id: UniqueIDType,
    socket: Arc<SocketDigest>,
    channel: Arc<Channel>,
    http2: bool,
}

impl Transport {
    pub(super) fn plain(tcp: tokio::net::TcpStream) -> Self {
        let digest = socket_digest(&tcp);
        let mut tcp = TcpStream::from(tcp);
        tcp.set_socket_digest(digest);
        Self { ahead: BytesMut::new(), wire: Wire::Plain(Box::new(tcp)) }
    }

    /// A connection whose handshake is over.
    pub(super) fn tls(stream: TlsStream<tokio::net::TcpStream>, channel: Channel) -> Self {
        use std::os::fd::AsRawFd;

        let (tcp, connection) = stream.get_ref();
        let (id, socket) = (tcp.as_raw_fd(), Arc::new(socket_digest(tcp)));
        let http2 = connection.alpn_protocol() == Some(b"h2");
        let stream = BufWriter::with_capacity(RECORD_BYTES, stream);
        let secured = Secured { stream, id, socket, channel: Arc::new(channel), http2 };
        Self { ahead: BytesMut::new(), wire: Wire::Tls(Box::new(secured)) }
    }

    /// What TLS has established.
    pub(super) fn channel(&self) -> Option<&Arc<Channel>> {
        match &self.wire {
            Wire::Plain(_) => None,
            Wire::Tls(secured) => Some(&secured.channel),
        }
    }

    /// Whether the two ends have agreed on HTTP/2; `None` where there is no TLS to agree in.
    pub(super) fn agreed_http2(&self) -> Option<bool> {
        match &self.wire {
            Wire::Plain(_) => None,
            Wire::Tls(secured) => Some(secured.http2),
        }
    }

    /// Lets the next reads give these bytes first.
    pub(super) fn rewind(&mut self, read: BytesMut) {
        self.ahead = read;
    }

    /// Tells the client that this was all: over TLS, an end without a word could be anybody's.
    pub(super) async fn close(&mut self) {
        // Whether it hears it in time or not, the connection is over.
        let _ = tokio::time::timeout(LINGER, AsyncWriteExt::shutdown(self)).await;
    }
}

fn socket_digest(tcp: &tokio::net::TcpStream) -> SocketDigest {
    use std::os::fd::AsRawFd;

    SocketDigest::from_raw_fd(tcp.as_raw_fd())
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(length));
            if !self.ahead.has_remaining() {
                self.ahead = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Wire::Tls(secured) => match ready!(Pin::new(&mut secured.stream).poll_read(context, buffer)) {
                // Many clients end a connection without saying so in TLS. Requests say themselves where they end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                read => Poll::Ready(read),
            },
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Wire::Tls(secured) => Pin::new(&mut secured.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Wire::Tls(secured) => Pin::new(&mut secured.stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Wire::Tls(secured) => Pin::new(&mut secured.stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Wire::Tls(secured) => Pin::new(&mut secured.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(tcp) => tcp.is_write_vectored(),
            Wire::Tls(secured) => secured.stream.is_write_vectored(),
        }
    }
}

#[async_trait]
impl Shutdown for Transport {
    async fn shutdown(&mut self) {
        match &mut self.wire {
            Wire::Plain(tcp) => Shutdown::shutdown(&mut **tcp).await,
            Wire::Tls(_) => self.close().await,
        }
    }
}

impl UniqueID for Transport {
    fn id(&self) -> UniqueIDType {
        match &self.wire {
            Wire::Plain(tcp) => tcp.id(),
            Wire::Tls(secured) => secured.id,
        }
    }
}

impl Ssl for Transport {
    /// Its presence is what tells Pingora not to look for the preface of HTTP/2; what it says, nobody reads.
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.channel().map(|_| Arc::new(SslDigest::new("", "", None, None, Vec::new())))
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.agreed_http2().map(|http2| if http2 { ALPN::H2 } else { ALPN::H1 })
    }
}

/// Pingora then takes HTTP/2 with prior knowledge as known: the door has read the preface.
impl Peek for Transport {}

impl GetTimingDigest for Transport {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        match &self.wire {
            Wire::Plain(tcp) => tcp.get_timing_digest(),
            Wire::Tls(_) => Vec::new(),
        }
    }
}

impl GetProxyDigest for Transport {
    /// The one thing of a connection that its HTTP/2 requests are handed and that can hold what we like.
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        let channel = self.channel()?.clone();
        let response = ResponseHeader::build(200, Some(0)).ok()?;
        Some(Arc::new(ProxyDigest::new(Box::new(response), Some(Box::new(channel)))))
    }
}

impl GetSocketDigest for Transport {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        match &self.wire {
            Wire::Plain(tcp) => tcp.get_socket_digest(),
            Wire::Tls(secured) => Some(secured.socket.clone()),
        }
    }
}
