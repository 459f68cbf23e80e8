//! The process that takes over, as the running one starts it.
//!
//! It must not be a child of the running one. systemd learns of its main process by `MAINPID=`. If that process is not its own
//! child by then, systemd never notices that it has ended, and a stop sends SIGKILL without waiting for the drain. So the running
//! process starts one that starts the successor and ends: the kernel makes the successor a child of the service manager.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// The process that was started, as far as this one sees it: its standard input is the other end of a connection.
pub(super) struct Successor(UnixStream);

impl Successor {
    /// Waits until it has ended.
    pub(super) async fn ended(&mut self) {
        // It says nothing: what is read is the end, or an error that means the same.
        let _ = self.0.read_u8().await;
    }
}

/// The argument that has a process start another one in its place, and end.
const DETACH: &str = "--detach";

/// Starts this program anew, with the same arguments and `--upgrade`, as a process that is not a child of this one. Its file
/// may be another one by now: a package has replaced it.
///
/// # Errors
/// Where the program cannot be started.
pub(super) async fn start_successor() -> io::Result<Successor> {
    let program = program_path(std::env::current_exe()?);
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--upgrade") {
        arguments.push("--upgrade".into());
    }
    arguments.push(DETACH.into());
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let input = Stdio::from(OwnedFd::from(theirs));
    let ended = tokio::process::Command::new(&program).args(&arguments).stdin(input).status().await?;
    if !ended.success() {
        return Err(io::Error::other(format!("{}: {ended}", program.display())));
    }
    tracing::info!(program = %program.display(), "started a new process");
    Ok(Successor(UnixStream::from_std(ours)?))
}

/// Starts this program with the same arguments but `--detach`, and does not wait for it. It has the standard input of this one,
/// by whose end the running process sees its own.
///
/// # Errors
/// Where the program cannot be started.
pub(crate) fn start_in_place() -> io::Result<()> {
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != OsStr::new(DETACH));
    std::process::Command::new(std::env::current_exe()?).args(arguments).spawn().map(drop)
}

/// The path of the program. Linux adds a word to the path of one whose file was removed or replaced.
fn program_path(shown: PathBuf) -> PathBuf {
    match shown.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
        Some(path) if !shown.exists() => path.into(),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_program_is_found_at_its_path() {
        assert_eq!(program_path("/usr/bin/opgate (deleted)".into()), PathBuf::from("/usr/bin/opgate"));
        assert_eq!(program_path("/usr/bin/opgate".into()), PathBuf::from("/usr/bin/opgate"));
        let directory = tempfile::tempdir().unwrap();
        let odd = directory.path().join("opgate (deleted)");
        std::fs::write(&odd, "").unwrap();
        assert_eq!(program_path(odd.clone()), odd);
    }
}
