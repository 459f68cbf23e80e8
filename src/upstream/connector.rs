//! Opens the connections that Pingora uses, and hands out kept ones.
//!
//! Over HTTP/1, Pingora does not get the connection itself but one exchange's view of it (`watched`): so TLS is done
//! here, below that view, in the way Pingora would: TLS 1.2 and 1.3, the upstream's name verified against the CAs that
//! were named or the system's, the gate's certificate shown where it is asked for. Over HTTP/2, the h2 library reads
//! answers strictly, and Pingora has the whole connection.

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

/// Opens connections to an endpoint.
#[derive(Debug)]
pub(super) enum Connector {
    /// Over HTTP/1: with this TLS or none; `None` where no connection is kept for another exchange.
    Http1 { secured: Option<Arc<UpstreamConnector>>, kept: Option<Arc<IdleConnections>> },
    /// Over HTTP/2.
    Http2,
}

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &PingoraAddr) -> Result<Stream> {
        let Self::Http1 { secured, kept } = self else {
            let (tcp, line) = open(address).await?;
            return handed_on(Stream::from(tcp), &line);
        };
        let connection = match kept.as_ref().and_then(|kept| kept.take()) {
            Some(connection) => connection,
            None => {
                let (tcp, line) = open(address).await?;
                let wire = match secured {
                    None => UpstreamTransport::Plain(tcp),
                    Some(secured) => secure(tcp, secured).await?,
                };
                UpstreamConnection { wire, line }
            }
        };
        let line = connection.line.clone();
        let watched = ExchangeStream::new(connection, kept.clone());
        handed_on(Stream::from(VirtualSocketStream::new(Box::new(watched))), &line)
    }
}

fn handed_on(mut stream: Stream, line: &Arc<ConnectionDeadline>) -> Result<Stream> {
    stream.set_proxy_digest(line.digest()?);
    Ok(stream)
}

async fn open(address: &PingoraAddr) -> Result<(TcpStream, Arc<ConnectionDeadline>)> {
    let Some(inet) = address.as_inet() else {
        return Error::e_explain(ErrorType::ConnectNoRoute, "endpoints have IP addresses");
    };
    let tcp = TcpStream::connect(inet).await.map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
            std::io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
            _ => ErrorType::ConnectError,
        };
        Error::because(kind, format!("cannot connect to {address}"), error)
    })?;
    tcp.set_nodelay(true).or_err(ErrorType::ConnectError, "cannot set TCP_NODELAY")?;
    let line = ConnectionDeadline::open(&tcp).or_err(ErrorType::SocketError, "cannot watch a connection")?;
    Ok((tcp, line))
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
