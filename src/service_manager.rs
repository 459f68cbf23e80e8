//! What a service manager is told of the process: systemd's notification protocol (sd_notify(3)).
//!
//! Outside such a service, where the environment has no `NOTIFY_SOCKET`, nothing is sent. A message that cannot be sent is
//! logged: the gate serves all the same.

use std::time::Duration;

use sd_notify::NotifyState;

/// What the end takes beside the time that requests are given.
const MARGIN: Duration = Duration::from_secs(10);

const UPGRADING: &str = "upgrading";
const UPGRADE_FAILED: &str = "upgrade failed";

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

/// The process ends within this time, and no other one serves in its place. The service manager waits for it, also where that is
/// longer than `TimeoutStopSec=`.
pub fn stops(within: Duration) {
    let within = u32::try_from(within.saturating_add(MARGIN).as_micros()).unwrap_or(u32::MAX);
    let within = NotifyState::ExtendTimeoutUsec(within);
    send(&[NotifyState::Stopping, within, NotifyState::Status("draining")]);
}

/// The listeners are offered to a new process.
pub fn offers() {
    send(&[NotifyState::Status(UPGRADING)]);
}

/// No new process has taken over. Scripts of packages wait for this text, or for another main process.
pub fn serves_on(why: &str) {
    send(&[NotifyState::Status(&format!("{UPGRADE_FAILED}: {why}").replace(['\n', '\r'], " "))]);
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
