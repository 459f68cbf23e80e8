//! A client's HTTP/1.1 connection that blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::job::Job;
use crate::wire::Reader;

/// An answer that takes longer is an error.
const PATIENCE: Duration = Duration::from_secs(10);

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

pub struct Connection {
    stream: Box<dyn Duplex>,
    reader: Reader,
    request: Vec<u8>,
    /// The last answer said that it is the last.
    pub closing: bool,
}

/// The status of an answer, and the length of its body.
pub struct Answer {
    pub status: u16,
    pub length: usize,
}

impl Connection {
    pub fn open(job: &Job) -> io::Result<Self> {
        let stream = connect(job.to, job.tls.as_ref(), &job.host)?;
        Ok(Self { stream, reader: Reader::for_one_connection(), request: Vec::new(), closing: false })
    }

    /// For connections of which there are many.
    pub fn open_small(to: SocketAddr) -> io::Result<Self> {
        let stream = connect(to, None, "")?;
        Ok(Self { stream, reader: Reader::new(2048), request: Vec::new(), closing: false })
    }

    /// Sends a request in one write, and reads its answer.
    pub fn exchange(&mut self, job: &Job, token: Option<&str>) -> io::Result<Answer> {
        self.request.clear();
        write_request(&mut self.request, job, token)?;
        self.stream.write_all(&self.request)?;
        self.stream.flush()?;
        let head = self.reader.head(&mut self.stream, false)?;
        let head =
            head.ok_or_else(|| io::Error::new(ErrorKind::UnexpectedEof, "closed without an answer"))?;
        let length = self.reader.body(&mut self.stream, head.framing)?;
        self.closing = head.close;
        Ok(Answer { status: head.status, length })
    }
}

fn connect(to: SocketAddr, tls: Option<&Arc<ClientConfig>>, host: &str) -> io::Result<Box<dyn Duplex>> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
    let mut connection = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

fn write_request(into: &mut Vec<u8>, job: &Job, token: Option<&str>) -> io::Result<()> {
    write!(into, "{} {} HTTP/1.1\r\nhost: {}\r\n", job.method, job.path, job.host)?;
    into.extend_from_slice(b"user-agent: opgate-peers/1\r\naccept: application/json\r\n");
    if let Some(token) = token {
        write!(into, "authorization: Bearer {token}\r\n")?;
    }
    if job.method != "GET" {
        write!(into, "content-type: application/json\r\ncontent-length: {}\r\n", job.body.len())?;
    }
    into.extend_from_slice(b"\r\n");
    into.extend_from_slice(&job.body);
    Ok(())
}
