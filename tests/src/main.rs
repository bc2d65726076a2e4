//! The binary under test: the driver's own `main`, built in this package so that cargo tells us where it is.

fn main() -> std::process::ExitCode {
    softadastra::cli::main()
}
