//! Loading: the time it takes, the memory of a grant once loaded, and the peak of memory during loading.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use opgate::diagnostic::Report;
use opgate::policy::Policy;
use opgate::source::PolicySource;

use crate::ALLOCATOR;
use crate::table::Row;
use crate::tree::{self, Format, Shape};

const GRANTS: usize = 1_000_000;
/// Promised: a grant takes fewer bytes than this.
const MOST_BYTES: f64 = 400.0;

/// Loads a million grants in every shape; gives the broken promises.
pub fn run() -> Vec<String> {
    let mut broken = Vec::new();
    for format in Format::ALL {
        for shape in Shape::ALL {
            let tree = tree::write(shape, format, GRANTS);
            let row = Row {
                name: format!("load, {}, {}", format.extension(), shape.name()),
                size: GRANTS,
                ..in_a_process_of_its_own(tree.path())
            };
            row.print();
            if row.bytes.is_none_or(|bytes| bytes > MOST_BYTES) {
                broken.push(format!("{}: more than {MOST_BYTES} bytes for each grant", row.name));
            }
        }
    }
    broken
}

/// The policy of a tree that has no mistake.
pub fn load(tree: &Path) -> Policy {
    let mut report = Report::new();
    let files = PolicySource::directory(tree).read(&mut report).unwrap();
    let policy = Policy::load(&files, &[], &mut report);
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    policy
}

/// A peak belongs to a whole process, so each tree is loaded in a process of its own.
fn in_a_process_of_its_own(tree: &Path) -> Row {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).arg("load-tree").arg(tree).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: [usize; 4] = serde_json::from_slice(&output.stdout).unwrap();
    let [nanoseconds, on_cpu, bytes, peak] = figures;
    Row {
        nanoseconds: nanoseconds as f64 / GRANTS as f64,
        on_cpu: (on_cpu > 0).then(|| on_cpu as f64 / GRANTS as f64),
        bytes: Some(bytes as f64 / GRANTS as f64),
        peak: Some(peak),
        ..Row::default()
    }
}

/// Runs in that process: prints nanoseconds, nanoseconds on a processor, bytes, and bytes at the peak.
pub fn load_tree(tree: &Path) {
    let before = ALLOCATOR.allocated();
    let (start, on_cpu) = (Instant::now(), nanoseconds_on_cpu());
    let policy = load(tree);
    let (took, on_cpu) = (start.elapsed().as_nanos(), nanoseconds_on_cpu() - on_cpu);
    let bytes = ALLOCATOR.allocated() - before;
    println!("[{took}, {on_cpu}, {bytes}, {}]", ALLOCATOR.max_allocated() - before);
    drop(policy);
}

/// The time that this thread has run, if the kernel reports it: waiting for a busy processor is not loading.
fn nanoseconds_on_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}
