//! What both loaders of stock TensorBoard make of all that is left.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use cnn_tb::tb::Logdir;

use crate::bench::{Bench, Outcome};
use crate::server::{Loader, Point, Scalars, TensorBoard};

/// How long a loader may take for all that is left.
const PATIENCE: Duration = Duration::from_secs(300);

/// Series, points and times are those of our reader, which the faults were counted with.
pub fn shown(bench: &Bench) -> Outcome {
    let logdir = bench.left.path("runs");
    fs::create_dir_all(&logdir).unwrap();
    let runs = Logdir::open(&logdir).unwrap().flat_runs().unwrap();
    let mut expected = Scalars::new();
    let mut count = 0;
    for run in &runs {
        for (tag, points) in run.scalar_series() {
            let points: Vec<Point> = points
                .iter()
                .map(|point| Point {
                    step: point.step,
                    wall_time: Some(point.wall_time),
                    value: point.value,
                })
                .collect();
            count += points.len();
            expected.insert((run.name().to_owned(), tag), points);
        }
    }
    assert!(count > 0, "no series are left");
    let has_all = |tensorboard: &TensorBoard| {
        let tags = tensorboard.get("/data/plugin/scalars/tags", &[]);
        let mut series = expected.keys();
        series.all(|(run, tag)| tags[run][tag].is_object())
    };
    for loader in Loader::ALL {
        let tensorboard = TensorBoard::start(&logdir, loader);
        // All at once is more than a test waits for.
        let deadline = Instant::now() + PATIENCE;
        while !has_all(&tensorboard) && Instant::now() < deadline {
            thread::sleep(Duration::from_secs(1));
        }
        tensorboard.expect_scalars(&expected);
    }
    let series = expected.len();
    Outcome::safe(
        runs.len(),
        format!("both loaders show all {count} points of {series} series"),
    )
}
