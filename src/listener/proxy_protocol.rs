//! The PROXY protocol, versions 1 and 2: a proxy in front says, ahead of everything else, whose connection it passes on.
//!
//! Format and rules are those of <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. On a listener that
//! expects it, every connection has to come from a trusted address and to begin with a header. One that does not is closed
//! without an answer: a sender that may write a header may claim to be any client.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use tokio::io::AsyncReadExt;

use super::client_socket::ClientSocket;
use crate::http::ConnectionPeer;

/// What a header of version 2 begins with (section 2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The bytes that tell the versions apart. No header of version 1 is shorter.
const BEGINNING: usize = SIGNATURE.len();
/// A header of version 2 up to its length.
const FIXED: usize = 16;
/// The longest header of version 1, with its CRLF (section 2.1).
const LONGEST_LINE: usize = 107;
/// The most that a header of version 2 may have behind its length. What stands behind the addresses (TLVs) is passed over; a
/// proxy that sends whole certificates there is not for this gate.
const MOST_BYTES: usize = 4096;

/// Who may say whose connection it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// The networks of the proxies.
    pub networks: Vec<IpNet>,
    /// Whether the other ends of a Unix socket are proxies.
    pub unix: bool,
}

impl ProxyProtocol {
    /// Whether a proxy connects from there.
    pub(super) fn trusts(&self, peer: ConnectionPeer) -> bool {
        match peer {
            ConnectionPeer::Ip(address) => {
                let address = address.ip().to_canonical();
                self.networks.iter().any(|network| network.contains(&address))
            }
            ConnectionPeer::Unix => self.unix,
            ConnectionPeer::Unknown => false,
        }
    }
}

/// Why a connection ended with its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// It comes from an address that is not trusted.
    Untrusted,
    /// It has no header, or one that breaks the rules.
    Malformed,
    /// The header did not come in time.
    Timeout,
    /// The other end went away before its header was whole.
    Closed,
}

impl HeaderError {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Untrusted, Self::Malformed, Self::Timeout, Self::Closed];

    /// The `reason` of `opgate_connections_refused_total`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Untrusted => "proxy_protocol_untrusted",
            Self::Malformed => "proxy_protocol_malformed",
            Self::Timeout => "proxy_protocol_timeout",
            Self::Closed => "proxy_protocol_closed",
        }
    }
}

impl From<io::Error> for HeaderError {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// Takes the header off a connection, and not a byte more. Gives the client that it names; unknown where it names none, as for a
/// check of the proxy's own.
pub(super) async fn read_header(socket: &mut ClientSocket) -> Result<ConnectionPeer, HeaderError> {
    let mut header = vec![0; FIXED];
    let (beginning, rest) = header.split_at_mut(BEGINNING);
    read_beginning(socket, beginning).await?;
    if beginning == SIGNATURE {
        socket.read_exact(rest).await?;
        let (command, length) = fixed_part(rest)?;
        header.resize(length, 0);
        socket.read_exact(&mut header).await?;
        return addresses(command, &header);
    }
    header.truncate(BEGINNING);
    read_line(socket, &mut header).await?;
    line(&header)
}

/// Reads what tells the versions apart, unless it is neither: a client that sends something else, and waits for an answer to it, is
/// not waited for.
async fn read_beginning(socket: &mut ClientSocket, beginning: &mut [u8]) -> Result<(), HeaderError> {
    let mut read = 0;
    while let Some(rest) = beginning.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match socket.read(rest).await? {
            0 => return Err(HeaderError::Closed),
            more => read += more,
        }
        let seen = beginning.get(..read).unwrap_or_default();
        if !SIGNATURE.starts_with(seen) && !is_line_so_far(seen) {
            return Err(HeaderError::Malformed);
        }
    }
    Ok(())
}

fn is_line_so_far(seen: &[u8]) -> bool {
    const WORD: &[u8] = b"PROXY ";
    WORD.starts_with(seen) || seen.starts_with(WORD)
}

/// Reads the rest of a line, to its CRLF.
async fn read_line(socket: &mut ClientSocket, line: &mut Vec<u8>) -> Result<(), HeaderError> {
    let mut ahead = [0; LONGEST_LINE];
    if line.contains(&b'\n') {
        // Even the shortest header is longer than that.
        return Err(HeaderError::Malformed);
    }
    while !line.ends_with(b"\n") {
        let room = LONGEST_LINE.saturating_sub(line.len());
        let Some(ahead) = ahead.get_mut(..room).filter(|ahead| !ahead.is_empty()) else {
            return Err(HeaderError::Malformed);
        };
        // What stands behind the line belongs to TLS or HTTP, which read the socket themselves.
        let seen = match socket.peek(ahead).await? {
            0 => return Err(HeaderError::Closed),
            seen => ahead.get(..seen).unwrap_or_default(),
        };
        let own = seen.iter().position(|byte| *byte == b'\n').map_or(seen.len(), |end| end + 1);
        let before = line.len();
        line.resize(before + own, 0);
        socket.read_exact(line.get_mut(before..).unwrap_or_default()).await?;
    }
    Ok(())
}

/// Reads a header of version 1, with its CRLF.
///
/// # Errors
/// [`HeaderError::Malformed`] for any other spelling than that of section 2.1.
fn line(line: &[u8]) -> Result<ConnectionPeer, HeaderError> {
    let malformed = HeaderError::Malformed;
    let line = line.strip_suffix(b"\r\n").filter(|line| line.is_ascii()).ok_or(malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| malformed)?;
    if line.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(malformed);
    }
    let (protocol, rest) = line
        .strip_prefix("PROXY ")
        .map(|line| line.split_once(' ').unwrap_or((line, "")))
        .ok_or(malformed)?;
    if protocol == "UNKNOWN" {
        // Whatever follows is ignored.
        return Ok(ConnectionPeer::Unknown);
    }
    let mut parts = rest.split(' ');
    let mut next = || parts.next().ok_or(malformed);
    let (source, destination, source_port, destination_port) = (next()?, next()?, next()?, next()?);
    let address = |text: &str| -> Option<IpAddr> {
        match protocol {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let client = address(source).zip(port(source_port)).ok_or(malformed)?;
    address(destination).zip(port(destination_port)).ok_or(malformed)?;
    if parts.next().is_some() {
        return Err(malformed);
    }
    Ok(ConnectionPeer::Ip(client.into()))
}

/// A port in decimal, without leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// The command of a header of version 2, and the length of what follows.
fn fixed_part(bytes: &[u8]) -> Result<(Command, usize), HeaderError> {
    let &[version_and_command, protocol, high, low] = bytes else { return Err(HeaderError::Malformed) };
    let command = match version_and_command {
        0x20 => Command::Local,
        0x21 => Command::Proxy { protocol },
        _ => return Err(HeaderError::Malformed),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST_BYTES { Err(HeaderError::Malformed) } else { Ok((command, length)) }
}

/// What a header of version 2 is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    /// The proxy speaks for itself: a health check.
    Local,
    /// It speaks for a client.
    Proxy {
        /// The address family and the transport.
        protocol: u8,
    },
}

/// The client's address in the rest of a header of version 2.
fn addresses(command: Command, bytes: &[u8]) -> Result<ConnectionPeer, HeaderError> {
    let Command::Proxy { protocol } = command else { return Ok(ConnectionPeer::Unknown) };
    match protocol {
        // TCP over IPv4: source and destination, then their ports.
        0x11 => match bytes {
            &[a, b, c, d, _, _, _, _, high, low, _, _, ..] => {
                let address = Ipv4Addr::new(a, b, c, d);
                Ok(SocketAddr::from((address, u16::from_be_bytes([high, low]))).into())
            }
            _ => Err(HeaderError::Malformed),
        },
        // TCP over IPv6.
        0x21 => {
            let ([source, ..], Some([high, low, _, _])) =
                (bytes.as_chunks::<16>().0, bytes.get(32..).and_then(<[u8]>::first_chunk::<4>))
            else {
                return Err(HeaderError::Malformed);
            };
            let address = Ipv6Addr::from(*source);
            Ok(SocketAddr::from((address, u16::from_be_bytes([*high, *low]))).into())
        }
        // A Unix socket at the proxy: two paths of 108 bytes.
        0x31 if bytes.len() >= 216 => Ok(ConnectionPeer::Unknown),
        // Neither is known to the proxy.
        0x00 => Ok(ConnectionPeer::Unknown),
        // Datagrams, and what there is not.
        _ => Err(HeaderError::Malformed),
    }
}

/// Reads a header off a connection, and tells the client that it names and what is left behind it: the entry point for `fuzz/`, and in
/// no build of the product.
#[cfg(fuzzing)]
pub async fn read_proxy_header(socket: tokio::net::UnixStream) -> Option<(ConnectionPeer, Vec<u8>)> {
    let mut socket = ClientSocket::Unix(socket);
    let client = read_header(&mut socket).await.ok()?;
    let mut left = Vec::new();
    socket.read_to_end(&mut left).await.ok()?;
    Some((client, left))
}

#[cfg(test)]
mod tests;
