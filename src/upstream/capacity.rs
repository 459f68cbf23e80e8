//! Bounds the exchanges of an upstream at one time. A request beyond the bound waits a little, or is refused at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::settings::UpstreamLimits;

/// The places of an upstream.
#[derive(Debug)]
pub(super) struct Capacity {
    pub(super) limits: UpstreamLimits,
    free: Arc<Semaphore>,
    pending: AtomicUsize,
}

/// A place: one exchange's, from the choice of an endpoint to its end. Given back with the value.
#[derive(Debug)]
pub struct UpstreamSlot(#[expect(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit);

/// Why no place was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    /// As many requests wait already as may.
    TooManyPending,
    /// None became free in time.
    WaitedInVain,
}

impl Capacity {
    /// All places free.
    pub(super) fn new(limits: UpstreamLimits) -> Self {
        Self { limits, free: Arc::new(Semaphore::new(limits.requests)), pending: AtomicUsize::new(0) }
    }

    /// How many places are taken.
    pub(super) fn in_flight(&self) -> usize {
        self.limits.requests.saturating_sub(self.free.available_permits())
    }

    /// How many requests wait for one.
    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Takes a place: at once where one is free, else in the order of those that wait.
    pub(super) async fn take(&self) -> Result<UpstreamSlot, Overflow> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Ok(UpstreamSlot(permit));
        }
        let waiting = PendingRequest::begin(&self.pending);
        if waiting.before >= self.limits.pending {
            return Err(Overflow::TooManyPending);
        }
        match tokio::time::timeout(self.limits.pending_timeout, self.free.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(UpstreamSlot(permit)),
            // An error would mean a closed semaphore, and it is never closed.
            Ok(Err(_)) | Err(_) => Err(Overflow::WaitedInVain),
        }
    }
}

/// A request that waits. Dropping it counts it out, however the wait ends: with a place, without, or because its client
/// is gone.
struct PendingRequest<'c> {
    pending: &'c AtomicUsize,
    before: usize,
}

impl<'c> PendingRequest<'c> {
    fn begin(pending: &'c AtomicUsize) -> Self {
        Self { pending, before: pending.fetch_add(1, Ordering::AcqRel) }
    }
}

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn capacity(requests: usize, pending: usize, wait: Duration) -> Arc<Capacity> {
        Arc::new(Capacity::new(UpstreamLimits { requests, pending, pending_timeout: wait }))
    }

    #[tokio::test]
    async fn a_place_is_given_back() {
        let capacity = capacity(2, 1, Duration::from_millis(1));
        let first = capacity.take().await.unwrap();
        let _second = capacity.take().await.unwrap();
        assert_eq!(capacity.take().await.unwrap_err(), Overflow::WaitedInVain);
        drop(first);
        capacity.take().await.unwrap();
    }

    #[tokio::test]
    async fn a_waiting_request_is_next_and_one_too_many_is_refused() {
        let capacity = capacity(1, 1, Duration::from_secs(60));
        let held = capacity.take().await.unwrap();
        let waiting = tokio::spawn({
            let capacity = capacity.clone();
            async move { capacity.take().await }
        });
        while capacity.pending.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(capacity.take().await.unwrap_err(), Overflow::TooManyPending);
        drop(held);
        waiting.await.unwrap().unwrap();
        assert_eq!(capacity.pending.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn a_request_that_stops_waiting_makes_room() {
        let capacity = capacity(1, 1, Duration::from_secs(60));
        let _held = capacity.take().await.unwrap();
        for _ in 0..3 {
            let waiting = capacity.take();
            assert!(tokio::time::timeout(Duration::from_millis(1), waiting).await.is_err());
        }
        assert_eq!(capacity.pending.load(Ordering::Acquire), 0);
    }
}
