//! `opgate explain --request-id ID`: a decision that was recorded, in an audit log or in the memory of a running gate.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::ExitCode;

use crate::cli::args::Output;
use crate::cli::problem::Problem;
use crate::cli::tree::{TreeArgs, refuse};
use crate::diagnostic::Report;
use crate::explain::recorded::{LineOrigin, RecordedDecision};
use crate::policy::explain::Extent;
use crate::terminal::{DENIED, print};

/// The longest line that is read, as `diff` does.
const LONGEST: u64 = 1 << 20;

/// Explains a decision of an audit log. Exits 0 where it let the call pass, 2 where it did not, 3 where it is not found.
pub(super) fn run(tree: &TreeArgs, file: &Path, id: &str, extent: Extent, output: Output) -> ExitCode {
    let recorded = match find(file, id) {
        Ok(recorded) => recorded,
        Err(problem) => return problem.print(output),
    };
    let mut report = Report::new();
    let snapshot = tree.load(&mut report).filter(|_| !report.is_fatal());
    let Some(snapshot) = snapshot else { return refuse(&report, output) };
    let explanation = match recorded.explain(&snapshot, extent) {
        Ok(explanation) => explanation,
        Err(mistake) => return Problem::from(mistake).print(output),
    };
    match output {
        Output::Text => print(&explanation.text()),
        Output::Json => print(&format!("{:#}\n", explanation.json())),
    }
    if explanation.was_allowed() { ExitCode::SUCCESS } else { ExitCode::from(DENIED) }
}

/// The line of a request.
fn find(file: &Path, id: &str) -> Result<RecordedDecision, Problem> {
    let help = "name a file that `audit.output` wrote, or `-` for standard input";
    let fail = |what: &str| Problem::new(format!("cannot read {}: {what}", file.display()), help);
    let mut reader: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(std::fs::File::open(file).map_err(|error| fail(&error.to_string()))?))
    };
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let read = reader.by_ref().take(LONGEST).read_until(b'\n', &mut bytes);
        if read.map_err(|error| fail(&error.to_string()))? == 0 {
            break;
        }
        if !RecordedDecision::is_about(&bytes, id) {
            continue;
        }
        let origin = LineOrigin::File(file.display().to_string(), number);
        return RecordedDecision::parse(&bytes, origin).map_err(|error| {
            Problem::new(format!("line {number} of {} is not an audit line: {error}", file.display()), help)
        });
    }
    let message = format!("{} has no request `{id}`", file.display());
    let help = "the id is in the `x-request-id` of the answer, and in the line as `insertId`";
    Err(Problem::new(message, help))
}
