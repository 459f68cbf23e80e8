//! Renders metrics: on one thread, once for all clients that wait.
//!
//! Rendering takes milliseconds, and a client may ask for it a thousand times over one connection. A client that asks
//! while a text is rendered gets the next one, with all others that asked meanwhile. So however many ask, it costs at
//! most one core, at a lower priority than requests.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;

use super::desk::yield_to_those_that_serve;
use crate::metrics::{Exposition, Scrape};

/// The metric that says which policy is in force.
const REVISION: &str = "opgate_policy_info";

/// What a client wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScrapeWanted {
    pub(super) format: Exposition,
    /// Whether it is told which policy is in force.
    pub(super) tells: bool,
}

type ScrapeWaiter = (ScrapeWanted, oneshot::Sender<Arc<str>>);

/// The thread. It ends with this value.
pub(super) struct Scrapes {
    queue: Sender<ScrapeWaiter>,
}

impl Scrapes {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub(super) fn open(scrape: impl Fn() -> Scrape + Send + 'static) -> io::Result<Self> {
        let (queue, waiting) = channel();
        std::thread::Builder::new()
            .name("opgate-metrics".to_owned())
            .spawn(move || serve(&waiting, scrape))?;
        Ok(Self { queue })
    }

    /// The metrics, gathered after this was asked; `None` where the thread has ended.
    pub(super) async fn text(&self, wanted: ScrapeWanted) -> Option<Arc<str>> {
        let (sender, text) = oneshot::channel();
        self.queue.send((wanted, sender)).ok()?;
        text.await.ok()
    }
}

fn serve(queue: &Receiver<ScrapeWaiter>, scrape: impl Fn() -> Scrape) {
    yield_to_those_that_serve();
    while let Ok(first) = queue.recv() {
        let waiting: Vec<ScrapeWaiter> = std::iter::once(first).chain(queue.try_iter()).collect();
        let scrape = scrape();
        let mut written: Vec<(ScrapeWanted, Arc<str>)> = Vec::new();
        for (wanted, sender) in waiting {
            let known = written.iter().find(|(known, _)| *known == wanted).map(|(_, text)| text.clone());
            let text = known.unwrap_or_else(|| {
                let without: &[&str] = if wanted.tells { &[] } else { &[REVISION] };
                let text: Arc<str> = scrape.text(wanted.format, without).into();
                written.push((wanted, text.clone()));
                text
            });
            // An error means that its client is gone.
            let _ = sender.send(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::metrics::{Metrics, Names, gauge};

    const PLAIN: ScrapeWanted = ScrapeWanted { format: Exposition::Prometheus, tells: true };

    #[tokio::test(flavor = "multi_thread")]
    async fn all_that_wait_get_one_text_that_is_newer_than_their_question() {
        let gathered = Arc::new(AtomicUsize::new(0));
        let count = gathered.clone();
        let metrics = Metrics::new().unwrap();
        let number = gauge(metrics.registry(), "opgate_number", "A number.").unwrap();
        let scrapes = Scrapes::open(move || {
            number.set(i64::try_from(count.fetch_add(1, Ordering::SeqCst)).unwrap());
            std::thread::sleep(Duration::from_millis(20));
            metrics.scrape(Names::default)
        });
        let scrapes = Arc::new(scrapes.unwrap());
        assert!(scrapes.text(PLAIN).await.unwrap().contains("opgate_number 0\n"));
        assert!(
            scrapes.text(PLAIN).await.unwrap().contains("opgate_number 1\n"),
            "it is gathered after it was asked"
        );
        let asked: Vec<_> = (0..100)
            .map(|number| {
                tokio::spawn({
                    let scrapes = scrapes.clone();
                    let format = if number % 2 == 0 { Exposition::Prometheus } else { Exposition::OpenMetrics };
                    async move { (format, scrapes.text(ScrapeWanted { format, tells: false }).await.unwrap()) }
                })
            })
            .collect();
        let before = gathered.load(Ordering::SeqCst);
        for asked in asked {
            let (format, text) = asked.await.unwrap();
            assert_eq!(text.ends_with("# EOF\n"), format == Exposition::OpenMetrics);
        }
        assert!(gathered.load(Ordering::SeqCst) - before < 20, "they are answered together");
    }

    #[tokio::test]
    async fn the_policy_in_force_is_told_to_those_that_may_read_it() {
        let metrics = Metrics::new().unwrap();
        gauge(metrics.registry(), REVISION, "The policy.").unwrap();
        let scrapes = Scrapes::open(move || metrics.scrape(Names::default)).unwrap();
        for tells in [true, false] {
            let text = scrapes.text(ScrapeWanted { tells, ..PLAIN }).await.unwrap();
            assert_eq!(text.contains(REVISION), tells);
            assert!(text.contains("opgate_build_info"));
        }
    }
}
