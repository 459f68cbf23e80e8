//! Answers questions about policy on a few threads of its own.
//!
//! Not on the threads that serve requests, and not in the pool for blocking calls, which reloads need: whatever is
//! asked, and however often, a revocation does not wait for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How many are answered at a time.
const THREADS: usize = 2;

/// How many may be under way: being answered, waiting for a thread, or waiting for an issuer. Each holds a question of
/// at most 64 KiB and its answer.
const PLACES: usize = 8;

/// Lowers the threads' priority below those that serve, for when both want a core (nice(2)).
const NICENESS: i32 = 10;

type Work = Box<dyn FnOnce() + Send>;

/// The right to be answered. Given back when it is dropped: with the answer, or once its client is gone.
pub(super) type AnswerPermit = OwnedSemaphorePermit;

/// The threads, and the places in front of them. The threads end with this value.
pub(super) struct Desk {
    places: Arc<Semaphore>,
    queue: Sender<Work>,
}

impl Desk {
    /// Starts the threads. At most half of `connections` wait here: the others can ask for something else.
    pub(super) fn open(connections: usize) -> io::Result<Self> {
        let (queue, works) = channel();
        let works = Arc::new(Mutex::new(works));
        for number in 0..THREADS {
            let works = works.clone();
            std::thread::Builder::new()
                .name(format!("opgate-explain-{number}"))
                .spawn(move || work_on(&works))?;
        }
        let places = PLACES.min(connections / 2).max(1);
        Ok(Self { places: Arc::new(Semaphore::new(places)), queue })
    }

    /// A place, unless all are taken.
    pub(super) fn place(&self) -> Option<AnswerPermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// The result of `work`; `None` where it panicked. Work whose client is gone is not begun. Work that has begun
    /// holds its place to its end, even if its client is gone.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        place: AnswerPermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        let work = move || {
            let _place = place;
            if !sender.is_closed() {
                // An error means that its client is gone.
                let _ = sender.send(work());
            }
        };
        self.queue.send(Box::new(work)).ok()?;
        answer.await.ok()
    }
}

/// Lowers the priority of this thread.
pub(super) fn yield_to_those_that_serve() {
    // Linux keeps it for each thread.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "cannot lower the priority of a thread of the admin port");
    }
}

fn work_on(works: &Mutex<Receiver<Work>>) {
    yield_to_those_that_serve();
    loop {
        // The lock is held while one thread waits for work: the others wait for the lock.
        let work = works.lock().unwrap_or_else(PoisonError::into_inner).recv();
        // The desk is gone.
        let Ok(work) = work else { return };
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("an explanation panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn places_are_few_and_given_back() {
        let desk = Desk::open(64).unwrap();
        let held: Vec<_> = (0..PLACES).map(|_| desk.place().unwrap()).collect();
        assert!(desk.place().is_none());
        drop(held);
        for number in 0..100 {
            let place = desk.place().unwrap();
            assert_eq!(desk.work(place, move || number).await, Some(number));
            while desk.places.available_permits() < PLACES {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(Desk::open(1).unwrap().places.available_permits(), 1);
    }

    #[tokio::test]
    async fn work_that_panics_takes_no_thread_and_no_place() {
        let desk = Desk::open(64).unwrap();
        for _ in 0..2 * PLACES {
            let place = desk.places.clone().acquire_owned().await.unwrap();
            assert_eq!(desk.work(place, || panic!("on purpose")).await, None::<()>);
        }
        let place = desk.places.clone().acquire_owned().await.unwrap();
        assert_eq!(desk.work(place, || 1).await, Some(1));
    }

    #[tokio::test]
    async fn work_without_a_waiting_client_is_not_begun() {
        let desk = Desk::open(64).unwrap();
        let begun = Arc::new(AtomicUsize::new(0));
        let (closed, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let work = || {
            let (begun, gate) = (begun.clone(), gate.clone());
            move || {
                begun.fetch_add(1, Ordering::SeqCst);
                let _ = gate.lock().unwrap().recv();
            }
        };
        for _ in 0..PLACES {
            let asked = desk.work(desk.place().unwrap(), work());
            assert!(tokio::time::timeout(Duration::from_millis(50), asked).await.is_err());
        }
        // Two have begun, and hold their places; the six that wait hold theirs until a thread is free.
        assert_eq!(begun.load(Ordering::SeqCst), THREADS);
        assert!(desk.place().is_none());
        drop(closed);
        let all = desk.places.clone().acquire_many_owned(PLACES as u32).await.unwrap();
        assert_eq!(begun.load(Ordering::SeqCst), THREADS);
        drop(all);
    }
}
