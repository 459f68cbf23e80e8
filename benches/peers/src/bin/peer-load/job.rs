//! What is sent, from how many connections, and which answer is right.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_rustls::rustls::ClientConfig;

use crate::{Failure, tls};

#[derive(clap::Args)]
pub struct Arguments {
    /// Where the proxy listens.
    #[arg(long)]
    pub to: SocketAddr,
    /// Speak HTTP/2 instead of HTTP/1.1.
    #[arg(long)]
    pub http2: bool,
    /// Speak TLS, and trust this CA alone (PEM).
    #[arg(long)]
    pub ca: Option<PathBuf>,
    /// The host that is asked for.
    #[arg(long)]
    pub host: String,
    /// The method and the path: `POST /v1/x`.
    #[arg(long)]
    pub call: String,
    /// Bytes of the request's body.
    #[arg(long, default_value_t = 0)]
    pub body: usize,
    /// A file with one token a line, which are sent in turn.
    #[arg(long)]
    pub tokens: Option<PathBuf>,
    /// Send each token once, and stop after the last.
    #[arg(long)]
    pub once: bool,
    /// The one status that is right.
    #[arg(long)]
    pub status: u16,
    /// The length that the answer's body must have.
    #[arg(long)]
    pub length: Option<usize>,
    /// Connections.
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
    /// Requests of one HTTP/2 connection at one time.
    #[arg(long, default_value_t = 1)]
    pub streams: usize,
    /// How long.
    #[arg(long)]
    pub seconds: f64,
    /// Requests a second, evenly spread; as many as possible where it is left out. HTTP/1.1 only.
    #[arg(long)]
    pub rate: Option<f64>,
}

/// The arguments, read and checked.
pub struct Job {
    pub to: SocketAddr,
    pub tls: Option<Arc<ClientConfig>>,
    pub host: String,
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
    tokens: Vec<String>,
    once: bool,
    next: AtomicUsize,
    pub status: u16,
    pub length: Option<usize>,
    pub connections: usize,
    pub streams: usize,
    pub time: Duration,
    pub rate: Option<f64>,
}

/// The credential of the next request.
pub enum Credential<'a> {
    /// The request has none.
    None,
    /// This one.
    Token(&'a str),
    /// All tokens were sent, and each may be sent once.
    UsedUp,
}

impl Job {
    pub fn read(arguments: &Arguments) -> Result<Self, Failure> {
        let (method, path) = arguments.call.split_once(' ').ok_or("--call takes `METHOD PATH`")?;
        let tokens = match &arguments.tokens {
            Some(file) => std::fs::read_to_string(file)?.lines().map(str::to_owned).collect(),
            None => Vec::new(),
        };
        let protocols: &[&[u8]] = if arguments.http2 { &[b"h2"] } else { &[b"http/1.1"] };
        Ok(Self {
            to: arguments.to,
            tls: arguments.ca.as_deref().map(|ca| tls::client(ca, protocols)).transpose()?,
            host: arguments.host.clone(),
            method: method.to_owned(),
            path: path.to_owned(),
            body: vec![b'x'; arguments.body],
            tokens,
            once: arguments.once,
            next: AtomicUsize::new(0),
            status: arguments.status,
            length: arguments.length,
            connections: arguments.connections,
            streams: arguments.streams,
            time: Duration::from_secs_f64(arguments.seconds),
            rate: arguments.rate,
        })
    }

    pub fn next_credential(&self) -> Credential<'_> {
        if self.tokens.is_empty() {
            return Credential::None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if self.once && number >= self.tokens.len() {
            return Credential::UsedUp;
        }
        Credential::Token(&self.tokens[number % self.tokens.len()])
    }

    /// Says what is wrong with an answer, if anything is.
    pub fn judge(&self, status: u16, length: usize) -> Result<(), String> {
        if status != self.status {
            return Err(format!("status {status} instead of {}", self.status));
        }
        match self.length {
            Some(right) if right != length => Err(format!("a body of {length} bytes instead of {right}")),
            _ => Ok(()),
        }
    }
}
