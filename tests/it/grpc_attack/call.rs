//! Calls by hand: heads and bodies that no library of gRPC would send.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// HTTP status, and `grpc-status` where there is one.
    Answer(u16, Option<String>),
    /// The stream was reset, or the connection ended.
    Reset,
}

impl Told {
    pub fn is_ok(&self) -> bool {
        *self == Self::Answer(200, Some("0".to_owned()))
    }
}

/// A call. Its fields can be anything.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: &'static str,
    pub host: &'static str,
    pub path: String,
    pub fields: Vec<(&'static str, String)>,
    /// The DATA frames.
    pub body: Vec<Vec<u8>>,
    pub trailers: Vec<(&'static str, &'static str)>,
}

impl Call {
    /// A good call with one message.
    pub fn new(host: &'static str, path: &str, token: &str, message: &[u8]) -> Self {
        Self {
            method: "POST",
            host,
            path: path.to_owned(),
            fields: vec![
                ("content-type", "application/grpc".to_owned()),
                ("te", "trailers".to_owned()),
                ("authorization", format!("Bearer {token}")),
            ],
            body: vec![framed(message)],
            trailers: Vec::new(),
        }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    /// With another value in place of a field's.
    pub fn instead(mut self, name: &str, value: &str) -> Self {
        self.fields.iter_mut().find(|(known, _)| *known == name).unwrap().1 = value.to_owned();
        self
    }

    pub fn path(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub fn body(mut self, body: &[&[u8]]) -> Self {
        self.body = body.iter().map(|piece| piece.to_vec()).collect();
        self
    }

    pub async fn send(&self, gate: SocketAddr) -> Told {
        let told = tokio::time::timeout(Duration::from_secs(30), self.try_send(gate)).await;
        told.unwrap_or_else(|_| panic!("no answer to {self:?}")).unwrap_or(Told::Reset)
    }

    async fn try_send(&self, gate: SocketAddr) -> Result<Told, h2::Error> {
        let stream = TcpStream::connect(gate).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await?;
        let driver = tokio::spawn(connection);
        let mut head =
            Request::builder().method(self.method).uri(format!("http://{}{}", self.host, self.path));
        for (name, value) in &self.fields {
            head = head.header(*name, value);
        }
        let mut client = client.ready().await?;
        let is_empty = self.body.is_empty() && self.trailers.is_empty();
        let (answer, mut sending) = client.send_request(head.body(()).unwrap(), is_empty)?;
        for (number, piece) in self.body.iter().enumerate() {
            let is_last = number + 1 == self.body.len() && self.trailers.is_empty();
            // A gate that has refused the call may have closed the stream.
            let _ = sending.send_data(Bytes::from(piece.clone()), is_last);
        }
        if !self.trailers.is_empty() {
            let mut trailers = HeaderMap::new();
            for (name, value) in &self.trailers {
                trailers.insert(*name, value.parse().unwrap());
            }
            let _ = sending.send_trailers(trailers);
        }
        let (head, mut body) = answer.await?.into_parts();
        while let Some(piece) = body.data().await {
            let _ = body.flow_control().release_capacity(piece?.len());
        }
        let status =
            |fields: &HeaderMap| fields.get("grpc-status").map(|value| value.to_str().unwrap().to_owned());
        let trailers = body.trailers().await?;
        driver.abort();
        Ok(Told::Answer(
            head.status.as_u16(),
            trailers.as_ref().and_then(status).or_else(|| status(&head.headers)),
        ))
    }
}

/// A message behind its prefix.
pub fn framed(message: &[u8]) -> Vec<u8> {
    prefixed(0, message.len(), message)
}

/// A message behind a prefix that says anything.
pub fn prefixed(flag: u8, length: usize, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [&[flag], &length[..], message].concat()
}

/// A field of bytes.
pub fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    assert!(length < 0x80 && number < 16);
    [&[number << 3 | 2, length], value].concat()
}
