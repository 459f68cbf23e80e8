//! Opens the connections to backends, and hands out kept ones.
//!
//! Over HTTP/1, an exchange of ours has the connection (`http1`). Pingora, which HTTP/2 clients still need, does not get the
//! connection itself but one exchange's view of it (`watched`): so TLS is done here, below that view, in the way Pingora would: TLS 1.2 and 1.3, the upstream's name verified against the CAs that
//! were named or the system's, the gate's certificate shown where it is asked for. Over HTTP/2, the h2 library reads
//! answers strictly, and Pingora has the whole connection.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::GetProxyDigest;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::VirtualSocketStream;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::net::TcpStream;
use tokio_rustls::rustls;

use super::deadline::ConnectionDeadline;
use super::kept::IdleConnections;
use super::secured::UpstreamConnector;
use super::watched::ExchangeStream;
use super::wire::{UpstreamConnection, UpstreamTransport};

/// Opens connections to an endpoint for Pingora.
#[derive(Debug)]
pub(super) enum Connector {
    /// Over HTTP/1.
    Http1(Http1Connector),
    /// Over HTTP/2.
    Http2,
}

/// Opens HTTP/1 connections to an endpoint: with this TLS or none.
#[derive(Clone, Debug)]
pub(super) struct Http1Connector {
    pub(super) secured: Option<Arc<UpstreamConnector>>,
    /// Those that are kept; `None` where no connection is kept for another exchange.
    pub(super) kept: Option<Arc<IdleConnections>>,
}

impl Http1Connector {
    /// A kept connection, or a new one.
    ///
    /// # Errors
    /// Where none can be had.
    pub(super) async fn connection(&self, address: SocketAddr) -> Result<UpstreamConnection> {
        match self.kept() {
            Some(connection) => Ok(connection),
            None => self.open(address).await,
        }
    }

    /// A kept connection, where there is one.
    pub(super) fn kept(&self) -> Option<UpstreamConnection> {
        self.kept.as_ref()?.take()
    }

    /// A new connection.
    pub(super) async fn open(&self, address: SocketAddr) -> Result<UpstreamConnection> {
        let tcp = open(address).await?;
        Ok(UpstreamConnection::new(match &self.secured {
            None => UpstreamTransport::Plain(tcp),
            Some(secured) => secure(tcp, secured).await?,
        }))
    }
}

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &PingoraAddr) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::ConnectNoRoute, "endpoints have IP addresses");
        };
        match self {
            Self::Http2 => {
                let tcp = open(*address).await?;
                let line = ConnectionDeadline::open(&tcp).or_err(ErrorType::SocketError, UNWATCHED)?;
                handed_on(Stream::from(tcp), &line)
            }
            Self::Http1(connector) => {
                let mut connection = connector.connection(*address).await?;
                let line = connection.line().or_err(ErrorType::SocketError, UNWATCHED)?.clone();
                let watched = ExchangeStream::new(connection, connector.kept.clone());
                handed_on(Stream::from(VirtualSocketStream::new(Box::new(watched))), &line)
            }
        }
    }
}

const UNWATCHED: &str = "cannot watch a connection";

fn handed_on(mut stream: Stream, line: &Arc<ConnectionDeadline>) -> Result<Stream> {
    stream.set_proxy_digest(line.digest()?);
    Ok(stream)
}

async fn open(address: SocketAddr) -> Result<TcpStream> {
    let tcp = TcpStream::connect(address).await.map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
            std::io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
            _ => ErrorType::ConnectError,
        };
        Error::because(kind, format!("cannot connect to {address}"), error)
    })?;
    tcp.set_nodelay(true).or_err(ErrorType::ConnectError, "cannot set TCP_NODELAY")?;
    Ok(tcp)
}

async fn secure(tcp: TcpStream, secured: &UpstreamConnector) -> Result<UpstreamTransport> {
    let (connector, name) = secured.connector()?;
    match connector.connect(name, tcp).await {
        Ok(tls) => Ok(UpstreamTransport::Secured(Box::new(tls))),
        Err(error) => {
            let of_tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
            let kind = match of_tls {
                Some(rustls::Error::InvalidCertificate(_)) => ErrorType::InvalidCert,
                _ => ErrorType::TLSHandshakeFailure,
            };
            let name = secured.server_name();
            Err(Error::because(kind, format!("the TLS handshake with `{name}` failed"), error))
        }
    }
}
