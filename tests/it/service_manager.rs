//! What a service manager (systemd) is told: when the gate serves, reloads, ends, and which process serves now.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Gate, Setup, cancel, signal};

/// The socket on which a service manager listens.
struct Manager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify.sock")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { socket, directory }
    }

    fn gate(&self) -> Gate {
        self.gate_with(&[])
    }

    fn gate_with(&self, more: &[&str]) -> Gate {
        let upgrade = json!({ "socket": self.directory.path().join("upgrade.sock"), "timeout": "60s" });
        let more = more.iter().map(ToString::to_string);
        Gate::start_with(Setup {
            set: std::iter::once(format!("upgrade={upgrade}")).chain(more).collect(),
            notify_socket: Some(self.directory.path().join("notify.sock")),
            ..Setup::default()
        })
    }

    /// The next message that assigns `name`.
    fn next(&self, name: &str) -> String {
        loop {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).unwrap();
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if message.lines().any(|line| line.split_once('=').is_some_and(|(first, _)| first == name)) {
                return message;
            }
        }
    }
}

fn value<'m>(message: &'m str, name: &str) -> &'m str {
    let mut lines = message.lines().filter_map(|line| line.split_once('='));
    lines.find(|(first, _)| *first == name).unwrap().1
}

#[tokio::test]
async fn a_service_manager_is_told_of_the_start_a_reload_and_the_end() {
    let manager = Manager::new();
    let mut gate = manager.gate();
    assert_eq!(value(&manager.next("READY"), "READY"), "1");
    signal(gate.pid(), "HUP");
    let reloading = manager.next("RELOADING");
    assert!(value(&reloading, "MONOTONIC_USEC").parse::<u64>().unwrap() > 0, "{reloading}");
    assert_eq!(value(&manager.next("READY"), "READY"), "1");
    assert!(gate.terminate().success());
    assert_eq!(value(&manager.next("STOPPING"), "STOPPING"), "1");
}

/// `TimeoutStopSec=` of the unit is for the default limits. With longer ones, systemd killed a gate that was still draining.
#[tokio::test]
async fn a_service_manager_is_told_how_long_the_end_may_take() {
    let manager = Manager::new();
    let mut gate = manager.gate_with(&["limits.grace_period=20m", "limits.drain_delay=1ms"]);
    manager.next("READY");
    assert!(gate.terminate().success());
    let within: u64 = value(&manager.next("STOPPING"), "EXTEND_TIMEOUT_USEC").parse().unwrap();
    assert!(within > 20 * 60 * 1_000_000, "{within}");
}

/// A package that has asked for the upgrade sees that it has failed.
#[tokio::test]
async fn a_service_manager_is_told_of_an_upgrade_that_has_failed() {
    let manager = Manager::new();
    let gate = manager.gate();
    manager.next("READY");
    std::fs::write(gate.path("keys.jwks.json"), "[").unwrap();
    signal(gate.pid(), "USR2");
    let mut said = Vec::new();
    while said.last().is_none_or(|last: &String| !last.starts_with("upgrade failed: the new process ended")) {
        said.push(value(&manager.next("STATUS"), "STATUS").to_owned());
    }
    assert!(said.iter().any(|status| status == "upgrading"), "{said:?}");
    assert_eq!(gate.http1(&cancel()).await.status, 200);
}

#[tokio::test]
async fn sigusr2_starts_a_process_that_takes_over_and_is_the_main_one_then() {
    let manager = Manager::new();
    let mut gate = manager.gate();
    manager.next("READY");
    let (address, old) = (gate.address, gate.pid());
    signal(old, "USR2");
    let message = manager.next("MAINPID");
    let new: u32 = value(&message, "MAINPID").parse().unwrap();
    assert_ne!(new, old);
    assert_eq!(value(&message, "READY"), "1");
    // A child of the old process is not one of the service manager: systemd would not notice its end, nor wait for its drain.
    let stat = std::fs::read_to_string(format!("/proc/{new}/stat")).unwrap();
    let parent: u32 = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert_ne!(parent, old);
    assert!(gate.ended().await.success(), "{}", gate.log());
    assert_eq!(gate.address, address);
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    // The old process did not say that the service ends: this is the new one's word.
    signal(new, "TERM");
    let stopping = manager.next("STOPPING");
    assert_eq!(value(&stopping, "STATUS"), "draining");
}
