//! The door.

fn main() -> std::process::ExitCode {
    auscult::cli::main()
}
