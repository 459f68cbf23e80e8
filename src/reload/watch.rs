//! Finds changes to files and trees: by notifications of the kernel, and by a slow look in case they fail.
//!
//! Notifications do not arrive from a network file system, and not from every one that another container shares. So the
//! files are looked at all the same, rarely enough to cost next to nothing. Where such a look finds a change without a
//! notification, or where there are no notifications, the looks are more frequent.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::aside;
use super::fingerprint::Fingerprint;
use super::notifications::Notifications;

/// How long nothing happens before a change counts as complete: a tree that is being written is not read.
const QUIET: Duration = Duration::from_millis(50);

/// The time after which a tree that is written all the time is read anyway: a revocation may be in it.
const RESTLESS: Duration = Duration::from_millis(300);

/// The time between two looks where the kernel sends notifications.
const SLOW: Duration = Duration::from_secs(10);

/// The time between two looks where it does not.
const FAST: Duration = Duration::from_millis(500);

/// A look is not repeated before this many times as long as it took: a third of a percent of a core.
const SHARE: u32 = 300;

/// The longest time between two looks: a file system that answers slowly is looked at all the same.
const SLOWEST: Duration = Duration::from_secs(60);

/// How long a look may take. After that the files are read: that reports it if they cannot be.
const LOOK: Duration = Duration::from_secs(30);

/// Looks that may hang at one time.
const MOST_HANGING: usize = 3;

/// Files were changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileChange {
    /// When the last of the changes was made, by the file system's clock, where it says.
    pub(super) at: Option<SystemTime>,
}

/// What to watch, and since when it is known.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    pub(super) paths: Vec<PathBuf>,
    /// When the files were last read.
    pub(super) read_at: SystemTime,
}

/// Watches files and trees for as long as it lives.
pub(super) struct Watch {
    roots: watch::Sender<Roots>,
    changes: mpsc::Receiver<FileChange>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to watch. `what` names the files in the log.
    pub(super) fn begin(what: &'static str, roots: Roots) -> Self {
        let (sender, receiver) = watch::channel(roots);
        // One is as good as many: each is followed by a reading of everything.
        let (changed, changes) = mpsc::channel(1);
        let task = tokio::spawn(Watching::new(what, receiver, changed).run());
        Self { roots: sender, changes, task }
    }

    /// Watches other files from now on.
    pub(super) fn turn_to(&self, roots: Roots) {
        self.roots.send_if_modified(|current| {
            let differs = current.paths != roots.paths;
            *current = roots;
            differs
        });
    }

    /// Waits for the next change.
    pub(super) async fn changed(&mut self) -> FileChange {
        match self.changes.recv().await {
            Some(change) => change,
            // It watches until this value is dropped.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Watching {
    what: &'static str,
    roots: watch::Receiver<Roots>,
    changed: mpsc::Sender<FileChange>,
    notifications: Option<Notifications>,
    known: Fingerprint,
    /// Held by each look that has not ended.
    looks: Arc<()>,
    /// How long the last look took.
    cost: Duration,
    /// Whether there are no notifications at this moment, which was reported.
    is_lost: bool,
    /// Whether every change so far had a notification.
    is_told: bool,
}

/// What ended a wait.
enum Woken {
    Told,
    Time,
    Turned,
    Over,
}

impl Watching {
    fn new(what: &'static str, roots: watch::Receiver<Roots>, changed: mpsc::Sender<FileChange>) -> Self {
        Self {
            what,
            roots,
            changed,
            notifications: None,
            known: Fingerprint::default(),
            looks: Arc::new(()),
            cost: Duration::ZERO,
            is_lost: false,
            is_told: true,
        }
    }

    async fn run(mut self) {
        match Notifications::new() {
            Ok(notifications) => self.notifications = Some(notifications),
            Err(error) => self.lose(&error),
        }
        if !self.turn().await {
            return;
        }
        loop {
            let told = match self.wait().await {
                Woken::Over => return,
                Woken::Turned => {
                    if !self.turn().await {
                        return;
                    }
                    continue;
                }
                Woken::Told => {
                    self.quieten().await;
                    true
                }
                Woken::Time => {
                    self.regain();
                    false
                }
            };
            let before = self.known.clone();
            let Some(now) = self.look().await else {
                if self.changed.send(FileChange { at: None }).await.is_err() {
                    return;
                }
                continue;
            };
            let now = if now == self.known {
                // A new directory may have been filled before it was watched.
                if now.is_same_as(&self.known) || !self.overtake_from(now).await {
                    continue;
                }
                self.known.clone()
            } else {
                self.settled(now).await
            };
            if !told && self.is_told && self.notifications.is_some() {
                tracing::warn!(
                    files = self.what,
                    "there was no notification of a change: looking at the files more often"
                );
                self.is_told = false;
            }
            let at = now.changed_since(&before);
            self.adopt(now);
            self.overtake().await;
            if self.changed.send(FileChange { at }).await.is_err() {
                return;
            }
        }
    }

    /// Takes the new list of files. A change since they were read is reported. `false` where watching is over.
    async fn turn(&mut self) -> bool {
        let read_at = self.roots.borrow_and_update().read_at;
        let now = self.look().await;
        let is_new = now.is_none_or(|now| {
            let is_new = now.is_newer_than(read_at);
            self.adopt(now);
            is_new
        });
        let is_new = self.overtake().await || is_new;
        let at = self.known.changed_since(&Fingerprint::default()).filter(|at| *at > read_at);
        !is_new || self.changed.send(FileChange { at }).await.is_ok()
    }

    /// Looks again until two looks agree: changes before a directory was watched have no notification. Whether there
    /// was a change.
    async fn overtake(&mut self) -> bool {
        let mut is_new = false;
        let restless = Instant::now() + RESTLESS;
        while let Some(now) = self.look().await.filter(|now| *now != self.known) {
            is_new = true;
            self.adopt(now);
            if Instant::now() >= restless {
                break;
            }
        }
        is_new
    }

    async fn overtake_from(&mut self, now: Fingerprint) -> bool {
        self.adopt(now);
        self.overtake().await
    }

    async fn wait(&mut self) -> Woken {
        let pause = if self.notifications.is_some() && self.is_told { SLOW } else { FAST };
        let pause = pause.max(self.cost.saturating_mul(SHARE)).min(SLOWEST);
        let told = async {
            match &mut self.notifications {
                Some(notifications) => notifications.change().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            is_told = told => {
                if is_told {
                    return Woken::Told;
                }
                self.notifications = None;
                Woken::Time
            }
            () = tokio::time::sleep(pause) => Woken::Time,
            turned = self.roots.changed() => if turned.is_ok() { Woken::Turned } else { Woken::Over },
        }
    }

    /// Waits until there is no notification for a moment.
    async fn quieten(&mut self) {
        let Some(notifications) = &mut self.notifications else { return };
        let restless = Instant::now() + RESTLESS;
        while Instant::now() < restless {
            match tokio::time::timeout(QUIET, notifications.change()).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// Looks until two looks agree.
    async fn settled(&mut self, mut seen: Fingerprint) -> Fingerprint {
        let restless = Instant::now() + RESTLESS;
        loop {
            tokio::time::sleep(QUIET).await;
            match self.look().await {
                Some(now) if now != seen && Instant::now() < restless => seen = now,
                Some(now) => return now,
                None => return seen,
            }
        }
    }

    /// `None` where a look does not end in time, or where too many have not.
    async fn look(&mut self) -> Option<Fingerprint> {
        if Arc::strong_count(&self.looks) > MOST_HANGING {
            return None;
        }
        let paths = self.roots.borrow().paths.clone();
        let begun = Instant::now();
        let look = self.looks.clone();
        let found = aside("opgate-look", move || {
            let found = Fingerprint::of(&paths);
            drop(look);
            found
        });
        let found = tokio::time::timeout(LOOK, found).await.ok().flatten();
        self.cost = begun.elapsed();
        found
    }

    fn adopt(&mut self, now: Fingerprint) {
        if std::mem::replace(&mut self.known, now).is_same_as(&self.known) {
            return;
        }
        if let Some(notifications) = &mut self.notifications
            && let Err(error) = notifications.follow(self.known.watched())
        {
            self.lose(&error);
        }
    }

    fn lose(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_lost, true) {
            tracing::warn!(
                files = self.what,
                %error,
                "no notifications of changes (`sysctl fs.inotify`): looking at the files more often"
            );
        }
        self.notifications = None;
    }

    /// Tries again to get notifications.
    fn regain(&mut self) {
        if self.notifications.is_some() || !self.is_lost {
            return;
        }
        let Ok(mut notifications) = Notifications::new() else { return };
        if notifications.follow(self.known.watched()).is_ok() {
            tracing::info!(files = self.what, "notifications of changes work again");
            self.notifications = Some(notifications);
            self.is_lost = false;
        }
    }
}
