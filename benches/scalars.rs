//! How fast scalars are logged, beside what bounds it and beside a peer, in turn in one run.
//!
//! `cargo bench --bench scalars --no-default-features`. Every contender logs the same points to
//! a file of its own, in seven rounds in turn. Printed is the best round by the clock, since whatever
//! else the machine does can only add to a time, and the mean processor time that the process itself
//! spent (user mode), which is counted in hundredths of a second. The last two columns are rates by
//! the clock, as a share of the bare writes' and as a multiple of tensorboard-rs's.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use cnn_tb::tb::record::append_record;
use cnn_tb::tb::scalar_event::ScalarEvent;
use cnn_tb::tb::{Durability, SummaryWriter, WriterOptions};

const ROUNDS: usize = 7;
/// Points that are handed to the system one by one.
const RECORDS: u32 = 200_000;
/// Points that are not.
const BUFFERED: u32 = 4_000_000;
const TAG: &str = "train_batch/loss";

/// One way to log, and how many points.
struct Contender {
    name: &'static str,
    points: u32,
    log: fn(&Path, u32),
}

/// Where the bare writes and the peer stand among the contenders.
const BARE: usize = 0;
const PEER: usize = 2;

const CONTENDERS: [Contender; 6] = [
    Contender {
        name: "bare write(2) of as many bytes",
        points: RECORDS,
        log: bare_writes,
    },
    Contender {
        name: "add_scalar, a write per record",
        points: RECORDS,
        log: |directory, points| add_scalars(SummaryWriter::create(directory).unwrap(), points),
    },
    Contender {
        name: "tensorboard-rs 0.5.9",
        points: RECORDS,
        log: tensorboard_rs,
    },
    Contender {
        name: "add_scalar, buffered",
        points: BUFFERED,
        log: |directory, points| {
            let durability = Durability::Buffered {
                bytes: 1 << 16,
                interval: Duration::from_secs(5),
            };
            let options = WriterOptions::new().durability(durability);
            add_scalars(options.create(directory).unwrap(), points);
        },
    },
    Contender {
        name: "encoding, framing and checksums alone",
        points: BUFFERED,
        log: |_, points| frame(points, true),
    },
    Contender {
        name: "framing and checksums alone",
        points: BUFFERED,
        log: |_, points| frame(points, false),
    },
];

fn point(step: u32) -> ScalarEvent<'static> {
    ScalarEvent {
        wall_time: 1.7e9,
        step: step.into(),
        tag: TAG,
        value: 1.0 / step as f32,
    }
}

fn add_scalars(writer: SummaryWriter, points: u32) {
    for step in 1..=points {
        writer.add_scalar(TAG, 1.0 / step as f32, step).unwrap();
    }
    writer.finish().unwrap();
}

fn bare_writes(directory: &Path, points: u32) {
    fs::create_dir_all(directory).unwrap();
    let mut options = OpenOptions::new();
    let options = options.append(true).create_new(true);
    let mut file: File = options.open(directory.join("bytes")).unwrap();
    let mut payload = Vec::new();
    point(points).encode(&mut payload);
    let mut record = Vec::new();
    append_record(&mut record, &payload);
    for _ in 1..=points {
        file.write_all(&record).unwrap();
    }
}

fn tensorboard_rs(directory: &Path, points: u32) {
    let mut writer = tensorboard_rs::summary_writer::SummaryWriter::new(directory);
    for step in 1..=points {
        writer.add_scalar(TAG, 1.0 / step as f32, step as usize);
    }
    writer.flush();
}

fn frame(points: u32, encode: bool) {
    let mut payload = Vec::new();
    point(points).encode(&mut payload);
    let mut buffer = Vec::with_capacity(1 << 17);
    for step in 1..=points {
        if encode {
            payload.clear();
            point(step).encode(&mut payload);
        }
        append_record(&mut buffer, &payload);
        if buffer.len() > 1 << 16 {
            black_box(&buffer);
            buffer.clear();
        }
    }
}

/// Seconds by the clock and of processor time in user mode that `log` took.
fn measure(contender: &Contender, logdir: &Path, round: usize) -> (f64, f64) {
    let directory = logdir.join(format!("{} {round}", contender.name.replace('/', " ")));
    let (start, user) = (Instant::now(), user_secs());
    (contender.log)(&directory, contender.points);
    let measured = (start.elapsed().as_secs_f64(), user_secs() - user);
    if directory.exists() {
        fs::remove_dir_all(directory).unwrap();
    }
    measured
}

/// Processor time of this process in user mode, in seconds, to a hundredth; 0 where the system does
/// not say it in `/proc`.
fn user_secs() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in brackets, may hold blanks; `utime` is the 12th field after it.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().nth(11);
    ticks.map_or(0.0, |ticks| ticks.parse::<f64>().unwrap() / 100.0)
}

fn main() {
    let logdir = tempfile::tempdir().unwrap();
    let mut least = [f64::INFINITY; CONTENDERS.len()];
    let mut user_total = [0.0; CONTENDERS.len()];
    for round in 0..ROUNDS {
        for (index, contender) in CONTENDERS.iter().enumerate() {
            let (elapsed, user) = measure(contender, logdir.path(), round);
            least[index] = least[index].min(elapsed);
            user_total[index] += user;
        }
    }
    let each = |index: usize| least[index] / f64::from(CONTENDERS[index].points);
    let (bare, peer) = (each(BARE), each(PEER));
    println!(
        "{:40} {:>9} {:>8} {:>8} {:>8} {:>8}",
        "", "million/s", "ns each", "user ns", "of bare", "of peer"
    );
    for (index, contender) in CONTENDERS.iter().enumerate() {
        let wall = each(index);
        let user = user_total[index] / (ROUNDS as f64 * f64::from(contender.points));
        println!(
            "{:40} {:9.2} {:8.0} {:8.0} {:6.0} % {:7.1}×",
            contender.name,
            1e-6 / wall,
            wall * 1e9,
            user * 1e9,
            100.0 * bare / wall,
            peer / wall
        );
    }
}
