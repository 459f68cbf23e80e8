//! A listening socket, and what happens to connections that wait in it when the process stops accepting.
//!
//! The kernel completes handshakes by itself: a client may be connected, and have sent a request, before the process
//! has accepted it. Closing the socket resets such a client. So either another process goes on accepting from the same
//! socket, or the waiting connections are accepted before it is closed.

mod unix;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::AddressFamily;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

use self::unix::SocketFile;
use super::address::ListenAddress;
use super::client_socket::ClientSocket;
use crate::http::ConnectionPeer;

/// How many clients may wait to be accepted: as many as come while the process is busy. The kernel drops more, and they
/// try again after a second.
const QUEUE: u32 = 1024;

/// How a socket is made, beside its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// Whether an address of IPv6 takes clients of IPv6 alone. `[::]` takes those of IPv4 as well otherwise.
    pub ipv6_only: bool,
    /// The mode of the file of a Unix socket; `None` for 0600.
    pub mode: Option<u32>,
}

/// A listening socket. It is closed with its last owner; the file of a Unix socket is removed then, unless another process
/// accepts from it.
#[derive(Debug)]
pub struct ListenSocket {
    socket: BoundSocket,
    written: ListenAddress,
    bound: ListenAddress,
    passed_on: watch::Sender<bool>,
    /// Whether its file is this process's to remove.
    is_own: AtomicBool,
}

#[derive(Debug)]
enum BoundSocket {
    Tcp(TcpListener),
    Unix { socket: UnixListener, file: SocketFile },
}

impl ListenSocket {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// Where the address cannot be listened on.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::bind_with(&address.into(), SocketOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// Where the address cannot be listened on.
    pub fn bind_with(address: &ListenAddress, options: SocketOptions) -> io::Result<Self> {
        match address {
            ListenAddress::Ip(address) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                // Not for two processes at a time: it allows a restart while old connections linger in TIME_WAIT.
                socket.set_reuseaddr(true)?;
                if address.is_ipv6() {
                    // The default is the machine's.
                    socket2::SockRef::from(&socket).set_only_v6(options.ipv6_only)?;
                }
                socket.bind(*address)?;
                Self::over_tcp(socket.listen(QUEUE)?, *address)
            }
            ListenAddress::Unix(path) => {
                let (socket, file) = SocketFile::bind(path, options.mode, QUEUE)?;
                Self::over_unix(socket, file)
            }
        }
    }

    /// A socket that another process listens on, for the address `written` in the configuration.
    ///
    /// # Errors
    /// Where it is not a socket of that kind, or listens somewhere else.
    pub fn inherited(socket: OwnedFd, written: &ListenAddress) -> io::Result<Self> {
        if !rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or_default() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
        }
        let domain = rustix::net::sockopt::socket_domain(&socket)?;
        match written {
            ListenAddress::Ip(written) if domain != AddressFamily::UNIX => {
                let socket = StdListener::from(socket);
                socket.set_nonblocking(true)?;
                Self::over_tcp(TcpListener::from_std(socket)?, *written).map(Self::borrowed)
            }
            ListenAddress::Unix(path) if domain == AddressFamily::UNIX => {
                Self::over_unix(StdUnixListener::from(socket), SocketFile::at(path)?).map(Self::borrowed)
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket is of another kind")),
        }
    }

    fn over_tcp(socket: TcpListener, written: SocketAddr) -> io::Result<Self> {
        let bound = socket.local_addr()?.into();
        let written = written.into();
        Ok(Self::new(BoundSocket::Tcp(socket), written, bound))
    }

    fn over_unix(socket: StdUnixListener, file: SocketFile) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = UnixListener::from_std(socket)?;
        let written = ListenAddress::Unix(file.path().to_owned());
        Ok(Self::new(BoundSocket::Unix { socket, file }, written.clone(), written))
    }

    fn new(socket: BoundSocket, written: ListenAddress, bound: ListenAddress) -> Self {
        Self { socket, written, bound, passed_on: watch::Sender::new(false), is_own: AtomicBool::new(true) }
    }

    /// Another process accepts from it as well, until [`Self::own`]: the file of a Unix socket stays where this one ends.
    fn borrowed(self) -> Self {
        self.is_own.store(false, Ordering::Release);
        self
    }

    /// No other process accepts from it any more.
    pub fn own(&self) {
        self.is_own.store(true, Ordering::Release);
    }

    /// Gives the file of a Unix socket that was taken over the mode that is configured.
    ///
    /// # Errors
    /// As of chmod(2).
    pub fn set_mode(&self, options: SocketOptions) -> io::Result<()> {
        match &self.socket {
            BoundSocket::Tcp(_) => Ok(()),
            BoundSocket::Unix { file, .. } => file.set_mode(options.mode),
        }
    }

    /// The address in the configuration.
    pub fn written(&self) -> &ListenAddress {
        &self.written
    }

    /// The address that clients connect to.
    pub fn bound(&self) -> &ListenAddress {
        &self.bound
    }

    /// Another process accepts from this socket now: the waiting connections are left to it.
    pub fn pass_on(&self) {
        self.passed_on.send_replace(true);
    }

    /// Waits until another process accepts from this socket.
    pub async fn passed_on(&self) {
        // No error is possible: the sender is here.
        let _ = self.passed_on.subscribe().wait_for(|passed_on| *passed_on).await;
    }

    /// The next connection.
    ///
    /// # Errors
    /// As of accept(2).
    pub async fn accept(&self) -> io::Result<(ClientSocket, ConnectionPeer)> {
        match &self.socket {
            BoundSocket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok((ClientSocket::Tcp(stream), peer.into()))
            }
            BoundSocket::Unix { socket, .. } => {
                let (stream, _) = socket.accept().await?;
                Ok((ClientSocket::Unix(stream), ConnectionPeer::Unix))
            }
        }
    }

    /// The connections that wait, where no other process will accept them.
    pub(super) fn waiting(&self) -> Vec<(ClientSocket, ConnectionPeer)> {
        let mut waiting = Vec::new();
        if !*self.passed_on.borrow()
            && let Err(error) = self.accept_waiting(&mut waiting)
        {
            tracing::error!(%error, listener = %self.bound, "cannot accept waiting connections");
        }
        waiting
    }

    /// Asks the kernel directly: tokio may not know of them yet.
    fn accept_waiting(&self, waiting: &mut Vec<(ClientSocket, ConnectionPeer)>) -> io::Result<()> {
        let socket = self.as_fd().try_clone_to_owned()?;
        let accept: Box<dyn Fn() -> io::Result<_>> = match &self.socket {
            BoundSocket::Tcp(_) => {
                let socket = StdListener::from(socket);
                Box::new(move || {
                    let (stream, peer) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok((ClientSocket::Tcp(TcpStream::from_std(stream)?), peer.into()))
                })
            }
            BoundSocket::Unix { .. } => {
                let socket = StdUnixListener::from(socket);
                Box::new(move || {
                    let (stream, _) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok((ClientSocket::Unix(UnixStream::from_std(stream)?), ConnectionPeer::Unix))
                })
            }
        };
        // As many as can have waited: a stream of new clients must not delay the end.
        for _ in 0..QUEUE {
            match accept() {
                Ok(accepted) => waiting.push(accepted),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // That one is gone; the others are not.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for ListenSocket {
    fn drop(&mut self) {
        if let BoundSocket::Unix { file, .. } = &self.socket
            && self.is_own.load(Ordering::Acquire)
            && !*self.passed_on.borrow()
        {
            file.remove();
        }
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            BoundSocket::Tcp(socket) => socket.as_fd(),
            BoundSocket::Unix { socket, .. } => socket.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests;
