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

type Rendered = Result<String, prometheus::Error>;
type ScrapeWaiter = oneshot::Sender<Option<Arc<str>>>;

/// The thread. It ends with this value.
pub(super) struct Scrapes {
    queue: Sender<ScrapeWaiter>,
}

impl Scrapes {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub(super) fn open(render: impl Fn() -> Rendered + Send + 'static) -> io::Result<Self> {
        let (queue, waiting) = channel();
        std::thread::Builder::new()
            .name("opgate-metrics".to_owned())
            .spawn(move || serve(&waiting, render))?;
        Ok(Self { queue })
    }

    /// The metrics, rendered after this was asked; `None` where they cannot be.
    pub(super) async fn text(&self) -> Option<Arc<str>> {
        let (sender, text) = oneshot::channel();
        self.queue.send(sender).ok()?;
        text.await.ok().flatten()
    }
}

fn serve(queue: &Receiver<ScrapeWaiter>, render: impl Fn() -> Rendered) {
    yield_to_those_that_serve();
    while let Ok(first) = queue.recv() {
        let waiting: Vec<ScrapeWaiter> = std::iter::once(first).chain(queue.try_iter()).collect();
        let text = match render() {
            Ok(text) => Some(Arc::from(text)),
            Err(error) => {
                tracing::error!(%error, "cannot render the metrics");
                None
            }
        };
        for sender in waiting {
            // An error means that its client is gone.
            let _ = sender.send(text.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn all_that_wait_get_one_text_that_is_newer_than_their_question() {
        let rendered = Arc::new(AtomicUsize::new(0));
        let count = rendered.clone();
        let scrapes = Scrapes::open(move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            Ok(number.to_string())
        });
        let scrapes = Arc::new(scrapes.unwrap());
        assert_eq!(scrapes.text().await.as_deref(), Some("0"));
        assert_eq!(scrapes.text().await.as_deref(), Some("1"), "rendered after it was asked");
        let asked: Vec<_> = (0..100)
            .map(|_| {
                tokio::spawn({
                    let scrapes = scrapes.clone();
                    async move { scrapes.text().await }
                })
            })
            .collect();
        let before = rendered.load(Ordering::SeqCst);
        for text in asked {
            assert!(text.await.unwrap().is_some());
        }
        assert!(rendered.load(Ordering::SeqCst) - before < 20, "they are answered together");
    }

    #[tokio::test]
    async fn a_failed_rendering_is_reported_to_all() {
        let scrapes = Scrapes::open(|| Err(prometheus::Error::Msg("on purpose".to_owned()))).unwrap();
        assert_eq!(scrapes.text().await, None);
        assert_eq!(scrapes.text().await, None);
    }
}
