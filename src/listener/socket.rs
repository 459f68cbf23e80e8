//! A listening socket, and what happens to connections that wait in it when the process stops accepting.
//!
//! The kernel completes handshakes by itself: a client may be connected, and have sent a request, before the process
//! has accepted it. Closing the socket resets such a client. So either another process goes on accepting from the same
//! socket, or the waiting connections are accepted before it is closed.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd, BorrowedFd};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// How many clients may wait to be accepted: as many as come while the process is busy. The kernel drops more, and they
/// try again after a second.
const QUEUE: u32 = 1024;

/// A listening socket. It is closed with its last owner.
#[derive(Debug)]
pub struct ListenSocket {
    socket: TcpListener,
    written: SocketAddr,
    bound: SocketAddr,
    passed_on: watch::Sender<bool>,
}

impl ListenSocket {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// Where the address cannot be listened on.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Not for two processes at a time: it allows a restart while old connections linger in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Self::new(socket.listen(QUEUE)?, address)
    }

    /// A socket that listens already, for the address `written` in the configuration.
    ///
    /// # Errors
    /// Where it is not a socket of that kind.
    pub fn inherited(socket: StdListener, written: SocketAddr) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::new(TcpListener::from_std(socket)?, written)
    }

    fn new(socket: TcpListener, written: SocketAddr) -> io::Result<Self> {
        let bound = socket.local_addr()?;
        Ok(Self { socket, written, bound, passed_on: watch::Sender::new(false) })
    }

    /// The address in the configuration.
    pub fn written(&self) -> SocketAddr {
        self.written
    }

    /// The address that clients connect to.
    pub fn bound(&self) -> SocketAddr {
        self.bound
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
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.socket.accept().await
    }

    /// The connections that wait, where no other process will accept them.
    pub(super) fn waiting(&self) -> Vec<(TcpStream, SocketAddr)> {
        let mut waiting = Vec::new();
        if !*self.passed_on.borrow()
            && let Err(error) = self.accept_waiting(&mut waiting)
        {
            tracing::error!(%error, listener = %self.bound, "cannot accept waiting connections");
        }
        waiting
    }

    /// Asks the kernel directly: tokio may not know of them yet.
    fn accept_waiting(&self, waiting: &mut Vec<(TcpStream, SocketAddr)>) -> io::Result<()> {
        let socket = StdListener::from(self.socket.as_fd().try_clone_to_owned()?);
        // As many as can have waited: a stream of new clients must not delay the end.
        for _ in 0..QUEUE {
            match socket.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    waiting.push((TcpStream::from_std(stream)?, peer));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // That one is gone; the others are not.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn a_client_that_waits_to_be_accepted_is_not_reset() {
        let listening = ListenSocket::bind(ANY).unwrap();
        let mut clients: Vec<_> =
            (0..20).map(|_| std::net::TcpStream::connect(listening.bound()).unwrap()).collect();
        for client in &mut clients {
            client.write_all(b"hello").unwrap();
        }
        let waiting = listening.waiting();
        assert_eq!(waiting.len(), 20);
        drop(listening);
        for (stream, _) in waiting {
            let mut stream = stream.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            stream.write_all(b"welcome").unwrap();
        }
        for client in &mut clients {
            let mut heard = [0; 7];
            client.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"welcome");
        }
    }

    #[tokio::test]
    async fn clients_that_wait_in_a_passed_socket_are_left_to_the_successor() {
        let listening = ListenSocket::bind(ANY).unwrap();
        let socket = StdListener::from(listening.as_fd().try_clone_to_owned().unwrap());
        let successor = ListenSocket::inherited(socket, ANY).unwrap();
        let _client = std::net::TcpStream::connect(listening.bound()).unwrap();
        listening.pass_on();
        assert!(listening.waiting().is_empty());
        drop(listening);
        assert_eq!(successor.waiting().len(), 1);
    }
}
