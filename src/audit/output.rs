//! From a setting to what takes lines.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::line::Line;
use super::settings::AuditOutput;
use super::sink::{FileSink, Sink, SocketSink, StreamSink, TornStream, with_line_end};
use super::syslog::{DatagramSink, syslog_over_tcp};

/// Opens an output.
pub(super) fn open(output: &AuditOutput, instance: &str) -> io::Result<Box<dyn Sink>> {
    Ok(match output {
        AuditOutput::Off => Box::new(Nowhere),
        AuditOutput::Stdout => Box::new(standard(&io::stdout())?),
        AuditOutput::Stderr => Box::new(standard(&io::stderr())?),
        AuditOutput::File(path) => Box::new(FileSink::open(path)?),
        AuditOutput::Unix(path) => {
            let path = path.clone();
            let connect = move || Ok(Box::new(UnixStream::connect(&path)?) as Box<dyn Write + Send>);
            Box::new(SocketSink::open(Box::new(connect), Box::new(with_line_end))?)
        }
        AuditOutput::SyslogDatagram(path) => Box::new(DatagramSink::open(path, instance)?),
        AuditOutput::SyslogTcp(address) => Box::new(syslog_over_tcp(address, instance)?),
    })
}

/// A standard stream, without the library's buffer: bytes in the buffer could be lost uncounted.
fn standard(stream: &impl AsFd) -> io::Result<StreamSink> {
    Ok(StreamSink(TornStream::new(Box::new(File::from(stream.as_fd().try_clone_to_owned()?)))))
}

/// Takes no line.
struct Nowhere;

impl Sink for Nowhere {
    fn follow(&mut self, _again: bool) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, lines: &[Line]) -> (usize, Option<io::Error>) {
        (lines.len(), None)
    }
}
