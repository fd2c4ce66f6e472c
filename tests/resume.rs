//! A training that is killed and resumed, as often as it may be, ends as one that never was.

#![cfg(all(feature = "train", feature = "cli"))]
#![allow(clippy::unwrap_used)]

mod program;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::time::{Duration, Instant};

use cnn_tb::data::Dataset;
use cnn_tb::tb::SummaryWriter;
use cnn_tb::tb::event_file::event_file_names;
use cnn_tb::train::{Checkpoint, CheckpointError, LAST, Observer, PREVIOUS, resume};

use program::{Dir, Finished, Moments};

/// A network that remembers more than its parameters, and is trained with random numbers.
const NETWORK: &str = r#"
layers = [
    { type = "conv", channels = 4, kernel = 3 },
    { type = "batch_norm" },
    { type = "relu" },
    { type = "avg_pool" },
    { type = "dropout", rate = 0.25 },
    { type = "linear", units = 8 },
    { type = "batch_norm" },
    { type = "relu" },
    { type = "dropout", rate = 0.5 },
    { type = "linear" },
]
"#;

const SMALL: &str = "--data data --batch-size 20 --lr 0.01";

fn new_dir() -> Dir {
    Dir::new(env!("CARGO_BIN_EXE_cnn-tb"))
}

#[test]
fn however_often_it_is_killed_a_training_ends_the_same() {
    const EPOCHS: usize = 8;
    let mut moments = Moments(20);
    for (name, flags) in [
        ("adam", "--lr 0.01"),
        (
            "sgd",
            "--lr 0.01 --optimizer sgd --clip-norm 2 --rotation 10",
        ),
        ("stopped", "--lr 1e-30 --early-stopping 6"),
        ("network", "--config net.toml --lr 0.01"),
    ] {
        let dir = new_dir();
        fs::write(dir.path("net.toml"), NETWORK).unwrap();
        let flags = format!("--data data --batch-size 20 --epochs {EPOCHS} {flags}");
        let began = Instant::now();
        dir.train(&format!("{flags} --logdir whole")).ended(0);
        let took = began.elapsed();
        let mut kills = 0;
        for number in 0..4 {
            let run = format!("{name}{number}");
            let is_there = || dir.path(&format!("{run}/config.toml")).exists();
            // Killed before there was a run, it is begun anew.
            let line = || match is_there() {
                true => format!("--resume --logdir {run}"),
                false => format!("{flags} --overwrite --logdir {run}"),
            };
            for _ in 0..4 {
                let epochs = (moments.next() * EPOCHS as f64) as usize;
                // About an epoch, or, at the beginning, about the time until the first is over.
                let longest = took.div_f64(if epochs == 0 { 3.0 } else { EPOCHS as f64 });
                let delay = longest.mul_f64(moments.next());
                kills += usize::from(!dir.train_and_kill(&line(), epochs, delay));
            }
            dir.train(&line()).ended(0);
            dir.expect_equal(&run, "whole");
        }
        assert!(kills >= 4, "{kills} of {name}");
    }
}

/// Of a finished training the checkpoint before the last is one of a training that was cut.
#[test]
fn a_damaged_checkpoint_is_told_and_the_one_before_serves() {
    let dir = new_dir();
    dir.train(&format!("{SMALL} --epochs 4 --logdir whole"))
        .ended(0);
    let last = dir.read(&format!("whole/{LAST}"));
    let mut flipped = last.clone();
    flipped[last.len() / 2] ^= 1;
    let truncated = last[..last.len() - 9].to_vec();
    for (name, bytes) in [
        ("flipped", flipped),
        ("truncated", truncated),
        ("empty", Vec::new()),
    ] {
        dir.copy("whole", name);
        fs::write(dir.path(&format!("{name}/{LAST}")), bytes).unwrap();
        let finished = dir.train(&format!("--resume --logdir {name}")).ended(0);
        let warnings: Vec<&str> = finished.stderr.lines().collect();
        let [damaged, instead] = warnings[..] else {
            panic!("{finished:#?}");
        };
        let beginning = format!("warning: {name}/{LAST}: damaged: ");
        assert!(damaged.starts_with(&beginning), "{damaged}");
        assert_eq!(
            instead, "warning: the one before serves, of epoch 3",
            "{finished:#?}"
        );
        let resumed = "\nresumed after epoch 3 of 4\n";
        assert!(finished.stdout.contains(resumed), "{finished:#?}");
        dir.expect_equal(name, "whole");
    }

    // A kill between the two renames leaves no last one.
    dir.copy("whole", "renamed");
    fs::remove_file(dir.path(&format!("renamed/{LAST}"))).unwrap();
    let finished = dir.train("--resume --quiet --logdir renamed").ended(0);
    assert_eq!(finished.stdout + &finished.stderr, "");
    dir.expect_equal("renamed", "whole");

    dir.copy("whole", "both");
    for file in [LAST, PREVIOUS] {
        fs::write(dir.path(&format!("both/{file}")), "nothing").unwrap();
    }
    let finished = dir.train("--resume --logdir both").ended(0);
    let instead = "warning: both has no checkpoint to go on from: starting from the beginning\n";
    assert!(finished.stderr.ends_with(instead), "{finished:#?}");
    dir.expect_equal("both", "whole");
}

#[test]
fn a_finished_run_is_left_as_it_is() {
    let dir = new_dir();
    dir.train(&format!("{SMALL} --epochs 2 --logdir a"))
        .ended(0);
    let before = dir.shown("a");
    let finished = dir.train("--resume --logdir a").ended(0);
    assert_eq!(finished.stdout, "");
    assert_eq!(
        finished.stderr,
        "a is finished (2 epochs): there is nothing to resume\n"
    );
    let finished = dir.train("--resume --quiet --logdir a").ended(0);
    assert_eq!(finished.stderr, "");
    assert!(dir.shown("a") == before);
    assert_eq!(event_file_names(&dir.path("a")).unwrap().len(), 1);
}

#[test]
fn a_finished_run_goes_on_if_its_schedule_is_constant() {
    let dir = new_dir();
    let flags = format!("{SMALL} --schedule constant");
    dir.train(&format!("{flags} --epochs 5 --logdir whole"))
        .ended(0);
    dir.train(&format!("{flags} --epochs 2 --logdir a"))
        .ended(0);
    dir.train("--resume --epochs 5 --threads 1 --logdir a")
        .ended(0);
    assert!(dir.read("a/weights.safetensors") == dir.read("whole/weights.safetensors"));
    for tag in [
        "train/loss",
        "validation/accuracy",
        "batches/train_batch/loss",
    ] {
        let [a, whole] = ["a", "whole"].map(|run| {
            let points = dir.run(run).scalars(tag).unwrap().to_vec();
            points.iter().map(|p| (p.step, p.value)).collect::<Vec<_>>()
        });
        assert_eq!(a, whole, "{tag}");
    }
    let config = String::from_utf8(dir.read("a/config.toml")).unwrap();
    assert!(config.contains("epochs = 5\n"), "{config}");
    let finished = dir.train("--resume --epochs 4 --logdir a").ended(2);
    let expected = "5 epochs are completed, 4 were asked for: nothing is left to train\n";
    assert!(finished.stderr.ends_with(expected), "{finished:#?}");

    dir.train(&format!("{SMALL} --epochs 2 --logdir cycle"))
        .ended(0);
    let finished = dir.train("--resume --epochs 5 --logdir cycle").ended(2);
    let expected = "of a training of 2 epochs; the learning rates of schedule one-cycle depend on";
    assert!(finished.stderr.contains(expected), "{finished:#?}");
}

#[test]
fn other_settings_data_and_places_are_refused() {
    let dir = new_dir();
    dir.train(&format!("{SMALL} --epochs 3 --logdir a"))
        .ended(0);
    fs::remove_file(dir.path(&format!("a/{LAST}"))).unwrap();
    let before = dir.shown("a");
    for (flags, expected) in [
        (
            "--lr 0.1 --seed 4 --optimizer sgd",
            "a was begun with other settings: learning_rate was 0.01, is now 0.1; optimizer was \
             \"adam\", is now \"sgd\"; seed was 0, is now 4\n",
        ),
        (
            "--clip-norm 2",
            "a was begun with other settings: clip_norm was none, is now 2.0\n",
        ),
        (
            "--rotation 10",
            "a was begun with other settings: rotation was none, is now 10.0\n",
        ),
        ("--preset article", "a was begun with other settings: "),
    ] {
        let finished = dir.train(&format!("--resume --logdir a {flags}")).ended(2);
        let message = finished.stderr.strip_prefix("error: ").unwrap();
        assert!(message.starts_with(expected), "{finished:#?}");
        assert!(message.contains("\n  leave these flags out to resume it"));
    }
    for (line, expected) in [
        (
            "--resume --logdir none",
            "error: none holds no config.toml, so there is no run to resume\n  start it without \
             --resume: cnn-tb train --logdir none\n",
        ),
        ("--resume", "--logdir <DIR>"),
        ("--resume --overwrite --logdir a", "cannot be used with"),
    ] {
        let finished = dir.train(line).ended(2);
        assert!(finished.stderr.contains(expected), "{finished:#?}");
    }
    assert!(!dir.path("none").exists());
    dir.copy("a", "busy");
    let writer = SummaryWriter::append(dir.path("busy"), 100).unwrap();
    let finished = dir.train("--resume --logdir busy").ended(2);
    assert_eq!(
        finished.stderr,
        "error: busy is being written by another training; stop that one first\n"
    );
    drop(writer);

    let config = String::from_utf8(dir.read("a/config.toml")).unwrap();
    let edited = config.replace("seed = 0", "seed = 1");
    fs::write(dir.path("a/config.toml"), edited).unwrap();
    let finished = dir.train("--resume --logdir a").ended(2);
    let expected =
        format!("error: a/{PREVIOUS}: of a training with other settings: seed was 0, is now 1\n");
    assert_eq!(finished.stderr, expected);
    fs::write(dir.path("a/config.toml"), config).unwrap();
    dir.write_data("data", 1);
    let finished = dir.train("--resume --logdir a").ended(2);
    let expected = format!("error: a/{PREVIOUS}: of a training on other images or labels than ");
    assert!(finished.stderr.starts_with(&expected), "{finished:#?}");
    assert!(dir.shown("a") == before);
}

#[test]
fn other_settings_fork_the_run_and_leave_it_alone() {
    let dir = new_dir();
    dir.train(&format!("{SMALL} --epochs 6 --logdir exp1"))
        .ended(0);
    fs::rename(
        dir.path(&format!("exp1/{PREVIOUS}")),
        dir.path(&format!("exp1/{LAST}")),
    )
    .unwrap();
    let before = dir.files("exp1");
    let line = "--resume --force --lr 0.02 --batch-size 24 --seed 3 --epochs 9 --logdir exp1";
    let finished = dir.train(line).ended(0);
    assert_eq!(
        finished.stderr,
        "exp1 goes on after epoch 5 as another run, exp2\n  \
         batch_size was 20, is now 24\n  epochs was 6, is now 9\n  \
         learning_rate was 0.01, is now 0.02\n  seed was 0, is now 3\n",
        "{finished:#?}"
    );
    assert!(finished.stdout.contains("\nresumed after epoch 5 of 9\n"));
    assert!(dir.files("exp1") == before);

    let run = dir.run("exp2");
    let steps = |tag: &str| -> Vec<i64> {
        let points = run.scalars(tag).unwrap().iter();
        points.map(|point| point.step).collect()
    };
    for tag in ["train/loss", "validation/accuracy", "validation_best/loss"] {
        assert_eq!(steps(tag), [6, 7, 8, 9], "{tag}");
    }
    // With batches of 24 an epoch has 10 updates.
    assert_eq!(
        steps("batches/train_batch/loss"),
        (51..=90).collect::<Vec<_>>()
    );
    let text = &run.texts("forked_from").unwrap()[0];
    assert_eq!(text.step, 0);
    let expected = "    exp1\n\nafter epoch 5\n\n| setting | before | now |\n|---|---|---|\n";
    assert!(text.value.starts_with(expected), "{}", text.value);
    assert!(
        text.value.contains("| learning\\_rate | 0.01 | 0.02 |\n"),
        "{}",
        text.value
    );
    // Pictures of the untrained network are not the fork's; how it changes images is.
    let shown = dir.shown("exp2");
    let at_the_start = shown.keys().filter(|(_, step, _)| *step <= 5);
    let tags: Vec<&str> = at_the_start.map(|(_, _, tag)| tag.as_str()).collect();
    let pictures = tags
        .into_iter()
        .filter(|tag| tag.starts_with("weights/") || tag.starts_with("samples/"));
    assert_eq!(pictures.collect::<Vec<_>>(), ["samples/augmented"]);
    assert_eq!(run.hparams()["learning_rate"].to_string(), "0.02");

    // The names go on, and what is forked can be forked and resumed.
    let finished = dir.train("--resume --logdir exp2").ended(0);
    assert_eq!(
        finished.stderr,
        "exp2 is finished (9 epochs): there is nothing to resume\n"
    );
    dir.train("--resume --force --quiet --lr 0.03 --epochs 10 --logdir exp1")
        .ended(0);
    assert!(dir.path("exp3/weights.safetensors").exists());
    assert!(dir.files("exp1") == before);
}

/// With another optimizer, too, whose state begins anew.
#[test]
fn a_fork_that_is_killed_ends_as_one_that_never_was() {
    let mut moments = Moments(5);
    for (before, after) in [
        ("--lr 0.01", "--lr 0.02"),
        ("--lr 0.01", "--lr 0.02 --optimizer sgd"),
        ("--lr 0.01 --optimizer sgd", "--optimizer adamw"),
    ] {
        let dir = new_dir();
        let flags = format!("--data data --batch-size 20 --epochs 6 {before}");
        dir.train(&format!("{flags} --logdir exp1")).ended(0);
        fs::rename(
            dir.path(&format!("exp1/{PREVIOUS}")),
            dir.path(&format!("exp1/{LAST}")),
        )
        .unwrap();
        let line = format!("--resume --force {after} --epochs 24 --logdir exp1");
        dir.train(&line).ended(0);
        let mut kills = 0;
        for number in 3..6 {
            let fork = format!("exp{number}");
            let is_there = || dir.path(&format!("{fork}/config.toml")).exists();
            for attempt in 0..4 {
                let epochs = 6 + 4 * attempt + (moments.next() * 4.0) as usize;
                let delay = Duration::from_secs_f64(0.005 * moments.next());
                // Killed before there was a run, it is begun anew.
                let line = match attempt {
                    0 => line.clone(),
                    _ if is_there() => format!("--resume --logdir {fork}"),
                    _ => break,
                };
                kills += usize::from(!dir.train_and_kill(&line, epochs, delay));
            }
            dir.train(&format!("--resume --logdir {fork}")).ended(0);
            dir.expect_equal(&fork, "exp2");
        }
        assert!(kills >= 3, "{kills} after {after}");
    }
}

#[test]
fn what_cannot_be_forked_is_refused() {
    let dir = new_dir();
    dir.train(&format!("{SMALL} --epochs 3 --logdir a"))
        .ended(0);
    dir.write_data("moved", 1);
    dir.write_images("larger", 12, 0);
    for (flags, expected) in [
        (
            "--lr 0.1",
            "error: a/last.checkpoint: 3 epochs are completed, 3 were asked for: nothing is left to \
             train\n",
        ),
        (
            "--epochs 5 --data larger",
            "error: a/last.checkpoint: fc1.weight is of shape [128, 64], but the network for \
             larger needs [128, 144]; only the same network, with images of the same size and as many \
             classes, can go on \
             from it\n",
        ),
    ] {
        let finished = dir
            .train(&format!("--resume --force --logdir a {flags}"))
            .ended(2);
        assert_eq!(finished.stderr, expected);
    }
    let finished = dir.train("--force --logdir a").ended(2);
    assert!(finished.stderr.contains("--resume"), "{finished:#?}");
    assert!(!dir.path("a-2").exists());

    // The same images under another name, and others under the same.
    let line = "--resume --force --epochs 4 --data moved --logdir a";
    let finished = dir.train(line).ended(0);
    assert!(
        finished
            .stderr
            .contains("\n  data was \"data\", is now \"moved\"\n")
    );
    assert!(
        finished.stderr.contains("\n  data_crc32 was "),
        "{finished:#?}"
    );

    fs::rename(
        dir.path(&format!("a/{PREVIOUS}")),
        dir.path(&format!("a/{LAST}")),
    )
    .unwrap();
    let finished = dir.train("--resume --force --logdir a").ended(2);
    let expected = "error: nothing differs from a, so there is nothing to force\n  leave --force out \
                    to resume it\n";
    assert_eq!(finished.stderr, expected);
    fs::remove_file(dir.path(&format!("a/{LAST}"))).unwrap();
    let finished = dir.train("--resume --force --lr 0.1 --logdir a").ended(2);
    assert!(
        finished
            .stderr
            .starts_with("error: a has no checkpoint to go on from\n")
    );
    assert!(!dir.path("a-3").exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_can_be_resumed_from() {
    let dir = new_dir();
    let flags = format!("{SMALL} --epochs 60");
    dir.train(&format!("{flags} --logdir whole")).ended(0);
    let mut child = dir
        .command(&format!("{flags} --json --logdir a"))
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("\"epoch\":2,") {
        assert!(stdout.read_line(&mut said).unwrap() > 0, "{said}");
    }
    program::send_signal(&child, "INT");
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let finished = dir.train("--resume --json --logdir a").ended(0);
    let start: serde_json::Value =
        serde_json::from_str(finished.stdout.lines().next().unwrap()).unwrap();
    let completed = start["completed_epochs"].as_u64().unwrap();
    assert!((2..60).contains(&completed), "{completed}");
    dir.expect_equal("a", "whole");
}

/// Whatever is in a file, it is refused or read, and a training that starts from it fails or ends.
#[test]
fn no_bytes_make_a_checkpoint_panic() {
    struct Nothing;
    impl Observer for Nothing {}

    let dir = new_dir();
    dir.train(&format!("{SMALL} --epochs 2 --logdir a"))
        .ended(0);
    let path = dir.path(&format!("a/{PREVIOUS}"));
    let whole = fs::read(&path).unwrap();
    let config = Checkpoint::from_bytes(&path, &whole)
        .unwrap()
        .config()
        .clone();
    let dataset = Dataset::open(&dir.path("data")).unwrap();
    let mut moments = Moments(7);
    let mut below = |limit: usize| (moments.next() * limit as f64) as usize;
    let mut outcomes = [0; 3];
    for round in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..=below(3) {
            // Most of the time in the part that is no tensor.
            let limit = if below(4) == 0 {
                bytes.len()
            } else {
                2500.min(bytes.len())
            };
            match below(5) {
                0 => bytes.truncate(below(bytes.len() + 1)),
                1 => bytes.insert(below(limit + 1), below(256) as u8),
                2 if limit > 0 => drop(bytes.remove(below(limit))),
                _ if limit > 0 => bytes[below(limit)] = below(256) as u8,
                _ => {}
            }
        }
        if bytes == whole {
            continue;
        }
        let found = Checkpoint::from_bytes(&path, &bytes);
        assert!(
            matches!(found, Err(CheckpointError::Damaged { .. })),
            "{found:?}"
        );
        // With a right trailer what is in it is looked at.
        let content = bytes.len().saturating_sub(4);
        bytes.truncate(content);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        match Checkpoint::from_bytes(&path, &bytes) {
            Err(_) => outcomes[0] += 1,
            Ok(checkpoint) if round % 10 == 0 => {
                let _ = resume(&config, &dataset, &checkpoint, &mut Nothing);
                outcomes[1] += 1;
            }
            Ok(_) => outcomes[2] += 1,
        }
    }
    assert!(outcomes.iter().all(|count| *count > 5), "{outcomes:?}");
}

/// No file may grow beyond a size: what an event file does not take is in the next one.
#[test]
#[cfg(target_os = "linux")]
fn what_a_file_does_not_take_is_in_the_next_one() {
    let dir = new_dir();
    let flags = format!("{SMALL} --epochs 12");
    dir.train(&format!("{flags} --logdir whole")).ended(0);
    let events = |run: &str| {
        let names = event_file_names(&dir.path(run)).unwrap();
        let paths = names.iter().map(|name| dir.path(run).join(name));
        paths.collect::<Vec<_>>()
    };
    let bytes = |path: &Path| fs::metadata(path).unwrap().len();
    // Most of an event file; the others fit.
    let limit = bytes(&events("whole")[0]) * 3 / 4;
    assert!(bytes(&dir.path(&format!("whole/{LAST}"))) < limit);

    let finished = dir
        .limited(&format!("{flags} --logdir limited"), limit)
        .ended(0);
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(lines, [""; 0]);
    let [first, second] = &events("limited")[..] else {
        panic!("{:?}", events("limited"));
    };
    assert!(bytes(first) <= limit && bytes(second) > limit / 9);
    dir.expect_equal("limited", "whole");
}

/// What cannot be written does not end a training; it is told when it begins and at the end.
#[test]
#[cfg(target_os = "linux")]
fn a_training_whose_files_cannot_be_written_comes_to_its_end() {
    let dir = new_dir();
    let flags = format!("{SMALL} --epochs 3 --logdir a");
    let finished = dir.limited(&flags, 20_000).ended(2);
    assert!(finished.stdout.contains("\ntest    loss "), "{finished:#?}");
    let lines: Vec<_> = finished.stderr.lines().collect();
    let [log, checkpoint, error] = lines[..] else {
        panic!("{finished:#?}");
    };
    let cause = "File too large (os error 27)";
    assert!(
        log.starts_with(&format!("warning: cannot write a: {cause}; ")),
        "{log}"
    );
    assert!(
        log.ends_with(" records not written; the training goes on"),
        "{log}"
    );
    let expected = format!("cannot write a/{LAST}: {cause}");
    assert_eq!(
        checkpoint,
        format!("warning: {expected}; the training goes on")
    );
    assert!(
        error.starts_with("error: cannot write a/weights.safetensors"),
        "{error}"
    );
    for part in [expected.as_str(), " records not written; "] {
        assert!(error.contains(part), "{error}");
    }
    for entry in fs::read_dir(dir.path("a")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().ends_with("part"), "{name:?}");
    }
}

#[test]
#[cfg(unix)]
fn weights_outlast_a_directory_that_vanishes() {
    let dir = new_dir();
    let flags = format!("{SMALL} --epochs 40 --logdir a --json");
    let mut child = dir.command(&flags).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("\"epoch\":2,") {
        assert!(stdout.read_line(&mut said).unwrap() > 0, "{said}");
    }
    // A file that comes while the others are removed is in the way.
    let removed = (0..100).find(|_| fs::remove_dir_all(dir.path("a")).is_ok());
    assert!(removed.is_some());
    stdout.read_to_string(&mut said).unwrap();
    let finished = Finished::of(child.wait_with_output().unwrap()).ended(2);
    assert!(said.contains("\"event\":\"result\""), "{said}");
    let lines: Vec<_> = finished.stderr.lines().collect();
    let is_log = |line: &&&str| line.contains(": the file was removed; ");
    let warning = lines.iter().find(is_log).unwrap();
    assert!(warning.starts_with("warning: cannot write a/"), "{warning}");
    let last = lines.last().unwrap();
    assert!(last.starts_with("error: cannot write a/") && last.ends_with(" records lost"));
    let weights = dir.read("a/weights.safetensors");
    assert!(dir.path("a/config.toml").exists());
    // Later epochs are there.
    let points = dir.run("a").scalars("validation/loss").unwrap().to_vec();
    assert_eq!(points.last().unwrap().step, 40);
    dir.train(&format!("{SMALL} --epochs 40 --logdir whole"))
        .ended(0);
    assert!(weights == dir.read("whole/weights.safetensors"));
}
