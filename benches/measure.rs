//! A stopwatch that does not mind a busy machine.

use std::time::Instant;

/// Batches whose median is the answer.
const BATCHES: usize = 31;
/// A batch takes at least this long, so that reading the clock costs nothing.
const BATCH_NANOSECONDS: u128 = 2_000_000;

/// Nanoseconds that one call takes.
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

/// Nanoseconds that one call takes which cannot be made twice: each item is used up once.
pub fn nanoseconds_of_each<T>(items: Vec<T>, mut call: impl FnMut(T)) -> f64 {
    let each = items.into_iter().map(|item| {
        let start = Instant::now();
        call(item);
        start.elapsed().as_nanos() as f64
    });
    median(each.collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
