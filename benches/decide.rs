//! A decision: whether it costs the same with ten grants and with a million.
//!
//! There are two measurements. The same question again and again shows the cost of the algorithm, which must not depend
//! on the size. Another caller and another project each time, all over the policy, shows the cost of memory once the
//! policy outgrows the processor's caches. Only the first has a promise.

use std::hint::black_box;
use std::time::UNIX_EPOCH;

use opgate::policy::{Attributes, Granted, Policy, Refusal, ResourceName, Subject};
use opgate::principal::Principal;

use crate::measure::nanoseconds;
use crate::table::Row;
use crate::tree::{self, Format, Shape};

pub const SIZES: [usize; 4] = [10, 1_000, 100_000, 1_000_000];
/// Promised: the largest size takes at most this many times as long as the smallest.
const FLAT: f64 = 1.5;
/// A failed promise is measured again before it counts: the machine may be busy.
const ATTEMPTS: usize = 3;
/// The number of questions if each is another one. It is prime, so that they spread all over the tree.
const QUESTIONS: usize = 9_973;

/// One of the measurements, and the questions that it takes from a tree.
struct Case {
    name: &'static str,
    is_flat: bool,
    questions: fn(usize) -> Vec<Question>,
}

const CASES: [Case; 6] = [
    Case { name: "decide, allowed by name", is_flat: true, questions: |size| vec![by_name(size / 2, size)] },
    Case { name: "decide, allowed by group", is_flat: true, questions: |size| vec![by_group(size)] },
    Case {
        name: "decide, denied: permission not held",
        is_flat: true,
        questions: |size| vec![lacking(size)],
    },
    Case { name: "decide, denied: caller not named", is_flat: true, questions: |size| vec![unnamed(size)] },
    Case { name: "decide, allowed on a condition", is_flat: true, questions: |size| vec![conditional(size)] },
    Case { name: "decide, another caller each time", is_flat: false, questions: all_over },
];

pub struct Question {
    principal: Principal,
    permission: String,
    resource: String,
    is_allowed: bool,
}

impl Question {
    fn about(grant: tree::Grant) -> Self {
        Self {
            principal: Principal::user(&grant.email).unwrap(),
            permission: grant.permission,
            resource: format!("{}/locations/us-central1/operations/operation-1", grant.project),
            is_allowed: true,
        }
    }
}

fn by_name(number: usize, size: usize) -> Question {
    let number = if tree::is_to_group(number) { number + 1 } else { number };
    Question::about(Shape::Projects.grant(number % size, size))
}

fn by_group(size: usize) -> Question {
    let number = (0..size).rfind(|number| tree::is_to_group(*number)).unwrap();
    Question::about(Shape::Projects.grant(number, size))
}

fn lacking(size: usize) -> Question {
    Question { permission: tree::UNHELD.to_owned(), is_allowed: false, ..by_name(size / 2, size) }
}

fn unnamed(size: usize) -> Question {
    let principal = Principal::user("stranger@example.com").unwrap();
    Question { principal, is_allowed: false, ..by_name(size / 2, size) }
}

fn conditional(size: usize) -> Question {
    Question { principal: Principal::user(tree::CONDITIONAL).unwrap(), ..by_name(size / 2, size) }
}

pub fn all_over(size: usize) -> Vec<Question> {
    (0..QUESTIONS).map(|number| by_name(number * size / QUESTIONS, size)).collect()
}

pub fn decide(policy: &Policy, question: &Question) -> Result<Granted, Refusal> {
    policy.decide(
        Subject::of(&question.principal),
        &question.permission,
        ResourceName::new(&question.resource),
        &Attributes::at(UNIX_EPOCH),
    )
}

fn measure(policy: &Policy, questions: &[Question]) -> f64 {
    let mut turn = questions.iter().cycle();
    nanoseconds(|| {
        if let Some(question) = turn.next() {
            let _ = black_box(decide(black_box(policy), question));
        }
    })
}

/// Measures decisions at every size; gives the broken promises.
pub fn run() -> Vec<String> {
    let policies: Vec<(usize, Policy)> = SIZES
        .into_iter()
        .map(|size| {
            let tree = tree::write(Shape::Projects, Format::Yaml, size);
            (size, crate::load::load(tree.path()))
        })
        .collect();
    CASES.iter().filter_map(|case| case.run(&policies)).collect()
}

impl Case {
    fn run(&self, policies: &[(usize, Policy)]) -> Option<String> {
        let attempts = if self.is_flat { ATTEMPTS } else { 1 };
        let mut rows = Vec::new();
        for _ in 0..attempts {
            rows = self.measure(policies);
            if rows.last().and_then(|row| row.ratio).is_some_and(|ratio| ratio <= FLAT) {
                break;
            }
        }
        rows.iter().for_each(Row::print);
        let ratio = rows.last().and_then(|row| row.ratio).unwrap_or(f64::INFINITY);
        (self.is_flat && ratio > FLAT).then(|| {
            format!("{}: the largest takes {ratio:.2} times what the smallest takes, not {FLAT}", self.name)
        })
    }

    fn measure(&self, policies: &[(usize, Policy)]) -> Vec<Row> {
        let mut first = None;
        policies
            .iter()
            .map(|(size, policy)| {
                let questions = (self.questions)(*size);
                for question in &questions {
                    assert_eq!(decide(policy, question).is_ok(), question.is_allowed, "{}", self.name);
                }
                let nanoseconds = measure(policy, &questions);
                let smallest = *first.get_or_insert(nanoseconds);
                Row {
                    name: self.name.to_owned(),
                    size: *size,
                    nanoseconds,
                    ratio: Some(nanoseconds / smallest),
                    ..Row::default()
                }
            })
            .collect()
    }
}
