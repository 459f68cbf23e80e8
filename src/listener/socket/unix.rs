//! The file of a Unix socket: made with its mode, in place of one that a killed process has left, and removed at the end.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

/// Of the user of the process alone.
const OWN: u32 = 0o600;

/// A file that a socket of this process is bound to.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number: by the end, the path may be another process's.
    file: (u64, u64),
}

impl SocketFile {
    /// Makes the file and listens.
    ///
    /// # Errors
    /// Where another process listens there, or something that is not a socket is there.
    pub(super) fn bind(path: &Path, mode: Option<u32>, queue: u32) -> io::Result<(UnixListener, Self)> {
        remove_stale(path)?;
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        // Linux makes the file with the mode of the socket: no other user can connect before the mode is the wanted one.
        rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(OWN))?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        let file = Self::at(path)?;
        let listening = listen(&socket, i32::try_from(queue).unwrap_or(i32::MAX))
            .map_err(io::Error::from)
            .and_then(|()| file.set_mode(mode));
        if let Err(error) = listening {
            file.remove();
            return Err(error);
        }
        Ok((UnixListener::from(socket), file))
    }

    /// The file at a path, which a socket is bound to already.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let there = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), file: (there.dev(), there.ino()) })
    }

    /// Lets the users connect that a mode lets write; `None` for the user of the process alone.
    pub(super) fn set_mode(&self, mode: Option<u32>) -> io::Result<()> {
        fs::set_permissions(&self.path, Permissions::from_mode(mode.unwrap_or(OWN)))
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, unless something else is there by now.
    pub(super) fn remove(&self) {
        let is_own = Self::at(&self.path).is_ok_and(|there| there.file == self.file);
        if let Some(Err(error)) = is_own.then(|| fs::remove_file(&self.path)) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the file of a Unix socket");
        }
    }
}

/// Removes the file of a process that was killed. It is one to which no process listens.
fn remove_stale(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !there.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is not a socket is there"));
    }
    // A process that does not accept must not hold this one up: the queue of its socket may be full.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let knock = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&knock, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"))
        }
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        // It cannot be known whether one does.
        Err(error) => Err(error.into()),
    }
}
