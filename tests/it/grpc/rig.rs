//! A backend and a client that speak gRPC frame by frame, and services with descriptors.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use prost::Message as _;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
    OneofDescriptorProto, ServiceDescriptorProto,
};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Gate, Setup, Tree};

pub const GET: &str = "/google.longrunning.Operations/GetOperation";
pub const CANCEL: &str = "/google.longrunning.Operations/CancelOperation";
pub const OPERATION: &str = "projects/demo/locations/us-central1/operations/train-1";
pub const CHAT: &str = "chat.localhost";

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a backend got of one request.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Whether the stream was reset before its end.
    pub was_reset: bool,
}

/// A backend over h2c.
pub struct Backend {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Backend {
    /// One that reads each request to its end and answers with one message.
    pub async fn answering() -> Self {
        Self::start(|request, mut respond, seen| async move {
            let Some(_) = read(request, &seen).await else { return };
            let mut stream = respond.send_response(head(), false).unwrap();
            stream.send_data(frame(b"\x0a\x01x"), false).unwrap();
            stream.send_trailers(trailers(0)).unwrap();
        })
        .await
    }

    pub async fn start<F: Future<Output = ()> + Send + 'static>(
        handler: impl Fn(Request<RecvStream>, SendResponse<Bytes>, Arc<Mutex<Vec<Seen>>>) -> F
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = backend.seen.clone();
        let handler: Arc<dyn Fn(Request<RecvStream>, SendResponse<Bytes>) -> Serving + Send + Sync> =
            Arc::new(move |request, respond| Box::pin(handler(request, respond, seen.clone())));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let handler = handler.clone();
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(handler(request, respond));
                    }
                });
            }
        });
        backend
    }

    /// The same, said to be at another address.
    pub fn at(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// The requests that have come, whole or reset.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The next request that ends, if only by a reset.
    pub async fn next(&self, count: usize) -> Seen {
        let found = async {
            loop {
                if let Some(seen) = self.seen().get(count) {
                    return seen.clone();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found).await.expect("the backend gets the request")
    }

    /// A gate in front of it, with the shipped policies and a service that streams.
    pub fn gate(&self, set: Vec<String>) -> (Gate, Tree) {
        let tree = tree();
        let setup = Setup {
            endpoints: Some(vec![self.address]),
            upstream_protocol: Some("h2c"),
            set: [vec![tree.setting(), "services.chat.upstream=operations".to_owned()], set].concat(),
            ..Setup::default()
        };
        (Gate::start_with(setup), tree)
    }
}

/// Reads a request to its end, and keeps it. `None` where it was reset.
pub async fn read(request: Request<RecvStream>, seen: &Mutex<Vec<Seen>>) -> Option<Vec<u8>> {
    let (parts, mut body) = request.into_parts();
    let mut got = Seen { path: parts.uri.path().to_owned(), headers: parts.headers, ..Seen::default() };
    while let Some(piece) = body.data().await {
        let Ok(piece) = piece else {
            got.was_reset = true;
            break;
        };
        let _ = body.flow_control().release_capacity(piece.len());
        got.body.extend_from_slice(&piece);
    }
    let (body, was_reset) = (got.body.clone(), got.was_reset);
    seen.lock().unwrap().push(got);
    (!was_reset).then_some(body)
}

pub fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

pub fn trailers(code: u8) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.to_string().parse().unwrap());
    trailers.insert("x-own-trailer", "kept".parse().unwrap());
    trailers
}

/// A message with its prefix.
pub fn frame(message: &[u8]) -> Bytes {
    flagged(0, message)
}

pub fn flagged(flag: u8, message: &[u8]) -> Bytes {
    let mut frame = vec![flag];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    frame.into()
}

/// A field that is a text or a message.
pub fn text(number: u8, value: &str) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let length = value.len();
    if length >= 128 {
        field.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        field.push(u8::try_from(length >> 7).unwrap());
    } else {
        field.push(u8::try_from(length).unwrap());
    }
    field.extend_from_slice(value.as_bytes());
    field
}

/// What came of a call.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub http_status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
    /// Whether the answer was one HEADERS frame.
    pub is_trailers_only: bool,
    pub error: Option<String>,
}

impl Outcome {
    fn field(&self, name: &str) -> Option<String> {
        let value = self.trailers.get(name).or_else(|| self.headers.get(name))?;
        Some(value.to_str().unwrap().to_owned())
    }

    pub fn code(&self) -> u8 {
        let code = self.field("grpc-status").unwrap_or_else(|| panic!("no status: {self:?}"));
        code.parse().unwrap()
    }

    /// The reason of the ErrorInfo.
    pub fn reason(&self) -> String {
        let details = self.field("grpc-status-details-bin").unwrap_or_default();
        let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(details).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let names = regex::Regex::new("[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+").unwrap();
        names.find(&text).map(|found| found.as_str().to_owned()).unwrap_or_default()
    }

    pub fn message(&self) -> String {
        self.field("grpc-message").unwrap_or_default()
    }
}

/// A call that is to be sent.
#[derive(Clone, Debug)]
pub struct Call {
    pub host: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Call {
    /// A call of the companion's operations.
    pub fn new(path: &str, token: &str) -> Self {
        Self::on(crate::harness::COMPANION, path, token)
    }

    pub fn on(host: &str, path: &str, token: &str) -> Self {
        let mut headers = vec![
            ("content-type".to_owned(), "application/grpc".to_owned()),
            ("te".to_owned(), "trailers".to_owned()),
        ];
        if !token.is_empty() {
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        Self { host: host.to_owned(), path: path.to_owned(), headers }
    }

    /// With one field more.
    pub fn add(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Opens the stream.
    pub async fn open(&self, gate: &Gate) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let stream = TcpStream::connect(gate.address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let uri = format!("http://{}{}", self.host, self.path);
        let mut request = Request::builder().method("POST").uri(uri).version(http::Version::HTTP_2);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut client = client.ready().await.unwrap();
        let opened = client.send_request(request.body(()).unwrap(), false).unwrap();
        // The connection goes on while a stream is open.
        drop(client);
        opened
    }

    /// Sends these bytes as the whole body.
    pub async fn send(&self, gate: &Gate, body: impl Into<Bytes>) -> Outcome {
        let (answer, mut stream) = self.open(gate).await;
        // An error means that the answer has come already.
        let _ = stream.send_data(body.into(), true);
        finish(answer).await
    }
}

/// The audit line of a method, once it is there.
pub async fn line_of(gate: &Gate, method: &str) -> String {
    let found = async {
        loop {
            let text = gate.audit_text();
            if let Some(line) = text.lines().find(|line| line.contains(method)) {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("an audit line")
}

/// Reads an answer to its end.
pub async fn finish(answer: h2::client::ResponseFuture) -> Outcome {
    let read = async {
        let mut outcome = Outcome::default();
        let (parts, mut body) = match answer.await {
            Ok(answer) => answer.into_parts(),
            Err(error) => return Outcome { error: Some(error.to_string()), ..outcome },
        };
        outcome.http_status = parts.status.as_u16();
        outcome.headers = parts.headers;
        outcome.is_trailers_only = body.is_end_stream();
        while let Some(piece) = body.data().await {
            match piece {
                Ok(piece) => {
                    let _ = body.flow_control().release_capacity(piece.len());
                    outcome.body.extend_from_slice(&piece);
                }
                Err(error) => return Outcome { error: Some(error.to_string()), ..outcome },
            }
        }
        match body.trailers().await {
            Ok(trailers) => outcome.trailers = trailers.unwrap_or_default(),
            Err(error) => outcome.error = Some(error.to_string()),
        }
        outcome
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("an answer in time")
}

/// The shipped policies, and a service of streams whose descriptor set has no http rule.
pub fn tree() -> Tree {
    let tree = Tree::shipped();
    std::fs::write(tree.path().join("services/chat.binpb"), chat().encode_to_vec()).unwrap();
    tree.write(
        "services/chat.iam.yaml",
        "service: chat.localhost
rules:
- {selector: acme.chat.v1.Chat.Talk, permission: cloudaicompanion.operations.get, resource: room.name, scopes: none}
- {selector: acme.chat.v1.Chat.Watch, permission: cloudaicompanion.operations.get, resource: room.name, scopes: none}
- {selector: acme.chat.v1.Chat.Post, permission: cloudaicompanion.operations.get, resource: 'projects/{project}/rooms/{id}', scopes: none}
- {selector: acme.chat.v1.Chat.Free, permission: none, scopes: none}
- {selector: acme.chat.v1.Chat.Constant, permission: cloudaicompanion.operations.get, resource: projects/demo/hall, scopes: none}
",
    );
    tree
}

fn field(name: &str, number: i32, message: Option<&str>, oneof: Option<i32>) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(if message.is_some() { Type::Message } else { Type::String }.into()),
        type_name: message.map(str::to_owned),
        oneof_index: oneof,
        ..Default::default()
    }
}

/// `Said {project = 1; oneof {id = 2; alias = 3}; room = 4 {name = 1}; text = 5}`
fn chat() -> FileDescriptorSet {
    const SAID: &str = ".acme.chat.v1.Said";
    let method = |name: &str, client: bool, server: bool| MethodDescriptorProto {
        name: Some(name.into()),
        input_type: Some(SAID.into()),
        output_type: Some(SAID.into()),
        client_streaming: Some(client),
        server_streaming: Some(server),
        ..Default::default()
    };
    let said = DescriptorProto {
        name: Some("Said".into()),
        field: vec![
            field("project", 1, None, None),
            field("id", 2, None, Some(0)),
            field("alias", 3, None, Some(0)),
            field("room", 4, Some(".acme.chat.v1.Room"), None),
            field("text", 5, None, None),
        ],
        oneof_decl: vec![OneofDescriptorProto { name: Some("which".into()), ..Default::default() }],
        ..Default::default()
    };
    let room = DescriptorProto {
        name: Some("Room".into()),
        field: vec![field("name", 1, None, None)],
        ..Default::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("Chat".into()),
        method: vec![
            method("Talk", true, true),
            method("Watch", false, true),
            method("Post", false, false),
            method("Free", true, true),
            method("Constant", true, false),
            method("Closed", false, false),
        ],
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("acme/chat/v1/chat.proto".into()),
        package: Some("acme.chat.v1".into()),
        message_type: vec![said, room],
        service: vec![service],
        syntax: Some("proto3".into()),
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }
}

/// A message of the chat in a room, by its name.
pub fn said(room: &str, words: &str) -> Vec<u8> {
    let inner = text(1, room);
    let mut message = text(4, std::str::from_utf8(&inner).unwrap());
    message.extend(text(5, words));
    message
}
