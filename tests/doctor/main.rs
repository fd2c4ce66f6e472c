//! `cnn-tb doctor`: each finding on a file of its own, repair, and the program from outside.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, UNIX_EPOCH};

use cnn_tb::report::doctor::{Cause, Finding, examine, repair};
use cnn_tb::tb::record::append_record;
use cnn_tb::tb::summary::text;
use cnn_tb::tb::{HParam, SummaryWriter, WriterOptions};
use proptest::prelude::*;
use serde_json::Value;

use golden::EventFile;

/// The time of the tests: later than that of every file but the one from the future.
const NOW_SECS: f64 = 3e9;

fn project(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `CNN_TB_REGENERATE=1 cargo test --test doctor` writes the files again.
#[test]
fn golden_files_are_as_they_are_made() {
    if std::env::var_os("CNN_TB_REGENERATE").is_some() {
        golden::write();
    }
    for golden in golden::all() {
        for (path, bytes) in golden.files {
            let path = golden::root().join(golden.name).join(path);
            assert!(fs::read(&path).unwrap() == bytes, "{}", path.display());
        }
    }
}

#[test]
fn each_golden_file_gives_its_finding_and_no_other() {
    let mut names = Vec::new();
    for golden in golden::all() {
        let directory = tempfile::tempdir().unwrap();
        // What git checks out is new, and looks like a file that is being written.
        let age = if golden.name == "growing_tail" {
            5.0
        } else {
            86_400.0
        };
        for (path, bytes) in &golden.files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            let file = File::options().write(true).open(path).unwrap();
            let time = UNIX_EPOCH + Duration::from_secs_f64(NOW_SECS - age);
            file.set_modified(time).unwrap();
        }
        let findings = examine(directory.path(), NOW_SECS).unwrap();
        let [Finding { cause, .. }] = &findings[..] else {
            panic!("{}: {findings:#?}", golden.name);
        };
        assert_eq!(cause.name(), golden.name);
        let found = cause.to_string();
        let is_whole = !matches!(
            cause,
            Cause::TooLarge { .. }
                | Cause::TwoWriters { .. }
                | Cause::FileOrder { .. }
                | Cause::SameSecond { .. }
        );
        assert!(found.starts_with(golden.found), "{found}");
        assert!(!is_whole || found == golden.found, "{found}");
        names.push(golden.name);
    }
    names.push("unreadable");
    names.sort();
    // The page has a row for each, and this test a case for each row.
    let page = fs::read_to_string(project("docs/run-tools/doctor.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut rows: Vec<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
    rows.sort();
    assert_eq!(rows, names);
}

#[test]
#[cfg(unix)]
fn a_file_that_cannot_be_opened_is_unreadable() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("tfevents.loop", directory.path().join("tfevents.loop")).unwrap();
    let findings = examine(directory.path(), NOW_SECS).unwrap();
    assert!(matches!(
        &findings[..],
        [Finding {
            cause: Cause::Unreadable { .. },
            ..
        }]
    ));
}

#[test]
fn points_that_other_writers_erase_are_counted_once() {
    let erased = |name: &str| {
        let findings = examine(&golden::root().join(name), NOW_SECS).unwrap();
        match &findings[..] {
            [
                Finding {
                    cause: Cause::TwoWriters { erased, .. },
                    ..
                },
            ] => *erased,
            [
                Finding {
                    cause: Cause::FileOrder { erased, .. },
                    ..
                },
            ] => *erased,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((erased("two_writers"), erased("file_order")), (20, 3));
}

/// Scalars of which a random thousand are shown are no mistake, but worth saying.
fn without_sampled(findings: Vec<Finding>) -> Vec<Finding> {
    let is_other = |finding: &Finding| {
        let is_sampled =
            matches!(&finding.cause, Cause::Sampled { plugin, .. } if plugin == "scalars");
        assert!(!is_sampled || finding.run.ends_with("/batches"));
        !is_sampled
    };
    findings.into_iter().filter(is_other).collect()
}

#[test]
fn the_reference_runs_are_shown_as_they_are() {
    let findings = examine(&project("runs"), NOW_SECS).unwrap();
    assert_eq!(without_sampled(findings), []);
}

/// A training that was stopped at step 7, goes on at 5 and is stopped again.
#[test]
fn our_own_restarts_are_no_finding() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("exp1");
    let log = |writer: SummaryWriter, steps: std::ops::RangeInclusive<i64>| {
        writer
            .child("train")
            .unwrap()
            .add_scalar("loss", 0.5, *steps.end())
            .unwrap();
        for step in steps {
            writer.add_scalar("accuracy", 0.5, step).unwrap();
            writer
                .add_histogram("weights", &[0.5_f32, 1.0][..], step)
                .unwrap();
        }
        writer.finish().unwrap();
    };
    let first = SummaryWriter::create(&run).unwrap();
    first.add_hparams([("seed", HParam::from(1))]).unwrap();
    first.add_text("notes", "none", 0).unwrap();
    log(first, 1..=7);
    log(WriterOptions::new().append(&run, 5).unwrap(), 5..=9);
    log(WriterOptions::new().append(&run, 3).unwrap(), 3..=4);
    assert_eq!(examine(directory.path(), NOW_SECS).unwrap(), []);
}

#[test]
fn a_writer_of_ours_is_known_by_its_lock() {
    let directory = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::create(directory.path()).unwrap();
    writer.at(1.7e9).add_scalar("loss", 0.5, 1).unwrap();
    let path = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let path = path
        .into_iter()
        .find(|path| path.to_str().unwrap().contains("tfevents"))
        .unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    // Ten years after its last change.
    let names = |now| examine(&path, now).unwrap()[0].cause.name();
    assert_eq!(names(2.2e9), "growing_tail");
    drop(writer);
    assert_eq!(names(2.2e9), "torn_tail");
}

/// Six records: a version, four scalars and a text.
fn sample() -> (Vec<u8>, Vec<Vec<u8>>) {
    let file = EventFile::new().scalars("loss", 1..=2);
    let file = file
        .value(2, text::to_value("note", "a text"))
        .scalars("loss", 3..=4);
    let mut records = Vec::new();
    let mut reader = cnn_tb::tb::record::RecordReader::new(&file.bytes[..]);
    while let Some(payload) = reader.read().unwrap() {
        let mut record = Vec::new();
        append_record(&mut record, payload);
        records.push(record);
    }
    (file.bytes, records)
}

/// What `repair` makes of a file with these bytes, which `examine` must find wanting.
fn repaired(bytes: &[u8]) -> (Vec<u8>, cnn_tb::report::doctor::Repaired) {
    let directory = tempfile::tempdir().unwrap();
    let from = directory.path().join("damaged.tfevents");
    let to = directory.path().join("repaired.tfevents");
    fs::write(&from, bytes).unwrap();
    let result = repair(&from, &to).unwrap();
    let problems = examine(&from, NOW_SECS).unwrap();
    assert_eq!(
        problems.is_empty(),
        result.dropped.is_empty(),
        "{problems:?} {result:?}"
    );
    let copied = fs::read(&to).unwrap();
    // All of it is accounted for.
    let dropped: u64 = result.dropped.iter().map(|dropped| dropped.bytes).sum();
    assert_eq!(copied.len() as u64 + dropped, bytes.len() as u64);
    (copied, result)
}

/// All records but the one in which byte `at` lies.
fn without(records: &[Vec<u8>], at: usize) -> Vec<u8> {
    let mut start = 0;
    let mut others = Vec::new();
    for record in records {
        if !(start..start + record.len()).contains(&at) {
            others.extend_from_slice(record);
        }
        start += record.len();
    }
    others
}

#[test]
fn whichever_byte_is_hit_all_other_records_survive() {
    let (bytes, records) = sample();
    assert_eq!(records.len(), 6);
    let (copied, result) = repaired(&bytes);
    assert_eq!((copied, result.dropped), (bytes.clone(), vec![]));
    for at in 0..bytes.len() {
        let expected = without(&records, at);
        for bits in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bits;
            let (copied, result) = repaired(&damaged);
            assert!(copied == expected, "byte {at}, bits {bits}: {result:?}");
            assert_eq!((result.kept, result.dropped.len()), (5, 1));
        }
        // A byte that is missing or too many.
        let mut shorter = bytes.clone();
        shorter.remove(at);
        assert!(repaired(&shorter).0 == expected, "without byte {at}");
        let mut longer = bytes.clone();
        longer.insert(at, 0x55);
        let (copied, result) = repaired(&longer);
        // Between two records it harms neither.
        let is_between = copied.len() == bytes.len() && copied == bytes;
        assert!(
            copied == expected || is_between,
            "byte {at} twice: {result:?}"
        );
    }
}

#[test]
fn wherever_a_file_is_cut_all_whole_records_are_copied() {
    let (bytes, records) = sample();
    // Another writer went on behind the tear.
    let later = EventFile::new().scalars("later", 1..=2).bytes;
    for cut in 1..bytes.len() {
        let mut whole = Vec::new();
        for record in &records {
            match whole.len() + record.len() <= cut {
                true => whole.extend_from_slice(record),
                false => break,
            }
        }
        assert!(repaired(&bytes[..cut]).0 == whole, "cut at {cut}");
        let zeros = [&bytes[..cut], &[0; 5000]].concat();
        assert!(repaired(&zeros).0 == whole, "zeros from {cut} on");
        let directory = tempfile::tempdir().unwrap();
        let [from, to] = ["a.tfevents", "b.tfevents"].map(|name| directory.path().join(name));
        fs::write(&from, [&bytes[..cut], &later[..]].concat()).unwrap();
        repair(&from, &to).unwrap();
        assert!(
            fs::read(&to).unwrap() == [&whole[..], &later].concat(),
            "torn at {cut}"
        );
    }
}

#[test]
fn records_far_behind_a_damage_are_found() {
    let (bytes, _) = sample();
    // More than is searched at a time, at every distance from the end of such a part.
    for gap in (65_500..65_560).chain([200_000]) {
        let file = [&bytes[..], &vec![0xee; gap], &bytes].concat();
        let (copied, result) = repaired(&file);
        assert!(copied == bytes.repeat(2), "{gap}: {result:?}");
        assert_eq!(
            (result.dropped.len(), result.dropped[0].bytes),
            (1, gap as u64)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nonsense_is_never_a_panic(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..4),
        tail in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = EventFile::new().bytes;
        for payload in &payloads {
            append_record(&mut bytes, payload);
        }
        bytes.extend_from_slice(&tail);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tfevents");
        fs::write(&path, &bytes).unwrap();
        examine(directory.path(), NOW_SECS).unwrap();
        repair(&path, &directory.path().join("repaired")).unwrap();
    }
}

fn doctor(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnn-tb"));
    command.arg("doctor").args(arguments).current_dir(directory);
    command.output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn a_finding_is_told_with_its_place_its_effect_and_its_repair() {
    let output = doctor(&["damaged_length"], &golden::root());
    let expected = "\
problem: damaged length
  exp1/events.out.tfevents.1700000000.host.1.0: the record at byte 82 has a damaged length; 84 bytes from there on cannot be read
  Both loaders show nothing from this record on, though what follows may be whole; the data server
  does not look at the file again for as long as it runs.
  → Copy what is good: cnn-tb doctor --repair OUT FILE, then put OUT in FILE's place and start
    TensorBoard again.

1 problem, 0 hints
";
    assert_eq!(stdout(&output), expected);
    assert_eq!((stderr(&output), output.status.code()), ("", Some(1)));
}

#[test]
fn hints_alone_and_nothing_are_fine() {
    let output = doctor(&["non_finite_values"], &golden::root());
    assert!(
        stdout(&output).ends_with("0 problems, 1 hint\n"),
        "{output:?}"
    );
    assert_eq!(output.status.code(), Some(0));
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    SummaryWriter::create(runs.join("a"))
        .unwrap()
        .finish()
        .unwrap();
    // `runs` is the default.
    let output = doctor(&[], directory.path());
    assert_eq!(
        stdout(&output),
        "nothing found: TensorBoard shows all of runs\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_is_wrong_with_500_runs_is_said_once() {
    let directory = tempfile::tempdir().unwrap();
    for run in 0..500 {
        let path = directory.path().join(format!("run{run:03}"));
        fs::create_dir(&path).unwrap();
        let file = EventFile::new()
            .scalars("loss", [1, 2, 1])
            .scalars("acc", [1, 2, 1]);
        fs::write(path.join("tfevents.1"), file.bytes).unwrap();
    }
    let output = doctor(&["."], directory.path());
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert!(lines.len() < 20, "{}", stdout(&output));
    assert_eq!(lines[0], "problem: steps go back, 1,000 times in 500 runs");
    let first = "  run000/tfevents.1: acc: the step goes back from 2 to 1; 2 points erased (and 1 more in this run)";
    assert_eq!(lines[1], first);
    assert_eq!(lines[6], "  … and 495 more runs; --json lists them all");
    assert_eq!(lines.last(), Some(&"1,000 problems, 0 hints"));
    let output = doctor(&["--json", "."], directory.path());
    let findings: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(findings.as_array().unwrap().len(), 1000);
}

#[test]
fn json_has_every_key_for_every_finding() {
    let output = doctor(&["--json", "steps_go_back"], &golden::root());
    let findings: Value = serde_json::from_str(stdout(&output)).unwrap();
    let Value::Object(finding) = &findings[0] else {
        panic!("{findings}");
    };
    let text = |key: &str| finding[key].as_str().unwrap();
    assert_eq!(
        (text("finding"), text("severity")),
        ("steps_go_back", "problem")
    );
    assert_eq!((text("run"), text("tag")), ("exp1", "loss"));
    let path = Path::new("steps_go_back/exp1/events.out.tfevents.1700000000.host.1.0");
    assert_eq!(Path::new(text("path")), path);
    assert_eq!(
        (&finding["step"], &finding["offset"]),
        (&3.into(), &Value::Null)
    );
    assert!(text("found").contains("back from 5 to 3"));
    assert!(!text("effect").is_empty() && !text("repair").is_empty());
    assert_eq!(finding.len(), 10);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn names_from_files_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let tags = [
        "\x1b[2Jclear\nline \u{202e}right".to_owned(),
        "x".repeat(10_000),
    ];
    let file = tags
        .iter()
        .fold(EventFile::new(), |file, tag| file.scalars(tag, [2, 1]));
    fs::write(directory.path().join("tfevents"), file.bytes).unwrap();
    let output = doctor(&["."], directory.path());
    assert!(!stdout(&output).contains(['\x1b', '\u{202e}']));
    assert!(
        stdout(&output)
            .lines()
            .all(|line| line.chars().count() < 600)
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn repair_never_overwrites_and_says_what_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let damaged =
        golden::root().join("damaged_length/exp1/events.out.tfevents.1700000000.host.1.0");
    let damaged = damaged.to_str().unwrap();
    let output = doctor(&["--repair", "out.tfevents", damaged], directory.path());
    let expected = "\
3 records copied to out.tfevents
left out: 42 bytes at byte 82, a damaged length
";
    assert_eq!((stdout(&output), stderr(&output)), (expected, ""));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(examine(directory.path(), NOW_SECS).unwrap(), []);

    let before = fs::read(directory.path().join("out.tfevents")).unwrap();
    let output = doctor(&["--repair", "out.tfevents", damaged], directory.path());
    assert_eq!(
        stderr(&output),
        "error: out.tfevents exists; give the name of a new file\n"
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        fs::read(directory.path().join("out.tfevents")).unwrap(),
        before
    );

    let output = doctor(
        &["--json", "--repair", "good", "out.tfevents"],
        directory.path(),
    );
    assert_eq!(stdout(&output), "{\"dropped\":[],\"kept\":3}\n");
    let warning = "warning: TensorBoard reads no file whose name lacks \"tfevents\": rename good\n";
    assert_eq!((stderr(&output), output.status.code()), (warning, Some(0)));
    let output = doctor(
        &["--repair", "b.tfevents", "out.tfevents"],
        directory.path(),
    );
    let warning = "warning: TensorBoard reads all event files of a directory: move out.tfevents to another one\n";
    assert_eq!(stderr(&output), warning);
    let output = doctor(&["--repair", "c.tfevents", "nowhere"], directory.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(!directory.path().join("c.tfevents").exists());
}

#[test]
fn a_logdir_that_is_not_there_is_an_error_with_advice() {
    let output = doctor(&["nowhere"], &golden::root());
    let expected = "error: there is no directory or file nowhere\n  \
                    name the directory that TensorBoard is given: cnn-tb doctor runs\n";
    assert_eq!((stderr(&output), output.status.code()), (expected, Some(2)));
}

#[test]
fn the_page_shows_what_the_program_says() {
    let directory = tempfile::tempdir().unwrap();
    for (golden, run) in [
        ("damaged_length", "exp1"),
        ("unfit_scalar", "resnet"),
        ("non_finite_values", "vgg"),
    ] {
        let name = "events.out.tfevents.1700000000.host.1.0";
        let run = directory.path().join("runs").join(run);
        fs::create_dir_all(&run).unwrap();
        let file = golden::root().join(golden).join("exp1").join(name);
        fs::copy(file, run.join(name)).unwrap();
    }
    let page = fs::read_to_string(project("docs/run-tools/doctor.md")).unwrap();
    let (_, transcript) = page.split_once("```text\n").unwrap();
    let (transcript, _) = transcript.split_once("```").unwrap();
    let mut commands = 0;
    for part in transcript.split("$ cnn-tb doctor").skip(1) {
        let (arguments, said) = part.split_once('\n').unwrap();
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let output = doctor(&arguments, directory.path());
        assert_eq!(stdout(&output), said, "{arguments:?}");
        commands += 1;
    }
    assert_eq!(commands, 2);
}
