//! What ends a gate: SIGTERM, SIGINT, or a new process that serves in its place.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::handover::{self, Purpose, Upgrade};
use crate::listener::ListenSocket;

/// The signals. Each is remembered until it is asked for.
pub(crate) struct Signals {
    pub(crate) stop: Stop,
    quit: Signal,
}

/// SIGTERM and SIGINT.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub(crate) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        let [terminate, interrupt] = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        let stop = Stop { terminate: terminate?, interrupt: interrupt? };
        Ok(Self { stop, quit: signal(SignalKind::quit())? })
    }

    /// Waits until the process is to end. On SIGQUIT, offers `sockets` to a new process; where none takes them, this
    /// one serves on.
    pub(crate) async fn until_end(
        mut self,
        upgrade: Option<&Upgrade>,
        sockets: &[(Purpose, Arc<ListenSocket>)],
    ) {
        loop {
            tokio::select! {
                () = self.stop.received() => return,
                _ = self.quit.recv() => {}
            }
            let Some(upgrade) = upgrade else {
                tracing::error!("SIGQUIT ignored: the configuration has no `upgrade`");
                continue;
            };
            tracing::info!(socket = %upgrade.socket.display(), "SIGQUIT: offering the listeners to a new process");
            let offered = tokio::select! {
                // The offer ends when this value is dropped.
                () = self.stop.received() => return,
                offered = handover::offer(upgrade, sockets) => offered,
            };
            match offered {
                Ok(()) => return tracing::info!("the new process serves"),
                Err(error) => tracing::error!(%error, "no new process has taken over, serving on"),
            }
        }
    }
}
