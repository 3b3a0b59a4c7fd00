//! The door.

/// Decoded images are large and short-lived. This allocator gives their memory back to the system; the C library's keeps
/// it, by the hundred MiB, once several threads have decoded.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    auscult::cli::main()
}
