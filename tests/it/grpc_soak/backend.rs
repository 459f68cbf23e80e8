//! The backend of the soak: `opgate.test.v1.Streams` over HTTP/2, as tests/clients/grpc/python/server.py serves it. What a stream
//! does is in its name: `count-size-pause` or a word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};

use super::message::{Frames, part, read_part};

/// What it has seen.
#[derive(Debug, Default)]
pub struct Seen {
    open: AtomicU64,
    begun: AtomicU64,
    reset: AtomicU64,
}

impl Seen {
    /// Streams that are under way.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::SeqCst)
    }

    /// Streams that have begun.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Streams that were reset, or whose connection broke.
    pub fn reset(&self) -> u64 {
        self.reset.load(Ordering::SeqCst)
    }
}

/// A backend in the process of the test. It ends with its runtime.
pub async fn start() -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Seen>::default();
    let to = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(connection(stream, to.clone()));
        }
    });
    (address, seen)
}

async fn connection(stream: TcpStream, seen: Arc<Seen>) {
    let mut settings = h2::server::Builder::new();
    // Some streams are reset before the busy machine of a test gets around to them. By default the library ends a connection after
    // twenty of them.
    settings.max_concurrent_streams(100).max_pending_accept_reset_streams(1000);
    if let Ok(mut connection) = settings.handshake(stream).await {
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(stream_of(request, respond, seen.clone()));
        }
    }
}

async fn stream_of(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, seen: Arc<Seen>) {
    seen.open.fetch_add(1, Ordering::SeqCst);
    seen.begun.fetch_add(1, Ordering::SeqCst);
    if serve(request, &mut respond).await.is_none() {
        seen.reset.fetch_add(1, Ordering::SeqCst);
    }
    seen.open.fetch_sub(1, Ordering::SeqCst);
}

/// Serves a stream; `None` if the other side went away.
async fn serve(request: Request<RecvStream>, respond: &mut SendResponse<Bytes>) -> Option<()> {
    let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
    let mut asked = Frames::of(request.into_body());
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut answer = respond.send_response(head, false).ok()?;
    match method.as_str() {
        "Upload" => {
            let (mut parts, mut bytes) = (0_u64, 0_u64);
            while let Some(message) = asked.next().await.ok()? {
                parts += 1;
                bytes += u64::try_from(read_part(&message).1.len()).unwrap();
            }
            send(&mut answer, &part(&format!("{parts} {bytes}"), &[])).await?;
        }
        "Chat" => {
            while let Some(message) = asked.next().await.ok()? {
                if read_part(&message).0.ends_with("/early") {
                    // It has heard enough: the client has not ended its side.
                    break;
                }
                send(&mut answer, &message).await?;
            }
        }
        "Watch" => {
            let first = asked.next().await.ok()??;
            let (name, _) = read_part(&first);
            let shape: Vec<u64> =
                name.rsplit('/').next().unwrap().split('-').filter_map(|text| text.parse().ok()).collect();
            let [count, size, pause] = shape[..] else { panic!("{name}") };
            let piece = vec![b'x'; usize::try_from(size).unwrap()];
            for _ in 0..count {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                send(&mut answer, &part("", &piece)).await?;
            }
        }
        _ => panic!("{method}"),
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    answer.send_trailers(trailers).ok()
}

/// Sends a message, as fast as the other side takes it. `None` if that went away.
async fn send(answer: &mut SendStream<Bytes>, message: &[u8]) -> Option<()> {
    let mut rest = Bytes::from(super::message::framed(message));
    while !rest.is_empty() {
        answer.reserve_capacity(rest.len());
        let granted = std::future::poll_fn(|context| answer.poll_capacity(context)).await?.ok()?;
        let piece = rest.split_to(granted.min(rest.len()));
        answer.send_data(piece, false).ok()?;
    }
    // Also where there is nothing to send for a while, a reset ends the stream.
    tokio::task::yield_now().await;
    Some(())
}
