//! What each stage and each exchange costs in instructions, allocations and system calls, beside its budget.
//!
//! Times depend on the machine and on what else it does. Counts hardly do: the same program executes the same instructions. So
//! CI compares counts with `benches/budget.yaml`, and fails where they have grown.

mod budget;
mod callgrind;
mod exchanges;
mod samples;
mod stages;
mod strace;
mod traffic;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use alloc_counter::count_alloc;

use self::budget::{Budget, Circumstances, Cost, Counted, change};
use self::callgrind::Callgrind;
use self::stages::{STAGES, Stage};
use crate::measure::{nanoseconds, nanoseconds_of_each};

/// The argument by which this program calls stages for another process that counts them.
pub const CALL_STAGES: &str = "call-stages";
/// A stage that does nothing: what asking for it costs is taken off every other count.
const NOTHING: &str = "nothing";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Stages,
    Exchanges,
}

/// Counts these parts, and shows the counts beside their budget and times.
pub fn show(parts: &[Part]) {
    match tools() {
        Err(missing) => println!("{missing}"),
        Ok(()) => print(&count(parts), &budget().unwrap_or_default(), true),
    }
}

/// Counts everything, and compares it with the budget; gives what the budget does not allow.
pub fn check() -> Result<(), String> {
    tools()?;
    let (budget, counted) = (budget()?, count(&[Part::Stages, Part::Exchanges]));
    print(&counted, &budget, false);
    let comparison = budget.compare(&counted);
    println!("\n{comparison}");
    if comparison.exceeded.is_empty() { Ok(()) } else { Err("the budget is exceeded".to_owned()) }
}

/// Counts everything, and makes it the budget.
pub fn accept() -> Result<(), String> {
    tools()?;
    let counted = count(&[Part::Stages, Part::Exchanges]);
    print(&counted, &budget().unwrap_or_default(), false);
    std::fs::write(path(), counted.to_budget()).map_err(|error| format!("{}: {error}", path().display()))
}

/// Counts these parts at the same time: another process that runs beside changes no count.
fn count(parts: &[Part]) -> Counted {
    let rows = std::thread::scope(|scope| {
        let counting: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Part::Stages => scope.spawn(count_stages),
                Part::Exchanges => scope.spawn(exchanges::count),
            })
            .collect();
        counting.into_iter().flat_map(|counting| counting.join().expect("counts")).collect()
    });
    Counted { circumstances: circumstances(), rows }
}

/// # Errors
/// Where the file is missing or wrong.
fn budget() -> Result<Budget, String> {
    let text = std::fs::read_to_string(path()).map_err(|error| error.to_string());
    text.and_then(|text| Budget::parse(&text)).map_err(|error| format!("{}: {error}", path().display()))
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/budget.yaml")
}

/// # Errors
/// Where a tool is missing: what is not counted, and how to install it.
fn tools() -> Result<(), String> {
    let is_missing = |tool: &&str| Command::new(tool).arg("--version").output().is_err();
    let missing: Vec<&str> = ["valgrind", "vgdb", "strace"].into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} cannot be found: instructions and system calls are not counted; ./.ci/install-bench installs what counts them",
        missing.join(", ")
    ))
}

fn circumstances() -> Circumstances {
    let version = |tool: &str| {
        let output = Command::new(tool).arg("--version").output();
        let text =
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or("unknown").to_owned()
    };
    // target/PROFILE/deps/bench-HASH
    let program = std::env::current_exe().unwrap();
    let profile = program.ancestors().nth(2).and_then(Path::file_name).unwrap_or_default();
    Circumstances {
        profile: profile.to_string_lossy().into_owned(),
        rustc: version(&std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())),
        cc: version("cc"),
    }
}

/// Counts the stages. They are called in a process of its own, under callgrind; allocations are counted in this one.
fn count_stages() -> Vec<(String, Cost)> {
    let mut caller = Caller::start();
    let nothing = caller.instructions(NOTHING);
    let count = |stage: &Stage| {
        let instructions = caller.instructions(stage.name).saturating_sub(nothing);
        let cost = Cost {
            instructions: instructions / stage.calls() as u64,
            allocations: Some(allocations(stage)),
            system_calls: None,
        };
        (stage.name.to_owned(), cost)
    };
    STAGES.iter().map(count).collect()
}

/// Allocations of one call, in tenths.
fn allocations(stage: &Stage) -> f64 {
    let mut prepared = stage.prepare();
    let ((allocations, reallocations, _), ()) = count_alloc(|| prepared.call(stage.calls()));
    let each = (allocations + reallocations) as f64 / stage.calls() as f64;
    (each * 10.0).round() / 10.0
}

/// Nanoseconds of one call.
fn time(stage: &Stage) -> f64 {
    let mut prepared = stage.prepare();
    if stage.is_once() {
        return nanoseconds_of_each(vec![(); stage.calls()], |()| prepared.call(1));
    }
    nanoseconds(|| prepared.call(1))
}

/// A process that calls stages when it is told to, under callgrind.
struct Caller {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    callgrind: Callgrind,
    /// What callgrind writes.
    _directory: tempfile::TempDir,
}

impl Caller {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Callgrind::command(directory.path());
        command.arg(std::env::current_exe().unwrap()).arg(CALL_STAGES);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let to = child.stdin.take().unwrap();
        let mut from = BufReader::new(child.stdout.take().unwrap());
        expect_done(&mut from);
        let callgrind = Callgrind::attach(child.id(), directory.path());
        Self { child, to, from, callgrind, _directory: directory }
    }

    /// The instructions of all calls of a stage.
    fn instructions(&mut self, stage: &str) -> u64 {
        self.say(stage);
        self.callgrind.lap();
        self.say("call");
        self.callgrind.lap()
    }

    /// Sends a line, and waits for the answer.
    fn say(&mut self, line: &str) {
        writeln!(self.to, "{line}").unwrap();
        expect_done(&mut self.from);
    }
}

fn expect_done(from: &mut impl BufRead) {
    let mut answer = String::new();
    from.read_line(&mut answer).unwrap();
    assert_eq!(answer, "done\n", "the process that calls stages has ended");
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs in that process: says that it has started, prepares the stage that a line names, then calls it. Each is answered with
/// a line.
pub fn call_stages() {
    println!("done");
    let mut lines = std::io::stdin().lines().map(Result::unwrap);
    while let Some(name) = lines.next() {
        let stage = STAGES.iter().find(|stage| stage.name == name);
        assert!(stage.is_some() || name == NOTHING, "no stage `{name}`");
        let mut prepared = stage.map(Stage::prepare);
        // The threads of an engine start before the count does.
        std::thread::sleep(Duration::from_millis(100));
        println!("done");
        lines.next();
        if let (Some(stage), Some(prepared)) = (stage, &mut prepared) {
            prepared.call(stage.calls());
        }
        println!("done");
    }
}

/// Prints a row for each count, beside its budget.
fn print(counted: &Counted, budget: &Budget, with_times: bool) {
    println!();
    println!(
        "{:<44} {:>12} {:>12} {:>8} {:>7} {:>7} {:>8}",
        "", "instructions", "budget", "change", "allocs", "budget", "ns"
    );
    for (name, cost) in &counted.rows {
        let row = budget.rows.get(name);
        let or_blank = |text: Option<String>| text.unwrap_or_default();
        let stage = STAGES.iter().find(|stage| stage.name == name && with_times);
        println!(
            "{:<44} {:>12} {:>12} {:>8} {:>7} {:>7} {:>8}",
            name,
            cost.instructions,
            or_blank(row.map(|row| row.instructions.to_string())),
            or_blank(row.map(|row| format!("{:+.1} %", change(row.instructions, cost.instructions) * 100.0))),
            or_blank(cost.allocations.map(|count| count.to_string())),
            or_blank(row.and_then(|row| row.allocations).map(|count| count.to_string())),
            or_blank(stage.map(|stage| format!("{:.0}", time(stage)))),
        );
        if let Some(calls) = &cost.system_calls {
            let calls: Vec<String> = calls.iter().map(|(call, count)| format!("{count} {call}")).collect();
            println!("    system calls: {}", calls.join(", "));
        }
    }
}
