//! Idle connections over HTTP/1 that wait for the next exchange.
//!
//! A connection is kept only where its answer ended by its own framing and nothing came after it, so the exchange that takes
//! it begins at a known place.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::wire::UpstreamConnection;

/// Connections that are kept in the whole process, at the most, of both versions. Each is a file, which the limit of open
/// files has to leave room for (`listener::affordable`).
const MOST: usize = 128;
/// How many are kept now.
static KEPT: AtomicUsize = AtomicUsize::new(0);
/// How often ended or old connections are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// The idle connections of an endpoint.
#[derive(Debug)]
pub(super) struct IdleConnections {
    idle: Mutex<Idle>,
    /// How long one may be idle.
    lifetime: Duration,
}

#[derive(Debug, Default)]
struct Idle {
    /// The one that waits longest first.
    connections: Vec<(UpstreamConnection, Instant, Counted)>,
    is_swept: bool,
}

/// Counts a connection as kept for as long as it lives.
#[derive(Debug)]
pub(super) struct Counted;

impl Counted {
    /// `None` where as many are kept as may be.
    pub(super) fn one_more() -> Option<Self> {
        let fits = |kept: usize| (kept < MOST).then_some(kept + 1);
        KEPT.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok().then_some(Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::AcqRel);
    }
}

impl IdleConnections {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { idle: Mutex::default(), lifetime }
    }

    pub(super) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The newest one that is still as it was left.
    pub(super) fn take(&self) -> Option<UpstreamConnection> {
        loop {
            let (mut connection, since, _counted) = self.idle().connections.pop()?;
            if since.elapsed() < self.lifetime && connection.is_quiet() {
                connection.is_used = true;
                return Some(connection);
            }
        }
    }

    /// Keeps one for the next exchange, or closes it where as many are kept as may be.
    pub(super) fn put(self: &Arc<Self>, connection: UpstreamConnection) {
        let Some(counted) = Counted::one_more() else { return };
        let begins = {
            let mut idle = self.idle();
            idle.connections.push((connection, Instant::now(), counted));
            !std::mem::replace(&mut idle.is_swept, true)
        };
        // A connection may be dropped with its runtime, which then runs no more tasks.
        if begins && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(sweep(Arc::downgrade(self), self.lifetime.min(SWEEP)));
        }
    }

    /// Closes connections that have waited too long or that the backend has closed. Returns whether any are left.
    fn sweep(&self) -> bool {
        let mut ended = Vec::new();
        let mut idle = self.idle();
        for (mut connection, since, counted) in std::mem::take(&mut idle.connections) {
            if since.elapsed() < self.lifetime && !connection.has_spoken() {
                idle.connections.push((connection, since, counted));
            } else {
                ended.push((connection, counted));
            }
        }
        idle.is_swept = !idle.connections.is_empty();
        idle.is_swept
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Another thread that panicked has left it valid: each change is a single step.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after them until there are none.
async fn sweep(kept: Weak<IdleConnections>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if !kept.upgrade().is_some_and(|kept| kept.sweep()) {
            return;
        }
    }
}
