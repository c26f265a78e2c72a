//! The command `pratique`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A review makes thousands of small things and drops them all: that is a quarter of its time with the allocator of libc,
/// which hands memory back to the kernel and asks for it again with each.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    pratique::cli::run()
}
