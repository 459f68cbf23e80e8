//! The `opgate` command.

use std::process::ExitCode;

/// A request allocates many small, short-lived pieces: the system allocator is slower at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    opgate::cli::main()
}
