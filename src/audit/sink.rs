//! Where lines go: standard streams, a file, a socket.
//!
//! Lines are written whole in one write, so that another process that appends to the file (an upgrade) cannot come between. A
//! write that fails may leave half a line behind; the next one then begins a new line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::line::Line;

/// The owner reads and writes, the group reads: the log names callers and what they do.
const MODE: u32 = 0o640;

/// What takes lines.
pub(super) trait Sink: Send {
    /// Looks, before lines are written, whether the output is still the right one. `again`: opens it anew in any case.
    ///
    /// # Errors
    /// Where it cannot be opened. What is open still takes lines.
    fn follow(&mut self, again: bool) -> io::Result<()>;

    /// Writes lines, the first ones first. Gives how many are written whole, and why not all are.
    fn write(&mut self, lines: &[Line]) -> (usize, Option<io::Error>);
}

/// How a line is put among others.
pub(super) type Framing = Box<dyn Fn(&Line, &mut Vec<u8>) + Send>;

pub(super) fn with_line_end(line: &Line, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(line.text.as_bytes());
    bytes.push(b'\n');
}

/// A stream of lines, which may end in half a line.
pub(super) struct TornStream {
    stream: Box<dyn Write + Send>,
    is_torn: bool,
    bytes: Vec<u8>,
}

impl TornStream {
    pub(super) fn new(stream: Box<dyn Write + Send>) -> Self {
        Self { stream, is_torn: false, bytes: Vec::new() }
    }

    /// Writes lines. Where a write fails within a line, the stream is torn: what is written next begins on a new line.
    fn write(&mut self, lines: &[Line], frame: &dyn Fn(&Line, &mut Vec<u8>)) -> (usize, Option<io::Error>) {
        self.bytes.clear();
        if self.is_torn {
            self.bytes.push(b'\n');
        }
        let torn = self.bytes.len();
        let mut ends = Vec::with_capacity(lines.len());
        for line in lines {
            frame(line, &mut self.bytes);
            ends.push(self.bytes.len());
        }
        let (written, failure) = write_all(&mut *self.stream, &self.bytes);
        let whole = ends.partition_point(|end| *end <= written);
        let begun = whole.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(torn);
        if written >= torn {
            self.is_torn = written > begun;
        }
        (whole, failure)
    }
}

/// How many bytes are written, and why not all.
fn write_all(stream: &mut dyn Write, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    loop {
        let left = bytes.get(written..).unwrap_or_default();
        if left.is_empty() {
            return (written, stream.flush().err());
        }
        match stream.write(left) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
}

/// A stream that is open for as long as the process lives.
pub(super) struct StreamSink(pub(super) TornStream);

impl Sink for StreamSink {
    fn follow(&mut self, _again: bool) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, lines: &[Line]) -> (usize, Option<io::Error>) {
        self.0.write(lines, &with_line_end)
    }
}

/// A file that may be renamed while it is open (logrotate).
pub(super) struct FileSink {
    path: PathBuf,
    file: File,
    lines: TornStream,
}

impl FileSink {
    /// Opens a file to append to.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(MODE).open(path)?;
        let lines = TornStream::new(Box::new(file.try_clone()?));
        Ok(Self { path: path.to_owned(), file, lines })
    }
}

impl Sink for FileSink {
    /// Opens the file again where its path names another one by now, or none.
    fn follow(&mut self, again: bool) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let is_same = std::fs::metadata(&self.path)
            .is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()));
        // A pipe or a device is opened once more only where that is asked for.
        if again || (ours.is_file() && !is_same) {
            let is_torn = is_same && self.lines.is_torn;
            *self = Self::open(&self.path)?;
            self.lines.is_torn = is_torn;
            if !is_same {
                tracing::info!(path = %self.path.display(), "the audit log goes on in a new file");
            }
        }
        Ok(())
    }

    fn write(&mut self, lines: &[Line]) -> (usize, Option<io::Error>) {
        self.lines.write(lines, &with_line_end)
    }
}

type Connect = Box<dyn Fn() -> io::Result<Box<dyn Write + Send>> + Send>;

/// A connection, made again where it has broken.
pub(super) struct SocketSink {
    connect: Connect,
    frame: Framing,
    connection: Option<TornStream>,
}

impl SocketSink {
    /// Connects.
    ///
    /// # Errors
    /// Where nothing listens.
    pub(super) fn open(connect: Connect, frame: Framing) -> io::Result<Self> {
        let connection = Some(TornStream::new(connect()?));
        Ok(Self { connect, frame, connection })
    }
}

impl Sink for SocketSink {
    fn follow(&mut self, again: bool) -> io::Result<()> {
        if again {
            self.connection = None;
        }
        Ok(())
    }

    fn write(&mut self, lines: &[Line]) -> (usize, Option<io::Error>) {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => match (self.connect)() {
                Ok(stream) => self.connection.insert(TornStream::new(stream)),
                Err(error) => return (0, Some(error)),
            },
        };
        let (whole, failure) = connection.write(lines, &*self.frame);
        if failure.is_some() {
            // Half a line ends with its connection.
            self.connection = None;
        }
        (whole, failure)
    }
}
