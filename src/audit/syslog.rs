//! Syslog: each line is the text of a message of RFC 5424.

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::entry::Severity;
use super::json::push_time;
use super::line::Line;
use super::sink::{Sink, SocketSink};

/// The facility "log audit" (RFC 5424, section 6.2.1).
const FACILITY: u8 = 13;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// Appends a message: `<PRI>1 TIME HOST opgate PID audit - LINE`.
fn push_message(line: &Line, host: &str, bytes: &mut Vec<u8>) {
    let severity = match line.severity {
        Severity::Error => 3,
        Severity::Notice => 5,
        Severity::Info => 6,
    };
    let mut head = format!("<{}>1 ", FACILITY * 8 + severity);
    push_time(&mut head, line.time);
    head.push_str(&format!(" {host} opgate {} audit - ", std::process::id()));
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(line.text.as_bytes());
}

/// A message with its length in front (RFC 6587, section 3.4.1).
fn push_counted(line: &Line, host: &str, bytes: &mut Vec<u8>) {
    let mut message = Vec::with_capacity(line.text.len() + 96);
    push_message(line, host, &mut message);
    bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
    bytes.extend_from_slice(&message);
}

/// Connects to a syslog over TCP.
///
/// # Errors
/// Where nothing answers there.
pub(super) fn syslog_over_tcp(address: &str, host: &str) -> io::Result<SocketSink> {
    let (address, host) = (address.to_owned(), host.to_owned());
    let connect = move || {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => return Ok(Box::new(stream) as Box<dyn Write + Send>),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    };
    let frame = move |line: &Line, bytes: &mut Vec<u8>| push_counted(line, &host, bytes);
    SocketSink::open(Box::new(connect), Box::new(frame))
}

/// The socket of a local syslog: each message is a datagram.
pub(super) struct DatagramSink {
    path: PathBuf,
    host: String,
    socket: Option<UnixDatagram>,
    bytes: Vec<u8>,
}

impl DatagramSink {
    /// Connects.
    ///
    /// # Errors
    /// Where nothing listens there.
    pub(super) fn open(path: &Path, host: &str) -> io::Result<Self> {
        let socket = Some(connected(path)?);
        Ok(Self { path: path.to_owned(), host: host.to_owned(), socket, bytes: Vec::new() })
    }
}

fn connected(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

impl Sink for DatagramSink {
    fn follow(&mut self, again: bool) -> io::Result<()> {
        if again {
            self.socket = None;
        }
        Ok(())
    }

    fn write(&mut self, lines: &[Line]) -> (usize, Option<io::Error>) {
        for (written, line) in lines.iter().enumerate() {
            self.bytes.clear();
            push_message(line, &self.host, &mut self.bytes);
            if let Err(error) = self.send() {
                self.socket = None;
                return (written, Some(error));
            }
        }
        (lines.len(), None)
    }
}

impl DatagramSink {
    fn send(&mut self) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            None => self.socket.insert(connected(&self.path)?),
        };
        socket.send(&self.bytes).map(|_| ())
    }
}
