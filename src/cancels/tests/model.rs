//! The table against a list that is written straight from the rules.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::cancels::table::{LONGEST, UNSEEN};

/// Few names and few entries, so that everything meets.
const TRACKED: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Send(u8),
    /// One of the cancels under way.
    Answer(usize, CancelAnswer),
    See(u8, OperationSighting),
    Update,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcomes =
        [CancelOutcome::Cancelled, CancelOutcome::Failed, CancelOutcome::Succeeded, CancelOutcome::Deleted];
    let sighting = prop_oneof![
        Just(OperationSighting::Running),
        proptest::sample::select(outcomes.to_vec()).prop_map(OperationSighting::Ended),
    ];
    let step = prop_oneof![
        4 => (0..5_u8).prop_map(Step::Send),
        4 => (any::<usize>(), proptest::sample::select(CancelAnswer::ALL.to_vec()))
            .prop_map(|(which, answer)| Step::Answer(which, answer)),
        4 => ((0..5_u8), sighting).prop_map(|(name, sighting)| Step::See(name, sighting)),
        1 => Just(Step::Update),
        2 => prop_oneof![Just(1_u64), Just(1800), Just(3599), Just(3600), Just(30_000)].prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..60)
}

/// One watched operation.
#[derive(Debug)]
struct Known {
    name: u8,
    /// The cancel that it is known by, and whether that was refused: then the next one that is not takes its place.
    named: usize,
    is_refused: bool,
    /// Those without an answer.
    under_way: Vec<usize>,
    asked: u64,
    seen: u64,
    state: CancelState,
    early: Option<CancelOutcome>,
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    known: Vec<Known>,
    asked: Vec<u64>,
    /// The cancel that was named, and the outcome.
    ends: Vec<(usize, CancelOutcome)>,
}

impl Model {
    fn is_over(&self, known: &Known) -> bool {
        self.now - known.seen >= UNSEEN.as_secs() || self.now - known.asked >= LONGEST.as_secs()
    }

    fn end(&mut self, at: usize, outcome: CancelOutcome) {
        let known = self.known.remove(at);
        self.ends.push((known.named, outcome));
    }

    fn send(&mut self, name: u8) {
        let number = self.asked.len();
        self.asked.push(self.now);
        if let Some(at) = self.known.iter().position(|known| known.name == name) {
            if !self.is_over(&self.known[at]) {
                self.known[at].under_way.push(number);
                return;
            }
            self.end(at, CancelOutcome::Unobserved);
        }
        self.known.push(Known {
            name,
            named: number,
            is_refused: false,
            under_way: vec![number],
            asked: self.now,
            seen: self.now,
            state: CancelState::Sent,
            early: None,
        });
        if self.known.len() > TRACKED {
            self.end(0, CancelOutcome::Evicted);
        }
    }

    fn answer(&mut self, number: usize, answer: CancelAnswer) {
        let Some(at) = self.known.iter().position(|known| known.under_way.contains(&number)) else { return };
        if self.is_over(&self.known[at]) {
            return self.end(at, CancelOutcome::Unobserved);
        }
        let asked = &self.asked;
        let known = &mut self.known[at];
        known.under_way.retain(|other| *other != number);
        match answer {
            CancelAnswer::Accepted => known.state = CancelState::Accepted,
            CancelAnswer::Uncertain if known.state == CancelState::Sent => {
                known.state = CancelState::Uncertain;
            }
            CancelAnswer::Uncertain => {}
            _ => {
                if known.state == CancelState::Sent && known.under_way.is_empty() {
                    self.known.remove(at);
                } else {
                    known.is_refused |= known.named == number;
                }
                return;
            }
        }
        if known.is_refused {
            (known.named, known.asked, known.is_refused) = (number, asked[number], false);
        }
        if let Some(outcome) = known.early {
            self.end(at, outcome);
        }
    }

    fn see(&mut self, name: u8, sighting: OperationSighting) {
        let Some(at) = self.known.iter().position(|known| known.name == name) else { return };
        if self.is_over(&self.known[at]) {
            return self.end(at, CancelOutcome::Unobserved);
        }
        let now = self.now;
        let known = &mut self.known[at];
        match sighting {
            OperationSighting::Running => known.seen = now,
            OperationSighting::Ended(outcome) if known.state == CancelState::Sent => {
                known.early.get_or_insert(outcome);
            }
            OperationSighting::Ended(outcome) => self.end(at, outcome),
        }
    }

    fn update(&mut self) {
        while let Some(at) = self.known.iter().position(|known| self.is_over(known)) {
            self.end(at, CancelOutcome::Unobserved);
        }
    }
}

proptest! {
    #[test]
    fn the_table_does_what_a_list_would(steps in steps()) {
        let bench = Bench::new(TRACKED);
        let mut model = Model::default();
        let mut under_way: Vec<(usize, SentCancel)> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(seconds) => model.now += seconds,
                Step::Send(name) => {
                    let number = model.asked.len();
                    let sent = bench.send_as(&name.to_string(), &number.to_string(), model.now);
                    under_way.push((number, sent));
                    model.send(name);
                }
                Step::Answer(which, answer) if !under_way.is_empty() => {
                    let (number, sent) = under_way.remove(which % under_way.len());
                    bench.cancels.answered(sent, answer, bench.at(model.now));
                    model.answer(number, answer);
                }
                Step::Answer(..) => {}
                Step::See(name, sighting) => {
                    bench.see(&name.to_string(), sighting, model.now);
                    model.see(name, sighting);
                }
                Step::Update => {
                    bench.cancels.update(bench.at(model.now));
                    model.update();
                }
            }
            let held: HashMap<u8, CancelState> =
                model.known.iter().map(|known| (known.name, known.state)).collect();
            let pending: HashMap<u8, CancelState> = bench
                .cancels
                .pending(usize::MAX)
                .iter()
                .map(|pending| (pending.cancel.name.parse().unwrap(), pending.state))
                .collect();
            prop_assert_eq!(pending, held);
            let mut ends: Vec<(usize, CancelOutcome)> = bench
                .cancels
                .ends()
                .iter()
                .map(|end| (end.cancel.request_id.parse().unwrap(), end.outcome))
                .collect();
            let mut expected = model.ends.clone();
            let order = |end: &(usize, CancelOutcome)| (end.0, end.1.label());
            ends.sort_by_key(order);
            expected.sort_by_key(order);
            prop_assert_eq!(ends, expected);
        }
        prop_assert_eq!(bench.cancels.held_bytes() == 0, model.known.is_empty());
    }
}
