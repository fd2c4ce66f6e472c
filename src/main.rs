//! The program `cnn-tb`. What it can do is in the library `cnn_tb`; here are flags and output.

mod cli;

/// candle allocates every intermediate tensor; with this allocator the pages stay at hand
/// (docs/architecture.md, "Allocation").
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    keep_candle_to_one_thread();
    cli::run()
}

/// candle's own threads spin while they wait, on the cores that our ops compute on: a training on
/// two cores takes twice as long with them. They can be had by setting the variable.
#[allow(unsafe_code)]
fn keep_candle_to_one_thread() {
    const VARIABLE: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: this is the first thing that the program does, so there is no other thread that
        // could read the environment.
        unsafe { std::env::set_var(VARIABLE, "1") };
    }
}
