//! Notifications of the kernel about changes to files: inotify(7).
//!
//! The events say only that something happened; a look at the files says what. `notify`, the usual library, also
//! reports each opening of a file, and every reading of the gate's own would wake it: so the mask is chosen here.

use std::collections::HashSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::fingerprint::Interest;

/// Everything that changes what a path leads to, or what a file holds.
const CHANGES: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::MOVE_SELF);

/// What changes the names in a directory.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::MOVE_SELF);

/// An instance of inotify.
pub(super) struct Notifications {
    instance: Arc<OwnedFd>,
    /// An event since the last wait.
    told: Receiver<()>,
    watched: HashSet<i32>,
}

impl Notifications {
    /// An instance that watches nothing yet.
    ///
    /// # Errors
    /// Where the user has as many instances as `fs.inotify.max_user_instances` allows.
    pub(super) fn new() -> io::Result<Self> {
        let instance = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
        let (tell, told) = mpsc::channel(1);
        let read = instance.clone();
        std::thread::Builder::new().name("opgate-watch".to_owned()).spawn(move || listen(&read, &tell))?;
        Ok(Self { instance, told, watched: HashSet::new() })
    }

    /// Watches these paths, and no others. A path that leads nowhere is passed over: the directory it would be in is watched.
    ///
    /// # Errors
    /// Where one cannot be watched: most likely `fs.inotify.max_user_watches` are in use.
    pub(super) fn follow<'p>(
        &mut self,
        paths: impl Iterator<Item = (&'p PathBuf, Interest)>,
    ) -> io::Result<()> {
        let mut now = HashSet::new();
        let mut failure = None;
        for (path, interest) in paths {
            let flags = match interest {
                Interest::Content => CHANGES,
                Interest::Names => NAMES,
            };
            // One inode has one watch, whichever path leads there: it is for all events that are wanted.
            match inotify::add_watch(&*self.instance, path, flags | WatchFlags::MASK_ADD) {
                Ok(watch) => {
                    now.insert(watch);
                }
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {}
                // A directory that may be entered and not listed, like those of private keys; or one of a tree that
                // cannot be read. The directory around it reports when it can be read again.
                Err(rustix::io::Errno::ACCESS) => {}
                Err(error) => failure = Some(error),
            }
        }
        for gone in self.watched.difference(&now) {
            // A watch ends by itself when its file is removed: then there is nothing to remove.
            let _ = inotify::remove_watch(&*self.instance, *gone);
        }
        self.watched = now;
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Waits for a change. `false` where the kernel reports no more.
    pub(super) async fn change(&mut self) -> bool {
        self.told.recv().await.is_some()
    }
}

/// Reads events until there are no more, or nothing asks for them.
fn listen(instance: &OwnedFd, tell: &Sender<()>) {
    let mut buffer = [const { MaybeUninit::<u8>::uninit() }; 4096];
    let mut reader = Reader::new(instance, &mut buffer);
    loop {
        match reader.next() {
            // One that is not taken yet says as much as two.
            Ok(_) if tell.try_send(()).is_err() && tell.is_closed() => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return tracing::warn!(%error, "the kernel reports no more changes of files"),
        }
    }
}
