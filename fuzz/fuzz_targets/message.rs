//! Messages of gRPC: where the gate reads the fields that name a resource, every other reader reads the same in them; and of a
//! stream in whatever pieces, whole messages pass that name what the first one named.
//!
//! The first byte says which message it is and whether it is a stream; four more say where a stream is cut.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

// The same readers as in the integration tests.
#[path = "../../tests/it/grpc_readings/generator.rs"]
mod generator;
#[path = "../../tests/it/grpc_readings/readers.rs"]
mod readers;
#[path = "../../tests/it/grpc_readings/shapes.rs"]
mod shapes;

use generator::Chance;
use shapes::Shape;

std::thread_local! {
    static SHAPES: Vec<Shape> = shapes::shapes();
}

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let Some((sizes, bytes)) = rest.split_at_checked(4) else { return };
    SHAPES.with(|shapes| {
        let shape = &shapes[usize::from(first >> 1) % shapes.len()];
        if first & 1 == 0 {
            readers::check(shape, bytes);
        } else {
            readers::check_stream(shape, "projects/p", bytes, sizes);
        }
    });
});

// A quarter of the inputs are made anew: by chance alone, few are messages.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed % 4 != 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let mut chance = Chance::new(u64::from(seed) * 0x9e37_79b9_7f4a_7c15);
    let made = SHAPES.with(|shapes| {
        let index = chance.below(shapes.len());
        let shape = &shapes[index];
        let is_stream = chance.below(3) == 0;
        let sizes = [0; 4].map(|_| u8::try_from(chance.below(256)).unwrap());
        let bytes = match is_stream {
            true => generator::stream(shape, &mut chance),
            false => generator::message(shape, &mut chance, false),
        };
        let first = u8::try_from(index << 1).unwrap() | u8::from(is_stream);
        [&[first], &sizes[..], &bytes].concat()
    });
    let length = made.len().min(max_size).min(data.len());
    data[..length].copy_from_slice(&made[..length]);
    length
});
