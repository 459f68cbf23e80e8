//! A backend that speaks gRPC over HTTP/2 and nothing else: it remembers what it is asked, and answers as it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

/// A call that has come.
#[derive(Clone, Debug)]
pub struct SeenCall {
    pub method: String,
    pub path: String,
    pub fields: HeaderMap,
    /// The body: messages in their frames.
    pub body: Vec<u8>,
    /// The message as JSON.
    pub message: Value,
}

impl SeenCall {
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A step of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// The head, with fields beside the usual ones; an empty value removes one.
    Head(u16, &'static [(&'static str, &'static str)]),
    /// A message of the method's, made of JSON.
    Message(Value),
    /// These bytes.
    Bytes(Vec<u8>),
    /// The message that was asked with.
    Echo,
    /// Waits until it is told to go on.
    Wait,
    /// The status, and the end.
    Trailers(Vec<(&'static str, String)>),
    /// The head with a status, and nothing else.
    TrailersOnly(Vec<(&'static str, String)>),
    /// The stream is reset.
    Reset,
    /// The end of the stream without trailers.
    End,
    /// Nothing more is sent.
    Hang,
}

/// The usual end.
pub fn ok() -> Step {
    Step::Trailers(vec![("grpc-status", "0".to_owned())])
}

/// An answer of one message.
pub fn one(message: Value) -> Vec<Step> {
    vec![Step::Head(200, &[]), Step::Message(message), ok()]
}

/// An end with an error.
pub fn error(code: u8, message: &str) -> Vec<(&'static str, String)> {
    vec![("grpc-status", code.to_string()), ("grpc-message", message.to_owned())]
}

#[derive(Clone)]
pub struct GrpcBackend {
    pub address: SocketAddr,
    pool: DescriptorPool,
    calls: Arc<Mutex<Vec<SeenCall>>>,
    answers: Arc<Mutex<HashMap<String, Vec<Step>>>>,
    go_on: Arc<tokio::sync::Notify>,
    resets: Arc<Mutex<usize>>,
    broken: Arc<Mutex<usize>>,
}

impl GrpcBackend {
    /// Serves the methods of a pool. What is not told how to answer echoes.
    pub async fn start(pool: DescriptorPool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Self {
            address: listener.local_addr().unwrap(),
            pool,
            calls: Arc::default(),
            answers: Arc::default(),
            go_on: Arc::default(),
            resets: Arc::default(),
            broken: Arc::default(),
        };
        let serving = backend.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        backend
    }

    /// How calls of a method are answered from now on.
    pub fn answer(&self, method: &str, steps: Vec<Step>) {
        self.answers.lock().unwrap().insert(method.to_owned(), steps);
    }

    /// Lets one `Wait` go on.
    pub fn go_on(&self) {
        self.go_on.notify_one();
    }

    /// The calls since this was asked last.
    pub fn take(&self) -> Vec<SeenCall> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// How many streams clients have reset.
    pub fn resets(&self) -> usize {
        *self.resets.lock().unwrap()
    }

    /// How many calls ended before their message.
    pub fn broken(&self) -> usize {
        *self.broken.lock().unwrap()
    }

    async fn serve(self, stream: TcpStream) {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(self.clone().one(request, respond));
        }
    }

    async fn one(self, request: http::Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
        let (parts, mut stream) = request.into_parts();
        let mut body = Vec::new();
        while let Some(piece) = stream.data().await {
            let Ok(piece) = piece else {
                *self.broken.lock().unwrap() += 1;
                return;
            };
            let _ = stream.flow_control().release_capacity(piece.len());
            body.extend_from_slice(&piece);
        }
        let path = parts.uri.path().to_owned();
        let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
        let found = self.pool.get_service_by_name(service);
        let found = found.and_then(|service| service.methods().find(|known| known.name() == method));
        let message = found.as_ref().and_then(|method| {
            let message = DynamicMessage::decode(method.input(), body.get(5..)?).ok()?;
            serde_json::to_value(&message).ok()
        });
        self.calls.lock().unwrap().push(SeenCall {
            method: parts.method.to_string(),
            path: path.clone(),
            fields: parts.headers,
            body: body.clone(),
            message: message.unwrap_or_default(),
        });
        let told = self.answers.lock().unwrap().get(method).cloned();
        let steps = told.unwrap_or_else(|| vec![Step::Head(200, &[]), Step::Echo, ok()]);
        let output = found.map(|method| method.output());
        let mut out: Option<h2::SendStream<Bytes>> = None;
        for step in steps {
            let sent = match step {
                Step::Head(status, fields) => {
                    let head = head(status, fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
                    respond.send_response(head, false).map(|stream| out = Some(stream))
                }
                Step::TrailersOnly(fields) => {
                    respond.send_response(head(200, fields.into_iter()), true).map(drop)
                }
                Step::Message(json) => {
                    let message = DynamicMessage::deserialize(output.clone().unwrap(), json).unwrap();
                    send(out.as_mut().unwrap(), frame(&message.encode_to_vec())).await
                }
                Step::Echo => send(out.as_mut().unwrap(), body.clone()).await,
                Step::Bytes(bytes) => send(out.as_mut().unwrap(), bytes).await,
                Step::Wait => {
                    self.go_on.notified().await;
                    Ok(())
                }
                Step::Trailers(fields) => out.as_mut().unwrap().send_trailers(map(fields.into_iter())),
                Step::End => out.as_mut().unwrap().send_data(Bytes::new(), true),
                Step::Reset => {
                    out.as_mut().unwrap().send_reset(h2::Reason::INTERNAL_ERROR);
                    Ok(())
                }
                Step::Hang => {
                    if let Some(out) = &mut out {
                        let _ = std::future::poll_fn(|context| out.poll_reset(context)).await;
                    } else {
                        let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
                    }
                    *self.resets.lock().unwrap() += 1;
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

fn head(status: u16, fields: impl Iterator<Item = (&'static str, String)>) -> Response<()> {
    let mut head =
        Response::builder().status(status).header("content-type", "application/grpc").body(()).unwrap();
    for (name, value) in map(fields) {
        let name = name.unwrap();
        if value.is_empty() {
            head.headers_mut().remove(name);
        } else {
            head.headers_mut().insert(name, value);
        }
    }
    head
}

fn map(fields: impl Iterator<Item = (&'static str, String)>) -> HeaderMap {
    fields
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap()))
        .collect()
}

/// A message in its frame.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), message].concat()
}

/// Sends within the window of the stream.
async fn send(stream: &mut h2::SendStream<Bytes>, bytes: Vec<u8>) -> Result<(), h2::Error> {
    let mut rest = Bytes::from(bytes);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let room = room.transpose()?.unwrap_or_default();
        if room == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        stream.send_data(rest.split_to(room.min(rest.len())), false)?;
    }
    Ok(())
}
