//! The clients of the soak: each stream is one of the kinds, does what its kind does, and says whether it came out as it must.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

use super::message::{Frames, PACKAGE, framed, part, read_part};

const MEBIBYTE: usize = 1 << 20;
const NAME: &str = "projects/demo/streams";

/// What a stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Five parts, each sent when the one before has come back.
    Chat,
    /// Sends its only part and ends its side; then takes twenty parts that come by and by.
    HalfClosed,
    /// Is told the end while its own side is open.
    AnsweredEarly,
    /// Its deadline passes.
    Deadline,
    /// Takes a part, and resets the stream.
    Cancelled,
    /// Sends a message of 4 MiB.
    LargeUp,
    /// Takes a message of 4 MiB.
    LargeDown,
    /// Takes an answer of 1 MiB by and by.
    SlowReader,
    /// Sends a part by and by.
    SlowWriter,
    /// May not call.
    Refused,
    /// Names another stream in its second part.
    Strays,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Chat,
        Self::HalfClosed,
        Self::AnsweredEarly,
        Self::Deadline,
        Self::Cancelled,
        Self::LargeUp,
        Self::LargeDown,
        Self::SlowReader,
        Self::SlowWriter,
        Self::Refused,
        Self::Strays,
    ];
}

/// Tokens of a caller who may call, and of one who may not.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub good: String,
    pub stranger: String,
}

pub type Client = SendRequest<Bytes>;

pub async fn connect(gate: SocketAddr) -> Client {
    let stream = TcpStream::connect(gate).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

/// How a stream ended: its messages, and `grpc-status`; `None` if it was reset.
type End = (Vec<Vec<u8>>, Option<String>);

struct Call {
    sending: SendStream<Bytes>,
    answer: ResponseFuture,
}

impl Call {
    async fn open(client: &Client, method: &str, token: &str, timeout: Option<&str>) -> Self {
        let mut head = Request::builder()
            .method("POST")
            .uri(format!("http://streams.localhost/{PACKAGE}.Streams/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"));
        if let Some(timeout) = timeout {
            head = head.header("grpc-timeout", timeout);
        }
        let mut client = client.clone().ready().await.unwrap();
        let (answer, sending) = client.send_request(head.body(()).unwrap(), false).unwrap();
        Self { sending, answer }
    }

    fn send(&mut self, message: &[u8], is_last: bool) {
        // A gate that has refused the call may have closed the stream.
        let _ = self.sending.send_data(framed(message).into(), is_last);
    }

    async fn finish(self) -> End {
        finish(self.answer, Duration::ZERO).await
    }
}

/// `grpc-status`, with the words of a refusal behind it.
fn status(fields: &HeaderMap) -> Option<String> {
    let text = |name| fields.get(name).map(|value| value.to_str().unwrap());
    let status = text("grpc-status")?;
    Some(text("grpc-message").map_or_else(|| status.to_owned(), |message| format!("{status} {message}")))
}

/// Takes an answer to its end, with a pause before each message.
async fn finish(answer: ResponseFuture, pause: Duration) -> End {
    let mut messages = Vec::new();
    let Ok(answer) = answer.await else { return (messages, None) };
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let told = status(answer.headers());
    let mut frames = Frames::of(answer.into_body());
    loop {
        tokio::time::sleep(pause).await;
        match frames.next().await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => break,
            Err(_) => return (messages, None),
        }
    }
    let trailers = frames.trailers().await.ok().flatten();
    (messages, trailers.as_ref().and_then(status).or(told))
}

/// Makes one stream, and panics if it does not come out as it must. What is judged is told by the number of the stream, so that a
/// mix-up of two streams is seen.
pub async fn stream(client: &Client, kind: Kind, number: u64, tokens: &Tokens) {
    let all = one(client, kind, number, tokens);
    let came = tokio::time::timeout(Duration::from_secs(120), all).await;
    assert!(came.is_ok(), "{kind:?} {number} does not end");
}

async fn one(client: &Client, kind: Kind, number: u64, tokens: &Tokens) {
    let name = format!("{NAME}/s{number}");
    let open = |method: &'static str| Call::open(client, method, &tokens.good, None);
    match kind {
        Kind::Chat => chat(open("Chat").await, &name).await,
        Kind::HalfClosed => {
            let (messages, status) = watch(open("Watch").await, "20-1000-5").await;
            assert_eq!((messages.len(), status.as_deref()), (20, Some("0")), "{kind:?}");
        }
        Kind::AnsweredEarly => {
            let mut call = open("Chat").await;
            call.send(&part(&format!("{NAME}/early"), b"x"), false);
            let Call { sending, answer } = call;
            let (messages, status) = finish(answer, Duration::ZERO).await;
            assert_eq!((messages.len(), status.as_deref()), (0, Some("0")), "{kind:?}");
            drop(sending);
        }
        Kind::Deadline => {
            let call = Call::open(client, "Watch", &tokens.good, Some("200m")).await;
            let (_, status) = watch(call, "1000-10-50").await;
            // The gate's answer may be followed by a reset before it is read: this client goes on after its own deadline.
            let is_over = status.as_deref().is_none_or(|status| status.starts_with("4 "));
            assert!(is_over, "{kind:?} {status:?}");
        }
        Kind::Cancelled => cancel(open("Chat").await, &name).await,
        Kind::LargeUp => {
            let data = vec![b'x'; 4 * MEBIBYTE - 1024];
            let mut call = open("Upload").await;
            call.send(&part(&name, &data), true);
            let (messages, status) = call.finish().await;
            let told = messages.first().map(|message| read_part(message).0);
            assert_eq!(told, Some(format!("1 {}", data.len())), "{kind:?} {status:?}");
        }
        Kind::LargeDown => {
            let (messages, status) = watch(open("Watch").await, "1-4194000-0").await;
            let sizes: Vec<usize> = messages.iter().map(|message| read_part(message).1.len()).collect();
            assert_eq!((sizes, status.as_deref()), (vec![4_194_000], Some("0")), "{kind:?}");
        }
        Kind::SlowReader => {
            let mut call = open("Watch").await;
            call.send(&part(&format!("{NAME}/64-16384-0"), &[]), true);
            let (messages, status) = finish(call.answer, Duration::from_millis(10)).await;
            assert_eq!((messages.len(), status.as_deref()), (64, Some("0")), "{kind:?}");
        }
        Kind::SlowWriter => {
            let mut call = open("Upload").await;
            for number in 0..20 {
                call.send(&part(if number == 0 { &name } else { "" }, b"abc"), number == 19);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let (messages, status) = call.finish().await;
            let told = messages.first().map(|message| read_part(message).0);
            assert_eq!(told.as_deref(), Some("20 60"), "{kind:?} {status:?}");
        }
        Kind::Refused => {
            let mut call = Call::open(client, "Upload", &tokens.stranger, None).await;
            call.send(&part(&name, b"x"), true);
            let (messages, status) = call.finish().await;
            let is_denied = status.as_deref().is_some_and(|status| status.starts_with("7 Permission "));
            assert!(messages.is_empty() && is_denied, "{kind:?} {status:?}");
        }
        Kind::Strays => {
            let mut call = open("Upload").await;
            call.send(&part(&name, b"x"), false);
            call.send(&part("projects/other/streams/s", b"x"), true);
            let (messages, status) = call.finish().await;
            // The second part was judged: no answer of the backend is told as one.
            assert!(messages.is_empty() && status.as_deref() != Some("0"), "{kind:?} {status:?}");
        }
    }
}

async fn watch(mut call: Call, shape: &str) -> End {
    call.send(&part(&format!("{NAME}/{shape}"), &[]), true);
    call.finish().await
}

/// The messages of an answer that has to be one.
async fn answered(answer: ResponseFuture) -> Frames {
    let answer = answer.await.unwrap();
    assert_eq!(status(answer.headers()), None, "it is refused");
    Frames::of(answer.into_body())
}

async fn chat(mut call: Call, name: &str) {
    call.send(&part(name, &[0]), false);
    let mut frames = answered(call.answer).await;
    for number in 0..5_u8 {
        let echoed = frames.next().await.unwrap().unwrap();
        assert_eq!(echoed, part(name, &[number]));
        let next = part(name, &[number + 1]);
        call.sending
            .send_data(if number == 4 { Bytes::new() } else { framed(&next).into() }, number == 4)
            .unwrap();
    }
    assert_eq!(frames.next().await.unwrap(), None);
    let trailers = frames.trailers().await.unwrap().unwrap();
    assert_eq!(status(&trailers).as_deref(), Some("0"));
}

async fn cancel(mut call: Call, name: &str) {
    call.send(&part(name, &[1]), false);
    let mut frames = answered(call.answer).await;
    assert_eq!(frames.next().await.unwrap().unwrap(), part(name, &[1]));
    call.sending.send_reset(Reason::CANCEL);
}

/// Begins streams on a connection of their own, and breaks it when a part of each has come back.
pub async fn vanish(gate: SocketAddr, streams: u64, tokens: &Tokens) {
    let stream = TcpStream::connect(gate).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut open = Vec::new();
    for number in 0..streams {
        let name = format!("{NAME}/v{number}");
        let mut call = Call::open(&client, "Chat", &tokens.good, None).await;
        call.send(&part(&name, &[1]), false);
        let Call { sending, answer } = call;
        let mut frames = answered(answer).await;
        assert_eq!(frames.next().await.unwrap().unwrap(), part(&name, &[1]));
        open.push((sending, frames));
    }
    driver.abort();
    let _ = driver.await;
}
