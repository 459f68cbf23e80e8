//! What ends a gate: SIGTERM, SIGINT, or a new process that serves in its place.
//!
//! SIGQUIT offers the listeners to a process that was started by hand. SIGUSR2 starts it: the same program with the same
//! arguments and `--upgrade`. A service manager sees it as a process of the same service then.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::successor::start_successor;
use crate::handover::{self, Purpose, Upgrade};
use crate::listener::ListenSocket;
use crate::service_manager;

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
    /// this one serves on. The new one is told what is `known`.
    pub(crate) async fn until_end(
        mut self,
        upgrade: Option<&Upgrade>,
        sockets: &[(Purpose, Arc<ListenSocket>)],
        known: impl Fn() -> serde_json::Value,
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
            service_manager::offers();
            let started = if starts_it { Some(start_successor().await) } else { None };
            let mut successor = match started.transpose() {
                Ok(successor) => successor,
                Err(error) => {
                    service_manager::serves_on(&error.to_string());
                    tracing::error!(%error, "no new process could be started, serving on");
                    continue;
                }
            };
            let gone = async {
                match &mut successor {
                    Some(successor) => successor.ended().await,
                    // One that was started by hand may come later.
                    None => std::future::pending().await,
                }
            };
            tracing::info!(socket = %upgrade.socket.display(), "{name}: offering the listeners to a new process");
            let offered = tokio::select! {
                // The offer ends when this value is dropped.
                () = self.stop.received() => return EndCause::Stopped,
                offered = handover::offer(upgrade, sockets, known(), gone) => offered,
            };
            match offered {
                Ok(()) => {
                    tracing::info!("the new process serves");
                    return EndCause::Replaced;
                }
                Err(error) => {
                    service_manager::serves_on(&error.to_string());
                    tracing::error!(%error, "no new process has taken over, serving on");
                }
            }
        }
    }
}
