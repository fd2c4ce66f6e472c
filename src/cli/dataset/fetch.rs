//! Files that are fetched, and how far they are.

use std::path::Path;

use cnn_tb::data::{DownloadProgress, Patience, Published, download};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output;

/// Fetches what `directory` does not hold. A terminal shows how far it is, unless `quiet`.
///
/// # Errors
/// What went wrong, with where the files are to be had.
pub fn fetch(set: &Published, directory: &Path, quiet: bool) -> anyhow::Result<()> {
    let missing = set.missing(directory);
    if missing.is_empty() {
        return Ok(());
    }
    let bar = match quiet {
        true => ProgressBar::hidden(),
        false => bar(set, missing.iter().map(|file| file.bytes).sum()),
    };
    if !quiet {
        let (title, directory) = (set.title, directory.display());
        output::tell(&format!("fetching {title} into {directory}"));
    }
    let mut earlier = 0;
    let fetched = download(
        set,
        directory,
        Patience::default(),
        |progress| match progress {
            DownloadProgress::Received { file, bytes } => {
                bar.set_position(earlier + bytes);
                if bytes == file.bytes {
                    earlier += bytes;
                }
            }
            DownloadProgress::Failed { error, pause } if !quiet => bar.suspend(|| {
                let secs = pause.as_secs();
                output::warn(&format!("{error}; trying again in {secs} s"));
            }),
            DownloadProgress::Failed { .. } => {}
        },
    );
    bar.finish_and_clear();
    fetched.map_err(|error| {
        let advice = format!("or fetch by hand, into {}:", directory.display());
        super::by_hand(error.to_string(), &advice, set, directory)
    })
}

/// On standard error, and only where that is a terminal.
fn bar(set: &Published, bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes).with_prefix(set.title);
    let template = "{prefix} {wide_bar} {bytes} of {total_bytes}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
