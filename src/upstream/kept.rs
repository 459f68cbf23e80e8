//! Connections that wait for the next exchange.
//!
//! Pingora keeps connections too. It takes them back by its own reading of an answer, and what it has read of one is gone
//! when the next exchange begins; here a connection is kept only where the answer that was followed on it has ended by its
//! own word and nothing came after it, and the exchange that takes it begins at a known place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::wire::Connection;

/// Connections that are kept for an endpoint, at the most.
const MOST: usize = 256;
/// How often what has ended or grown old is looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// The connections of an endpoint that nothing happens on.
#[derive(Debug)]
pub(super) struct Kept {
    idle: Mutex<Idle>,
    /// How long one may wait.
    lifetime: Duration,
}

#[derive(Debug, Default)]
struct Idle {
    /// The one that waits longest first.
    connections: Vec<(Connection, Instant)>,
    is_swept: bool,
}

impl Kept {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { idle: Mutex::default(), lifetime }
    }

    pub(super) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// One that is as it was left, of those that wait the one that came last.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let (mut connection, since) = self.idle().connections.pop()?;
            if since.elapsed() < self.lifetime && connection.is_quiet() {
                connection.line.used_again();
                return Some(connection);
            }
        }
    }

    /// Keeps one for the next exchange.
    pub(super) fn put(self: &Arc<Self>, connection: Connection) {
        let (begins, oldest) = {
            let mut idle = self.idle();
            idle.connections.push((connection, Instant::now()));
            let oldest = (idle.connections.len() > MOST).then(|| idle.connections.remove(0));
            (!std::mem::replace(&mut idle.is_swept, true), oldest)
        };
        drop(oldest);
        // A connection may be dropped with its runtime, which runs nothing more.
        if begins && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(sweep(Arc::downgrade(self), self.lifetime.min(SWEEP)));
        }
    }

    /// Closes what has waited too long or was closed at the other end. Says whether there is more to look after.
    fn sweep(&self) -> bool {
        let mut ended = Vec::new();
        let mut idle = self.idle();
        for (mut connection, since) in std::mem::take(&mut idle.connections) {
            if since.elapsed() < self.lifetime && !connection.has_spoken() {
                idle.connections.push((connection, since));
            } else {
                ended.push(connection);
            }
        }
        idle.is_swept = !idle.connections.is_empty();
        idle.is_swept
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // What it holds is whole at every moment.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after them until there are none.
async fn sweep(kept: Weak<Kept>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if !kept.upgrade().is_some_and(|kept| kept.sweep()) {
            return;
        }
    }
}
