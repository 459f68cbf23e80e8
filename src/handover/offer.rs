//! The running process: offers its sockets, and lets go of them once the new process accepts.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout_at;

use super::HandoverError;
use super::Upgrade;
use super::message::{FromNew, FromRunning, Offered, Purpose, greet, hear, is_no_stranger, pass, say};
use crate::listener::ListenSocket;

/// How long a process that serves may take to write a file.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Longer than what is known of a hundred names. A line must not be longer than the other process takes.
const MOST_KNOWN: usize = 128 * 1024;

/// Offers `sockets` to a new process until one has them and is ready. The sockets it has taken are passed on then. `known` is
/// told to it. The process that is waited for may end before it comes (`gone`): another one is not waited for then.
/// After an error nothing has changed: this process goes on serving.
///
/// # Errors
/// Where no process came, or none that was ready in time.
pub async fn offer(
    upgrade: &Upgrade,
    sockets: &[(Purpose, Arc<ListenSocket>)],
    known: Value,
    gone: impl Future<Output = ()>,
) -> Result<(), HandoverError> {
    let deadline = Instant::now() + upgrade.timeout;
    let place = OfferedSocket::make(&upgrade.socket)?;
    let came = tokio::select! {
        biased;
        came = timeout_at(deadline.into(), place.accept()) => came,
        () = gone => return Err(HandoverError::Gone),
    };
    let mut stream = came.map_err(|_| HandoverError::NobodyCame {
        path: upgrade.socket.clone(),
        timeout: upgrade.timeout,
    })??;
    let handed_over = tokio::select! {
        taken = timeout_at(deadline.into(), hand_over(&mut stream, sockets, known)) => {
            taken.unwrap_or(Err(HandoverError::TooLate(upgrade.timeout)))
        }
        never = place.turn_others_away() => never,
    };
    match handed_over {
        Ok(taken) => {
            // First: from here on the new process creates the socket at this path.
            drop(place);
            say(&mut stream, &FromRunning::Yours).await?;
            taken.iter().for_each(|socket| socket.pass_on());
            // A supervisor that watches this process looks for the new one when it ends. So this one waits until the
            // new one has written its pid file, or hangs up. The new one serves in either case.
            let _ = tokio::time::timeout(LAST_WORD, stream.read_u8()).await;
            Ok(())
        }
        Err(failure) => {
            // The other process may have gone already.
            let _ = say(&mut stream, &FromRunning::Refused(failure.to_string())).await;
            Err(failure)
        }
    }
}

/// Gives the new process what it takes and waits until it is ready.
async fn hand_over(
    stream: &mut UnixStream,
    sockets: &[(Purpose, Arc<ListenSocket>)],
    known: Value,
) -> Result<Vec<Arc<ListenSocket>>, HandoverError> {
    // It can do without.
    let known = if known.to_string().len() > MOST_KNOWN { Value::Null } else { known };
    greet(stream, known).await?;
    let offered = sockets.iter().map(|(purpose, socket)| Offered {
        purpose: *purpose,
        written: socket.written().clone(),
        bound: socket.bound().clone(),
    });
    say(stream, &FromRunning::Offer(offered.collect())).await?;
    let positions = match hear(stream).await? {
        FromNew::Take(positions) => positions,
        FromNew::Failed(why) => return Err(HandoverError::Refused(why)),
        FromNew::Ready => return Err(HandoverError::Nonsense("it is ready before it has begun".to_owned())),
    };
    let mut taken = Vec::new();
    for position in positions {
        let (_, socket) = sockets.get(position).ok_or_else(|| {
            HandoverError::Nonsense(format!("it takes socket {position} of {}", sockets.len()))
        })?;
        pass(stream, socket).await?;
        taken.push(socket.clone());
    }
    tracing::info!(sockets = taken.len(), "a new process has the listeners; serving until it is ready");
    match hear(stream).await? {
        FromNew::Ready => Ok(taken),
        FromNew::Failed(why) => Err(HandoverError::Refused(why)),
        FromNew::Take(_) => Err(HandoverError::Nonsense("it takes sockets twice".to_owned())),
    }
}

/// The socket in the file system; dropping the value removes it.
struct OfferedSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl OfferedSocket {
    /// Creates the socket beside its path and renames it there. So no other process can connect before the mode is set,
    /// and a socket that a killed process has left behind is replaced in one step.
    fn make(path: &Path) -> Result<Self, HandoverError> {
        let failed = |source| HandoverError::Offer { path: path.to_owned(), source };
        match std::fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(HandoverError::NoSocket { path: path.to_owned() });
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(HandoverError::Taken { path: path.to_owned() });
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&beside).map_err(failed)?;
        let placed = std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))
            .and_then(|()| std::fs::rename(&beside, path));
        if let Err(error) = placed {
            // The first failure is the one to report, whether or not the file can be removed.
            let _ = std::fs::remove_file(&beside);
            return Err(failed(error));
        }
        Ok(Self { path: path.to_owned(), listener })
    }

    /// The next process that runs as the same user. Others are not answered, and do not end the offer.
    async fn accept(&self) -> Result<UnixStream, HandoverError> {
        loop {
            let accepted = self.listener.accept().await;
            let (stream, _) =
                accepted.map_err(|source| HandoverError::Offer { path: self.path.clone(), source })?;
            match is_no_stranger(&stream, &self.path) {
                Ok(()) => return Ok(stream),
                Err(error) => tracing::warn!(%error, "refused to hand the listeners to another process"),
            }
        }
    }

    /// Tells every other process that comes that a handover is under way. Ends only where the socket fails.
    async fn turn_others_away<T>(&self) -> Result<T, HandoverError> {
        loop {
            let mut stream = self.accept().await?;
            let told = async {
                greet(&mut stream, Value::Null).await?;
                let why = "another new process is taking over".to_owned();
                Ok::<_, HandoverError>(say(&mut stream, &FromRunning::Refused(why)).await?)
            };
            // One second for two lines: a process that does not read is not told.
            if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(1), told).await {
                tracing::debug!(%error, "cannot tell a second new process that a handover is under way");
            }
        }
    }
}

impl Drop for OfferedSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the upgrade socket");
        }
    }
}
