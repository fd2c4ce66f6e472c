//! A process that is killed while it logs leaves all that it logged.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use cnn_tb::tb::{Logdir, SummaryWriter};

/// Where the process to be killed logs to.
const LOG_TO: &str = "CNN_TB_TEST_LOG_TO";

/// Logs for ever, and says each step that is logged.
fn log(path: &Path) {
    let writer = SummaryWriter::create(path).unwrap();
    for step in 1_i64.. {
        writer.add_scalar("loss", 1.0, step).unwrap();
        println!("\nstep {step}");
    }
}

/// This test starts itself anew as the process that is killed.
#[test]
fn all_that_was_logged_before_a_kill_is_in_the_file() {
    if let Some(path) = env::var_os(LOG_TO) {
        return log(Path::new(&path));
    }
    let logdir = tempfile::tempdir().unwrap();
    let run = logdir.path().join("exp1");
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "all_that_was_logged_before_a_kill_is_in_the_file",
            "--exact",
            "--nocapture",
        ])
        .env(LOG_TO, &run)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(step) = line
            .strip_prefix("step ")
            .and_then(|step| step.parse().ok())
        {
            said = step;
        }
        if said == 2000 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(
        said >= 2000,
        "the process ended by itself after step {said}"
    );

    let runs = Logdir::open(logdir.path()).unwrap().runs().unwrap();
    let points = runs[0].scalars("loss").unwrap();
    assert!(points.len() >= said, "{} of {said} points", points.len());
    assert!(
        points
            .iter()
            .zip(1..)
            .all(|(point, step)| point.step == step)
    );
    assert!(
        runs[0]
            .problems()
            .all(|problem| problem.error.is_truncated())
    );

    // The system has freed the lock, and the run goes on.
    let writer = SummaryWriter::append(&run, 1500).unwrap();
    writer.add_scalar("loss", 2.0, 1500).unwrap();
    writer.finish().unwrap();
    let runs = Logdir::open(logdir.path()).unwrap().runs().unwrap();
    let points = runs[0].scalars("loss").unwrap();
    assert_eq!((points.len(), points[1499].value), (1500, 2.0));
}
