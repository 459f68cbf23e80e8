//! The budget: what each row may cost, and how what was counted compares with it.
//!
//! `tests/it/budget.rs` has the tests: this program has no test harness.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde::Deserialize;

/// How far instructions may be from their budget, in percent of it.
const SLACK: u64 = 5;

/// Instructions that a row may always be from its budget. While a stage is counted, other threads and the allocator do a little
/// too. A stage that grows by less than this is seen in the exchanges that it is a part of.
const NOISE: u64 = 5_000;

/// How far allocations may be from their budget: a cache that grows now and then makes a part of one.
const ALLOCATIONS_SLACK: f64 = 0.5;

/// What one call or one request costs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Instructions in user space, of all threads.
    pub instructions: u64,
    /// Allocations of the calling thread, in tenths. Of stages alone.
    pub allocations: Option<f64>,
    /// System calls of all threads, by name. Of exchanges alone.
    pub system_calls: Option<BTreeMap<String, u64>>,
}

/// What the counts depend on, beside the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Circumstances {
    /// The profile of Cargo.toml that was built.
    pub profile: String,
    /// `rustc --version`.
    pub rustc: String,
    /// The first line of `cc --version`: aws-lc, mimalloc and zlib-ng are C.
    pub cc: String,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub circumstances: Circumstances,
    pub rows: BTreeMap<String, Cost>,
}

/// What was counted, in the order of counting.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub circumstances: Circumstances,
    pub rows: Vec<(String, Cost)>,
}

/// How what was counted compares with the budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What costs more than it may. The check fails.
    pub exceeded: Vec<String>,
    /// What costs less than the budget says, which should follow. The check does not fail.
    pub fallen: Vec<String>,
    /// What the budget was counted with, where that is something else.
    pub other_circumstances: Vec<String>,
}

impl Budget {
    /// Reads the file's text.
    ///
    /// # Errors
    /// Where it is not a budget.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    /// Compares what was counted. A row that only one of the two has is exceeded: it has no budget, or the budget guards
    /// nothing.
    pub fn compare(&self, counted: &Counted) -> Comparison {
        let mut comparison = Comparison::default();
        for (name, cost) in &counted.rows {
            match self.rows.get(name) {
                Some(budget) => comparison.add(name, budget, cost),
                None => comparison.exceeded.push(format!("{name}: it has no budget")),
            }
        }
        let names: BTreeSet<&str> = counted.rows.iter().map(|(name, _)| name.as_str()).collect();
        let gone = self.rows.keys().filter(|name| !names.contains(name.as_str()));
        comparison.exceeded.extend(gone.map(|name| format!("{name}: it has a budget, and was not counted")));
        let (here, there) = (&counted.circumstances, &self.circumstances);
        let pairs = [("profile", &there.profile, &here.profile), ("rustc", &there.rustc, &here.rustc)];
        for (what, there, here) in pairs.into_iter().chain([("cc", &there.cc, &here.cc)]) {
            if there != here {
                comparison
                    .other_circumstances
                    .push(format!("{what}: `{there}` in the budget, `{here}` here"));
            }
        }
        comparison
    }
}

impl Comparison {
    fn add(&mut self, name: &str, budget: &Cost, cost: &Cost) {
        let change = change(budget.instructions, cost.instructions);
        let told = format!(
            "{name}: {} instructions, budget {} ({:+.1} %)",
            cost.instructions,
            budget.instructions,
            change * 100.0
        );
        if cost.instructions.abs_diff(budget.instructions) <= NOISE {
            // Neither more nor less, as far as can be said.
        } else if cost.instructions * 100 > budget.instructions * (100 + SLACK) {
            self.exceeded.push(told);
        } else if cost.instructions * 100 < budget.instructions * (100 - SLACK) {
            self.fallen.push(told);
        }
        let (allowed, made) = (budget.allocations.unwrap_or_default(), cost.allocations.unwrap_or_default());
        if (made - allowed).abs() > ALLOCATIONS_SLACK {
            let told = format!("{name}: {made} allocations, budget {allowed}");
            if made > allowed { &mut self.exceeded } else { &mut self.fallen }.push(told);
        }
        let none = BTreeMap::new();
        let (allowed, made) =
            (budget.system_calls.as_ref().unwrap_or(&none), cost.system_calls.as_ref().unwrap_or(&none));
        let names: BTreeSet<&String> = allowed.keys().chain(made.keys()).collect();
        for call in names {
            let of = |calls: &BTreeMap<String, u64>| calls.get(call).copied().unwrap_or_default();
            let told = format!("{name}: {} x {call}, budget {}", of(made), of(allowed));
            match of(made).cmp(&of(allowed)) {
                std::cmp::Ordering::Greater => self.exceeded.push(told),
                std::cmp::Ordering::Less => self.fallen.push(told),
                std::cmp::Ordering::Equal => {}
            }
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("less than the budget says, which `make bench-accept` lets follow:", &self.fallen),
            ("the budget was counted in other circumstances:", &self.other_circumstances),
            (
                "more than the budget allows; if it is worth it, commit what `make bench-accept` writes, with the change:",
                &self.exceeded,
            ),
        ];
        for (heading, lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            writeln!(formatter, "{heading}")?;
            for line in lines {
                writeln!(formatter, "  {line}")?;
            }
        }
        if self.exceeded.is_empty() { write!(formatter, "within the budget") } else { Ok(()) }
    }
}

/// The change from one count to the other, as a share of the first.
pub fn change(before: u64, now: u64) -> f64 {
    now as f64 / before.max(1) as f64 - 1.0
}

impl Counted {
    /// The text of a budget that allows exactly this.
    pub fn to_budget(&self) -> String {
        let mut text = String::from(
            "# What each stage and each exchange may cost: instructions in user space, allocations, system calls.\n\
             # `make bench-check` compares, `make bench-accept` writes this file (docs/performance.md, \"Counts and their budget\").\n",
        );
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let Circumstances { profile, rustc, cc } = &self.circumstances;
        let _ = writeln!(
            text,
            "circumstances:\n  profile: {}\n  rustc: {}\n  cc: {}\nrows:",
            quoted(profile),
            quoted(rustc),
            quoted(cc)
        );
        for (name, cost) in &self.rows {
            let _ = write!(text, "  {}: {{instructions: {}", quoted(name), cost.instructions);
            if let Some(allocations) = cost.allocations {
                let _ = write!(text, ", allocations: {allocations}");
            }
            if let Some(calls) = &cost.system_calls {
                let calls: Vec<String> =
                    calls.iter().map(|(call, count)| format!("{call}: {count}")).collect();
                let _ = write!(text, ",\n    system_calls: {{{}}}", calls.join(", "));
            }
            text.push_str("}\n");
        }
        text
    }
}
