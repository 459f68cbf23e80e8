//! Lines up to a number and up to a number of bytes: the oldest make room for the newest.

use std::collections::VecDeque;
use std::sync::Arc;

/// A line of the audit log, and its number: the first line since the start of the process has the number 1.
#[derive(Clone, Debug)]
pub struct RecentLine {
    /// Its number.
    pub number: u64,
    /// The JSON, without the end of the line.
    pub text: Arc<str>,
}

#[derive(Debug)]
pub(super) struct Ring {
    lines: VecDeque<RecentLine>,
    bytes: usize,
    most_lines: usize,
    most_bytes: usize,
}

impl Ring {
    pub(super) fn new(most_lines: usize, most_bytes: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, most_lines, most_bytes }
    }

    /// Adds a line. One that is longer than all may be together is not kept, and removes no other.
    pub(super) fn push(&mut self, line: RecentLine) {
        let bytes = line.text.len();
        if self.most_lines == 0 || bytes > self.most_bytes {
            return;
        }
        while self.lines.len() >= self.most_lines || self.bytes + bytes > self.most_bytes {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
        }
        self.bytes += bytes;
        self.lines.push_back(line);
    }

    /// All lines, oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &RecentLine> {
        self.lines.iter()
    }

    /// Those after a number, newest first, at most so many.
    pub(super) fn newer(&self, number: u64, most: usize) -> impl Iterator<Item = &RecentLine> {
        self.lines.iter().rev().take_while(move |line| line.number > number).take(most)
    }
}
