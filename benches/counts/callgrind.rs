//! Instructions of a running process, counted by callgrind between two moments.
//!
//! The program starts uncounted, which is several times faster. It is asked to count through valgrind's own debugger
//! interface (`vgdb`), while it waits for input; so the program needs to know nothing of being counted.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A process under callgrind.
pub struct Callgrind {
    pid: u32,
    directory: PathBuf,
    laps: u32,
}

impl Callgrind {
    /// The command that starts a program under callgrind; the program's own words follow. What callgrind writes goes to
    /// this directory.
    pub fn command(directory: &Path) -> Command {
        let mut command = Command::new("valgrind");
        // mimalloc gives memory back once some time has passed, which comes in the midst of one count or another.
        command
            .env("MIMALLOC_PURGE_DELAY", "-1")
            .args(["--tool=callgrind", "--quiet", "--instr-atstart=no", "--dump-line=no", "--fair-sched=try"])
            .arg(format!("--callgrind-out-file={}", directory.join("counts").display()))
            .arg(format!("--log-file={}", directory.join("valgrind").display()))
            .arg(prefix(directory));
        command
    }

    /// Begins to count a process that was started by [`command`](Self::command).
    pub fn attach(pid: u32, directory: &Path) -> Self {
        let mut callgrind = Self { pid, directory: directory.to_owned(), laps: 0 };
        callgrind.ask(&["instrumentation", "on"]);
        callgrind.lap();
        callgrind
    }

    /// The instructions of all threads since the last lap. The process has to wait for input meanwhile.
    pub fn lap(&mut self) -> u64 {
        self.laps += 1;
        self.ask(&["dump"]);
        let path = self.directory.join(format!("counts.{}", self.laps));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("callgrind has not written {}: {error}", path.display()));
        // A lap is a file of a megabyte.
        std::fs::remove_file(&path).unwrap();
        let totals = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
        totals.and_then(|totals| totals.trim().parse().ok()).expect("a line `totals: NUMBER`")
    }

    fn ask(&self, words: &[&str]) {
        let output = Command::new("vgdb")
            .arg(format!("--pid={}", self.pid))
            .args(["--max-invoke-ms=1", "--cmd-time-out=60"])
            .arg(prefix(&self.directory))
            .args(words)
            .output()
            .expect("vgdb, which is a part of valgrind");
        assert!(
            output.status.success(),
            "vgdb cannot ask process {} for `{}` (in a container, it takes the capability SYS_PTRACE): {}",
            self.pid,
            words.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Where valgrind and vgdb meet: its files go with the directory, also where the process is killed.
fn prefix(directory: &Path) -> String {
    format!("--vgdb-prefix={}", directory.join("vgdb").display())
}
