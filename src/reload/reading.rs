//! One kind of reading: on a thread of its own, one at a time, repeated after a failure, and reported when it takes too
//! long.
//!
//! Files may lie on a file system that does not answer. Then a thread hangs, and nothing else does: neither another
//! reading nor the end of the process.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

/// How long a reading may take before it is reported. A million bindings are read in a fraction of it.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// Most readings that may hang at one time: beyond that no further one is begun.
const MOST_HANGING: usize = 3;

/// From a failure to the next attempt; twice as long after each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Runs something on a thread of its own. `None` where it panicked or no thread can be started.
pub(super) async fn aside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    begin_aside(name, work).await.ok()
}

fn begin_aside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    let begun = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // The receiver is gone where the process is ending, or another reading was begun.
        let _ = sender.send(work());
    });
    if let Err(error) = begun {
        tracing::error!(%error, thread = name, "cannot start a thread");
    }
    receiver
}

/// Waits between attempts.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    failures: u32,
    next: Option<Instant>,
}

impl BackOff {
    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }

    pub(super) fn fail(&mut self, now: Instant) {
        let doubled = 2u32.checked_pow(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.next = Some(now + FIRST_RETRY.saturating_mul(doubled).min(LAST_RETRY));
    }

    /// When the next attempt is due; `None` where the last one succeeded.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether an attempt is due. It is asked for once.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        self.next.take_if(|next| *next <= now).is_some()
    }
}

/// The cause of a reading that repeats a failed one.
pub(super) const TRYING_AGAIN: &str = "trying again";

/// Why files are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause {
    pub(super) what: &'static str,
    /// Nothing has changed: a failed reading is tried again.
    pub(super) is_retry: bool,
    /// When they were changed, where that is the cause.
    pub(super) changed: Option<SystemTime>,
}

/// A reading of one kind, wanted or under way.
pub(super) struct BackgroundRead<T> {
    thread: &'static str,
    deadline: Duration,
    wanted: Option<Cause>,
    under_way: Option<ReadUnderWay<T>>,
    /// Readings that are overdue and that another one has followed; the oldest first.
    hanging: Vec<ReadUnderWay<T>>,
    /// Readings that have not ended, and whose result is of no use any more.
    void: Vec<oneshot::Receiver<T>>,
    pub(super) back_off: BackOff,
}

struct ReadUnderWay<T> {
    cause: Cause,
    begun: Instant,
    is_overdue: bool,
    read: oneshot::Receiver<T>,
}

/// How a reading ended.
pub(super) enum Ended<T> {
    /// With a result, and the cause of the reading.
    Read(Cause, T),
    /// Not yet: it takes longer than it may.
    Overdue,
    /// The thread panicked.
    Broken,
}

impl<T: Send + 'static> BackgroundRead<T> {
    /// None yet. Each will be overdue after `deadline`.
    pub(super) fn new(thread: &'static str, deadline: Duration) -> Self {
        Self {
            thread,
            deadline,
            wanted: None,
            under_way: None,
            hanging: Vec::new(),
            void: Vec::new(),
            back_off: BackOff::default(),
        }
    }

    /// Asks for a reading, which begins once the one under way has ended. Of several changes, the first one counts.
    pub(super) fn want(&mut self, cause: Cause) {
        let cause = match self.wanted {
            Some(wanted) if cause.is_retry => wanted,
            Some(wanted) => Cause { changed: wanted.changed.or(cause.changed), ..cause },
            None => cause,
        };
        self.wanted = Some(cause);
    }

    /// Since when one is under way.
    pub(super) fn since(&self) -> Option<Instant> {
        self.under_way.as_ref().map(|reading| reading.begun)
    }

    /// Whether none is wanted and none is under way, other than one that takes longer than it may.
    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_none() && self.under_way.as_ref().is_none_or(|reading| reading.is_overdue)
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Whether one can begin.
    pub(super) fn may_begin(&mut self) -> bool {
        self.void.retain_mut(|read| matches!(read.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        self.wanted.is_some()
            && self.hanging.len() + self.void.len() < MOST_HANGING
            && self.under_way.as_ref().is_none_or(|reading| reading.is_overdue)
    }

    /// Begins a reading.
    pub(super) fn begin(&mut self, read: impl FnOnce() -> T + Send + 'static) {
        let Some(cause) = self.wanted.take() else { return };
        self.hanging.extend(self.under_way.take());
        let read = begin_aside(self.thread, read);
        self.under_way = Some(ReadUnderWay { cause, begun: Instant::now(), is_overdue: false, read });
    }

    /// Waits for a reading to end, or to be overdue. One that another has followed counts as long as that one has not
    /// ended: a tree that takes long to read, and is changed meanwhile, is put in force as it was then.
    pub(super) async fn ended(&mut self) -> Ended<T> {
        let deadline = self.under_way.as_ref().filter(|reading| !reading.is_overdue);
        let deadline = deadline.map(|reading| reading.begun + self.deadline);
        let overdue = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let (hanging, under_way, void) = (&mut self.hanging, &mut self.under_way, &mut self.void);
        let ended = poll_fn(|context| {
            if let Some(reading) = under_way
                && let Poll::Ready(read) = Pin::new(&mut reading.read).poll(context)
            {
                let cause = reading.cause;
                // Their results are older than this one.
                void.extend(hanging.drain(..).map(|reading| reading.read));
                *under_way = None;
                return Poll::Ready(read.map_or(Ended::Broken, |read| Ended::Read(cause, read)));
            }
            for place in (0..hanging.len()).rev() {
                let Some(reading) = hanging.get_mut(place) else { continue };
                if let Poll::Ready(read) = Pin::new(&mut reading.read).poll(context) {
                    let cause = reading.cause;
                    hanging.remove(place);
                    // Those before it are older still.
                    void.extend(hanging.drain(..place).map(|reading| reading.read));
                    if let Ok(read) = read {
                        return Poll::Ready(Ended::Read(cause, read));
                    }
                }
            }
            Poll::Pending
        });
        tokio::select! {
            biased;
            ended = ended => ended,
            () = overdue => {
                if let Some(reading) = &mut self.under_way {
                    reading.is_overdue = true;
                }
                Ended::Overdue
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGED: Cause = Cause { what: "files changed", is_retry: false, changed: None };

    #[tokio::test]
    async fn a_reading_that_hangs_is_told_of_and_holds_no_other_back() {
        let (release, hold) = std::sync::mpsc::channel::<()>();
        let mut reading = BackgroundRead::new("test", Duration::from_millis(50));
        reading.want(CHANGED);
        assert!(reading.may_begin());
        reading.begin(move || {
            let _ = hold.recv();
            "old"
        });
        assert!(matches!(reading.ended().await, Ended::Overdue));
        reading.want(CHANGED);
        assert!(reading.may_begin());
        reading.begin(|| "new");
        // A busy machine may need longer than the deadline to start a thread: then it is reported as overdue first.
        let ended = match reading.ended().await {
            Ended::Overdue => reading.ended().await,
            ended => ended,
        };
        assert!(matches!(ended, Ended::Read(_, "new")));
        drop(release);
        // Its result is older: it is not put in force.
        assert!(tokio::time::timeout(Duration::from_millis(50), reading.ended()).await.is_err());
    }

    #[tokio::test]
    async fn a_slow_reading_counts_though_another_has_begun() {
        let (release, hold) = std::sync::mpsc::channel::<()>();
        let mut reading = BackgroundRead::new("test", Duration::from_millis(50));
        reading.want(CHANGED);
        reading.begin(move || {
            let _ = hold.recv();
            "old"
        });
        assert!(matches!(reading.ended().await, Ended::Overdue));
        let (release_new, hold_new) = std::sync::mpsc::channel::<()>();
        reading.want(CHANGED);
        reading.begin(move || {
            let _ = hold_new.recv();
            "new"
        });
        drop(release);
        loop {
            match reading.ended().await {
                Ended::Overdue => {}
                Ended::Read(_, read) => break assert_eq!(read, "old"),
                Ended::Broken => panic!("it broke off"),
            }
        }
        drop(release_new);
        loop {
            match reading.ended().await {
                Ended::Overdue => {}
                Ended::Read(_, read) => break assert_eq!(read, "new"),
                Ended::Broken => panic!("it broke off"),
            }
        }
    }

    #[tokio::test]
    async fn only_so_many_readings_hang_at_one_time() {
        let (release, hold) = std::sync::mpsc::channel::<()>();
        let hold = std::sync::Arc::new(std::sync::Mutex::new(hold));
        let mut reading = BackgroundRead::new("test", Duration::from_millis(50));
        for _ in 0..=MOST_HANGING {
            reading.want(CHANGED);
            assert!(reading.may_begin());
            let hold = hold.clone();
            reading.begin(move || {
                let _ = hold.lock().unwrap().recv();
            });
            assert!(matches!(reading.ended().await, Ended::Overdue));
        }
        reading.want(CHANGED);
        assert!(!reading.may_begin());
        drop(release);
    }

    #[test]
    fn each_failure_doubles_the_wait() {
        let start = Instant::now();
        let mut back_off = BackOff::default();
        assert!(!back_off.is_due(start));
        let waits: Vec<u64> = (0..8)
            .map(|_| {
                back_off.fail(start);
                (back_off.next().unwrap() - start).as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(back_off.is_due(start + LAST_RETRY) && !back_off.is_due(start + LAST_RETRY));
        back_off.succeed();
        assert!(back_off.next().is_none());
    }
}
