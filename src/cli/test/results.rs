//! What came of the tests that were run.

use std::path::PathBuf;
use std::time::Duration;

use super::answer::CaseAnswer;
use super::case::TestCase;
use super::coverage::Coverage;

/// A test that was run.
#[derive(Debug)]
pub(super) struct RunCase {
    pub(super) case: TestCase,
    pub(super) answer: CaseAnswer,
    pub(super) passed: bool,
    pub(super) duration: Duration,
}

/// What came of all of them.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) directory: PathBuf,
    pub(super) outcomes: Vec<RunCase>,
    /// `None` where a filter left tests out: then the coverage is not known.
    pub(super) coverage: Option<Coverage>,
    pub(super) duration: Duration,
}

impl Results {
    pub(super) fn passed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.passed).count()
    }

    pub(super) fn failed(&self) -> usize {
        self.outcomes.len() - self.passed()
    }
}
