//! A connection that reports its progress: when a head begins, and when an answer is taken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::listener::ClientSocket;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::places::{ConnectionPhase, Progress};

/// A stream, and where its progress is told.
pub(super) struct WatchedStream {
    stream: ClientSocket,
    progress: Progress,
}

impl WatchedStream {
    pub(super) fn new(stream: ClientSocket, progress: Progress) -> Self {
        Self { stream, progress }
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before && self.progress.stage() == ConnectionPhase::Idle {
            self.progress.enter(ConnectionPhase::Head);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.progress.stage() == ConnectionPhase::Idle {
            self.progress.enter(ConnectionPhase::Writing);
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    /// hyper calls this once it has written everything.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.progress.stage() == ConnectionPhase::Writing {
            self.progress.enter(ConnectionPhase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
