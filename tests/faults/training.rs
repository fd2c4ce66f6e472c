//! Faults of trainings.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cnn_tb::train::{LAST, PREVIOUS};

use crate::bench::{Bench, Outcome};
use crate::program::{Dir, Finished, Moments, send_signal};

/// How often trainings are killed, at least, for each recipe.
const KILLS: usize = 70;
/// How often forks are.
const FORK_KILLS: usize = 20;
/// How often one training is, at most.
const ATTEMPTS: usize = 8;
const EPOCHS: usize = 24;
/// How often each signal is sent.
const SIGNALS: usize = 10;
/// So long that there is time to do something to it.
pub const LONG: &str = "--data data --batch-size 20 --lr 0.01 --epochs 60";
const EQUAL: &str = "weights, series and pictures end as if undisturbed";

/// The time a command takes, which moments are chosen in.
fn timed(dir: &Dir, line: &str) -> Duration {
    let began = Instant::now();
    dir.train(line).ended(0);
    began.elapsed()
}

/// A training with these flags in `run`, or the resumption of what is there.
pub fn begin_or_resume(dir: &Dir, flags: &str, run: &str) -> String {
    match dir.path(run).join("config.toml").exists() {
        true => format!("--resume --logdir {run}"),
        // Killed before there was a run, it is begun anew.
        false => format!("{flags} --overwrite --logdir {run}"),
    }
}

pub fn killed(bench: &Bench) -> Outcome {
    let mut moments = Moments(2026);
    let (mut kills, mut runs) = (0, 0);
    for (name, flags) in [
        ("adam", "--lr 0.01"),
        ("sgd", "--lr 0.01 --optimizer sgd --clip-norm 2"),
        ("stopped", "--lr 1e-30 --early-stopping 20"),
    ] {
        let dir = bench.dir();
        let flags = format!("--data data --batch-size 20 --epochs {EPOCHS} {flags}");
        let took = timed(&dir, &format!("{flags} --logdir whole"));
        bench.keep(&dir.path("whole"), &format!("killed/{name}"));
        let before = kills;
        while kills - before < KILLS {
            let run = format!("{name}{runs}");
            let mut epochs = 0;
            for _ in 0..ATTEMPTS {
                // About an epoch, or, at the beginning, about the time until the first is over.
                let longest = took.div_f64(if epochs == 0 { 4.0 } else { EPOCHS as f64 });
                let delay = longest.mul_f64(moments.next());
                let line = begin_or_resume(&dir, &flags, &run);
                if dir.train_and_kill(&line, epochs, delay) {
                    break;
                }
                kills += 1;
                epochs += (moments.next() * 5.0) as usize;
            }
            dir.train(&begin_or_resume(&dir, &flags, &run)).ended(0);
            dir.expect_equal(&run, "whole");
            bench.keep(&dir.path(&run), &format!("killed/{run}"));
            runs += 1;
        }
    }
    Outcome::safe(kills, format!("{runs} trainings: {EQUAL}"))
}

/// A fork is killed from its first moment on; what it was made of stays as it is.
pub fn fork_killed(bench: &Bench) -> Outcome {
    let mut moments = Moments(7);
    let (mut kills, mut forks) = (0, 0);
    let dir = bench.dir();
    dir.train(&format!(
        "--data data --batch-size 20 --epochs {EPOCHS} --logdir exp1"
    ))
    .ended(0);
    let [previous, last] = [PREVIOUS, LAST].map(|name| dir.path("exp1").join(name));
    fs::rename(previous, last).unwrap();
    let before = dir.files("exp1");
    let line = "--resume --force --optimizer sgd --lr 0.02 --epochs 40 --logdir exp1";
    let took = timed(&dir, line);
    while kills < FORK_KILLS {
        let fork = format!("exp{}", forks + 3);
        for _ in 0..ATTEMPTS {
            let line = match dir.path(&fork).join("config.toml").exists() {
                true => format!("--resume --logdir {fork}"),
                false => {
                    // The next free name is to be the same again.
                    let _ = fs::remove_dir_all(dir.path(&fork));
                    line.to_owned()
                }
            };
            if dir.train_and_kill(&line, 0, took.mul_f64(moments.next())) {
                break;
            }
            kills += 1;
        }
        match dir.path(&fork).join("config.toml").exists() {
            true => {
                dir.train(&format!("--resume --logdir {fork}")).ended(0);
            }
            false => {
                let _ = fs::remove_dir_all(dir.path(&fork));
                dir.train(line).ended(0);
            }
        }
        dir.expect_equal(&fork, "exp2");
        bench.keep(&dir.path(&fork), &format!("forked/{fork}"));
        forks += 1;
    }
    assert!(
        dir.files("exp1") == before,
        "the run that was forked is another"
    );
    Outcome::safe(
        kills,
        format!("{forks} forks end as if undisturbed; their origin is untouched"),
    )
}

pub fn interrupted(bench: &Bench) -> Outcome {
    signalled(bench, "INT")
}

pub fn terminated(bench: &Bench) -> Outcome {
    signalled(bench, "TERM")
}

fn signalled(bench: &Bench, signal: &str) -> Outcome {
    let mut moments = Moments(3);
    let dir = bench.dir();
    let took = timed(&dir, &format!("{LONG} --logdir whole"));
    let mut stopped = 0;
    for number in 0..SIGNALS {
        let run = format!("{}{number}", signal.to_lowercase());
        // Before the first batch nobody listens yet.
        let (mut child, mut stdout) = start(&dir, &format!("{LONG} --logdir {run}"), "\"start\"");
        thread::sleep(took.mul_f64(0.8 * moments.next()));
        send_signal(&child, signal);
        let mut said = String::new();
        while stdout.read_line(&mut said).unwrap() > 0 {}
        let code = child.wait().unwrap().code();
        stopped += usize::from(code == Some(130));
        assert!(
            matches!(code, Some(0 | 130)),
            "{code:?} after SIG{signal}: {said}"
        );
        assert!(dir.path(&run).join("weights.safetensors").exists());
        dir.train(&format!("--resume --logdir {run}")).ended(0);
        dir.expect_equal(&run, "whole");
        bench.keep(&dir.path(&run), &format!("signalled/{run}"));
    }
    assert!(stopped > 0, "all trainings had ended before");
    Outcome::safe(
        SIGNALS,
        format!("it stops with its weights and exit code 130; {EQUAL}"),
    )
}

/// Starts a training and waits until it has said `wanted`.
pub fn start(dir: &Dir, line: &str, wanted: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = dir.command(&format!("{line} --json"));
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains(wanted) {
        assert!(
            stdout.read_line(&mut said).unwrap() > 0,
            "{line} ended before {wanted}: {said}"
        );
    }
    (child, stdout)
}

/// How a training ends, with all that it says from here on.
pub fn end(child: Child, mut stdout: BufReader<std::process::ChildStdout>) -> Finished {
    let mut said = String::new();
    while stdout.read_line(&mut said).unwrap() > 0 {}
    let output = child.wait_with_output().unwrap();
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: said,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// One is held still while others try; then two begin at the same moment.
pub fn two_at_once(bench: &Bench) -> Outcome {
    let dir = bench.dir();
    dir.train(&format!("{LONG} --logdir whole")).ended(0);
    let (child, stdout) = start(&dir, &format!("{LONG} --logdir first"), "\"epoch\":2,");
    hold(&child);
    let before = dir.files("first");
    let tried = [
        (
            format!("{LONG} --logdir first"),
            "first already holds a run (",
        ),
        (
            format!("{LONG} --overwrite --logdir first"),
            "first is being written by another training",
        ),
        (
            "--resume --logdir first".to_owned(),
            "first is being written by another training",
        ),
    ];
    for (line, expected) in &tried {
        let finished = dir.train(line).ended(2);
        assert!(finished.stderr.contains(expected), "{finished:#?}");
    }
    assert!(dir.files("first") == before, "the first run was written to");
    send_signal(&child, "CONT");
    end(child, stdout).ended(0);
    dir.expect_equal("first", "whole");
    bench.keep(&dir.path("first"), "two/first");

    let races = 20;
    for number in 0..races {
        let run = format!("race{number}");
        let line = format!("{LONG} --quiet --logdir {run}");
        let both = [(); 2].map(|()| dir.command(&line).spawn().unwrap());
        let mut codes = both.map(|child| child.wait_with_output().unwrap().status.code());
        codes.sort();
        assert_eq!(codes, [Some(0), Some(2)], "{run}");
        dir.expect_equal(&run, "whole");
    }
    Outcome::safe(
        tried.len() + races,
        "the later one is refused with exit code 2, the first ends as if alone",
    )
}

pub fn directory_removed(bench: &Bench) -> Outcome {
    let dir = bench.dir();
    dir.train(&format!("{LONG} --logdir whole")).ended(0);
    let times = 5;
    for number in 0..times {
        let run = format!("gone{number}");
        let line = format!("{LONG} --logdir {run}");
        let (child, stdout) = start(&dir, &line, &format!("\"epoch\":{},", 2 + 5 * number));
        hold(&child);
        fs::remove_dir_all(dir.path(&run)).unwrap();
        send_signal(&child, "CONT");
        let finished = end(child, stdout).ended(2);
        let names_it = finished.stderr.contains(&run);
        assert!(
            names_it && !finished.stderr.contains("panicked"),
            "{finished:#?}"
        );
        // Whatever is there by now, a new run takes its place.
        dir.train(&format!("{line} --overwrite")).ended(0);
        dir.expect_equal(&run, "whole");
    }
    Outcome {
        times,
        lost: "what was removed".to_owned(),
        text: "it says what it cannot write, exit code 2; the same can be begun again".to_owned(),
    }
}

/// A training is there for what it leaves in its directory; who reads along may leave.
pub fn output_gone(bench: &Bench) -> Outcome {
    let dir = bench.dir();
    dir.train(&format!("{LONG} --logdir whole")).ended(0);
    let mut times = 0;
    for flags in ["", "--json"] {
        let run = format!("full{flags}");
        let mut command = dir.command(&format!("{LONG} {flags} --logdir {run}"));
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command.stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("cannot write to standard output: No space left"),
            "{said}"
        );
        dir.train(&begin_or_resume(&dir, LONG, &run)).ended(0);
        dir.expect_equal(&run, "whole");

        let run = format!("closed{flags}");
        let mut command = dir.command(&format!("{LONG} {flags} --logdir {run}"));
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        assert!(child.wait().unwrap().success());
        dir.expect_equal(&run, "whole");

        // No standard output and no standard error at all.
        let run = format!("none{flags}");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "exec \"$@\" >&- 2>&-", "sh"])
            .arg(&bench.program);
        shell
            .arg("train")
            .args(LONG.split(' '))
            .args(flags.split_whitespace());
        let status = shell
            .arg("--logdir")
            .arg(dir.path(&run))
            .current_dir(dir.path(""))
            .status();
        assert!(status.unwrap().success());
        dir.expect_equal(&run, "whole");
        times += 3;
    }
    let mut command = dir.command(&format!("{LONG} --quiet --logdir quiet"));
    let full = || File::options().write(true).open("/dev/full").unwrap();
    assert!(
        command
            .stdout(full())
            .stderr(full())
            .status()
            .unwrap()
            .success()
    );
    dir.expect_equal("quiet", "whole");
    Outcome::safe(
        times + 1,
        "closed: it goes on; full: exit code 2, and resumed it ends as if undisturbed",
    )
}

/// Stops a process, and waits until it does nothing any more.
fn hold(child: &Child) {
    send_signal(child, "STOP");
    let is_held = || {
        let mut threads = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
        threads.all(|thread| {
            let status = fs::read_to_string(thread.unwrap().path().join("status"));
            // A thread may have ended meanwhile.
            status.is_ok_and(|status| status.contains("\nState:\tT"))
        })
    };
    while !is_held() {
        thread::sleep(Duration::from_millis(1));
    }
}
