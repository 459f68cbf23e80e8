//! The minimum rate at which a client has to take its answers.
//!
//! An answer that is not taken holds its connection, its buffers and its place. A timeout alone is not enough: a client
//! that takes five bytes now and then never exceeds it. So the rate is measured, over the time in which there was
//! something to take.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::timer::Timer;

/// The least that has to be taken, on average. The kernel reports every 32 KiB, so four times as much is always seen.
const LEAST_PER_SECOND: u64 = 1024;

/// Most bytes that the kernel holds unsent for one connection. It reports room at half of it: with a larger buffer, a
/// slow client would look like one that takes nothing.
pub(super) const UNSENT_BYTES: u32 = 64 * 1024;

/// Measures one connection, or one stream of it, while it has no room for the next bytes.
#[derive(Debug)]
pub(crate) struct MinimumRate {
    window: Duration,
    /// How long there was no room in this window, and how much was taken in it.
    waited: Duration,
    taken: u64,
    /// Whether there is none now.
    since: Option<Instant>,
    alarm: Timer,
}

impl MinimumRate {
    /// The window: a client is judged whenever it was waited for this long.
    pub(crate) fn new(window: Duration) -> Self {
        Self { window, waited: Duration::ZERO, taken: 0, since: None, alarm: Timer::default() }
    }

    /// Whether there is no room.
    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Passes on the outcome of a write or a flush, or reports that the client takes too little.
    pub(crate) fn judge<T: Taken>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match outcome {
            // The usual case: nothing was waited for.
            Poll::Ready(_) if self.since.is_none() && self.waited.is_zero() => outcome,
            Poll::Ready(Ok(taken)) => {
                self.taken += taken.bytes();
                if let Some(since) = self.since.take() {
                    self.waited += since.elapsed();
                }
                match self.is_over() {
                    Ok(()) => Poll::Ready(Ok(taken)),
                    Err(error) => Poll::Ready(Err(error)),
                }
            }
            Poll::Ready(Err(_)) => outcome,
            Poll::Pending => loop {
                let since = *self.since.get_or_insert_with(Instant::now);
                let until = since + self.window.saturating_sub(self.waited);
                ready!(self.alarm.poll(context, until));
                self.waited += since.elapsed();
                self.since = None;
                if let Err(error) = self.is_over() {
                    return Poll::Ready(Err(error));
                }
            },
        }
    }

    /// At the end of a window, begins another one or reports that too little was taken.
    fn is_over(&mut self) -> io::Result<()> {
        if self.waited < self.window {
            return Ok(());
        }
        let least = LEAST_PER_SECOND.saturating_mul(self.window.as_secs().max(1));
        if self.taken < least {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take what it is sent"));
        }
        self.waited = Duration::ZERO;
        self.taken = 0;
        Ok(())
    }
}

/// What a write says about how much was taken.
pub(crate) trait Taken {
    /// In bytes.
    fn bytes(&self) -> u64;
}

impl Taken for usize {
    fn bytes(&self) -> u64 {
        *self as u64
    }
}

impl Taken for () {
    fn bytes(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    /// Waits until there is room after `wait`, and has `bytes` taken then.
    async fn take(minimum_rate: &mut MinimumRate, wait: Duration, bytes: usize) -> io::Result<usize> {
        let mut room = Box::pin(tokio::time::sleep(wait));
        poll_fn(|context| {
            let room = room.as_mut().poll(context).map(|()| Ok(bytes));
            minimum_rate.judge(context, room)
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_late_after_the_window() {
        let mut minimum_rate = MinimumRate::new(WINDOW);
        let began = Instant::now();
        let error = take(&mut minimum_rate, WINDOW * 10, 1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < WINDOW + Duration::from_millis(10), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn five_bytes_now_and_then_are_too_little() {
        let mut minimum_rate = MinimumRate::new(WINDOW);
        for _ in 0..4 {
            take(&mut minimum_rate, Duration::from_secs(2), 5).await.unwrap();
        }
        assert!(take(&mut minimum_rate, Duration::from_secs(2), 5).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_is_no_slow_client() {
        let mut minimum_rate = MinimumRate::new(WINDOW);
        // 4 KiB a second, for an hour, as the kernel reports them.
        for _ in 0..450 {
            take(&mut minimum_rate, Duration::from_secs(8), 32 * 1024).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_there_is_nothing_to_take_does_not_count() {
        let mut minimum_rate = MinimumRate::new(WINDOW);
        for _ in 0..9 {
            take(&mut minimum_rate, Duration::from_secs(1), 1).await.unwrap();
            tokio::time::sleep(WINDOW * 3).await;
            // What finds room at once is taken too.
            take(&mut minimum_rate, Duration::ZERO, 1200).await.unwrap();
        }
        take(&mut minimum_rate, Duration::from_secs(1), 1).await.unwrap();
    }
}
