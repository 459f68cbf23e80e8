//! What the gate reads in a message of gRPC is what every other reader reads: one that takes the first of two fields, one that takes
//! the last, one that merges messages, one that knows no groups, one that cuts tags to 32 bits. `make fuzz` looks for more.

mod generator;
mod readers;
mod shapes;

use proptest::prelude::*;

use self::generator::Chance;
use self::readers::{check, check_stream};
use self::shapes::shapes;

/// What an encoder writes is read. Of a `oneof`, it may write another member than the one that is looked for.
#[test]
fn a_message_of_an_encoder_is_read() {
    for shape in shapes().into_iter().filter(|shape| shape.message.oneofs().len() == 0) {
        for seed in 1..2000 {
            let message = generator::message(&shape, &mut Chance::new(seed * 7919), true);
            assert!(check(&shape, &message), "{:?} {message:02x?}", shape.paths);
        }
    }
}

/// The generator makes both: messages that are read and messages that are refused, of each shape.
#[test]
fn no_shape_is_always_refused_or_never() {
    for shape in shapes() {
        let read = (1..2000_u64).filter(|seed| {
            let message = generator::message(&shape, &mut Chance::new(seed * 104_729), false);
            check(&shape, &message)
        });
        let read = read.count();
        assert!((200..1900).contains(&read), "{:?}: {read} of 2000 are read", shape.paths);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_reader_reads_another_resource(seed: u64, index in 0..8_usize, flips in prop::collection::vec((0..4096_usize, any::<u8>()), 0..3)) {
        let shape = &shapes()[index];
        let mut message = generator::message(shape, &mut Chance::new(seed), false);
        for (place, byte) in flips {
            if let Some(there) = message.len().checked_sub(1).map(|last| place % (last + 1)) {
                message[there] = byte;
            }
        }
        check(shape, &message);
    }

    #[test]
    fn no_message_of_a_stream_strays_however_it_is_cut(seed: u64, index in 0..8_usize, sizes in prop::collection::vec(any::<u8>(), 1..5)) {
        let shape = &shapes()[index];
        let bytes = generator::stream(shape, &mut Chance::new(seed));
        check_stream(shape, "projects/p", &bytes, &sizes);
    }
}
