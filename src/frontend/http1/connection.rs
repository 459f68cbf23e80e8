//! A client's connection over HTTP/1, and how much of it the request under way may read.
//!
//! Reads end at the end of the request that was judged. What comes after it (the next request of a pipelining client, a stray
//! CRLF, the FIN of a client that has sent all it wants) is kept for the next head, up to [`MOST_KEPT`], and ends no exchange: a
//! cancel may have reached its backend. A reset still shows.
//!
//! A chunked body says itself where it ends: [`Chunked`] follows it, and what is not one is an error here.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::frontend::read::read_some;
use crate::http::Framing;
use crate::http::chunked::{ChunkError, Chunked};
use crate::listener::ClientStream;
use crate::reason::{Denial, Reason};
use crate::tls::Established;

/// Most bytes that are kept for the next head, or of a first chunk that is waited for. Beyond it, nothing more is read.
const MOST_KEPT: usize = 64 * 1024;

/// How much of a body that is passed on is read at once.
const READ_OF_A_BODY: usize = 32 * 1024;

/// A connection and how much of it the request under way may still read.
#[derive(Debug)]
pub(super) struct Http1Connection {
    inner: ClientStream,
    /// How many bytes may still be read of a body whose length is known; [`u64::MAX`] for any number.
    left: u64,
    /// Of a body that comes in chunks.
    chunks: Option<Chunks>,
    /// Bytes that were read and not handed on: of the body under way, and of what comes after it.
    kept: BytesMut,
    ended: bool,
}

/// How far a chunked body has come.
#[derive(Debug)]
struct Chunks {
    body: Chunked,
    /// How many of the kept bytes have been parsed already.
    followed: usize,
}

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It has more bytes than it may have.
    #[error("the body is too long")]
    TooLong,
    /// The connection ended within it.
    #[error("the body could not be read: the connection ended within it")]
    Ended,
    /// It is not a chunked body.
    #[error(transparent)]
    Chunked(#[from] ChunkError),
    /// The connection broke.
    #[error("the body could not be read: {0}")]
    Io(#[from] io::Error),
}

impl BodyError {
    /// The denial of the request. `overflow` is for a body that is too long.
    pub(super) fn denial(self, overflow: impl Fn() -> Denial) -> Denial {
        match self {
            Self::TooLong => overflow(),
            Self::Chunked(error) => error.denial(),
            Self::Io(error) => {
                Denial::new(Reason::ClientClosed, format!("the body could not be read: {error}"))
            }
            Self::Ended => Denial::new(Reason::RequestMalformed, self.to_string()),
        }
    }
}

impl BodyError {
    /// The denial of a request whose body is passed on.
    pub(super) fn passed_denial(self) -> Denial {
        match self {
            Self::Ended => Denial::new(Reason::ClientClosed, self.to_string()),
            other => other.denial(|| Denial::new(Reason::BodyTooLarge, "the body grew beyond its bound")),
        }
    }
}

impl Http1Connection {
    /// A connection from which nothing has been read yet.
    pub(super) fn new(inner: ClientStream) -> Self {
        Self { inner, left: u64::MAX, chunks: None, kept: BytesMut::new(), ended: false }
    }

    /// A head has been read, and `behind` with it: the next reads give the body, and no more than that.
    pub(super) fn begin_body(&mut self, framing: Framing, behind: BytesMut) {
        self.left = match framing {
            Framing::None => 0,
            Framing::Length(length) => length,
            Framing::Chunked | Framing::Stream(_) => u64::MAX,
        };
        self.chunks = (framing == Framing::Chunked).then(|| Chunks { body: Chunked::new(), followed: 0 });
        if !behind.is_empty() {
            // The kept bytes have come later.
            let later = std::mem::replace(&mut self.kept, behind);
            self.kept.extend_from_slice(&later);
        }
    }

    /// Whether the body under way has been read to its end, and no further.
    pub(super) fn is_between_requests(&self) -> bool {
        match &self.chunks {
            Some(chunks) => chunks.body.is_done() && chunks.followed == 0,
            None => self.left == 0,
        }
    }

    /// There will be no more requests: the next reads give every byte that comes.
    pub(super) fn linger(&mut self) {
        self.chunks = None;
        self.left = u64::MAX;
    }

    /// Reads the body under way to its end, and gives its data. What comes behind it is kept.
    pub(super) async fn collect(&mut self, limit: u64) -> Result<Vec<u8>, BodyError> {
        let mut data = Vec::new();
        if let Some(chunks) = &mut self.chunks {
            while !chunks.body.is_done() {
                if self.kept.is_empty() {
                    if self.ended {
                        return Err(BodyError::Ended);
                    }
                    self.kept.reserve(4096);
                    self.ended = self.inner.read_buf(&mut self.kept).await? == 0;
                    continue;
                }
                let length = chunks.body.decode(&self.kept, &mut data)?;
                self.kept.advance(length);
                if data.len() as u64 > limit {
                    return Err(BodyError::TooLong);
                }
            }
            return Ok(data);
        }
        if self.left > limit {
            return Err(BodyError::TooLong);
        }
        data.reserve_exact(usize::try_from(self.left).unwrap_or_default());
        while self.left > 0 {
            if self.read_buf(&mut data).await? == 0 {
                return Err(BodyError::Ended);
            }
        }
        Ok(data)
    }

    /// Reads until the first chunk of a chunked body has come, data and all, or as much of it as is kept.
    pub(super) async fn begin_chunks(&mut self) -> Result<(), BodyError> {
        while let Some(chunks) = &mut self.chunks {
            let fresh = self.kept.get(chunks.followed..).unwrap_or_default();
            chunks.followed += chunks.body.advance(fresh)?;
            if chunks.body.has_chunk() || chunks.followed >= MOST_KEPT {
                break;
            }
            if self.ended {
                return Err(BodyError::Ended);
            }
            self.ended = self.inner.read_buf(&mut self.kept).await? == 0;
        }
        Ok(())
    }

    /// Reads for the next head: kept bytes first, then the connection. 0 at the end.
    pub(super) async fn read_head(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if !self.kept.is_empty() {
            let kept = self.kept.split();
            buffer.extend_from_slice(&kept);
            return Ok(kept.len());
        }
        if self.ended {
            return Ok(0);
        }
        read_some(&mut self.inner, buffer).await
    }

    /// The facts of its handshake.
    pub(super) fn established(&self) -> Option<&Arc<Established>> {
        self.inner.established()
    }

    /// Ends it without an answer.
    pub(super) async fn close(&mut self) {
        self.inner.close().await;
    }

    /// Keeps what comes after the request. Ready only where the connection broke.
    fn poll_keep(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ended && self.kept.len() < MOST_KEPT {
            ready!(self.poll_more(context))?;
        }
        Poll::Pending
    }

    /// Reads on, and keeps what comes.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
        self.ended = buffer.filled().is_empty();
        self.kept.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }

    /// Gives bytes of a body whose length is known, up to `left` of them.
    fn poll_length(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        left: u64,
    ) -> Poll<io::Result<()>> {
        let space = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.remaining());
        let filled = if !self.kept.is_empty() {
            let kept = self.kept.split_to(space.min(self.kept.len()));
            buffer.put_slice(&kept);
            kept.len()
        } else if self.ended {
            0
        } else if space == buffer.remaining() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
            buffer.filled().len() - before
        } else {
            let mut limited = ReadBuf::new(buffer.initialize_unfilled_to(space));
            ready!(Pin::new(&mut self.inner).poll_read(context, &mut limited))?;
            let filled = limited.filled().len();
            buffer.advance(filled);
            filled
        };
        self.left -= filled as u64;
        Poll::Ready(Ok(()))
    }
}

/// What an exchange reads.
impl Http1Connection {
    /// Reads on in the body under way, and gives its data to `on_data`, without its coding. Ready with `true` once nothing of it
    /// follows; what comes behind it is kept.
    ///
    /// # Errors
    /// Where it breaks off, or is not well chunked.
    pub(super) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        on_data: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<bool, BodyError>> {
        if self.is_between_requests() {
            return Poll::Ready(Ok(true));
        }
        if self.kept.is_empty() {
            if self.ended {
                return Poll::Ready(Err(BodyError::Ended));
            }
            self.kept.reserve(READ_OF_A_BODY);
            let read = ready!(pin!(self.inner.read_buf(&mut self.kept)).poll(context))?;
            if read == 0 {
                self.ended = true;
                return Poll::Ready(Err(BodyError::Ended));
            }
        }
        let length = match &mut self.chunks {
            None => {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.kept.len());
                on_data(self.kept.get(..length).unwrap_or_default());
                self.left -= length as u64;
                length
            }
            Some(chunks) => {
                if std::mem::take(&mut chunks.followed) > 0 {
                    // These were parsed from the beginning of the body, and their data was left where it was.
                    chunks.body = Chunked::new();
                }
                chunks.body.walk(&self.kept, on_data)?
            }
        };
        self.kept.advance(length);
        let is_over = self.is_between_requests();
        if is_over && self.kept.is_empty() {
            // Nothing is held for a connection that waits.
            self.kept = BytesMut::new();
        }
        Poll::Ready(Ok(is_over))
    }

    /// Keeps what comes after the request. Ready only where the connection broke: one that the client has half closed can
    /// still take the answer.
    pub(super) fn poll_broken(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        match ready!(self.poll_keep(context)) {
            Err(error) => Poll::Ready(error),
            Ok(()) => Poll::Pending,
        }
    }
}

/// A body whose length is known, and what comes after the last answer.
impl AsyncRead for Http1Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.left {
            0 => self.poll_keep(context),
            left => self.poll_length(context, buffer, left),
        }
    }
}

impl AsyncWrite for Http1Connection {
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
