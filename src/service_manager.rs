//! What a service manager is told of the process: systemd's notification protocol (sd_notify(3)).
//!
//! Outside such a service, where the environment has no `NOTIFY_SOCKET`, nothing is sent. A message that cannot be sent is
//! logged: the gate serves all the same.

use sd_notify::NotifyState;

/// The gate accepts clients. `waits_for` says what requests cannot be answered without yet.
pub fn serves(waits_for: &[String]) {
    send(&[NotifyState::Ready, NotifyState::Status(&status(waits_for))]);
}

/// The gate accepts clients in place of the process that the service was started with: from now on, this is the main process
/// of the service. The unit needs `NotifyAccess=all`, because this is said by a process that is not the main one yet.
pub fn takes_over() {
    send(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready, NotifyState::Status(&status(&[]))]);
}

/// Everything is there that requests need.
pub fn is_ready() {
    send(&[NotifyState::Status(&status(&[]))]);
}

/// Files are read again because it was asked for.
pub fn reloads() {
    // `Type=notify-reload` compares this time with the one at which it sent SIGHUP.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot tell the service manager of the reload"),
    }
}

/// The files that [`reloads`] told of have been read.
pub fn has_reloaded() {
    send(&[NotifyState::Ready]);
}

/// The process ends, and no other one serves in its place.
pub fn stops() {
    send(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

fn status(waits_for: &[String]) -> String {
    match waits_for {
        [] => "ready".to_owned(),
        // A status is one line.
        waits_for => format!("waiting for {}", waits_for.join("; ")).replace(['\n', '\r'], " "),
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
