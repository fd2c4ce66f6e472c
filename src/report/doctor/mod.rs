//! What TensorBoard will not show of a logdir, and why.
//!
//! Each event file is read once and in order, as TensorBoard's loaders do; memory grows with the
//! number of series, not with their points. Every rule that is held against the files is one of
//! TensorBoard 2.21's two loaders: the data server, which is the default, and the Python loader.

mod advice;
mod columns;
mod directory;
mod file;
mod finding;
mod given;
mod repair;
mod samples;
mod series;
mod span;
mod steps;
mod walk;

use std::path::Path;

use crate::tb::LogdirError;

pub use finding::{Cause, Finding, Kept, Severity};
pub use repair::{Dropped, RepairError, Repaired, repair};

/// Looks at all event files in `path`, a logdir or a single file, and says what TensorBoard will
/// not show of them, by run. `now_secs` is the time, in seconds since the Unix epoch: it tells a
/// file that is being written from one that was torn, and wall times that lie in the future.
///
/// # Errors
/// There is nothing at `path`, or it cannot be listed. What cannot be read below it is a finding.
///
/// ```
/// use std::time::{SystemTime, UNIX_EPOCH};
///
/// use cnn_tb::report::doctor::{Cause, examine};
/// use cnn_tb::tb::SummaryWriter;
/// # let directory = tempfile::tempdir()?;
/// # let runs = directory.path();
/// let writer = SummaryWriter::create(runs.join("exp1"))?;
/// for step in [1, 2, 3, 2] {
///     writer.add_scalar("loss", 0.5, step)?;
/// }
/// writer.finish()?;
///
/// let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
/// let findings = examine(runs, now.as_secs_f64())?;
/// assert_eq!(findings[0].run, "exp1");
/// let Cause::StepsGoBack { tag, from: 3, to: 2, erased: 2, .. } = &findings[0].cause else {
///     panic!("{findings:?}");
/// };
/// assert_eq!(tag, "loss");
/// println!("{}\n{}\n{}", findings[0], findings[0].cause.effect(), findings[0].cause.repair());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn examine(path: &Path, now_secs: f64) -> Result<Vec<Finding>, LogdirError> {
    let (mut findings, mut trials) = (Vec::new(), Vec::new());
    let mut has_events = false;
    for found in walk::directories(path)? {
        has_events |= !found.event_files.is_empty();
        let (of_directory, trial) = directory::examine(&found, now_secs);
        findings.extend(of_directory);
        trials.push(trial);
    }
    findings.extend(columns::findings(path, &trials));
    if !has_events {
        findings.push(Finding {
            run: ".".to_owned(),
            path: path.to_owned(),
            cause: Cause::NoEvents,
        });
    }
    Ok(findings)
}
