//! Damaged copies of every golden file are read: nothing panics, no memory is taken on a file's
//! word, and what is said to be there can be had.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cnn_tb::tb::crc::masked_crc32c;
use cnn_tb::tb::record::{RecordReader, append_record};
use cnn_tb::tb::{Kind, Logdir, Point, Run};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

/// How many damaged files are read.
const CASES: u32 = 4000;
/// What the reading process may allocate for its data, in KiB; threads are counted too.
const MEMORY_KIB: u64 = 64 * 1024;
/// Set in the process that has no more than that.
const IN_LITTLE_MEMORY: &str = "CNN_TB_TEST_IN_LITTLE_MEMORY";

/// One thing that goes wrong with bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip { at: Index, bits: u8 },
    Cut { at: Index },
    Double { from: Index, to: Index },
    Zero { from: Index, to: Index },
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        let range = || (any::<Index>(), any::<Index>());
        prop_oneof![
            4 => (any::<Index>(), 1_u8..).prop_map(|(at, bits)| Self::Flip { at, bits }),
            1 => any::<Index>().prop_map(|at| Self::Cut { at }),
            2 => range().prop_map(|(from, to)| Self::Double { from, to }),
            2 => range().prop_map(|(from, to)| Self::Zero { from, to }),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        if length == 0 {
            return;
        }
        let range = |from: &Index, to: &Index| {
            let (from, to) = (from.index(length), to.index(length));
            from.min(to)..from.max(to) + 1
        };
        match self {
            Self::Flip { at, bits } => {
                let at = at.index(length);
                bytes[at] ^= bits;
            }
            Self::Cut { at } => bytes.truncate(at.index(length)),
            Self::Double { from, to } => {
                let range = range(from, to);
                let part = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, part);
            }
            Self::Zero { from, to } => bytes[range(from, to)].fill(0),
        }
    }
}

/// Where the damage is done.
#[derive(Clone, Debug)]
enum Place {
    /// The file as it lies on the disk.
    File,
    /// The payload of one record, whose length and checksums are right again.
    Payload(Index),
}

impl Place {
    fn any() -> impl Strategy<Value = Self> {
        let payload = any::<Index>().prop_map(Self::Payload);
        prop_oneof![1 => Just(Self::File), 2 => payload]
    }

    fn damage(&self, file: &[u8], damages: &[Damage]) -> Vec<u8> {
        let mut payloads = payloads(file);
        match self {
            Self::Payload(index) if !payloads.is_empty() => {
                let payload = index.index(payloads.len());
                let payload = &mut payloads[payload];
                damages.iter().for_each(|damage| damage.apply(payload));
                let mut damaged = Vec::new();
                let records = payloads.iter();
                records.for_each(|payload| append_record(&mut damaged, payload));
                damaged
            }
            _ => {
                let mut damaged = file.to_vec();
                damages.iter().for_each(|damage| damage.apply(&mut damaged));
                damaged
            }
        }
    }
}

/// Those before the first error.
fn payloads(file: &[u8]) -> Vec<Vec<u8>> {
    let mut records = RecordReader::new(file);
    let mut payloads = Vec::new();
    while let Ok(Some(payload)) = records.read() {
        payloads.push(payload.to_vec());
    }
    payloads
}

/// All files of a directory that holds event files.
type Directory = Vec<(PathBuf, Vec<u8>)>;

/// Every directory below `tests/golden/` that holds event files.
fn golden() -> Vec<Directory> {
    let mut golden = Vec::new();
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")];
    while let Some(directory) = pending.pop() {
        let mut files = Directory::new();
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                files.push((path, bytes));
            }
        }
        let is_events = |path: &Path| path.to_string_lossy().contains("tfevents");
        if files.iter().any(|(path, _)| is_events(path)) {
            files.sort();
            golden.push(files);
        }
    }
    golden.sort();
    golden
}

/// Asks for everything that the runs below `logdir` say they have.
fn read(logdir: &Path, is_intact: bool) {
    for run in Logdir::open(logdir).unwrap().runs().unwrap() {
        let mut points = 0;
        for series in run.series() {
            let read = read_series(&run, series.kind, &series.name);
            match read {
                Ok(read) => assert!(read <= series.points, "{series:?} has {read}"),
                Err(error) => assert!(!is_intact, "{series:?}: {error}"),
            }
            points += series.points;
            assert!(series.points > 0 && series.first_step <= series.last_step);
            let dropped = run.dropped_points(&series.name).len();
            assert!(dropped as u64 <= run.dropped());
        }
        assert!(points == 0 || run.wall_times().is_some());
        let problems: Vec<_> = run.problems().map(ToString::to_string).collect();
        assert!(problems.iter().all(|problem| !problem.is_empty()));
    }
}

/// The number of points whose value could be understood.
fn read_series(run: &Run, kind: Kind, name: &str) -> Result<usize, String> {
    match kind {
        Kind::Scalar => checked(run.scalars(name).map(<[_]>::to_vec)),
        Kind::Text => checked(run.texts(name).map(<[_]>::to_vec)),
        Kind::Image => checked(run.images(name)),
        Kind::Audio => checked(run.audio(name)),
        Kind::Histogram => checked(run.histograms(name)),
        kind => checked(run.tensors(kind, name)),
    }
}

/// Points come by step, each once, with times that are numbers.
fn checked<T, E: std::fmt::Display>(points: Result<Vec<Point<T>>, E>) -> Result<usize, String> {
    let points = points.map_err(|error| error.to_string())?;
    assert!(points.is_sorted_by(|one, other| one.step < other.step));
    assert!(points.iter().all(|point| point.wall_time.is_finite()));
    Ok(points.len())
}

/// Runs `test`, which is called `name`, in a process of its own with no more than [`MEMORY_KIB`].
fn in_little_memory(name: &str, test: impl Fn()) {
    if std::env::var_os(IN_LITTLE_MEMORY).is_some() {
        return test();
    }
    let output = Command::new("sh")
        .args(["-c", "ulimit -d $1 && exec \"$0\" --exact \"$2\""])
        .arg(std::env::current_exe().unwrap())
        .args([&MEMORY_KIB.to_string(), name])
        .env(IN_LITTLE_MEMORY, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let is_right = output.status.success() && text.contains("1 passed");
    assert!(
        is_right,
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[cfg(unix)]
fn damaged_files_are_read_without_harm() {
    in_little_memory("damaged_files_are_read_without_harm", || {
        let golden = golden();
        let logdir = tempfile::tempdir().unwrap();
        let run = logdir.path().join("run");
        let damages = prop::collection::vec(Damage::any(), 1..4);
        let case = (any::<Index>(), any::<Index>(), Place::any(), damages);
        let config = ProptestConfig {
            cases: CASES,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let result = TestRunner::new(config).run(&case, |(directory, file, place, damages)| {
            let files = directory.get(&golden);
            let damaged = file.index(files.len());
            let _ = fs::remove_dir_all(&run);
            fs::create_dir(&run).unwrap();
            for (index, (path, bytes)) in files.iter().enumerate() {
                let copy = run.join(path.file_name().unwrap_or(OsStr::new("")));
                if index == damaged {
                    fs::write(copy, place.damage(bytes, &damages)).unwrap();
                } else {
                    fs::write(copy, bytes).unwrap();
                }
            }
            read(logdir.path(), matches!(place, Place::File));
            Ok(())
        });
        result.unwrap();
    });
}

#[test]
#[cfg(unix)]
fn a_long_record_is_not_believed() {
    in_little_memory("a_long_record_is_not_believed", || {
        let logdir = tempfile::tempdir().unwrap();
        let mut file = golden()[0][0].1.clone();
        let length = 200_000_000_u64.to_le_bytes();
        file.extend(length);
        file.extend(masked_crc32c(&length).to_le_bytes());
        file.extend([0; 100_000]);
        fs::write(logdir.path().join("tfevents"), file).unwrap();
        let runs = Logdir::open(logdir.path()).unwrap().runs().unwrap();
        let problems: Vec<_> = runs[0].problems().map(ToString::to_string).collect();
        let is_short = problems
            .last()
            .unwrap()
            .contains("100012 of 200000016 bytes");
        assert!(is_short, "{problems:?}");
    });
}

/// The bound on memory is one: a process with it cannot take what the record above claims.
#[test]
#[cfg(target_os = "linux")]
#[should_panic(expected = "memory allocation of 200000000 bytes failed")]
fn a_process_in_little_memory_cannot_take_much() {
    in_little_memory("a_process_in_little_memory_cannot_take_much", || {
        std::hint::black_box(vec![1_u8; 200_000_000]);
    });
}
