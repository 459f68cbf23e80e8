//! One request to one backend, with a number that names it in the books.

use std::fmt;

use crate::harness::{Body, Req};

/// HTTP/1.1 or HTTP/2 towards the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

/// The caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// May call everything that is exposed.
    All,
    /// May get things, and nothing else.
    Get,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub number: u64,
    pub version: Version,
    pub caller: Caller,
    pub request: Req,
    /// Bytes after a head that says `Transfer-Encoding: chunked`, over HTTP/1.1.
    pub chunks: Option<Vec<u8>>,
}

impl Case {
    /// A request over HTTP/1.1 by a caller who may do everything.
    pub fn new(method: &str, host: &str, target: &str) -> Self {
        Self {
            number: 0,
            version: Version::Http1,
            caller: Caller::All,
            request: Req::new(method, host, target),
            chunks: None,
        }
    }

    pub fn over(self, version: Version) -> Self {
        Self { version, ..self }
    }

    pub fn by(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value), ..self }
    }

    pub fn body(self, body: Body) -> Self {
        Self { request: self.request.body(body), ..self }
    }

    pub fn chunks(self, bytes: impl Into<Vec<u8>>) -> Self {
        Self { chunks: Some(bytes.into()), ..self }
    }

    /// The request as it is sent: with its number, and its caller's token.
    pub fn to_send(&self, token: &str) -> Req {
        let request = self.request.clone().header("user-agent", &format!("case-{}", self.number));
        request.bearer(token)
    }

    /// Its bytes over HTTP/1.1.
    pub fn to_http1(&self, token: &str) -> Vec<u8> {
        let request = self.to_send(token);
        match &self.chunks {
            None => request.to_http1(),
            Some(chunks) => {
                let head = request.header("transfer-encoding", "chunked").body(Body::None).to_http1();
                [head, chunks.clone()].concat()
            }
        }
    }
}

/// For failure messages: without the token.
impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, version, caller, request, chunks } = self;
        let Req { method, host, target, headers, body } = request;
        write!(formatter, "case {number}, {version:?}, caller {caller:?}: {method} {target} at {host}")?;
        for (name, value) in headers {
            write!(formatter, ", {name}: {value:?}")?;
        }
        match (body, chunks) {
            (_, Some(chunks)) => write!(formatter, ", chunked {:?}", chunks.escape_ascii().to_string()),
            (Body::None, None) => Ok(()),
            (Body::Length(body), None) => write!(formatter, ", body {:?}", body.escape_ascii().to_string()),
            (Body::Chunked(body), None) => {
                write!(formatter, ", body in a chunk {:?}", body.escape_ascii().to_string())
            }
        }
    }
}
