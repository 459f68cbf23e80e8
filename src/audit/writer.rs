//! The thread that writes audit lines, and the file that it writes to.
//!
//! It writes whole lines in one write, so that another process that appends to the file (an upgrade) cannot
//! come between. A write that fails may leave half a line behind; the next one then begins a new line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::backlog::Backlog;
use super::instruments::Instruments;

/// How long it waits for a line, at the most.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Lines are written together up to this many bytes.
const BATCH_BYTES: usize = 64 * 1024;
/// How often a log that cannot be written is reported.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// The owner reads and writes, the group reads: the log names callers and what they do.
const MODE: u32 = 0o640;

/// Where lines go.
pub(super) enum Sink {
    /// A stream that is open for as long as the process lives.
    Stream(Box<dyn Write + Send>),
    /// A file that may be renamed while it is open (logrotate).
    File { path: PathBuf, file: File },
}

impl Sink {
    /// A standard stream, without the library's buffer: bytes in the buffer could be lost uncounted.
    pub(super) fn standard(stream: &impl AsFd) -> io::Result<Self> {
        Ok(Self::Stream(Box::new(File::from(stream.as_fd().try_clone_to_owned()?))))
    }

    /// Opens a file to append to.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self::File { path: path.to_owned(), file: open(path)? })
    }

    /// Opens the file again where its path names another one by now, or none. Returns whether it did.
    fn follow(&mut self) -> io::Result<bool> {
        let Self::File { path, file } = self else { return Ok(false) };
        let ours = file.metadata()?;
        if !ours.is_file() {
            return Ok(false);
        }
        let is_same = std::fs::metadata(&*path)
            .is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()));
        if !is_same {
            *file = open(path)?;
        }
        Ok(!is_same)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(stream) => stream.write(bytes),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.flush(),
            Self::File { file, .. } => file.flush(),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(MODE).open(path)
}

/// Writes lines until their queue is closed and empty.
pub(super) struct Writer {
    pub(super) sink: Sink,
    pub(super) lines: Receiver<Box<str>>,
    pub(super) backlog: Backlog,
    pub(super) instruments: Instruments,
    /// Whether the last write has left half a line.
    pub(super) is_torn: bool,
    pub(super) complained: Option<Instant>,
}

impl Writer {
    pub(super) fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_BYTES);
        loop {
            let ended = self.collect(&mut batch);
            if !batch.is_empty() {
                self.write(&batch);
                batch.clear();
            } else if ended {
                return;
            }
        }
    }

    /// Takes lines off the queue, up to a batch. Returns whether there will be no more.
    fn collect(&self, batch: &mut Vec<u8>) -> bool {
        let mut next = match self.lines.recv_timeout(LOOK_EVERY) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => return true,
        };
        while let Some(line) = next {
            batch.extend_from_slice(line.as_bytes());
            batch.push(b'\n');
            next = if batch.len() < BATCH_BYTES { self.lines.try_recv().ok() } else { None };
        }
        false
    }

    fn write(&mut self, batch: &[u8]) {
        match self.sink.follow() {
            Ok(is_another) => self.is_torn &= !is_another,
            // Lines still go to the file that is open.
            Err(error) => self.complain(&error, "cannot open the audit log again"),
        }
        let (written, failure) = self.write_all(batch);
        let left = batch.get(written..).unwrap_or_default();
        let lost = count_lines(left);
        for line in batch.split_inclusive(|byte| *byte == b'\n') {
            self.backlog.take(line.len() - 1);
        }
        self.instruments.lines.inc_by(count_lines(batch) - lost);
        if let Some(error) = failure {
            self.instruments.write.inc_by(lost);
            self.complain(&error, "cannot write audit lines");
        }
    }

    /// How many bytes were written, and why not all. The rest of a line that was begun is left out.
    fn write_all(&mut self, batch: &[u8]) -> (usize, Option<io::Error>) {
        while self.is_torn {
            match self.sink.write(b"\n") {
                Ok(1..) => self.is_torn = false,
                Ok(0) => return (0, Some(io::ErrorKind::WriteZero.into())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (0, Some(error)),
            }
        }
        let mut written = 0;
        let failure = loop {
            let left = batch.get(written..).unwrap_or_default();
            if left.is_empty() {
                break self.sink.flush().err();
            }
            match self.sink.write(left) {
                Ok(0) => break Some(io::ErrorKind::WriteZero.into()),
                Ok(more) => {
                    written += more;
                    self.backlog.progressed();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(error),
            }
        };
        let whole = batch.get(..written).unwrap_or_default();
        self.is_torn = whole.last().is_some_and(|byte| *byte != b'\n');
        (written, failure)
    }

    /// Reports to the operator, now and then: a log line for each lost line would fill the other disk.
    fn complain(&mut self, error: &io::Error, message: &str) {
        if self.complained.is_some_and(|last| last.elapsed() < COMPLAIN_EVERY) {
            return;
        }
        self.complained = Some(Instant::now());
        tracing::error!(%error, lost = self.instruments.lost(), "{message}");
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
