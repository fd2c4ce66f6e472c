//! Each dashboard of a training by the program tells what the trained network itself says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use cnn_tb::data::Dataset;
use cnn_tb::tb::image::{GREEN, Image, RED};
use cnn_tb::train::{Predictions, Trained};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pictures::{decode_png, served};
use crate::server::{Loader, TensorBoard};

const SIDE: usize = 12;
const CLASSES: usize = 3;
const EPOCHS: usize = 2;
const TRAIN_IMAGES: usize = 720;
const VALIDATION_IMAGES: usize = 60;
const TEST_IMAGES: usize = 50;
const RUN: (&str, &str) = ("run", "exp1");

/// A data set in `data`, a finished training in `runs/exp1`, and what its weights say of the
/// validation images.
struct Training {
    dir: TempDir,
    predictions: Predictions,
    labels: Vec<usize>,
}

impl Training {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_data(&dir.path().join("data"));
        let output = Command::new(env!("CARGO_BIN_EXE_cnn-tb"))
            .args(["train", "--data", "data", "--batch-size", "20", "--quiet"])
            .args(["--epochs", &EPOCHS.to_string(), "--logdir", "runs/exp1"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && stderr.is_empty(), "{stderr}");
        let dataset = Dataset::open(&dir.path().join("data")).unwrap();
        let split = dataset.validation();
        assert_eq!(split.len(), VALIDATION_IMAGES);
        let trained = Trained::open(&dir.path().join("runs/exp1")).unwrap();
        let network = trained.network(SIDE, SIDE, CLASSES).unwrap();
        let logits = network.logits(split.pixels()).unwrap();
        let labels = split.labels();
        Self {
            dir,
            predictions: Predictions::from_logits(&logits, CLASSES, labels).unwrap(),
            labels: labels.iter().map(|label| usize::from(*label)).collect(),
        }
    }

    fn is_right(&self, index: usize) -> bool {
        self.predictions.predicted(index) == Some(self.labels[index])
    }
}

/// Stripes of three kinds, of which every fifth image is labelled wrongly, so that no network gets
/// all of them right.
pub fn write_data(directory: &Path) {
    fs::create_dir(directory).unwrap();
    for (split, count) in [("train", TRAIN_IMAGES), ("t10k", TEST_IMAGES)] {
        let pixel = |image: usize, y: usize, x: usize| match image % CLASSES {
            0 => 255 * (y % 2),
            1 => 255 * (x % 2),
            _ => (image * 31 + y * 17 + x * 7) % 256,
        };
        let places = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x)));
        let pixels: Vec<u8> = (0..count)
            .flat_map(|image| places.clone().map(move |(y, x)| pixel(image, y, x) as u8))
            .collect();
        let label = |image: usize| (image + usize::from(image.is_multiple_of(5))) % CLASSES;
        let labels: Vec<u8> = (0..count).map(|image| label(image) as u8).collect();
        for (kind, sizes, data) in [
            ("images-idx3", &[count, SIDE, SIDE][..], pixels),
            ("labels-idx1", &[count], labels),
        ] {
            let magic = 0x0800 + sizes.len() as u32;
            let sizes = sizes.iter().map(|size| *size as u32);
            let words = std::iter::once(magic).chain(sizes);
            let mut file: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
            file.extend(data);
            fs::write(directory.join(format!("{split}-{kind}-ubyte")), file).unwrap();
        }
    }
}

#[test]
fn every_dashboard_tells_what_the_network_says() {
    let training = Training::new();
    for loader in Loader::ALL {
        let logdir = training.dir.path().join("runs");
        let tensorboard = TensorBoard::start(&logdir, loader);
        // The last that a training logs before its end.
        tensorboard.wait_for("/data/plugin/pr_curves/tags", &[], |tags| {
            tags["exp1"].as_object().map(serde_json::Map::len) == Some(CLASSES)
        });
        assert_images(&tensorboard, &training);
        assert_tables(&tensorboard, &training);
        assert_scalars(&tensorboard, &training);
        assert_graph(&tensorboard);
        assert_histograms(&tensorboard, &training);
        assert_curves(&tensorboard, &training);
        assert_projector(&tensorboard, &training);
        assert_texts(&tensorboard);
        assert_layout(&tensorboard);
        assert_metrics(&tensorboard);
        assert_first_screen(&tensorboard);
    }
}

fn assert_images(tensorboard: &TensorBoard, training: &Training) {
    let steps = |tag| -> Vec<i64> {
        let served = served(tensorboard, tag, "0");
        served.into_iter().map(|(step, _)| step).collect()
    };
    for tag in [
        "samples/predictions",
        "network/filters",
        "network/feature_maps",
    ] {
        assert_eq!(steps(tag), [0, 1, 2], "{tag}");
    }
    for tag in ["samples/worst_mistakes", "samples/confusion"] {
        assert_eq!(steps(tag), [1, 2], "{tag}");
    }
    // The default recipe moves images.
    assert_eq!(steps("samples/augmented"), [0]);
    let films = served(tensorboard, "samples/animation", "0");
    assert_eq!(films.len(), 1);
    let mut film = gif::DecodeOptions::new()
        .read_info(&films[0].1[..])
        .unwrap();
    let mut frames = 0;
    while film.read_next_frame().unwrap().is_some() {
        frames += 1;
    }
    assert_eq!(frames, 3);

    let (_, png) = served(tensorboard, "samples/predictions", "0")
        .pop()
        .unwrap();
    let frames = frame_colours(&decode_png(&png), 20);
    let expected: Vec<[u8; 3]> = (0..20)
        .map(|index| if training.is_right(index) { GREEN } else { RED })
        .collect();
    assert_eq!(frames, expected);
    assert!(frames.contains(&GREEN) && frames.contains(&RED));

    let mistakes = training.predictions.mistakes().len().min(20);
    let (_, png) = served(tensorboard, "samples/worst_mistakes", "0")
        .pop()
        .unwrap();
    assert_eq!(
        frame_colours(&decode_png(&png), mistakes),
        vec![RED; mistakes]
    );
}

/// The colour in the upper left corner of each of `count` pictures, five in a row and four pixels
/// apart.
fn frame_colours(grid: &Image, count: usize) -> Vec<[u8; 3]> {
    let (columns, rows) = (count.min(5), count.div_ceil(5));
    let cell = |side: usize, cells: usize| (side - 4) / cells;
    let (width, height) = (cell(grid.width(), columns), cell(grid.height(), rows));
    let at = |index: usize| {
        let (x, y) = (4 + index % 5 * width, 4 + index / 5 * height);
        let first = 3 * (y * grid.width() + x);
        grid.pixels()[first..first + 3].try_into().unwrap()
    };
    (0..count).map(at).collect()
}

/// The numbers in the cells of a text that is a table, row by row, without the first column.
fn table_cells(tensorboard: &TensorBoard, tag: &str) -> Vec<Vec<String>> {
    let texts = tensorboard.get("/data/plugin/text/text", &[RUN, ("tag", tag)]);
    let html = texts[0]["text"].as_str().unwrap();
    let rows = html.split("<tr>").filter(|row| row.contains("<td>"));
    let cells = |row: &str| {
        let cells = row.split("<td>").skip(2);
        let cells = cells.map(|cell| cell.split("</td>").next().unwrap().to_owned());
        cells.collect()
    };
    rows.map(cells).collect()
}

fn assert_tables(tensorboard: &TensorBoard, training: &Training) {
    let confusion = training.predictions.confusion();
    let counts = table_cells(tensorboard, "confusion");
    let counts: Vec<Vec<u64>> = counts
        .iter()
        .map(|row| row.iter().map(|count| count.parse().unwrap()).collect())
        .collect();
    assert!(
        confusion.rows().eq(counts.iter().map(Vec::as_slice)),
        "{counts:?}"
    );
    let sum: u64 = counts.iter().flatten().sum();
    assert_eq!(sum, VALIDATION_IMAGES as u64);
    let classes = table_cells(tensorboard, "per_class");
    assert_eq!(classes.len(), CLASSES);
    for (row, metrics) in classes.iter().zip(confusion.per_class()) {
        let recall = format!("{:.2} %", 100.0 * metrics.recall.unwrap());
        assert_eq!(row[..2], [metrics.support.to_string(), recall]);
    }
}

/// The points of a scalar series, `[step, value]`.
fn scalars(tensorboard: &TensorBoard, tag: &str) -> Vec<(i64, f64)> {
    let answer = tensorboard.get("/data/plugin/scalars/scalars", &[RUN, ("tag", tag)]);
    let points = answer.as_array().unwrap().iter();
    points
        .map(|point| (point[1].as_i64().unwrap(), point[2].as_f64().unwrap()))
        .collect()
}

fn assert_scalars(tensorboard: &TensorBoard, training: &Training) {
    for metrics in training.predictions.confusion().per_class() {
        let points = scalars(tensorboard, &format!("per_class/{}", metrics.class));
        let steps: Vec<_> = points.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [1, 2]);
        assert_eq!(points[1].1 as f32, metrics.recall.unwrap() as f32);
    }
    for (step, norm) in scalars(tensorboard, "optimizer/gradient_norm") {
        assert!((1..=2).contains(&step) && norm > 0.0);
    }
    for layer in ["conv1", "conv2", "fc1"] {
        let points = scalars(tensorboard, &format!("relu_dead/{layer}"));
        assert_eq!(points.len(), 3);
        assert!(points.iter().all(|(_, share)| (0.0..1.0).contains(share)));
    }
}

fn assert_graph(tensorboard: &TensorBoard) {
    let bytes = tensorboard.get_bytes("/data/plugin/graphs/graph", &[RUN]);
    let text = String::from_utf8(bytes).unwrap();
    let nodes: BTreeMap<String, &str> = text
        .split("node {")
        .skip(1)
        .map(|node| (quoted(node, "name: ").remove(0), node))
        .collect();
    let boxes: BTreeSet<&str> = nodes
        .keys()
        .map(|name| name.split('/').next().unwrap())
        .collect();
    let expected = ["input", "conv1", "conv2", "fc1", "fc2", "loss"];
    assert_eq!(boxes, expected.into());
    for (name, node) in &nodes {
        for input in quoted(node, "input: ") {
            assert!(nodes.contains_key(&input), "{name}: {input}");
        }
    }
    for (name, inputs, shape) in [
        ("input/images", &[][..], &[-1, 1, 12, 12][..]),
        (
            "conv1/Conv2D",
            &["input/images", "conv1/weight", "conv1/bias"],
            &[-1, 6, 12, 12],
        ),
        ("conv1/MaxPool", &["conv1/Conv2D"], &[-1, 6, 6, 6]),
        ("conv1/ReLU", &["conv1/MaxPool"], &[-1, 6, 6, 6]),
        ("conv2/weight", &[], &[16, 6, 5, 5]),
        ("conv2/ReLU", &["conv2/MaxPool"], &[-1, 16, 3, 3]),
        ("fc1/Flatten", &["conv2/ReLU"], &[-1, 144]),
        ("fc1/weight", &[], &[128, 144]),
        (
            "fc2/MatMul",
            &["fc1/ReLU", "fc2/weight", "fc2/bias"],
            &[-1, 3],
        ),
        (
            "loss/SoftmaxCrossEntropy",
            &["fc2/MatMul", "input/labels"],
            &[],
        ),
    ] {
        let node = nodes[name];
        assert_eq!(quoted(node, "input: "), inputs, "{name}");
        let sizes = node.split("size: ").skip(1);
        let sizes: Vec<i64> = sizes
            .map(|size| size.split_whitespace().next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(sizes, shape, "{name}");
    }
    assert!(nodes["conv1/weight"].contains("key: \"parameters\""));
    assert!(
        nodes["conv1/weight"].contains("i: 150"),
        "{}",
        nodes["conv1/weight"]
    );
}

/// What stands in quotes after each `field`.
fn quoted(text: &str, field: &str) -> Vec<String> {
    let values = text.split(field).skip(1);
    values
        .filter_map(|rest| rest.strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// Steps of a histogram with the sum of its counts, its left and its right end.
fn histograms(tensorboard: &TensorBoard, tag: &str) -> Vec<(i64, f64, f64, f64)> {
    let route = "/data/plugin/histograms/histograms";
    let answer = tensorboard.get(route, &[RUN, ("tag", tag)]);
    let of_step = |histogram: &Value| {
        let buckets = histogram[2].as_array().unwrap();
        let count = buckets
            .iter()
            .map(|bucket| bucket[2].as_f64().unwrap())
            .sum();
        let left = buckets[0][0].as_f64().unwrap();
        let right = buckets[buckets.len() - 1][1].as_f64().unwrap();
        (histogram[1].as_i64().unwrap(), count, left, right)
    };
    answer.as_array().unwrap().iter().map(of_step).collect()
}

fn assert_histograms(tensorboard: &TensorBoard, training: &Training) {
    let file = fs::read(training.dir.path().join("runs/exp1/weights.safetensors")).unwrap();
    let weights = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(weights.len(), 8);
    for (name, view) in weights.tensors() {
        let numbers = view.data().chunks_exact(4);
        let numbers: Vec<f64> = numbers
            .map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap())))
            .collect();
        let found = histograms(tensorboard, &format!("weights/{name}"));
        let count = numbers.len() as f64;
        let steps: Vec<_> = found.iter().map(|found| (found.0, found.1)).collect();
        assert_eq!(steps, [(0, count), (1, count), (2, count)], "{name}");
        let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert_eq!((found[2].2, found[2].3), (least, most), "{name}");
        let found = histograms(tensorboard, &format!("weight_gradients/{name}"));
        let steps: Vec<_> = found.iter().map(|found| (found.0, found.1)).collect();
        assert_eq!(steps, [(1, count), (2, count)], "{name}");
    }
    for (layer, numbers) in [
        ("conv1/relu", 6 * 6 * 6),
        ("conv2/relu", 16 * 3 * 3),
        ("fc1/relu", 128),
        ("fc2/logits", CLASSES),
    ] {
        let found = histograms(tensorboard, &format!("outputs/{layer}"));
        let count = (numbers * 50) as f64;
        assert!(
            found.len() == 3 && found.iter().all(|found| found.1 == count),
            "{layer}"
        );
    }
}

fn assert_curves(tensorboard: &TensorBoard, training: &Training) {
    for class in 0..CLASSES {
        let tag = format!("precision_recall/{class}");
        let route = "/data/plugin/pr_curves/pr_curves";
        let answer = tensorboard.get(route, &[RUN, ("tag", &tag)]);
        let curve = &answer["exp1"][0];
        assert_eq!(curve["step"], json!(EPOCHS));
        let thresholds = curve["thresholds"].as_array().unwrap();
        let half = thresholds.iter().position(|t| *t == json!(0.5)).unwrap();
        let number = |name: &str| curve[name][half].as_f64().unwrap();
        let (is_class, scores) = training.predictions.one_against_rest(class);
        let count = |positive: bool| {
            let pairs = is_class.iter().zip(&scores);
            let taken = pairs.filter(|(label, score)| **score >= 0.5 && **label == positive);
            taken.count() as f64
        };
        let (right, wrong) = (count(true), count(false));
        assert_eq!(number("true_positives"), right);
        assert_eq!(number("false_positives"), wrong);
        let precision = right / (right + wrong);
        assert!((number("precision") - precision).abs() < 1e-6, "{class}");
    }
}

fn assert_projector(tensorboard: &TensorBoard, training: &Training) {
    let route = |name: &str| format!("/data/plugin/projector/{name}");
    let info = tensorboard.get(&route("info"), &[RUN]);
    let embedding = &info["embeddings"][0];
    assert_eq!(embedding["tensorName"], json!("fc1:00002"), "{info}");
    assert_eq!(
        embedding["tensorShape"],
        json!([TEST_IMAGES, 128]),
        "{info}"
    );
    assert_eq!(
        embedding["sprite"]["singleImageDim"],
        json!([SIDE, SIDE]),
        "{info}"
    );
    let get = |name: &str| {
        let parameters = [RUN, ("name", "fc1:00002")];
        tensorboard.get_bytes(&route(name), &parameters)
    };
    assert_eq!(get("tensor").len(), TEST_IMAGES * 128 * 4);
    let metadata = String::from_utf8(get("metadata")).unwrap();
    let rows: Vec<&str> = metadata.lines().collect();
    assert_eq!(rows[0], "label\tpredicted\tright");
    assert_eq!(rows.len(), 1 + TEST_IMAGES);

    let dataset = Dataset::open(&training.dir.path().join("data")).unwrap();
    let test = dataset.test().unwrap();
    let trained = Trained::open(&training.dir.path().join("runs/exp1")).unwrap();
    let network = trained.network(SIDE, SIDE, CLASSES).unwrap();
    let logits = network.logits(test.pixels()).unwrap();
    let predictions = Predictions::from_logits(&logits, CLASSES, test.labels()).unwrap();
    for (index, row) in rows[1..].iter().enumerate() {
        let label = usize::from(test.labels()[index]);
        let predicted = predictions.predicted(index).unwrap();
        let right = if label == predicted { "right" } else { "wrong" };
        assert_eq!(*row, format!("{label}\t{predicted}\t{right}"));
    }
    let sprite = decode_png(&get("sprite_image"));
    let first_row: Vec<u8> = sprite.pixels()[..SIDE].to_vec();
    assert_eq!(first_row, test.pixels()[..SIDE]);
}

fn assert_texts(tensorboard: &TensorBoard) {
    let text = |tag: &str| {
        let texts = tensorboard.get("/data/plugin/text/text", &[RUN, ("tag", tag)]);
        texts[0]["text"].as_str().unwrap().to_owned()
    };
    for (tag, part) in [
        ("config", "batch_size = 20"),
        (
            "command_line",
            "train --data data --batch-size 20 --quiet --epochs 2",
        ),
        ("machine", cnn_tb::nn::InstructionSet::current().name()),
        ("machine", std::env::consts::ARCH),
        ("milestones", "after epochs 1, 2;"),
    ] {
        assert!(text(tag).contains(part), "{tag}: {}", text(tag));
    }
}

fn assert_layout(tensorboard: &TensorBoard) {
    let layout = tensorboard.get("/data/plugin/custom_scalars/layout", &[]);
    let mut shown = Vec::new();
    for category in layout["category"].as_array().unwrap() {
        for chart in category["chart"].as_array().unwrap() {
            let title = |value: &Value| value["title"].as_str().unwrap().to_owned();
            let pattern = chart["multiline"]["tag"][0].as_str().unwrap();
            let runs = ["exp1", "exp1/train", "exp1/validation"];
            let lines = runs.map(|run| {
                let route = "/data/plugin/custom_scalars/scalars";
                let answer = tensorboard.get(route, &[("run", run), ("tag", pattern)]);
                answer["tag_to_events"].as_object().unwrap().len()
            });
            shown.push((title(category), title(chart), lines));
        }
    }
    let chart = |category: &str, title: &str, lines| (category.to_owned(), title.to_owned(), lines);
    let expected = [
        chart("Article", "Validation accuracy", [1, 0, 0]),
        chart("Article", "Validation loss", [1, 0, 0]),
        chart("Train against validation", "Accuracy", [0, 1, 1]),
        chart("Train against validation", "Loss", [0, 1, 1]),
    ];
    assert_eq!(shown, expected);
}

fn assert_metrics(tensorboard: &TensorBoard) {
    let groups = tensorboard.session_groups();
    let metrics = groups[0]["sessions"][0]["metricValues"].as_array().unwrap();
    for tag in [
        "test/accuracy",
        "validation_best/loss",
        "validation_curve/accuracy",
    ] {
        let name = json!({ "group": "", "tag": tag });
        let metric = metrics
            .iter()
            .find(|metric| metric["name"] == name)
            .unwrap();
        let (step, last) = scalars(tensorboard, tag).pop().unwrap();
        assert_eq!(metric["value"].as_f64().unwrap(), last, "{tag}");
        assert_eq!(step, EPOCHS as i64, "{tag}");
    }
}

/// The Time Series page opens the first two groups of tags by name.
fn assert_first_screen(tensorboard: &TensorBoard) {
    let mut groups = BTreeSet::new();
    for plugin in ["scalars", "images", "histograms"] {
        let tags = tensorboard.get(&format!("/data/plugin/{plugin}/tags"), &[]);
        for tags in tags.as_object().unwrap().values() {
            let tags = tags.as_object().unwrap().keys();
            groups.extend(tags.map(|tag| tag.split('/').next().unwrap().to_owned()));
        }
    }
    let first: Vec<_> = groups.iter().take(2).collect();
    assert_eq!(first, ["accuracy", "loss"], "{groups:?}");
}
