//! The `opgate` command.

use std::process::ExitCode;

/// Many small, short-lived pieces per request: the system allocator is slower at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    opgate::cli::main()
}
