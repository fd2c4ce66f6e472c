//! Disks that are full, and such as cannot be written at all.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::bench::{Bench, Outcome};
use crate::logger::TAGS;
use crate::logging::steps;
use crate::program::{Dir, Moments};
use crate::training::{LONG, begin_or_resume};

const FULL: &str = "No space left on device";
const READ_ONLY: &str = "Read-only file system";
/// More than any run here takes.
const ROOM: u64 = 256 << 20;
/// A page, in which tmpfs counts.
const PAGE: u64 = 4096;

/// A file system in memory, of a size that can be changed.
struct Disk(TempDir);

impl Disk {
    /// Of so many bytes, in whole pages; or why there can be none.
    fn new(bytes: u64) -> Result<Self, String> {
        let disk = Self(tempfile::tempdir().unwrap());
        let size = format!("size={}", bytes.max(PAGE));
        mount(&["-t", "tmpfs", "-o", &size, "faults"], disk.0.path())?;
        Ok(disk)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn resize(&self, bytes: u64) {
        mount(&["-o", &format!("remount,size={bytes}")], self.path()).unwrap();
    }

    fn make_read_only(&self) {
        mount(&["-o", "remount,ro"], self.path()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The mount namespace ends with this program anyway.
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

fn mount(options: &[&str], path: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(options).arg(path).output();
    let output = output.map_err(|error| format!("mount: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false => Err(said
            .lines()
            .next()
            .unwrap_or("mount failed")
            .trim()
            .to_owned()),
    }
}

/// The bytes of a training's files, and of those the part that is there after so many epochs.
fn bytes(dir: &Dir, run: &str) -> u64 {
    dir.files(run)
        .values()
        .map(|bytes| bytes.len() as u64)
        .sum()
}

/// The disk is full at a random moment and stays so until the training has ended.
pub fn training_resumed(bench: &Bench) -> Outcome {
    let times = 12;
    let mut moments = Moments(11);
    let dir = bench.dir();
    dir.train(&format!("{LONG} --logdir whole")).ended(0);
    let all = bytes(&dir, "whole");
    for number in 0..times {
        let disk = match Disk::new((all as f64 * 0.95 * moments.next()) as u64) {
            Ok(disk) => disk,
            Err(why) => return Outcome::impossible(why),
        };
        let run = disk.path().join("run").to_str().unwrap().to_owned();
        let finished = dir.train(&format!("{LONG} --logdir {run}")).ended(2);
        let says_why = finished.stderr.contains(FULL) && finished.stderr.contains(&run);
        assert!(
            says_why && !finished.stderr.contains("panicked"),
            "{finished:#?}"
        );
        disk.resize(ROOM);
        dir.train(&begin_or_resume(&dir, LONG, &run)).ended(0);
        dir.expect_equal(&run, "whole");
        bench.keep(Path::new(&run), &format!("full/resumed{number}"));
    }
    Outcome::safe(
        times,
        "it says which file and why, exit code 2; resumed it ends as if undisturbed",
    )
}

/// The disk is full at a random moment and has room again soon after the training has said so: it goes
/// on, and logs later what it could not log then.
pub fn training_goes_on(bench: &Bench) -> Outcome {
    let times = 12;
    let mut moments = Moments(12);
    let dir = bench.dir();
    dir.train(&format!("{LONG} --logdir whole")).ended(0);
    let all = bytes(&dir, "whole");
    for number in 0..times {
        // Not in its first moment, nor in its last.
        let part = 0.3 + 0.4 * moments.next();
        let disk = match Disk::new((all as f64 * part) as u64) {
            Ok(disk) => disk,
            Err(why) => return Outcome::impossible(why),
        };
        let run = disk.path().join("run").to_str().unwrap().to_owned();
        let mut command = dir.command(&format!("{LONG} --quiet --logdir {run}"));
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        stderr.read_line(&mut said).unwrap();
        thread::sleep(Duration::from_millis(20).mul_f64(moments.next()));
        disk.resize(ROOM);
        stderr.read_to_string(&mut said).unwrap();
        assert!(said.contains(FULL) && said.contains(&run), "{said}");
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(0), "exit code {code:?}: {said}");
        // Of log and checkpoint each, that it fails, and perhaps that it no longer does.
        let begun = said.matches("; the training goes on\n").count();
        let over = said.matches("warning: no longer: ").count();
        assert!((1..=2).contains(&begun) && over <= begun, "{said}");
        assert_eq!(said.lines().count(), begun + over, "{said}");
        dir.expect_equal(&run, "whole");
        bench.keep(Path::new(&run), &format!("full/went-on{number}"));
    }
    Outcome::safe(
        times,
        "it says so once and goes on, exit code 0; weights and log end as if undisturbed",
    )
}

/// A finished run can be read, and nothing else be done.
pub fn training_read_only(bench: &Bench) -> Outcome {
    let disk = match Disk::new(ROOM) {
        Ok(disk) => disk,
        Err(why) => return Outcome::impossible(why),
    };
    let dir = bench.dir();
    let path = disk.path().to_str().unwrap();
    dir.train(&format!("{LONG} --logdir {path}/run")).ended(0);
    let before = dir.files(path);
    disk.make_read_only();
    for (line, code) in [
        (format!("{LONG} --logdir {path}/other"), 2),
        (format!("{LONG} --overwrite --logdir {path}/run"), 2),
        (
            format!("--resume --force --lr 0.1 --epochs 61 --logdir {path}/run"),
            2,
        ),
        (format!("--resume --logdir {path}/run"), 0),
    ] {
        let finished = dir.train(&line).ended(code);
        let says_why = finished.stderr.contains(READ_ONLY) && finished.stderr.contains(path);
        assert!(says_why || code == 0, "{finished:#?}");
    }
    for tool in ["ls", "compare", "show"] {
        let output = Command::new(&bench.program)
            .args([tool, path])
            .output()
            .unwrap();
        assert!(output.status.success(), "{tool}: {output:?}");
    }
    assert!(dir.files(path) == before, "something was written");
    Outcome::safe(
        7,
        "it says which file and why, exit code 2; a finished run can be read",
    )
}

/// The writer may write n bytes and no more, for every n up to the length of a small log; every other
/// log is then continued without the limit.
pub fn every_byte(bench: &Bench) -> Outcome {
    const STEPS: usize = 6;
    let options = [format!("last={STEPS}")];
    let whole = bench.left.path("runs/bytes/whole");
    let output = bench.logger(&whole, &options).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let files = bench.left.files("runs/bytes/whole");
    let all: usize = files.values().map(Vec::len).sum();
    for limit in 0..all {
        let run = format!("runs/bytes/{limit:04}");
        let directory = bench.left.path(&run);
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; exec prlimit --fsize={limit} -- \"$@\"");
        command.args(["-c", &script, "sh"]).arg(&bench.itself);
        command.arg("log").arg(&directory).args(&options);
        let output = command.output().unwrap();
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        if stderr.contains("prlimit: not found") {
            return Outcome::impossible("there is no prlimit");
        }
        assert_eq!(output.status.code(), Some(2), "{limit} bytes: {stderr}");
        let names_it = stderr.contains(directory.to_str().unwrap());
        assert!(
            names_it && stderr.contains("File too large"),
            "{limit} bytes: {stderr}"
        );
        let said = stdout.matches("step ").count();
        let found = steps(&directory);
        assert!(found == said, "{limit} bytes: {found} of {said} steps");
        if limit % 2 == 1 {
            continue_log(bench, &directory, said, STEPS);
        }
        // As many as TensorBoard can be asked about in reasonable time.
        if limit % 5 != 0 {
            fs::remove_dir_all(&directory).unwrap();
        }
    }
    Outcome::safe(
        all,
        "it says which file and why; all before is read, and can be continued",
    )
}

/// Logs the steps after `said` in a new file.
fn continue_log(bench: &Bench, directory: &Path, said: usize, last: usize) {
    let options = [format!("append={}", said + 1), format!("last={last}")];
    let output = bench.logger(directory, &options).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(steps(directory), last);
}

pub fn logger_full(bench: &Bench) -> Outcome {
    let times = 12;
    for number in 1..=times {
        let disk = match Disk::new(number * PAGE) {
            Ok(disk) => disk,
            Err(why) => return Outcome::impossible(why),
        };
        let directory: PathBuf = disk.path().join("run");
        let output = bench.logger(&directory, &[]).output().unwrap();
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        let names_it = stderr.contains(directory.to_str().unwrap());
        assert!(names_it && stderr.contains(FULL), "{stderr}");
        let said = stdout.matches("step ").count();
        assert!(said > 0);
        assert_eq!(steps(&directory), said);
        disk.resize(ROOM);
        continue_log(bench, &directory, said, said + 100);
        bench.keep(&directory, &format!("full/logger{number}"));
    }
    Outcome::safe(
        times as usize,
        "it says which file and why; all before is read, and can be continued",
    )
}

/// The writer keeps what the disk does not take, all of it or, every other time, too little; then the
/// disk has room again.
pub fn logger_keeps(bench: &Bench) -> Outcome {
    const STEPS: usize = 2000;
    let times = 12;
    let mut all_lost = 0;
    for number in 1..=times {
        let disk = match Disk::new(number * PAGE) {
            Ok(disk) => disk,
            Err(why) => return Outcome::impossible(why),
        };
        let directory = disk.path().join("run");
        let keeps_all = number % 2 == 0;
        let room = if keeps_all { 1 << 20 } else { 20_000 };
        let options = [
            format!("keep={room}"),
            format!("last={STEPS}"),
            "wait=1".to_owned(),
        ];
        let mut command = bench.logger(&directory, &options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let waits = |line: &str| line == "waiting";
        assert!(stdout.lines().any(|line| waits(&line.unwrap())));
        disk.resize(ROOM);
        // Its end is what it waits for.
        drop(child.stdin.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        if keeps_all {
            assert!(output.status.success(), "{stderr}");
            assert_eq!(steps(&directory), STEPS);
        } else {
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            let lost = stderr.trim_end().strip_suffix(" records lost");
            let lost = lost.and_then(|text| text.rsplit(' ').next()?.parse().ok());
            let lost: usize = lost.unwrap_or_else(|| panic!("{stderr}"));
            let found = steps(&directory);
            assert!(stderr.contains(FULL) && lost > 0, "{stderr}");
            assert_eq!(found, STEPS - lost.div_ceil(TAGS.len()));
            all_lost += lost;
        }
        bench.keep(&directory, &format!("full/kept{number}"));
    }
    Outcome {
        times: times as usize,
        lost: format!("{all_lost} records, where memory was too small"),
        text: "what was kept is in the next file, and what was lost is counted; exit code 2 then"
            .to_owned(),
    }
}

pub fn logger_read_only(bench: &Bench) -> Outcome {
    let disk = match Disk::new(ROOM) {
        Ok(disk) => disk,
        Err(why) => return Outcome::impossible(why),
    };
    let options = ["last=5".to_owned()];
    let run = disk.path().join("run");
    assert!(
        bench
            .logger(&run, &options)
            .output()
            .unwrap()
            .status
            .success()
    );
    disk.make_read_only();
    for (path, option) in [
        (disk.path().join("other"), "last=5"),
        (run.clone(), "append=6"),
    ] {
        let output = bench.logger(&path, &[option.to_owned()]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        let names_it = stderr.contains(path.to_str().unwrap());
        assert!(names_it && stderr.contains(READ_ONLY), "{stderr}");
    }
    assert_eq!(steps(&run), 5);
    Outcome::safe(2, "it says which file and why; what is there is read")
}
