//! `opgate run` as a process of its own, for tests in which several processes serve one after another.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::opgate;

/// A running process. It is killed when the value is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
    addresses: PathBuf,
}

impl Process {
    /// Starts a gate whose log and addresses go to files of this name in `directory`.
    pub fn start(name: &str, directory: &Path, settings: &[String], flags: &[&str]) -> Self {
        let addresses = directory.join(format!("{name}.addresses.json"));
        let log = directory.join(format!("{name}.stderr"));
        let mut command = opgate();
        command.args(["run", "--config", "config/demo.yaml", "--addresses-file"]).arg(&addresses).args(flags);
        for setting in settings {
            command.args(["--set", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), log, addresses }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, like `QUIT`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its log contains a text.
    pub async fn logged(&mut self, text: &str) {
        self.wait(text, |process| process.log().contains(text).then_some(())).await;
    }

    /// The addresses of its listeners, and of its admin port, once it serves.
    pub async fn serving(&mut self) -> (Vec<SocketAddr>, SocketAddr) {
        let read = |process: &Self| {
            let text = std::fs::read_to_string(&process.addresses).ok()?;
            let bound: Value = serde_json::from_str(&text).unwrap();
            let address = |value: &Value| value.as_str().unwrap().parse().ok();
            // Unix sockets have no address.
            let listeners = bound["listeners"].as_array().unwrap().iter().filter_map(address).collect();
            Some((listeners, address(&bound["admin"]).unwrap()))
        };
        self.wait("the addresses", read).await
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it has not ended:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn wait<T>(&mut self, what: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "waiting for {what}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal, like `QUIT`, to a process.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(sent.success());
}
