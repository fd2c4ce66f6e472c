//! The program `cnn-tb`. What it can do is in the library `cnn_tb`; here are flags and output.

mod cli;

/// candle allocates every intermediate tensor; with this allocator the pages stay at hand
/// (docs/architecture.md, "Allocation").
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    keep_candle_to_one_thread();
    keep_pages();
    cli::run()
}

/// candle's own threads, which add the gradients of two halves where their norm is clipped, spin while
/// they wait, on the cores that our ops compute on: on two cores such a training takes a tenth longer
/// with them. They can be had by setting the variable.
#[allow(unsafe_code)]
fn keep_candle_to_one_thread() {
    const VARIABLE: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: this is the first thing that the program does, so there is no other thread that
        // could read the environment.
        unsafe { std::env::set_var(VARIABLE, "1") };
    }
}

/// Each batch frees its tensors and the next one allocates them again. Pages that went back to the
/// system in between have to be cleared by it: a tenth of the time of a training of `deep`.
#[allow(unsafe_code)]
fn keep_pages() {
    /// `mi_option_purge_delay` of mimalloc.h, which the crate has no name for: after how many
    /// milliseconds free pages go back to the system; never with -1.
    const PURGE_DELAY: std::ffi::c_int = 15;
    // SAFETY: any option may be set at any time. What the user's environment says is kept.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, -1) };
}
