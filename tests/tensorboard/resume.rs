//! Trainings that were killed and resumed are shown as one that never was.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cnn_tb::tb::Logdir;
use cnn_tb::train::Checkpoint;
use serde_json::Value;

use crate::dashboards::write_data;
use crate::server::{Loader, Point, Scalars, TensorBoard};

const EPOCHS: usize = 6;
/// Never cut; cut before its first checkpoint; cut after it, and again.
const RUNS: [&str; 3] = ["whole", "early", "twice"];

#[test]
fn a_killed_and_resumed_training_is_one_clean_line() {
    let dir = tempfile::tempdir().unwrap();
    write_data(&dir.path().join("data"));
    let [whole, early, twice] = RUNS.map(|run| dir.path().join("runs").join(run));
    assert!(train(&whole, false).wait().unwrap().success());
    kill_when(train(&early, false), || early.join("config.toml").exists());
    assert_eq!(completed(&early), 0);
    for epochs in [1, 3] {
        kill_when(train(&twice, epochs > 1), || completed(&twice) >= epochs);
    }
    for run in [&early, &twice] {
        assert!(completed(run) < EPOCHS);
        assert!(train(run, true).wait().unwrap().success());
    }

    let logdir = dir.path().join("runs");
    let expected = expected_scalars(&logdir);
    for loader in Loader::ALL {
        let tensorboard = TensorBoard::start(&logdir, loader);
        tensorboard.expect_scalars(&expected);
        // The last that a training logs before its end.
        tensorboard.wait_for("/data/plugin/pr_curves/tags", &[], |tags| {
            RUNS.iter().all(|run| tags[*run].is_object())
        });
        for plugin in ["images", "histograms", "text", "pr_curves"] {
            let tags = tensorboard.get(&format!("/data/plugin/{plugin}/tags"), &[]);
            for tag in tag_names(&tags["whole"]) {
                let [whole, cut @ ..] = RUNS.map(|run| {
                    assert!(tag_names(&tags[run]).contains(&tag), "{run} {tag}");
                    points(&tensorboard, plugin, run, &tag)
                });
                assert!(!whole.is_empty(), "{plugin} {tag}");
                for (found, run) in cut.into_iter().zip(&RUNS[1..]) {
                    assert!(found == whole, "{loader:?}, {run}, {plugin} {tag}");
                }
            }
        }
        let graph = |run| tensorboard.get_bytes("/data/plugin/graphs/graph", &[("run", run)]);
        let [whole, cut @ ..] = RUNS.map(graph);
        assert!(cut.iter().all(|graph| *graph == whole), "{loader:?}");

        let groups = tensorboard.session_groups();
        let groups = groups.as_array().unwrap();
        let sessions: Vec<&Value> = groups
            .iter()
            .flat_map(|group| group["sessions"].as_array().unwrap())
            .collect();
        assert_eq!(sessions.len(), RUNS.len(), "{loader:?}");
        for session in sessions {
            assert_eq!(session["status"], "STATUS_SUCCESS", "{loader:?}");
        }
    }
}

/// Starts a training, or resumes it.
fn train(run: &Path, resumes: bool) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnn-tb"));
    command
        .args(["train", "--quiet", "--logdir"])
        .arg(run)
        .current_dir(run.parent().unwrap().parent().unwrap())
        .stdin(Stdio::null());
    match resumes {
        true => command.arg("--resume"),
        false => command.args(["--data", "data", "--batch-size", "20", "--epochs"]),
    };
    if !resumes {
        command.arg(EPOCHS.to_string());
    }
    command.spawn().unwrap()
}

fn kill_when(mut child: Child, is_time: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_time() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Epochs that the run's last checkpoint knows of.
fn completed(run: &Path) -> usize {
    let found = Checkpoint::find(run).unwrap().checkpoint;
    found.map_or(0, |checkpoint| checkpoint.epochs().len())
}

/// Of each run what the whole one has; what the clock decides, as our own reader finds it.
fn expected_scalars(logdir: &Path) -> Scalars {
    let runs = Logdir::open(logdir).unwrap().runs().unwrap();
    let whole = runs.iter().find(|run| run.name() == "whole").unwrap();
    let mut scalars = Scalars::new();
    for run in &runs {
        for (name, points) in whole.scalar_series() {
            let depends_on_clock = name.starts_with("performance/");
            let points = match depends_on_clock {
                true => run.scalars(&name).unwrap(),
                false => points,
            };
            let points: Vec<Point> = points
                .iter()
                .map(|point| Point {
                    step: point.step,
                    wall_time: None,
                    value: point.value,
                })
                .collect();
            let steps = points.iter().map(|point| point.step);
            if depends_on_clock {
                assert!(steps.eq(1..=EPOCHS as i64), "{name}");
            }
            let children = ["train/", "validation/", "batches/"];
            let child = children.iter().find(|child| name.starts_with(**child));
            let child = child.map_or("", |child| child.trim_end_matches('/'));
            let tag = name[child.len()..].trim_start_matches('/');
            let run = match child {
                "" => run.name().to_owned(),
                child => format!("{}/{child}", run.name()),
            };
            scalars.insert((run, tag.to_owned()), points);
        }
    }
    scalars
}

/// The keys of an object, or what is in a list.
fn tag_names(tags: &Value) -> Vec<String> {
    match tags {
        Value::Array(names) => names
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect(),
        _ => tags.as_object().unwrap().keys().cloned().collect(),
    }
}

/// What a plugin shows of a tag, step by step and without times. The command line and the settings'
/// text, which name the run, are told by their steps alone.
fn points(tensorboard: &TensorBoard, plugin: &str, run: &str, tag: &str) -> Vec<(Value, Vec<u8>)> {
    let route = match plugin {
        "text" => "/data/plugin/text/text".to_owned(),
        plugin => format!("/data/plugin/{plugin}/{plugin}"),
    };
    let answer = tensorboard.get(&route, &[("run", run), ("tag", tag), ("sample", "0")]);
    let list = match plugin {
        "pr_curves" => &answer[run],
        _ => &answer,
    };
    let points = list.as_array().unwrap().iter().map(|point| match plugin {
        "images" => {
            let query = point["query"].as_str().unwrap();
            let route = format!("/data/plugin/images/individualImage?{query}");
            (point["step"].clone(), tensorboard.get_bytes(&route, &[]))
        }
        "histograms" => (point[1].clone(), point[2].to_string().into_bytes()),
        "text" if tag.starts_with("command_line") => (point["step"].clone(), Vec::new()),
        "text" => (
            point["step"].clone(),
            point["text"].to_string().into_bytes(),
        ),
        _ => (
            point["step"].clone(),
            point["precision"].to_string().into_bytes(),
        ),
    });
    points.collect()
}
