//! The `cancels` of the file: how many cancels are watched.

use crate::diagnostic::Report;
use crate::document::{Node, Spelling};

/// Most that may be watched.
const MOST: usize = 1_000_000;

/// How many cancels are watched at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelSettings {
    /// At most so many, and 419 bytes for each on average: 4 MiB for 10,000. With 0, none is watched.
    pub tracked: usize,
}

impl Default for CancelSettings {
    fn default() -> Self {
        Self { tracked: 10_000 }
    }
}

/// Reads `cancels`.
pub(crate) fn cancels(node: &Node, report: &mut Report) -> Option<CancelSettings> {
    let mut fields = node.fields("`cancels`", Spelling::Exact, report)?;
    let mut settings = CancelSettings::default();
    if let Some(node) = fields.optional("tracked")
        && let Some(number) = node.integer(report)
    {
        match usize::try_from(number).ok().filter(|number| *number <= MOST) {
            Some(number) => settings.tracked = number,
            None => {
                report
                    .error(&node.span, format!("expected a number from 0 to {MOST}"))
                    .help("leave it out for the default; with 0, no cancel is watched");
            }
        }
    }
    fields.finish(report);
    Some(settings)
}
