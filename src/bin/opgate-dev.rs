//! The `opgate-dev` command: the demo, and tokens for development. It is not part of the product.

use std::process::ExitCode;

/// The allocator of `opgate`, so that both programs behave alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    opgate::dev::cli::main()
}
