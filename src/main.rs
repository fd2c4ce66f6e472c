//! The program `cnn-tb`. What it can do is in the library `cnn_tb`; here are flags and output.

mod cli;

/// candle allocates every intermediate tensor; with this allocator the pages stay at hand
/// (docs/architecture.md, "Allocation").
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
