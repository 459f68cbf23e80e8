//! System calls of a running process, counted by strace between two moments.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A process under strace.
pub struct Strace {
    log: PathBuf,
    /// How much of the log belongs to the laps before.
    read: usize,
}

impl Strace {
    /// The command that starts a program under strace; the program's own words follow.
    pub fn command(directory: &Path) -> Command {
        let mut command = Command::new("strace");
        // -D: the program is the process that is started, and strace its child. So a signal is the program's.
        command.args(["-D", "-f", "-qq", "-s", "0", "-e", "signal=none", "-o"]).arg(log(directory));
        command
    }

    /// Begins to count a process that was started by [`command`](Self::command).
    pub fn attach(directory: &Path) -> Self {
        let mut strace = Self { log: log(directory), read: 0 };
        strace.lap();
        strace
    }

    /// The system calls of all threads since the last lap, by name. The process has to wait for input meanwhile.
    pub fn lap(&mut self) -> BTreeMap<String, u64> {
        let text = std::fs::read(&self.log).expect("the log of strace");
        let new = String::from_utf8_lossy(&text[self.read..]).into_owned();
        self.read = text.len();
        let mut calls = BTreeMap::new();
        for name in new.lines().filter_map(begun) {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
        calls
    }
}

/// The name of the system call that a line says the beginning of: `PID NAME(…) = …`, or `PID NAME(… <unfinished ...>`.
/// Its end, where it is told apart, is `PID <... NAME resumed>…`.
fn begun(line: &str) -> Option<&str> {
    let (_, call) = line.split_once(' ')?;
    let (name, _) = call.trim_start().split_once('(')?;
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(name)
}

fn log(directory: &Path) -> PathBuf {
    directory.join("strace")
}
