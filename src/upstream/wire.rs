//! A connection to a backend that speaks HTTP/1, with TLS or without, below everything that reads its answers.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection that has carried whole exchanges, if any.
#[derive(Debug)]
pub struct UpstreamConnection {
    pub(super) wire: UpstreamTransport,
    /// Whether it has carried an exchange before.
    pub(super) is_used: bool,
}

/// TCP, or TLS over it.
#[derive(Debug)]
pub(super) enum UpstreamTransport {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl UpstreamConnection {
    pub(super) fn new(wire: UpstreamTransport) -> Self {
        Self { wire, is_used: false }
    }

    /// Whether it has carried an exchange before.
    pub fn is_used(&self) -> bool {
        self.is_used
    }

    /// Whether TLS is spoken on it.
    pub fn is_secured(&self) -> bool {
        self.wire.is_secured()
    }

    /// Whether the backend has sent nothing since its last answer, not even the end of the connection.
    pub(super) fn is_quiet(&mut self) -> bool {
        // Messages of TLS itself do not count, and are read first.
        if self.is_secured() && self.has_spoken() {
            return false;
        }
        // The runtime may not know yet of bytes that came a moment ago: it asks the system now and then, and a busy thread
        // may not have asked for milliseconds. So the system is asked here.
        let peeked = SockRef::from(self.wire.tcp()).peek(&mut [MaybeUninit::uninit(); 1]);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the backend has sent something since its last answer, as far as the runtime knows. Messages of TLS
    /// itself do not count, and are read here.
    pub(super) fn has_spoken(&mut self) -> bool {
        let read = poll_fn(|context| {
            let mut space = [0; 1];
            Pin::new(&mut self.wire).poll_read(context, &mut ReadBuf::new(&mut space))
        });
        let read = pin!(tokio::task::unconstrained(read));
        read.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}

impl UpstreamTransport {
    pub(super) fn is_secured(&self) -> bool {
        matches!(self, Self::Secured(_))
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Secured(tls) => tls.get_ref().0,
        }
    }
}

impl AsyncRead for UpstreamTransport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Secured(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for UpstreamTransport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Secured(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Self::Secured(tls) => Pin::new(tls).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Secured(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Secured(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Secured(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}

impl AsyncRead for UpstreamConnection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_read(context, buffer)
    }
}

impl AsyncWrite for UpstreamConnection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_shutdown(context)
    }
}
