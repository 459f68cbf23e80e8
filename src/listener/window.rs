//! How much of its bodies an HTTP/2 client may send before they are read (RFC 9113, section 5.2).
//!
//! What has come and is not read lies in memory, whatever becomes of the request. So a connection begins with a small window
//! for all of its streams together, which holds back uploads: after each 32 KiB the client waits to be told to go on. Once
//! a request of it was allowed, and so much of bodies has been read that it is an upload, it gets a wide one. Those are
//! counted: beyond their number, uploads are slower and nothing is refused. A window that was given cannot be taken back,
//! so a connection keeps its wide one to its end.
//!
//! So unread bodies of all clients take at most 64 KiB for each connection, and 64 MiB more.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one stream: a quarter of a wide window, so that a stream whose backend does not read holds up no other. At first
/// the window of the connection is smaller than this, and bounds all streams together.
pub(crate) const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes of a connection that uploads.
pub(crate) const WIDE_WINDOW: u32 = 1024 * 1024;
/// Bytes of bodies after which a connection counts as one that uploads: ordinary calls send less.
pub(crate) const UPLOAD_BYTES: u64 = 128 * 1024;
/// How many connections have a wide window at one time.
const WIDE_WINDOWS: usize = 64;

/// The wide windows of all listeners.
#[derive(Clone, Debug)]
pub(super) struct WideWindows(Arc<Semaphore>);

impl Default for WideWindows {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WIDE_WINDOWS)))
    }
}

/// The right to a wide window; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct WideWindow {
    _permit: OwnedSemaphorePermit,
}

impl WideWindows {
    /// One more, where there may be one.
    pub(super) fn take(&self) -> Option<WideWindow> {
        let permit = self.0.clone().try_acquire_owned().ok()?;
        Some(WideWindow { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_wide_windows_and_no_more() {
        let windows = WideWindows::default();
        let mut taken: Vec<WideWindow> = (0..WIDE_WINDOWS).filter_map(|_| windows.take()).collect();
        assert_eq!(taken.len(), WIDE_WINDOWS);
        assert!(windows.clone().take().is_none());
        taken.pop();
        assert!(windows.take().is_some());
    }
}
