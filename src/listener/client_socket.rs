//! A client's connection below TLS and HTTP: TCP, or a Unix socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::minimum_rate::UNSENT_BYTES;

/// Probes of connections on which nothing moves (tcp(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpKeepAlive {
    /// How long nothing moves before the first.
    pub idle: Duration,
    /// Between two of them.
    pub interval: Duration,
    /// Unanswered ones that end the connection.
    pub probes: u32,
}

impl Default for TcpKeepAlive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 6 }
    }
}

impl TcpKeepAlive {
    /// As the kernel is told.
    fn options(self) -> socket2::TcpKeepalive {
        socket2::TcpKeepalive::new()
            .with_time(self.idle)
            .with_interval(self.interval)
            .with_retries(self.probes)
    }
}

/// An accepted connection.
#[derive(Debug)]
pub enum ClientSocket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl ClientSocket {
    /// Sets what TCP has to be told. A failure is logged: the connection works without.
    pub(super) fn prepare(&self, keep_alive: Option<&TcpKeepAlive>) {
        let Self::Tcp(tcp) = self else { return };
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        if let Err(error) = bound_unsent(tcp) {
            tracing::debug!(%error, "cannot set TCP_NOTSENT_LOWAT");
        }
        let kept =
            keep_alive.map(|keep_alive| socket2::SockRef::from(tcp).set_tcp_keepalive(&keep_alive.options()));
        if let Some(Err(error)) = kept {
            tracing::debug!(%error, "cannot set SO_KEEPALIVE");
        }
    }

    /// Waits until there is something to read.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.readable().await,
            Self::Unix(unix) => unix.readable().await,
        }
    }

    /// The bytes that are there, without taking them; waits until there is one. 0 at the end.
    pub(super) async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut look = |socket: BorrowedFd<'_>| {
            let (read, _) = recv(socket, &mut *buffer, RecvFlags::PEEK)?;
            Ok(read)
        };
        match self {
            Self::Tcp(tcp) => tcp.async_io(Interest::READABLE, || look(tcp.as_fd())).await,
            Self::Unix(unix) => unix.async_io(Interest::READABLE, || look(unix.as_fd())).await,
        }
    }
}

/// Bounds what the kernel holds unsent for a client.
fn bound_unsent(tcp: &TcpStream) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(tcp).set_tcp_notsent_lowat(UNSENT_BYTES)?;
    Ok(())
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Unix(unix) => Pin::new(unix).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Unix(unix) => Pin::new(unix).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Self::Unix(unix) => Pin::new(unix).poll_write_vectored(context, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Unix(unix) => Pin::new(unix).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            Self::Unix(unix) => unix.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keep_alive_is_set_as_it_is_configured() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = ClientSocket::Tcp(listener.accept().await.unwrap().0);
        let ClientSocket::Tcp(tcp) = &socket else { panic!("{socket:?}") };
        let option = || {
            let tcp = socket2::SockRef::from(tcp);
            let is_on = tcp.keepalive().unwrap();
            is_on.then(|| {
                (tcp.tcp_keepalive_time(), tcp.tcp_keepalive_interval(), tcp.tcp_keepalive_retries())
            })
        };
        socket.prepare(None);
        assert!(option().is_none());
        let seconds = Duration::from_secs;
        socket.prepare(Some(&TcpKeepAlive { idle: seconds(7), interval: seconds(8), probes: 9 }));
        let (idle, interval, probes) = option().unwrap();
        assert_eq!((idle.unwrap(), interval.unwrap(), probes.unwrap()), (seconds(7), seconds(8), 9));
    }
}
