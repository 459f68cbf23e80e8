//! Whose turn it is among the endpoints of an upstream: by priority, and by weight among those of one priority.

use super::names::ResolvedEndpoint;

/// The longest round of one priority. Weights beyond it are rounded.
const LONGEST_ROUND: u64 = 1024;

/// The order in which endpoints are taken. Made once; to take a turn costs an addition.
#[derive(Debug)]
pub(super) struct Turns {
    /// For each priority, the lowest first: one round, in which each endpoint comes as often as its weight says.
    rounds: Vec<Vec<usize>>,
}

impl Turns {
    /// The turns of these endpoints, by their places.
    pub(super) fn of(endpoints: &[ResolvedEndpoint]) -> Self {
        let mut priorities: Vec<u16> = endpoints.iter().map(|endpoint| endpoint.priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        let round_of = |priority: u16| {
            let of_priority =
                endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.priority == priority);
            // RFC 2782: a weight of 0 has a very small chance, and none has a weight where all are 0.
            round(&of_priority.map(|(place, endpoint)| (place, endpoint.weight.max(1))).collect::<Vec<_>>())
        };
        Self { rounds: priorities.into_iter().map(round_of).collect() }
    }

    /// The places from the one whose turn it is, those of the lowest priority first.
    pub(super) fn from(&self, turn: usize) -> impl Iterator<Item = usize> {
        self.rounds.iter().flat_map(move |round| {
            let count = round.len();
            (0..count).filter_map(move |step| round.get(turn.wrapping_add(step) % count).copied())
        })
    }
}

/// One round: each place as often as its weight, spread as evenly as can be ("smooth weighted round-robin").
fn round(weights: &[(usize, u16)]) -> Vec<usize> {
    let weights = reduced(weights);
    let total: i64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut credits: Vec<(usize, i64, i64)> =
        weights.into_iter().map(|(place, weight)| (place, weight, 0)).collect();
    let mut order = Vec::new();
    for _ in 0..total {
        credits.iter_mut().for_each(|(_, weight, credit)| *credit += *weight);
        // Of equal ones the first.
        let next = credits.iter_mut().rev().max_by_key(|(_, _, credit)| *credit);
        if let Some((place, _, credit)) = next {
            *credit -= total;
            order.push(*place);
        }
    }
    order
}

/// The weights in their lowest terms, and so that a round is not too long.
fn reduced(weights: &[(usize, u16)]) -> Vec<(usize, i64)> {
    let divisor = weights.iter().fold(0, |divisor, (_, weight)| common_divisor(divisor, u64::from(*weight)));
    let sum: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
    // Each has at least one turn, so a round may be longer by the number of endpoints.
    let scale = sum.div_ceil(LONGEST_ROUND).max(divisor).max(1);
    let weight = |weight: u16| (u64::from(weight) + scale / 2) / scale;
    weights.iter().map(|(place, written)| (*place, weight(*written).max(1) as i64)).collect()
}

fn common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(endpoints: &[(u16, u16)]) -> Turns {
        let endpoint = |(port, (priority, weight)): (usize, &(u16, u16))| ResolvedEndpoint {
            priority: *priority,
            address: ([127, 0, 0, 1], port as u16).into(),
            weight: *weight,
        };
        Turns::of(&endpoints.iter().enumerate().map(endpoint).collect::<Vec<_>>())
    }

    fn first(turns: &Turns, count: usize) -> Vec<usize> {
        (0..count).map(|turn| turns.from(turn).next().unwrap()).collect()
    }

    #[test]
    fn equal_endpoints_take_turns() {
        for weight in [0, 1, 7, u16::MAX] {
            assert_eq!(first(&turns(&[(0, weight); 3]), 6), [0, 1, 2, 0, 1, 2], "{weight}");
        }
        assert_eq!(turns(&[]).from(5).next(), None);
    }

    #[test]
    fn a_heavier_endpoint_has_more_turns_and_not_all_at_once() {
        assert_eq!(first(&turns(&[(0, 3), (0, 1)]), 8), [0, 0, 1, 0, 0, 0, 1, 0]);
        assert_eq!(first(&turns(&[(0, 30), (0, 10), (0, 20)]), 6), [0, 2, 0, 1, 2, 0]);
        let uneven = &turns(&[(0, u16::MAX), (0, 1), (0, 0)]).rounds[0];
        let count = |place: usize| uneven.iter().filter(|other| **other == place).count();
        assert_eq!((count(1), count(2)), (1, 1), "rounded, and not never");
    }

    #[test]
    fn a_higher_priority_number_comes_after_all_of_a_lower_one() {
        let turns = turns(&[(20, 1), (10, 1), (10, 1)]);
        assert_eq!(first(&turns, 4), [1, 2, 1, 2]);
        assert_eq!(turns.from(1).collect::<Vec<_>>(), [2, 1, 0]);
    }

    #[test]
    fn a_round_is_bounded() {
        let many: Vec<(u16, u16)> = (0..1000).map(|number| (0, 60_000 + number)).collect();
        assert!(turns(&many).rounds[0].len() <= LONGEST_ROUND as usize + 1000);
    }
}
