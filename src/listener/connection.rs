//! A client's connection that shows Pingora one request at a time.
//!
//! While it waits for an answer, Pingora reads on; a byte that arrives then (the next request of a pipelining client, a
//! stray CRLF, the FIN of a client that has said all it wants) makes it abort the request that is under way, though a
//! cancel may have reached its backend. So reads end at the end of the request that was judged. What comes after is
//! kept for the next head, up to [`MOST_KEPT`]; a reset still shows.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::transport::Transport;
use crate::http::Channel;
use crate::proxy::Allowance;

/// Most bytes that are kept for the next head. Beyond it, nothing more is read.
const MOST_KEPT: usize = 64 * 1024;

/// A connection and how much of it the request under way may still read.
#[derive(Debug)]
pub(super) struct Connection {
    inner: Transport,
    allowance: Allowance,
    kept: BytesMut,
    ended: bool,
}

impl Connection {
    /// A connection from which nothing has been read yet.
    pub(super) fn new(inner: Transport) -> Self {
        Self { inner, allowance: Allowance::unlimited(), kept: BytesMut::new(), ended: false }
    }

    /// Reads for the next head: what was kept, else what comes. 0 at the end.
    pub(super) async fn read_head(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if !self.kept.is_empty() {
            let kept = self.kept.split();
            buffer.extend_from_slice(&kept);
            return Ok(kept.len());
        }
        if self.ended {
            return Ok(0);
        }
        self.inner.read_buf(buffer).await
    }

    /// What TLS says of it.
    pub(super) fn channel(&self) -> Option<&Arc<Channel>> {
        self.inner.channel()
    }

    /// Ends it where no answer does.
    pub(super) async fn close(&mut self) {
        self.inner.close().await;
    }

    /// Lets the next reads give `bytes` more, or any number where it is `None`.
    pub(super) fn allow(&self, bytes: Option<u64>) {
        self.allowance.set(bytes.unwrap_or(u64::MAX));
    }

    /// The allowance, for whoever learns when a body has ended.
    pub(super) fn allowance(&self) -> Allowance {
        self.allowance.clone()
    }

    /// Keeps what comes after the request. Ready only where the connection broke.
    fn poll_keep(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ended && self.kept.len() < MOST_KEPT {
            let mut space = [0; 4096];
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
            self.ended = buffer.filled().is_empty();
            self.kept.extend_from_slice(buffer.filled());
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.allowance.left();
        if left == 0 {
            return self.poll_keep(context);
        }
        if left == u64::MAX {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        let space = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.remaining());
        let mut limited = ReadBuf::new(buffer.initialize_unfilled_to(space));
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut limited))?;
        let filled = limited.filled().len();
        buffer.advance(filled);
        self.allowance.take(filled);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut self.inner).await;
    }
}

impl UniqueID for Connection {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Connection {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl Peek for Connection {}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}
