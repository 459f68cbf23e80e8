//! One side of an HTTP/1.1 connection: a head, then a body that its fields frame.

use std::io::{self, ErrorKind, Read};

/// Larger than any head here.
const ROOM: usize = 64 * 1024;

/// What a head says.
pub struct Head {
    /// The request line or the status line.
    pub line: String,
    pub status: u16,
    pub framing: Framing,
    pub close: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
}

/// Reads messages off a connection.
pub struct Reader {
    buffer: Vec<u8>,
    /// What is read and not yet taken.
    from: usize,
    to: usize,
}

impl Reader {
    pub fn new(room: usize) -> Self {
        Self { buffer: vec![0; room.max(1024)], from: 0, to: 0 }
    }

    pub fn for_one_connection() -> Self {
        Self::new(ROOM)
    }

    fn fill(&mut self, stream: &mut impl Read) -> io::Result<usize> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        } else if self.to == self.buffer.len() {
            if self.from == 0 {
                return Err(io::Error::new(ErrorKind::InvalidData, "a head that is too long"));
            }
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        let count = stream.read(&mut self.buffer[self.to..])?;
        self.to += count;
        Ok(count)
    }

    /// The next head; none where the connection ends before its first byte.
    pub fn head(&mut self, stream: &mut impl Read, is_request: bool) -> io::Result<Option<Head>> {
        loop {
            if let Some((head, length)) = parse(&self.buffer[self.from..self.to], is_request)? {
                self.from += length;
                return Ok(Some(head));
            }
            if self.fill(stream)? == 0 {
                return if self.from == self.to { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads a body, and gives its length and its first bytes.
    pub fn body(&mut self, stream: &mut impl Read, framing: Framing) -> io::Result<usize> {
        match framing {
            Framing::Length(length) => self.skip(stream, length).map(|()| length),
            Framing::Chunked => {
                let mut total = 0;
                loop {
                    let size = self.chunk_size(stream)?;
                    self.skip(stream, size + 2)?;
                    total += size;
                    if size == 0 {
                        return Ok(total);
                    }
                }
            }
        }
    }

    fn skip(&mut self, stream: &mut impl Read, mut length: usize) -> io::Result<()> {
        loop {
            let taken = length.min(self.to - self.from);
            self.from += taken;
            length -= taken;
            if length == 0 {
                return Ok(());
            }
            if self.fill(stream)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn chunk_size(&mut self, stream: &mut impl Read) -> io::Result<usize> {
        loop {
            match httparse::parse_chunk_size(&self.buffer[self.from..self.to]) {
                Ok(httparse::Status::Complete((length, size))) => {
                    self.from += length;
                    return usize::try_from(size)
                        .map_err(|error| io::Error::new(ErrorKind::InvalidData, error));
                }
                Ok(httparse::Status::Partial) => {
                    if self.fill(stream)? == 0 {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(_) => return Err(io::Error::new(ErrorKind::InvalidData, "a chunk without a size")),
            }
        }
    }
}

fn parse(bytes: &[u8], is_request: bool) -> io::Result<Option<(Head, usize)>> {
    let invalid = |error: httparse::Error| io::Error::new(ErrorKind::InvalidData, error);
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let (parsed, line, status) = if is_request {
        let mut request = httparse::Request::new(&mut fields);
        let parsed = request.parse(bytes).map_err(invalid)?;
        let line = format!("{} {}", request.method.unwrap_or_default(), request.path.unwrap_or_default());
        (parsed, line, 0)
    } else {
        let mut answer = httparse::Response::new(&mut fields);
        let parsed = answer.parse(bytes).map_err(invalid)?;
        (parsed, String::new(), answer.code.unwrap_or_default())
    };
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let mut head = Head { line, status, framing: Framing::Length(0), close: false };
    for field in fields.iter().take_while(|field| !field.name.is_empty()) {
        let value = || String::from_utf8_lossy(field.value);
        if field.name.eq_ignore_ascii_case("content-length") {
            let length = value().parse().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            head.framing = Framing::Length(length);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = Framing::Chunked;
        } else if field.name.eq_ignore_ascii_case("connection") {
            head.close |= value().eq_ignore_ascii_case("close");
        }
    }
    Ok(Some((head, length)))
}
