//! HTTP/2 on both sides: streams that share connections, windows, trailers, and exchanges that end alone.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::harness::{COMPANION, Gate, Req, Setup, TRAIN, Tree, cancel, get, token};
use crate::origin::Step::{Body, Head, Say};
use crate::origin::{OK, Origin};

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;
type Handler = Arc<dyn Fn(Request<RecvStream>, SendResponse<Bytes>) -> Serving + Send + Sync>;

/// A backend that speaks HTTP/2 without TLS.
struct Backend {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Has each connection say that it takes no more requests.
    leave: watch::Sender<bool>,
}

impl Backend {
    /// It serves each request by `handler`, and so many of a connection at one time.
    async fn start<F: Future<Output = ()> + Send + 'static>(
        streams: u32,
        handler: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self {
        let handler: Handler = Arc::new(move |request, respond| Box::pin(handler(request, respond)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (leave, leaving) = watch::channel(false);
        let backend = Self { address: listener.local_addr().unwrap(), connections: Arc::default(), leave };
        let connections = backend.connections.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let mut leaving = leaving.clone();
                leaving.mark_unchanged();
                tokio::spawn(serve(stream, streams, handler.clone(), leaving));
            }
        });
        backend
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A gate in front of it.
    fn gate(&self, set: Vec<String>) -> Gate {
        Gate::start_with(Setup {
            endpoints: Some(vec![self.address]),
            upstream_protocol: Some("h2c"),
            set,
            ..Setup::default()
        })
    }
}

/// Asks a gate over a connection whose streams have windows of this size, and gives the answer's body. The connection ends with
/// the client.
async fn answer_in_windows_of(size: u32, gate: &Gate) -> (SendRequest<Bytes>, RecvStream) {
    let stream = TcpStream::connect(gate.address).await.unwrap();
    let (mut client, connection) =
        h2::client::Builder::new().initial_window_size(size).handshake::<_, Bytes>(stream).await.unwrap();
    tokio::spawn(connection);
    let request = get();
    let mut head = Request::builder().uri(format!("http://{}{}", request.host, request.target));
    for (name, value) in &request.headers {
        head = head.header(name, value);
    }
    let (answer, _) = client.send_request(head.body(()).unwrap(), true).unwrap();
    (client, answer.await.unwrap().into_body())
}

async fn serve(stream: TcpStream, streams: u32, handler: Handler, mut leaving: watch::Receiver<bool>) {
    let mut settings = h2::server::Builder::new();
    let Ok(mut connection) = settings.max_concurrent_streams(streams).handshake(stream).await else { return };
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    tokio::spawn(handler(request, respond));
                }
                _ => return,
            },
            Ok(()) = leaving.changed() => connection.graceful_shutdown(),
        }
    }
}

fn ok(respond: &mut SendResponse<Bytes>) -> SendStream<Bytes> {
    respond.send_response(Response::new(()), false).unwrap()
}

/// A method that takes any bytes.
fn streaming() -> (Tree, String) {
    let tree = Tree::shipped();
    let rule = "- selector: google.longrunning.Operations.WaitOperation\n";
    tree.edit("services/cloudaicompanion.iam.yaml", rule, &format!("{rule}  body: stream\n"));
    let setting = tree.setting();
    (tree, setting)
}

fn upload() -> Req {
    Req::new("POST", COMPANION, &format!("{TRAIN}:wait")).bearer(&token("ana@example.com"))
}

/// A backend whose requests wait until they are let go, and tells of each that has come.
async fn waiting(streams: u32) -> (Backend, mpsc::UnboundedReceiver<()>, watch::Sender<bool>) {
    let (come, came) = mpsc::unbounded_channel();
    let (go, gone) = watch::channel(false);
    let backend = Backend::start(streams, move |_, mut respond| {
        let (come, mut gone) = (come.clone(), gone.clone());
        async move {
            come.send(()).unwrap();
            gone.wait_for(|go| *go).await.unwrap();
            ok(&mut respond).send_data("{}".into(), true).unwrap();
        }
    })
    .await;
    (backend, came, go)
}

#[tokio::test]
async fn requests_at_the_same_time_share_connections_as_far_as_the_backend_allows() {
    for (streams, connections) in [(100, 1), (2, 3)] {
        let (backend, mut came, go) = waiting(streams).await;
        let gate = backend.gate(Vec::new());
        let mut client = gate.http2_client().await;
        // The first one brings the connection, and with its answer the backend's settings.
        go.send_replace(true);
        let (first, _) = client.start(&get(), true).await;
        assert_eq!(client.finish(first).await.status, 200);
        came.recv().await.unwrap();
        go.send_replace(false);
        let mut answers = Vec::new();
        for _ in 0..6 {
            answers.push(client.start(&get(), true).await.0);
            came.recv().await.unwrap();
        }
        go.send_replace(true);
        for answer in answers {
            assert_eq!(client.finish(answer).await.status, 200);
        }
        assert_eq!(backend.connections(), connections, "{streams} streams of a connection");
    }
}

/// What is under way on a connection ends well, and what comes next goes over another one.
#[tokio::test]
async fn a_connection_whose_backend_goes_away_gets_no_more_requests() {
    let (backend, mut came, go) = waiting(100).await;
    let gate = backend.gate(Vec::new());
    let mut client = gate.http2_client().await;
    let (first, _) = client.start(&cancel(), true).await;
    came.recv().await.unwrap();
    backend.leave.send_replace(true);
    // Until the gate has read it, another request may be refused, and is sent again.
    let (second, _) = client.start(&cancel(), true).await;
    came.recv().await.unwrap();
    go.send_replace(true);
    for answer in [first, second] {
        assert_eq!(client.finish(answer).await.status, 200);
    }
    let next = gate.http2(&cancel()).await;
    assert_eq!(next.status, 200);
    assert!(backend.connections() >= 2, "{}", backend.connections());
}

/// A client that gives up ends its own exchange, and no other on the same connection.
#[tokio::test]
async fn a_reset_stream_resets_one_stream_of_the_backend() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let (go, gone) = watch::channel(false);
    let backend = Backend::start(100, move |request, mut respond| {
        let (tell, mut gone) = (tell.clone(), gone.clone());
        async move {
            tell.send("begun").unwrap();
            let is_cancel = request.uri().path().ends_with(":cancel");
            let reset = std::future::poll_fn(|context| respond.poll_reset(context));
            tokio::select! {
                reset = reset => {
                    assert_eq!((reset.unwrap(), is_cancel), (h2::Reason::CANCEL, true));
                    tell.send("reset").unwrap();
                    return;
                }
                _ = gone.wait_for(|go| *go) => {}
            }
            ok(&mut respond).send_data("{}".into(), true).unwrap();
        }
    })
    .await;
    let gate = backend.gate(Vec::new());
    let mut client = gate.http2_client().await;
    let (kept, _) = client.start(&get(), true).await;
    assert_eq!(told.recv().await, Some("begun"));
    let (given_up, mut stream) = client.start(&cancel(), true).await;
    assert_eq!(told.recv().await, Some("begun"));
    stream.send_reset(h2::Reason::CANCEL);
    drop(given_up);
    assert_eq!(told.recv().await, Some("reset"));
    let line = gate.audit(1).remove(0);
    assert_eq!(line["protoPayload"]["metadata"]["reason"], "CLIENT_CLOSED_REQUEST");
    assert_eq!(line["httpRequest"]["status"], 499);
    go.send_replace(true);
    assert_eq!(client.finish(kept).await.status, 200);
    assert_eq!(backend.connections(), 1);
    assert_eq!(gate.sum("opgate_upstream_errors_total").await, 0, "the backend is not to blame");
}

/// The backend may answer while the client sends, and each piece arrives before the next one is sent.
#[tokio::test]
async fn both_directions_go_on_at_the_same_time_and_trailers_end_them() {
    let backend = Backend::start(100, |request, mut respond| async move {
        let mut body = request.into_body();
        let mut answer = ok(&mut respond);
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            answer.send_data(piece, false).unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        answer.send_trailers(trailers).unwrap();
    })
    .await;
    let (_policies, setting) = streaming();
    let gate = backend.gate(vec![setting]);
    let mut client = gate.http2_client().await;
    let (answer, mut sending) = client.start(&upload(), false).await;
    sending.send_data("first".into(), false).unwrap();
    let mut receiving = answer.await.unwrap().into_body();
    let mut echoed = async |wanted: &'static str| {
        let piece = tokio::time::timeout(Duration::from_secs(10), receiving.data()).await.unwrap();
        assert_eq!(piece.unwrap().unwrap(), wanted);
    };
    echoed("first").await;
    sending.send_data("second".into(), false).unwrap();
    echoed("second").await;
    sending.send_data(Bytes::new(), true).unwrap();
    assert!(receiving.data().await.is_none());
    let trailers = receiving.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    let line = gate.audit(1).remove(0);
    assert_eq!(line["protoPayload"]["metadata"]["reason"], "ALLOWED");
    assert_eq!(line["httpRequest"]["responseSize"], "11");
}

/// Without room at the client, the backend is asked for no more than a piece.
#[tokio::test]
async fn what_a_client_does_not_take_stays_with_the_backend() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let backend = Backend::start(100, move |_, mut respond| {
        let tell = tell.clone();
        async move {
            let mut answer = ok(&mut respond);
            loop {
                answer.reserve_capacity(16 * 1024);
                let room = std::future::poll_fn(|context| answer.poll_capacity(context)).await;
                let Some(Ok(room)) = room else { return };
                let piece = room.min(16 * 1024);
                answer.send_data(vec![b' '; piece].into(), false).unwrap();
                tell.send(piece).unwrap();
            }
        }
    })
    .await;
    let gate = backend.gate(Vec::new());
    let (_client, _body) = answer_in_windows_of(0, &gate).await;
    let mut sent = 0;
    while let Ok(Some(piece)) = tokio::time::timeout(Duration::from_millis(300), told.recv()).await {
        sent += piece;
    }
    assert!(sent > 0);
    // A window, and the piece that was taken before it was known that the client has no room.
    assert!(sent <= 2 * 64 * 1024, "{sent} bytes were taken");
}

#[tokio::test]
async fn an_interim_answer_reaches_a_client_of_http2() {
    const EARLY: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
    let origin = Origin::start(&[Head, Body, Say(EARLY), Say(OK)]).await;
    let gate = Gate::start_with(Setup { endpoints: Some(vec![origin.address]), ..Setup::default() });
    let mut client = gate.http2_client().await;
    let (mut answer, _) = client.start(&cancel(), true).await;
    let early = std::future::poll_fn(|context| answer.poll_informational(context)).await.unwrap().unwrap();
    assert_eq!(
        (early.status().as_u16(), &early.headers()["link"]),
        (103, &"</a>; rel=preload".parse().unwrap())
    );
    assert_eq!(client.finish(answer).await.status, 200);
}

/// A client that takes its answer slowly, but faster than it has to, gets all of it.
#[tokio::test]
async fn an_answer_in_small_windows_is_whole() {
    let backend = Backend::start(100, |_, mut respond| async move {
        let mut answer = ok(&mut respond);
        let mut left = 300 * 1024;
        while left > 0 {
            answer.reserve_capacity(left);
            let room = std::future::poll_fn(|context| answer.poll_capacity(context)).await;
            let Some(Ok(room)) = room else { return };
            let piece = room.min(left);
            left -= piece;
            answer.send_data(vec![b'a'; piece].into(), left == 0).unwrap();
        }
    })
    .await;
    let gate = backend.gate(vec!["limits={write_timeout: 1s}".to_owned()]);
    let (_client, mut body) = answer_in_windows_of(5000, &gate).await;
    let mut read = 0;
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        read += piece.len();
        tokio::time::sleep(Duration::from_millis(10)).await;
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert_eq!(read, 300 * 1024);
}
