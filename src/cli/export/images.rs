//! Images as files below a directory.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use cnn_tb::report::export::{self, FileNames, ImageFile};
use cnn_tb::tb::Run;

use super::{Args, count, say, target, why_nothing};
use crate::cli::Outcome;
use crate::cli::output;
use crate::cli::selection::Selected;
use crate::cli::units::duration;
use crate::cli::values::size;

/// Writes all images of the chosen series to `directory/run/tag/step.png`.
pub fn export(
    args: &Args,
    directory: &Path,
    started: Instant,
    selected: &Selected,
) -> anyhow::Result<Outcome> {
    let mut job = Job {
        overwrite: args.overwrite,
        stopped: &*target::listen()?,
        runs: 0,
        tags: BTreeSet::new(),
        images: 0,
        bytes: 0,
        kept: 0,
        unread: 0,
    };
    let mut run_names = FileNames::default();
    let mut others = BTreeSet::new();
    for (run, name) in selected.runs.iter().zip(&selected.names) {
        let series = export::image_series(run);
        let (chosen, left): (Vec<_>, Vec<_>) = series
            .into_iter()
            .partition(|(tag, _)| args.tags.matches(tag));
        others.extend(left.into_iter().map(|(tag, _)| tag));
        job.export_run(run, &directory.join(run_names.add(name)), chosen)?;
    }
    if job.is_stopped() {
        return Ok(Outcome::Interrupted);
    }
    if job.tags.is_empty() {
        let known = others.iter().map(String::as_str).collect();
        output::warn(&why_nothing("image", selected.runs.len(), &known));
        return Ok(Outcome::No);
    }
    say(&job.summary(directory, started));
    Ok(job.outcome())
}

/// An export of images: what is to be heeded, and what it came to so far.
struct Job<'a> {
    overwrite: bool,
    stopped: &'a AtomicBool,
    /// How many runs have some.
    runs: usize,
    /// The names of their series.
    tags: BTreeSet<String>,
    /// How many there are.
    images: usize,
    /// How many bytes these have.
    bytes: u64,
    /// How many were not written, since another file has their name.
    kept: usize,
    /// How many series could not be read; the errors were said.
    unread: usize,
}

impl Job<'_> {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Exports the series of one run, each into the directory that is named beside it.
    fn export_run(
        &mut self,
        run: &Run,
        directory: &Path,
        series: Vec<(String, String)>,
    ) -> anyhow::Result<()> {
        self.runs += usize::from(!series.is_empty());
        for (tag, name) in series {
            if self.is_stopped() {
                break;
            }
            match export::image_files(run, &tag) {
                Ok(files) => self.write_all(&files, &directory.join(name))?,
                Err(error) => {
                    output::warn(&error.to_string());
                    self.unread += 1;
                }
            }
            self.tags.insert(tag);
        }
        Ok(())
    }

    fn write_all(&mut self, files: &[ImageFile], directory: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        for file in files {
            if self.is_stopped() {
                break;
            }
            self.write(file, &directory.join(&file.name))?;
        }
        Ok(())
    }

    fn write(&mut self, file: &ImageFile, path: &Path) -> anyhow::Result<()> {
        if self.overwrite || path.symlink_metadata().is_err() {
            output::replace_file(path, |out| Ok(out.write_all(&file.bytes)?))?;
        } else if !fs::read(path).is_ok_and(|there| there == file.bytes) {
            self.kept += 1;
            return Ok(());
        }
        self.images += 1;
        self.bytes += file.bytes.len() as u64;
        Ok(())
    }

    fn summary(&self, directory: &Path, started: Instant) -> String {
        format!(
            "{}, {}, {}, none sampled → {} ({}) in {}",
            count(self.runs, "run"),
            count(self.tags.len(), "tag"),
            count(self.images, "image"),
            directory.display(),
            size(self.bytes),
            duration(started.elapsed().as_secs_f64()),
        )
    }

    fn outcome(&self) -> Outcome {
        if self.kept > 0 {
            output::warn(&format!(
                "{} not written where another file is already; --overwrite replaces those",
                count(self.kept, "image"),
            ));
        }
        match self.kept + self.unread {
            0 => Outcome::Done,
            _ => Outcome::Failed,
        }
    }
}
