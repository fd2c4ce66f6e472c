//! Event files as a directory lists them: which they are, and names that sort by time.
//!
//! Both of TensorBoard's loaders take every file whose name contains `tfevents` and read those of
//! one directory in the order of their names. Sources: `io_wrapper.py` in
//! <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/backend/event_processing>,
//! `logdir.rs` in <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/data/server>.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;

/// What the name of every event file contains, and no other name may.
pub(crate) const MARK: &str = "tfevents";

/// The names of the event files directly in `directory`, in the order in which they are read.
///
/// # Errors
/// The directory cannot be listed.
pub fn event_file_names(directory: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name.to_string_lossy().contains(MARK) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// What sets the event files of one directory apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameParts<'a> {
    /// Seconds since the Unix epoch.
    pub now_secs: u64,
    pub host: &'a str,
    pub process: u32,
    /// Counts the files of the process.
    pub counter: u32,
}

/// A name that sorts after all of `existing`; its seconds run ahead of the clock where need be.
/// `None` where one of them, not named by the convention, leaves no such name.
///
/// The parts and their order are those of TensorBoard's own writer, `event_file_writer.py` in
/// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/summary/writer>.
pub(crate) fn later_name(existing: &[OsString], parts: NameParts) -> Option<String> {
    let newest = existing
        .iter()
        .filter_map(|name| secs_in(&name.to_string_lossy()))
        .max();
    let earliest = newest.map_or(0, |newest| newest.saturating_add(1));
    let secs = parts.now_secs.max(earliest);
    let NameParts {
        host,
        process,
        counter,
        ..
    } = parts;
    let name = format!("events.out.{MARK}.{secs:010}.{host}.{process}.{counter}");
    let is_last = existing
        .iter()
        .all(|other| other.as_os_str() < OsStr::new(&name));
    is_last.then_some(name)
}

/// The seconds in a name of the conventional form.
pub(crate) fn secs_in(name: &str) -> Option<u64> {
    let (_, rest) = name.split_once("events.out.tfevents.")?;
    rest.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_sorts_last() {
        let cases: [(&[&str], Option<&str>); 7] = [
            (&[], Some("events.out.tfevents.0000001000.host.7.3")),
            (
                &["events.out.tfevents.0000000999.zebra.9.9"],
                Some("events.out.tfevents.0000001000.host.7.3"),
            ),
            (
                &["events.out.tfevents.0000001000.host.9.0"],
                Some("events.out.tfevents.0000001001.host.7.3"),
            ),
            // The clock was set back.
            (
                &[
                    "events.out.tfevents.1700000000.host",
                    "events.out.tfevents.1600000000.host.v2",
                ],
                Some("events.out.tfevents.1700000001.host.7.3"),
            ),
            (
                &["a.tfevents"],
                Some("events.out.tfevents.0000001000.host.7.3"),
            ),
            (&["my.tfevents"], None),
            (&["events.out.tfevents.9999999999.host"], None),
        ];
        for (existing, expected) in cases {
            let mut existing: Vec<_> = existing.iter().map(OsString::from).collect();
            existing.sort();
            let parts = NameParts {
                now_secs: 1000,
                host: "host",
                process: 7,
                counter: 3,
            };
            assert_eq!(
                later_name(&existing, parts).as_deref(),
                expected,
                "{existing:?}"
            );
        }
    }
}
