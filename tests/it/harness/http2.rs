//! A client that speaks HTTP/2 stream by stream.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{Answer, Body, Req};

/// An HTTP/2 connection on the `h2` crate, which does not tidy up requests as a client library would.
pub struct Http2 {
    scheme: &'static str,
    client: h2::client::SendRequest<Bytes>,
    driver: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::with_scheme("http", TcpStream::connect(address).await.unwrap()).await
    }

    /// Over a stream without TLS on which no byte of HTTP has been sent yet.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self::with_scheme("http", stream).await
    }

    /// Over a TLS stream on which no byte of HTTP has been sent yet.
    pub async fn over_tls(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self::with_scheme("https", stream).await
    }

    async fn with_scheme(
        scheme: &'static str,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        Self { scheme, client, driver: tokio::spawn(connection) }
    }

    /// Sends a request's head; the caller sends the body.
    pub async fn start(
        &mut self,
        request: &Req,
        end_of_stream: bool,
    ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let uri = match request.method.as_str() {
            "CONNECT" => request.host.clone(),
            _ => format!("{}://{}{}", self.scheme, request.host, request.target),
        };
        let mut head =
            http::Request::builder().version(http::Version::HTTP_2).method(request.method.as_str()).uri(uri);
        for (name, value) in &request.headers {
            head = head.header(name.as_str(), value.as_str());
        }
        if let Body::Length(body) = &request.body
            && !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            head = head.header("content-length", body.len());
        }
        self.client = self.client.clone().ready().await.unwrap();
        self.client.send_request(head.body(()).unwrap(), end_of_stream).unwrap()
    }

    /// Reads an answer to its end.
    pub async fn finish(&self, response: h2::client::ResponseFuture) -> Answer {
        self.try_finish(response).await.unwrap()
    }

    /// Like [`Self::finish`], for a stream that may be reset.
    pub async fn try_finish(&self, response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
        let answer = async {
            let (parts, mut body) = response.await?.into_parts();
            let mut bytes = Vec::new();
            while let Some(chunk) = body.data().await {
                let chunk = chunk?;
                let _ = body.flow_control().release_capacity(chunk.len());
                bytes.extend_from_slice(&chunk);
            }
            Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: bytes })
        };
        tokio::time::timeout(Duration::from_secs(10), answer).await.expect("an answer in time")
    }

    /// Waits until the gate has ended the connection.
    pub async fn closed(mut self) -> Result<(), h2::Error> {
        let ended = tokio::time::timeout(Duration::from_secs(10), &mut self.driver).await;
        ended.expect("the connection ends in time").unwrap()
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
