//! A stopwatch that tolerates a busy machine.

use std::time::Instant;

/// The number of batches. Their median is the result.
const BATCHES: usize = 31;
/// The shortest time of a batch: reading the clock costs nothing beside it.
const BATCH_NANOSECONDS: u128 = 2_000_000;

/// The nanoseconds of one call.
pub fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let mut batch = |calls: u32| {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        start.elapsed().as_nanos()
    };
    let mut calls = 1;
    while batch(calls) < BATCH_NANOSECONDS {
        calls *= 2;
    }
    median((0..BATCHES).map(|_| batch(calls) as f64 / f64::from(calls)).collect())
}

/// The nanoseconds of one call that cannot be repeated: each item is used once.
pub fn nanoseconds_of_each<T>(items: Vec<T>, mut call: impl FnMut(T)) -> f64 {
    let each = items.into_iter().map(|item| {
        let start = Instant::now();
        call(item);
        start.elapsed().as_nanos() as f64
    });
    median(each.collect())
}

/// The one in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
