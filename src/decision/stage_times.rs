//! How long each stage of a decision took.

use std::time::{Duration, Instant};

use crate::reason::DecisionStage;

/// The time of each stage. A decision reads no clock: it is given one, or measures nothing.
#[derive(Clone, Debug, Default)]
pub struct StageTimes {
    clock: Option<fn() -> Instant>,
    /// The stage under way, and since when.
    under_way: Option<(DecisionStage, Instant)>,
    spent: [Option<Duration>; DecisionStage::ALL.len()],
}

impl StageTimes {
    /// Times by this clock.
    pub fn by(clock: fn() -> Instant) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    /// A stage begins, and with it the one before ends.
    pub fn enter(&mut self, stage: DecisionStage) {
        if let Some(clock) = self.clock
            && self.under_way.is_none_or(|(before, _)| before != stage)
        {
            self.turn_to(Some(stage), clock());
        }
    }

    /// A stage begins at a moment that was read already.
    pub fn enter_at(&mut self, stage: DecisionStage, now: Instant) {
        if self.clock.is_some() {
            self.turn_to(Some(stage), now);
        }
    }

    /// The stage under way ends: the decision is made, or waits. Returns the moment, where there is a clock.
    pub fn pause(&mut self) -> Option<Instant> {
        let now = self.clock?();
        self.turn_to(None, now);
        Some(now)
    }

    /// Adds to a stage what was measured elsewhere.
    pub fn add(&mut self, stage: DecisionStage, duration: Duration) {
        if let Some(spent) = self.spent.get_mut(stage as usize) {
            *spent = Some(spent.unwrap_or_default() + duration);
        }
    }

    fn turn_to(&mut self, stage: Option<DecisionStage>, now: Instant) {
        if let Some((before, since)) = self.under_way.take() {
            self.add(before, now.saturating_duration_since(since));
        }
        self.under_way = stage.map(|stage| (stage, now));
    }

    /// Each stage that was reached, with the time that it took.
    pub fn spent(&self) -> impl Iterator<Item = (DecisionStage, Duration)> {
        DecisionStage::ALL.into_iter().zip(self.spent).filter_map(|(stage, spent)| Some((stage, spent?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_is_left_and_entered_again_is_one() {
        let mut times = StageTimes::by(Instant::now);
        times.enter(DecisionStage::Route);
        times.enter(DecisionStage::Authenticate);
        times.pause();
        times.enter(DecisionStage::Authenticate);
        times.enter(DecisionStage::Iam);
        assert!(times.pause().is_some());
        times.add(DecisionStage::Body, Duration::from_millis(1));
        let spent: Vec<_> = times.spent().map(|(stage, _)| stage).collect();
        let reached =
            [DecisionStage::Route, DecisionStage::Authenticate, DecisionStage::Iam, DecisionStage::Body];
        assert_eq!(spent, reached);
    }

    #[test]
    fn without_a_clock_nothing_is_measured() {
        let mut times = StageTimes::default();
        times.enter(DecisionStage::Route);
        assert_eq!((times.pause(), times.spent().count()), (None, 0));
    }
}
