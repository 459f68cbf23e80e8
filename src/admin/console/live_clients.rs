//! How many clients may follow the list of decisions.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most streams of one address.
const MOST_CLIENTS: usize = 8;

/// The places of streams.
#[derive(Clone, Debug)]
pub(in crate::admin) struct LiveClients(Arc<Semaphore>);

impl LiveClients {
    /// At most a quarter of the connections may be streams.
    pub(in crate::admin) fn new(connections: usize) -> Self {
        Self(Arc::new(Semaphore::new((connections / 4).clamp(1, MOST_CLIENTS))))
    }

    /// A place, unless all are taken.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }
}
