//! Connections to backends that can be cut at a deadline.
//!
//! Pingora's read timeout begins anew with each read: a backend that sends a byte now and then holds a request without
//! end, and within a response's head no filter of ours runs. So connections are opened here (`connector`), and each is
//! watched: at the exchange's deadline the socket is shut down, and Pingora reads the end. It works because one
//! connection carries one exchange at a time (over HTTP/2 too: `max_h2_streams`).

use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::Digest;
use pingora::protocols::raw_connect::ProxyDigest;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// How long a watch sleeps while its connection has no deadline.
const DOZE: Duration = Duration::from_secs(60);

/// A handle that cuts one connection.
#[derive(Debug)]
pub(super) struct ConnectionDeadline {
    /// A duplicate of the socket: the connection has the other.
    socket: std::net::TcpStream,
    epoch: Instant,
    /// Nanoseconds after `epoch` at which the exchange under way is cut; 0 for none.
    deadline: AtomicU64,
    /// The deadline that was missed; 0 for none.
    cut: AtomicU64,
    /// When the watch wakes up by itself.
    wakes: AtomicU64,
    /// Whether it has carried an exchange before this one.
    is_used: AtomicBool,
    /// Wakes it sooner.
    call: Arc<Notify>,
    watch: OnceLock<AbortHandle>,
}

/// Whether the connection of `digest` has carried an exchange before. Pingora knows this of HTTP/2
/// connections alone, which it keeps itself.
pub fn is_used(digest: &Digest) -> bool {
    ConnectionDeadline::of(digest).is_some_and(|line| line.is_used_again())
}

/// The deadline of one exchange on a connection. Dropping it clears the deadline.
#[derive(Debug)]
pub struct Deadline {
    line: Arc<ConnectionDeadline>,
    at: u64,
}

impl Deadline {
    /// Lets the exchange that begins on the connection of `digest` go on until `until`. `None` where the connection was
    /// not opened here.
    pub fn on(digest: &Digest, until: Instant) -> Option<Self> {
        Some(Self::begin(ConnectionDeadline::of(digest)?.clone(), until))
    }

    fn begin(line: Arc<ConnectionDeadline>, until: Instant) -> Self {
        let at = line.nanoseconds(until);
        // Sequentially consistent, like `look`: one of the two sees what the other has written.
        line.deadline.store(at, Ordering::SeqCst);
        if at < line.wakes.load(Ordering::SeqCst) {
            line.call.notify_one();
        }
        Self { line, at }
    }

    /// Whether the connection was cut for it.
    pub fn has_passed(&self) -> bool {
        self.line.cut.load(Ordering::Acquire) == self.at
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        // The connection may carry the next exchange already, whose deadline stays.
        let _ = self.line.deadline.compare_exchange(self.at, 0, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl ConnectionDeadline {
    pub(super) fn open(tcp: &TcpStream) -> std::io::Result<Arc<Self>> {
        let call = Arc::new(Notify::new());
        let line = Arc::new(Self {
            socket: tcp.as_fd().try_clone_to_owned()?.into(),
            epoch: Instant::now(),
            deadline: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            wakes: AtomicU64::new(0),
            is_used: AtomicBool::new(false),
            call: call.clone(),
            watch: OnceLock::new(),
        });
        let watch = tokio::spawn(watch(Arc::downgrade(&line), call));
        line.watch.get_or_init(|| watch.abort_handle());
        Ok(line)
    }

    /// What each exchange on the connection gets: Pingora has a slot for a proxy's answer, which is free here.
    pub(super) fn digest(self: &Arc<Self>) -> Result<ProxyDigest> {
        let response = ResponseHeader::build(200, Some(0))?;
        Ok(ProxyDigest::new(Box::new(response), Some(Box::new(self.clone()))))
    }

    /// The line that was handed on with a connection. `None` where the connection was not opened here.
    fn of(digest: &Digest) -> Option<&Arc<Self>> {
        digest.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
    }

    /// The connection carries another exchange.
    pub(super) fn used_again(&self) {
        self.is_used.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_used_again(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    fn nanoseconds(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// Cuts the connection if its deadline is over. Returns when to look again, or that no look is needed.
    fn look(&self, now: Instant) -> Option<Instant> {
        let wake = now + DOZE;
        self.wakes.store(self.nanoseconds(wake), Ordering::SeqCst);
        let deadline = self.deadline.load(Ordering::SeqCst);
        if deadline == 0 {
            return Some(wake);
        }
        if deadline > self.nanoseconds(now) {
            self.wakes.store(deadline, Ordering::SeqCst);
            return Some(self.epoch.checked_add(Duration::from_nanos(deadline)).unwrap_or(wake).min(wake));
        }
        // Unless the exchange ends at this moment.
        if self.deadline.compare_exchange(deadline, 0, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Some(now);
        }
        self.cut.store(deadline, Ordering::Release);
        // An error means that the connection has ended already.
        let _ = self.socket.shutdown(Shutdown::Both);
        None
    }
}

impl Drop for ConnectionDeadline {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.get() {
            watch.abort();
        }
    }
}

/// Watches a connection until it is cut or dropped. While this sleeps, it does not hold the connection.
async fn watch(line: Weak<ConnectionDeadline>, call: Arc<Notify>) {
    while let Some(wake) = line.upgrade().and_then(|line| line.look(Instant::now())) {
        tokio::select! {
            () = tokio::time::sleep_until(wake.into()) => {}
            () = call.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, theirs) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (ours.unwrap(), theirs.unwrap().0)
    }

    async fn end_of(stream: &mut TcpStream) -> usize {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut [0; 8])).await;
        read.expect("the end in time").unwrap()
    }

    #[tokio::test]
    async fn an_exchange_that_has_had_its_time_is_cut_on_both_sides() {
        let (mut ours, mut theirs) = pair().await;
        let line = ConnectionDeadline::open(&ours).unwrap();
        // The watch sleeps by now, for longer than that.
        tokio::task::yield_now().await;
        let deadline = Deadline::begin(line, Instant::now() + Duration::from_millis(50));
        assert!(!deadline.has_passed());
        assert_eq!((end_of(&mut ours).await, end_of(&mut theirs).await), (0, 0));
        assert!(deadline.has_passed());
    }

    #[tokio::test]
    async fn an_exchange_that_is_over_is_not() {
        let (mut ours, theirs) = pair().await;
        let line = ConnectionDeadline::open(&ours).unwrap();
        let soon = || Instant::now() + Duration::from_millis(20);
        drop(Deadline::begin(line.clone(), soon()));
        // The next one begins before the first is known to be over.
        let first = Deadline::begin(line.clone(), soon());
        let second = Deadline::begin(line.clone(), Instant::now() + Duration::from_secs(3600));
        drop(first);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!second.has_passed());
        assert_eq!(line.deadline.load(Ordering::Acquire), second.at);
        // Nothing has come, not even an end.
        assert_eq!(ours.try_read(&mut [0; 8]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        drop(theirs);
        assert_eq!(end_of(&mut ours).await, 0);
    }

    /// The watch holds the connection no longer than the connection lives.
    #[tokio::test]
    async fn a_connection_that_is_dropped_is_closed() {
        let (ours, mut theirs) = pair().await;
        let line = ConnectionDeadline::open(&ours).unwrap();
        tokio::task::yield_now().await;
        drop((ours, line));
        assert_eq!(end_of(&mut theirs).await, 0);
    }
}
