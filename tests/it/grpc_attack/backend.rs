//! A backend that believes everything: it answers each stream with OK and keeps what it was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};

/// A stream, as far as it came.
#[derive(Clone, Debug, Default)]
pub struct Got {
    /// Method and path.
    pub line: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Whether the other side ended it, instead of resetting it.
    pub is_whole: bool,
}

/// A running backend. It ends with its runtime.
#[derive(Clone)]
pub struct Backend {
    pub address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Backend {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Self { address: listener.local_addr().unwrap(), got: Arc::default() };
        let serving = backend.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serving.clone().connection(stream));
            }
        });
        backend
    }

    /// What has come since the last call.
    pub fn take(&self) -> Vec<Got> {
        std::mem::take(&mut self.got.lock().unwrap())
    }

    async fn connection(self, stream: TcpStream) {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(self.clone().stream(request, respond));
        }
    }

    async fn stream(self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let place = {
            let mut got = self.got.lock().unwrap();
            let line = format!("{} {}", request.method(), request.uri().path_and_query().unwrap());
            got.push(Got { line, headers: request.headers().clone(), ..Got::default() });
            got.len() - 1
        };
        let mut body = request.into_body();
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
            if let Some(got) = self.got.lock().unwrap().get_mut(place) {
                got.body.extend_from_slice(&piece);
            }
        }
        if !body.is_end_stream() {
            return;
        }
        if let Some(got) = self.got.lock().unwrap().get_mut(place) {
            got.is_whole = true;
        }
        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let Ok(mut answer) = respond.send_response(head, false) else { return };
        let _ = answer.send_data(Bytes::from_static(&[0; 5]), false);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let _ = answer.send_trailers(trailers);
    }
}
