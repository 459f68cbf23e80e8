//! What ends a gate: SIGTERM, SIGINT, or a new process that serves in its place.
//!
//! SIGQUIT offers the listeners to a process that was started by hand. SIGUSR2 starts it: the same program with the same
//! arguments and `--upgrade`. A service manager sees it as a process of the same service then.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::handover::{self, Purpose, Upgrade};
use crate::listener::ListenSocket;

/// The signals. Each is remembered until it is asked for.
pub(crate) struct Signals {
    pub(crate) stop: Stop,
    quit: Signal,
    user2: Signal,
}

/// Why a gate ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndCause {
    /// It was told to.
    Stopped,
    /// A new process serves in its place.
    Replaced,
}

/// SIGTERM and SIGINT.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Listens from here on.
    pub(crate) fn listen() -> io::Result<Self> {
        let [terminate, interrupt] = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt? })
    }

    pub(crate) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            stop: Stop::listen()?,
            quit: signal(SignalKind::quit())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits until the process is to end. On SIGQUIT and SIGUSR2, offers `sockets` to a new process; where none takes them,
    /// this one serves on.
    pub(crate) async fn until_end(
        mut self,
        upgrade: Option<&Upgrade>,
        sockets: &[(Purpose, Arc<ListenSocket>)],
    ) -> EndCause {
        loop {
            let (name, starts_it) = tokio::select! {
                () = self.stop.received() => return EndCause::Stopped,
                _ = self.quit.recv() => ("SIGQUIT", false),
                _ = self.user2.recv() => ("SIGUSR2", true),
            };
            let Some(upgrade) = upgrade else {
                tracing::error!("{name} ignored: the configuration has no `upgrade`");
                continue;
            };
            if starts_it && let Err(error) = start_successor() {
                tracing::error!(%error, "no new process could be started, serving on");
                continue;
            }
            tracing::info!(socket = %upgrade.socket.display(), "{name}: offering the listeners to a new process");
            let offered = tokio::select! {
                // The offer ends when this value is dropped.
                () = self.stop.received() => return EndCause::Stopped,
                offered = handover::offer(upgrade, sockets) => offered,
            };
            match offered {
                Ok(()) => {
                    tracing::info!("the new process serves");
                    return EndCause::Replaced;
                }
                Err(error) => tracing::error!(%error, "no new process has taken over, serving on"),
            }
        }
    }
}

/// Starts this program anew, with the same arguments and `--upgrade`. Its file may be another one by now: a package has
/// replaced it.
fn start_successor() -> io::Result<()> {
    let program = program_path(std::env::current_exe()?);
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--upgrade") {
        arguments.push("--upgrade".into());
    }
    // Not waited for here: the runtime reaps a child whose handle is dropped.
    let child = tokio::process::Command::new(&program).args(&arguments).spawn()?;
    tracing::info!(program = %program.display(), pid = child.id(), "started a new process");
    Ok(())
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
