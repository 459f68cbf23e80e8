//! Reads from a connection that may wait long.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// Most bytes that are read at once: more than almost every head has, and what a TLS record holds.
const MOST: usize = 16 * 1024;

thread_local! {
    /// Where bytes are read to, of whichever connection has some. So a head comes in one read, and a connection on which
    /// nothing comes holds no room for it.
    static SPACE: RefCell<Box<[u8]>> = RefCell::new(vec![0; MOST].into());
}

/// Reads what has come, behind what is in the buffer. 0 at the end. Nothing is lost where it is dropped before its end.
pub(super) async fn read_some(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<usize> {
    poll_fn(|context| {
        SPACE.with_borrow_mut(|space| {
            let mut space = ReadBuf::new(space);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut space))?;
            buffer.extend_from_slice(space.filled());
            Poll::Ready(Ok(space.filled().len()))
        })
    })
    .await
}
