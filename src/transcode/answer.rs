//! An answer of gRPC as an answer of HTTP with JSON, as its pieces come.
//!
//! One message becomes one JSON document, once its status is known: an error that comes behind a message still is an error.
//! The messages of a stream are written as they come. An error behind the first of them is the last item of the stream, as
//! Google's front ends write it.

mod write;

use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRAILER};
use http::{HeaderMap, HeaderValue};

use self::write::{JSON, Written};
use super::TranscodedMethod;
use super::format::{AnswerFormat, LINES, StreamFormat};
use super::frame::FrameReader;
use super::problem::AnswerProblem;
use super::status::RpcStatus;

/// Most bytes of one message of an answer: the usual bound of gRPC's clients.
pub const MAX_ANSWER_MESSAGE: usize = 4 * 1024 * 1024;

/// Takes an answer as it is made.
pub trait JsonSink {
    /// The head of the answer. `length` is that of its body; `None` for a body that comes in pieces.
    fn head(&mut self, status: u16, fields: &HeaderMap, length: Option<u64>);
    /// The next data of the body.
    fn data(&mut self, data: &[u8]);
    /// The answer is whole.
    fn end(&mut self);
}

/// One answer under way.
#[derive(Debug)]
pub struct AnswerTranscoder {
    method: Arc<TranscodedMethod>,
    format: AnswerFormat,
    frames: FrameReader,
    /// The fields of the backend's head: those that pass, and the status where it came with the head.
    fields: HeaderMap,
    trailers: Option<HeaderMap>,
    /// The one message of an answer that is not a stream.
    message: Option<Bytes>,
    state: AnswerState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerState {
    /// Nothing has come.
    Unanswered,
    /// The backend's head has come, and none has been written.
    Headed,
    /// The head of a stream has been written, and at least one message.
    Streaming,
    Done,
}

impl AnswerTranscoder {
    /// An answer of a method, in the format that the client wants.
    pub fn new(method: Arc<TranscodedMethod>, format: AnswerFormat) -> Self {
        Self {
            method,
            format,
            frames: FrameReader::new(MAX_ANSWER_MESSAGE),
            fields: HeaderMap::new(),
            trailers: None,
            message: None,
            state: AnswerState::Unanswered,
        }
    }

    /// The backend's head has come.
    ///
    /// # Errors
    /// Where it is not one of gRPC.
    pub fn head(&mut self, status: u16, fields: &HeaderMap) -> Result<(), AnswerProblem> {
        let kind = fields.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let is_grpc = kind.strip_prefix(b"application/grpc").is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(b";") || rest == b"+proto" || rest.starts_with(b"+proto;")
        });
        if status != 200 || !is_grpc {
            let kind = kind.escape_ascii();
            return Err(AnswerProblem::NotGrpc(format!("its status is {status}, its type `{kind}`")));
        }
        if self.state != AnswerState::Unanswered {
            return Err(AnswerProblem::Frame("it has two heads"));
        }
        self.fields = fields.clone();
        self.state = AnswerState::Headed;
        Ok(())
    }

    /// The next data has come.
    ///
    /// # Errors
    /// Where it is not well framed, or a message cannot be written as JSON.
    pub fn data(&mut self, data: &[u8], sink: &mut impl JsonSink) -> Result<(), AnswerProblem> {
        self.frames.push(data);
        while let Some(message) = self.frames.next()? {
            if self.method.is_server_streaming {
                self.item(&message, sink)?;
            } else if self.message.replace(message).is_some() {
                return Err(AnswerProblem::Frame("it has two messages, and the method answers with one"));
            }
        }
        Ok(())
    }

    /// The fields behind the body have come.
    pub fn trailers(&mut self, fields: HeaderMap) {
        self.trailers = Some(fields);
    }

    /// The backend's answer is over.
    ///
    /// # Errors
    /// Where it has no status, or not the message that belongs to it.
    pub fn end(&mut self, sink: &mut impl JsonSink) -> Result<(), AnswerProblem> {
        let streaming = self.state == AnswerState::Streaming;
        let place = self.trailers.as_ref().filter(|trailers| trailers.contains_key("grpc-status"));
        let status = RpcStatus::read(place.unwrap_or(&self.fields), self.method.output.parent_pool());
        let Some(status) = status else {
            return Err(AnswerProblem::Frame("it ends without a `grpc-status`"));
        };
        if !self.frames.is_empty() && status.is_ok() {
            return Err(AnswerProblem::Frame("it ends within a message"));
        }
        match (status.is_ok(), self.message.take()) {
            (false, _) if streaming => self.last_item(&status.json(), sink),
            (false, _) => self.whole(status.http_status(), JSON, &status.document(), sink),
            (true, _) if streaming => self.close(sink),
            (true, None) if self.method.is_server_streaming => {
                self.begin(StreamStart::Nothing, sink)?;
                self.close(sink);
            }
            (true, Some(message)) => {
                let written = self.method.document(&message, self.format)?;
                self.whole(200, written.content_type, &written.bytes, sink);
            }
            (true, None) => return Err(AnswerProblem::Frame("it has no message")),
        }
        self.state = AnswerState::Done;
        Ok(())
    }

    /// Whether all of the answer has been given out.
    pub fn is_done(&self) -> bool {
        self.state == AnswerState::Done
    }

    /// Writes an answer of one piece.
    fn whole(&mut self, status: u16, content_type: HeaderValue, body: &[u8], sink: &mut impl JsonSink) {
        let mut fields = self.passing(content_type);
        fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        sink.head(status, &fields, Some(body.len() as u64));
        if !self.format.is_head_only && !body.is_empty() {
            sink.data(body);
        }
        sink.end();
    }

    /// The backend's fields that pass, with the type of what is written.
    fn passing(&mut self, content_type: HeaderValue) -> HeaderMap {
        let mut fields = mem::take(&mut self.fields);
        let of_grpc: Vec<_> = fields
            .keys()
            .filter(|name| {
                let name = name.as_str();
                name.starts_with("grpc-") || name.ends_with("-bin") || name == "accept-encoding"
            })
            .cloned()
            .collect();
        for name in of_grpc.iter().chain(&[CONTENT_LENGTH, CONTENT_ENCODING, TRAILER]) {
            fields.remove(name);
        }
        fields.insert(CONTENT_TYPE, content_type);
        fields
    }

    /// Writes the next message of a stream.
    fn item(&mut self, message: &[u8], sink: &mut impl JsonSink) -> Result<(), AnswerProblem> {
        let written = self.method.document(message, self.format)?;
        let mark = if self.state == AnswerState::Streaming {
            self.between(&written)
        } else {
            self.begin(StreamStart::First(&written), sink)?;
            self.before(&written)
        };
        self.put([mark, &written.bytes, self.after(&written)], sink);
        Ok(())
    }

    fn begin(&mut self, start: StreamStart<'_>, sink: &mut impl JsonSink) -> Result<(), AnswerProblem> {
        if self.state != AnswerState::Headed {
            return Err(AnswerProblem::Frame("it has messages before its head"));
        }
        let content_type = match (start, self.format.stream) {
            (StreamStart::First(written), _) if written.is_raw => written.content_type.clone(),
            (_, StreamFormat::Array) => JSON,
            (_, StreamFormat::Lines) => HeaderValue::from_static(LINES),
            (_, StreamFormat::Events) => HeaderValue::from_static("text/event-stream"),
        };
        let fields = self.passing(content_type);
        sink.head(200, &fields, None);
        self.state = AnswerState::Streaming;
        if matches!(start, StreamStart::Nothing) && self.format.stream == StreamFormat::Array {
            self.put([b"[", b"", b""], sink);
        }
        Ok(())
    }

    /// Writes an error behind messages, and the end.
    fn last_item(&self, error: &[u8], sink: &mut impl JsonSink) {
        if self.method.answers_raw() {
            // What the bytes are is up to the backend: nothing of the gate's may stand among them.
            return sink.end();
        }
        let written = Written { bytes: error.to_vec().into(), content_type: JSON, is_raw: false };
        self.put([self.between(&written), &written.bytes, self.after(&written)], sink);
        self.close(sink);
    }

    fn close(&self, sink: &mut impl JsonSink) {
        if self.format.stream == StreamFormat::Array && !self.method.answers_raw() {
            self.put([b"]", b"", b""], sink);
        }
        sink.end();
    }

    fn before(&self, written: &Written) -> &'static [u8] {
        match self.format.stream {
            _ if written.is_raw => b"",
            StreamFormat::Array => b"[",
            StreamFormat::Lines => b"",
            StreamFormat::Events => b"data: ",
        }
    }

    fn between(&self, written: &Written) -> &'static [u8] {
        match self.format.stream {
            StreamFormat::Array if !written.is_raw => b",\n",
            _ => self.before(written),
        }
    }

    fn after(&self, written: &Written) -> &'static [u8] {
        match self.format.stream {
            _ if written.is_raw => b"",
            StreamFormat::Array => b"",
            StreamFormat::Lines => b"\n",
            StreamFormat::Events => b"\n\n",
        }
    }

    /// Writes one message of a stream in one piece, with what stands before and behind it.
    fn put(&self, pieces: [&[u8]; 3], sink: &mut impl JsonSink) {
        if !self.format.is_head_only && pieces.iter().any(|piece| !piece.is_empty()) {
            sink.data(&pieces.concat());
        }
    }
}

/// What a stream begins with.
#[derive(Clone, Copy)]
enum StreamStart<'w> {
    First(&'w Written),
    /// There is no message.
    Nothing,
}

#[cfg(test)]
mod tests;
