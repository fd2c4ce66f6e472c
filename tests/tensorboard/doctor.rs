//! What `cnn-tb doctor` says of TensorBoard, asked of TensorBoard: what it shows of the files in
//! `tests/golden/doctor`.

use std::fs;
use std::path::Path;

use crate::server::{Loader, Point, Scalars, TensorBoard};

/// A logdir with some of the golden logdirs in it.
fn logdir(names: &[&str]) -> tempfile::TempDir {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/doctor");
    let logdir = tempfile::tempdir().unwrap();
    for name in names {
        for run in fs::read_dir(golden.join(name)).unwrap() {
            let run = run.unwrap();
            let copy = logdir.path().join(name).join(run.file_name());
            fs::create_dir_all(&copy).unwrap();
            for file in fs::read_dir(run.path()).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), copy.join(file.file_name())).unwrap();
            }
        }
    }
    logdir
}

/// The points of `exp1`, each of which has half its step for a value.
fn expect(scalars: &mut Scalars, golden: &str, tag: &str, steps: impl IntoIterator<Item = i64>) {
    let point = |step| Point {
        step,
        wall_time: None,
        value: step as f32 / 2.0,
    };
    let series = (format!("{golden}/exp1"), tag.to_owned());
    scalars.insert(series, steps.into_iter().map(point).collect());
}

#[test]
fn what_doctor_finds_is_not_shown() {
    let names = [
        "damaged_length",
        "damaged_payload",
        "file_order",
        "lone_start",
        "no_plugin",
        "repeated_steps",
        "steps_go_back",
        "torn_tail",
        "two_writers",
        "unfit_scalar",
        "unread_name",
        "zero_tail",
    ];
    let logdir = logdir(&names);
    for loader in Loader::ALL {
        let is_server = loader == Loader::Rust;
        // What the data server makes of it, and the Python loader.
        let either = |server: &[i64], python: &[i64]| match is_server {
            true => server.to_vec(),
            false => python.to_vec(),
        };
        let mut expected = Scalars::new();
        let mut loss = |golden, steps| expect(&mut expected, golden, "loss", steps);
        loss("damaged_length", vec![1]);
        loss("damaged_payload", either(&[1, 2, 3], &[1]));
        loss("file_order", either(&[1, 2, 3], &[4, 5, 6, 1, 2, 3]));
        loss(
            "lone_start",
            either(&[1, 2, 3, 4, 5, 6], &[1, 2, 3, 4, 5, 3, 4, 5, 6]),
        );
        loss("no_plugin", vec![1]);
        loss("repeated_steps", either(&[0], &[0, 0, 0]));
        loss(
            "steps_go_back",
            either(&[1, 2, 3, 4], &[1, 2, 3, 4, 5, 3, 4]),
        );
        loss("torn_tail", vec![1, 2, 3]);
        let twice = (1..=20).chain(1..=20).collect();
        loss(
            "two_writers",
            if is_server { (1..=20).collect() } else { twice },
        );
        loss("unfit_scalar", vec![1]);
        loss("unread_name", vec![1, 2, 3]);
        loss("zero_tail", vec![1, 2, 3]);
        // The record with the damaged payload is taken as it is.
        let damaged = ("damaged_payload/exp1".to_owned(), "loss".to_owned());
        if let Some(point) = expected
            .get_mut(&damaged)
            .and_then(|points| points.get_mut(1))
        {
            point.value = f32::from_bits(1.0_f32.to_bits() ^ 1);
        }
        if !is_server {
            let point = |step, value| Point {
                step,
                wall_time: None,
                value,
            };
            let series = ("unfit_scalar/exp1".to_owned(), "accuracy".to_owned());
            expected.insert(series, vec![point(1, 0.5), point(2, 0.75)]);
        }
        let tensorboard = TensorBoard::start(logdir.path(), loader);
        tensorboard.expect_scalars(&expected);
        // The tensors without a plugin are on no other page either.
        for page in [
            "histograms",
            "distributions",
            "images",
            "text",
            "pr_curves",
            "mesh",
        ] {
            let tags = tensorboard.get(&format!("/data/plugin/{page}/tags"), &[]);
            assert!(!tags.to_string().contains("weights"), "{page}: {tags}");
        }
    }
}

/// With the Python loader the first of these ends all reading.
#[test]
fn the_data_server_gives_files_up() {
    let logdir = logdir(&["not_an_event", "non_finite_time", "kind_changed"]);
    let mut expected = Scalars::new();
    expect(&mut expected, "not_an_event", "loss", 1..=3);
    expect(&mut expected, "non_finite_time", "loss", 1..=3);
    expect(&mut expected, "kind_changed", "loss", [1]);
    let tensorboard = TensorBoard::start(logdir.path(), Loader::Rust);
    tensorboard.expect_scalars(&expected);
    assert_eq!(
        tensorboard.get("/data/plugin/text/tags", &[]).to_string(),
        "{}"
    );
}

#[test]
fn columns_that_one_experiment_lacks_are_hidden() {
    let logdir = logdir(&["hidden_columns"]);
    for loader in Loader::ALL {
        let tensorboard = TensorBoard::start(logdir.path(), loader);
        let mut expected = Scalars::new();
        for run in ["hidden_columns/exp1", "hidden_columns/exp2"] {
            let point = Point {
                step: 1,
                wall_time: None,
                value: 0.5,
            };
            expected.insert((run.to_owned(), "accuracy".to_owned()), vec![point]);
        }
        tensorboard.expect_scalars(&expected);
        let route = "/data/plugin/hparams/experiment";
        let columns = tensorboard.get(route, &[("request", "{}")]);
        // Two sessions with a setting each, and one column.
        assert_eq!(tensorboard.session_groups().as_array().unwrap().len(), 2);
        assert_eq!(
            columns["hparamInfos"].as_array().unwrap().len(),
            1,
            "{columns}"
        );
    }
}
