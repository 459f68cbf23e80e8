//! Key sets, as a compromised server might send them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    opgate::authn::read_key_set(bytes);
});
