//! An exchange in memory: a backend that sends given bytes in given pieces, a client that keeps what it gets, and a second
//! reader of answers that must see what the gate sees.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use opgate::http::answer::{AnswerHead, AnswerWriter, ClientConnection, PassedHead};
use opgate::proxy::{ClientSide, Relay, RelayFailure, RelaySteps, RelayTimer, RelayTimes, SentAnswer};
use opgate::reason::Denial;
use opgate::upstream::http1::BackendExchange;
use opgate::upstream::response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A backend's connection.
#[derive(Debug)]
pub struct Wire {
    pieces: VecDeque<Vec<u8>>,
    /// Whether it breaks after the last piece, and does not close.
    breaks: bool,
    /// How many bytes it takes at once.
    takes: usize,
    /// Whether the next read finds nothing yet.
    is_waiting: bool,
    /// What it has been sent.
    pub asked: Vec<u8>,
    /// How many bytes of its own were read.
    pub given: usize,
}

impl Wire {
    /// A backend that says `text`, cut into pieces of `sizes`, over and over; all at once where there are none.
    pub fn new(text: &[u8], sizes: &[u8], breaks: bool) -> Self {
        let mut pieces = VecDeque::new();
        let mut rest = text;
        let mut cycle = sizes.iter().cycle();
        while !rest.is_empty() {
            let size = cycle.next().map_or(rest.len(), |size| usize::from(*size));
            let (piece, after) = rest.split_at(size.clamp(1, rest.len()));
            pieces.push_back(piece.to_vec());
            rest = after;
        }
        let takes = sizes.first().map_or(usize::MAX, |size| usize::from(*size).max(1));
        Self { pieces, breaks, takes, is_waiting: true, asked: Vec::new(), given: 0 }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        // A backend answers what it has been asked.
        if std::mem::replace(&mut wire.is_waiting, false) || wire.asked.is_empty() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        wire.is_waiting = true;
        let Some(mut piece) = wire.pieces.pop_front() else {
            return Poll::Ready(if wire.breaks {
                Err(io::ErrorKind::ConnectionReset.into())
            } else {
                Ok(())
            });
        };
        if piece.len() > buffer.remaining() {
            wire.pieces.push_front(piece.split_off(buffer.remaining()));
        }
        buffer.put_slice(&piece);
        wire.given += piece.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let length = bytes.len().min(wire.takes);
        wire.asked.extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A client that takes everything.
#[derive(Default)]
struct Client {
    writer: AnswerWriter,
    is_http10: bool,
    goes_on: bool,
    body: VecDeque<Vec<u8>>,
    sent: SentAnswer,
    got: Vec<u8>,
    has_ended: bool,
}

impl ClientSide for Client {
    fn poll_body(
        &mut self,
        _: &mut Context<'_>,
        on_data: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<bool, Denial>> {
        if let Some(piece) = self.body.pop_front() {
            on_data(&piece);
        }
        Poll::Ready(Ok(self.body.is_empty()))
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<Denial> {
        Poll::Pending
    }

    fn put_head(&mut self, head: &PassedHead<'_>) {
        if head.is_interim() && self.is_http10 {
            return;
        }
        let connection = ClientConnection { is_http10: self.is_http10, persists: true, date: b"now" };
        self.goes_on = self.writer.head(head, connection);
        if !head.is_interim() {
            assert_eq!(self.sent.status, 0, "one answer");
            self.sent.status = head.status;
        }
    }

    fn put_data(&mut self, data: &[u8]) {
        assert!(self.has_begun() && !self.has_ended);
        self.sent.size += data.len() as u64;
        self.writer.data(data);
    }

    fn put_end(&mut self) {
        assert!(self.has_begun() && !std::mem::replace(&mut self.has_ended, true));
        self.writer.end();
    }

    fn has_begun(&self) -> bool {
        self.sent.status > 0
    }

    fn poll_sent(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Denial>> {
        self.got.extend_from_slice(&self.writer.out.split());
        Poll::Ready(Ok(()))
    }

    fn sent(&self) -> SentAnswer {
        self.sent
    }
}

/// Steps that let everything pass.
#[derive(Default)]
struct Free {
    data: Vec<u8>,
    kept: Option<Wire>,
    has_ended: bool,
}

impl RelaySteps<Wire> for Free {
    fn passes(&mut self, _: usize, _: bool) -> Result<(), Denial> {
        Ok(())
    }

    fn head_came<'h>(&mut self, head: &AnswerHead<'h>) -> PassedHead<'h> {
        PassedHead::new(head, response::passing(head, |_| false))
    }

    fn data_came(&mut self, data: &[u8]) {
        self.data.extend_from_slice(data);
    }

    fn answer_ended(&mut self) -> Option<http::HeaderMap> {
        self.has_ended = true;
        None
    }

    fn keep(&mut self, connection: Wire) {
        self.kept = Some(connection);
    }
}

/// How it is asked.
#[derive(Clone, Debug, Default)]
pub struct Asking {
    pub to_head: bool,
    pub is_http10: bool,
    /// The pieces of a body that is passed on in chunks.
    pub body: Vec<Vec<u8>>,
}

/// What came of it.
#[derive(Debug)]
pub struct Carried {
    /// What the client got.
    pub got: Vec<u8>,
    pub sent: SentAnswer,
    /// Whether the client may send another request on its connection.
    pub goes_on: bool,
    /// The data of the answer.
    pub data: Vec<u8>,
    pub outcome: Result<(), RelayFailure>,
    /// The backend's connection, where it may carry another exchange.
    pub kept: Option<Wire>,
}

/// Carries one exchange.
pub fn carry(wire: Wire, asking: &Asking) -> Carried {
    let method = if asking.to_head { "HEAD" } else { "POST" };
    let head = format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n");
    let passes = !asking.body.is_empty();
    let mut backend =
        BackendExchange::new(wire, false, BytesMut::from(head.as_bytes()), asking.to_head, passes);
    if !passes {
        backend.send_held(Bytes::new());
    }
    let mut client =
        Client { is_http10: asking.is_http10, body: asking.body.clone().into(), ..Client::default() };
    let mut steps = Free::default();
    let mut timer = RelayTimer::default();
    let times =
        RelayTimes { until: None, body_until: None, patience: Duration::MAX, ends_with_answer: false };
    let mut relay = Relay::new(&mut client, &mut backend, &mut steps, &mut timer, times);
    let mut context = Context::from_waker(Waker::noop());
    let outcome = loop {
        if let Poll::Ready(outcome) = relay.poll(&mut context) {
            break outcome;
        }
    };
    assert_eq!(outcome.is_ok(), steps.has_ended, "{outcome:?}");
    let Client { got, sent, goes_on, .. } = client;
    Carried { got, sent, goes_on, data: steps.data, outcome, kept: steps.kept }
}

/// An answer as the second reader sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Second {
    pub status: u16,
    pub data: Vec<u8>,
    /// Whether it is whole by its own framing, or goes up to the end.
    pub is_whole: bool,
    /// Where it ends.
    pub end: usize,
    pub may_persist: bool,
}

/// Reads an answer with httparse. `None` if the head of a final answer is not whole.
pub fn second(text: &[u8], to_head: bool) -> Option<Second> {
    let mut at = 0;
    loop {
        let mut space = [httparse::EMPTY_HEADER; 300];
        let mut head = httparse::Response::new(&mut space);
        let Ok(httparse::Status::Complete(length)) = head.parse(&text[at..]) else { return None };
        at += length;
        let status = head.code?;
        if status < 200 {
            continue;
        }
        let values = |name: &str| -> Vec<Vec<u8>> {
            let fields = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            fields.map(|field| field.value.to_ascii_lowercase()).collect()
        };
        let closes = values("connection")
            .iter()
            .any(|value| value.split(|b| *b == b',').any(|v| v.trim_ascii() == b"close"));
        let may_persist = !closes && head.version == Some(1);
        let rest = &text[at..];
        let whole = |data: &[u8], end, is_whole, may_persist| {
            Some(Second { status, data: data.to_vec(), is_whole, end, may_persist })
        };
        if to_head || status == 204 || status == 304 {
            return whole(&[], at, true, may_persist);
        }
        if !values("transfer-encoding").is_empty() {
            let (data, used, is_whole) = chunks(rest);
            return whole(&data, at + used, is_whole, may_persist);
        }
        let Some(length) = values("content-length").first().cloned() else {
            return whole(rest, text.len(), true, false);
        };
        let length: usize = std::str::from_utf8(&length).ok()?.parse().ok()?;
        let data = &rest[..length.min(rest.len())];
        return whole(data, at + data.len(), data.len() == length, may_persist);
    }
}

/// Decodes chunks with httparse: their data, where they end, and whether they do.
fn chunks(text: &[u8]) -> (Vec<u8>, usize, bool) {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let Ok(httparse::Status::Complete((length, size))) = httparse::parse_chunk_size(&text[at..]) else {
            return (data, text.len(), false);
        };
        at += length;
        if size == 0 {
            let trailers = &text[at..];
            let end = if trailers.starts_with(b"\r\n") {
                Some(2)
            } else {
                trailers.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|found| found + 4)
            };
            return match end {
                Some(end) => (data, at + end, true),
                None => (data, text.len(), false),
            };
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let rest = &text[at..];
        data.extend_from_slice(&rest[..size.min(rest.len())]);
        if rest.len() < size.saturating_add(2) {
            return (data, text.len(), false);
        }
        at += size + 2;
    }
}

/// Carries an exchange with a backend that says `text`, and compares what the client gets with what the second reader sees.
pub fn check(text: &[u8], sizes: &[u8], breaks: bool, asking: &Asking) -> Carried {
    let carried = carry(Wire::new(text, sizes, breaks), asking);
    let Carried { got, sent, goes_on, data, outcome, kept } = &carried;
    let shown =
        || format!("{:?} became {:?}", text.escape_ascii().to_string(), got.escape_ascii().to_string());
    assert_eq!(sent.size, data.len() as u64);
    let theirs = second(text, asking.to_head);
    let ours = second(got, asking.to_head);
    assert_eq!(ours.is_some(), sent.status > 0, "{}", shown());
    if let Some(ours) = &ours {
        // What is given out is what the backend has sent, or the beginning of it.
        let theirs = theirs.as_ref().unwrap_or_else(|| panic!("{}", shown()));
        assert_eq!(ours.status, theirs.status, "{}", shown());
        assert_eq!((&ours.data, ours.end), (data, got.len()), "{}", shown());
        assert!(theirs.data.starts_with(data), "{}", shown());
        assert!(!asking.is_http10 || !has_chunks(got), "{}", shown());
        assert!(!*goes_on || ours.may_persist, "{}", shown());
    }
    match outcome {
        Ok(()) => {
            let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
            assert!(ours.is_whole && theirs.is_whole && ours.data == theirs.data, "{}", shown());
        }
        // The client sees that the rest is missing, unless the end of the connection is all that could tell.
        Err(_) => {
            let is_open = ours.is_none_or(|ours| !ours.is_whole || !ours.may_persist);
            assert!(is_open || !goes_on, "{}", shown());
        }
    }
    if let Some(wire) = kept {
        let theirs = second(text, asking.to_head).unwrap();
        assert!(outcome.is_ok() && theirs.is_whole && theirs.may_persist, "{}", shown());
        assert_eq!(wire.given, theirs.end, "something else has come: {}", shown());
    }
    carried
}

/// Whether the first head says so.
fn has_chunks(text: &[u8]) -> bool {
    let end = text.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(text.len());
    text[..end].to_ascii_lowercase().windows(18).any(|bytes| bytes == b"transfer-encoding:")
}
