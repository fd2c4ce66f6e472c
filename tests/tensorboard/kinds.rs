//! The kinds beside scalars: what is logged is what each dashboard's route answers.

use cnn_tb::tb::summary::text;
use cnn_tb::tb::{
    Category, Chart, Clip, Graph, Layout, Margin, Mesh, Node, PrCurve, SummaryWriter, exact_tag,
};
use serde_json::{Value, json};

use crate::server::{Loader, Point, Scalars, TensorBoard};

const WALL_TIME: f64 = 1_700_000_000.5;
const VERTICES: [[f32; 3]; 3] = [[0.0, 0.0, 0.1], [1.0, 0.0, 0.0], [0.0, 1.0, -0.5]];
const COLORS: [[u8; 3]; 3] = [[255, 0, 0], [0, 255, 0], [0, 128, 255]];
const CLIP: Clip<'static> = Clip {
    samples: &[0.0, 0.5, -0.5, 1.0, -1.0, 0.25],
    channels: 2,
    sample_rate: 8000,
};

fn curve() -> PrCurve {
    let labels = [true, false, true, true, false, false, true, false];
    let scores = [0.9, 0.1, 0.25, 1.0, 0.5, 0.75, 0.49, 0.0];
    PrCurve::weighted(&labels, &scores, None, 5).unwrap()
}

fn graph() -> Graph {
    let conv = Node::new("net/conv1/conv2d", "Conv2D")
        .inputs(["images", "net/conv1/weight:0", "^init"])
        .output_shape([-1, 6, 28, 28])
        .device("/device:CPU:0")
        .attribute("stride", 1)
        .attribute("padding", "same");
    Graph::new([
        Node::new("init", "NoOp"),
        Node::new("images", "Placeholder").output_shape([-1, 1, 28, 28]),
        Node::new("net/conv1/weight", "Parameter").output_shape([6, 1, 5, 5]),
        conv,
    ])
    .unwrap()
}

fn layout() -> Layout {
    let lines = Chart::lines("lines", [exact_tag("loss (mean)")]);
    let margins = Chart::margins("margins", [Margin::new("mean", "min", "max")]);
    Layout::new([Category::new("all", [lines, margins]).closed()])
}

/// Logs one of each to `exp1`, and last a scalar: once it is there, all is.
fn log(writer: &SummaryWriter) {
    let writer = writer.at(WALL_TIME);
    writer.add_graph(&graph()).unwrap();
    writer.add_custom_scalars(&layout()).unwrap();
    writer.add_pr_curve_raw("curve", &curve(), 3).unwrap();
    let scores = [0.8, 0.2, 0.3, 0.7];
    writer
        .add_pr_curves("classes", &[0, 1], &scores, 3)
        .unwrap();
    let (edges, counts) = ([0.0, 1.0, 10.0], [7.0, 2.0]);
    writer.add_histogram_raw("raw", &edges, &counts, 3).unwrap();
    let table = text::table(["a|b", "*c*"], [["<i>", "d_e_f"]]).unwrap();
    writer.add_text("table", &table, 3).unwrap();
    writer.add_audio("tone", &CLIP, 3).unwrap();
    let mesh = Mesh {
        vertices: &VERTICES,
        faces: &[[0, 1, 2]],
        colors: &COLORS,
    };
    writer.add_mesh("shape", &mesh, 3).unwrap();
    writer.add_scalar("loss (mean)", 0.5, 3).unwrap();
}

#[test]
fn every_kind_is_shown_as_it_was_logged() {
    let logdir = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::create(logdir.path().join("exp1")).unwrap();
    log(&writer);
    // What was refused has left nothing behind.
    assert!(writer.add_pr_curve("bad", &[true], &[2.0], 3).is_err());
    assert!(
        writer
            .add_graph(&Graph::new([Node::new("other", "Op")]).unwrap())
            .is_err()
    );
    log(&writer.child("child").unwrap());
    writer.finish().unwrap();
    let point = Point {
        step: 3,
        wall_time: Some(WALL_TIME),
        value: 0.5,
    };
    let series = |run: &str| ((run.to_owned(), "loss (mean)".to_owned()), vec![point]);
    let expected = Scalars::from([series("exp1"), series("exp1/child")]);
    for loader in Loader::ALL {
        let tensorboard = TensorBoard::start(logdir.path(), loader);
        tensorboard.expect_scalars(&expected);
        assert_graph(&tensorboard);
        assert_curves(&tensorboard);
        assert_layout(&tensorboard);
        assert_histogram(&tensorboard);
        assert_table(&tensorboard);
        assert_sound(&tensorboard);
        assert_mesh(&tensorboard);
    }
}

fn assert_graph(tensorboard: &TensorBoard) {
    let bytes = tensorboard.get_bytes("/data/plugin/graphs/graph", &[("run", "exp1")]);
    let text = String::from_utf8(bytes).unwrap();
    let count = |part: &str| text.matches(part).count();
    assert_eq!(count("node {"), 4, "{text}");
    for part in [
        "name: \"net/conv1/conv2d\"",
        "op: \"Conv2D\"",
        "input: \"images\"",
        "input: \"net/conv1/weight:0\"",
        "input: \"^init\"",
        "device: \"/device:CPU:0\"",
        "i: 1",
        "s: \"same\"",
        "producer: 22",
    ] {
        assert_eq!(count(part), 1, "{part}: {text}");
    }
    assert_eq!(count("key: \"_output_shapes\""), 3, "{text}");
    assert_eq!(count("size: 28"), 4, "{text}");
}

fn assert_curves(tensorboard: &TensorBoard) {
    let route = "/data/plugin/pr_curves/pr_curves";
    let answer = tensorboard.get(route, &[("run", "exp1"), ("tag", "curve")]);
    let entry = &answer["exp1"][0];
    assert_eq!(entry["step"], json!(3));
    let numbers = |key: &str| -> Vec<f32> {
        let numbers = entry[key].as_array().unwrap().iter();
        numbers
            .map(|number| number.as_f64().unwrap() as f32)
            .collect()
    };
    let curve = curve();
    assert_eq!(numbers("thresholds"), [0.0, 0.25, 0.5, 0.75, 1.0]);
    assert_eq!(numbers("true_positives"), curve.true_positives);
    assert_eq!(numbers("false_positives"), curve.false_positives);
    assert_eq!(numbers("true_negatives"), curve.true_negatives);
    assert_eq!(numbers("false_negatives"), curve.false_negatives);
    assert_eq!(numbers("precision"), curve.precision);
    assert_eq!(numbers("recall"), curve.recall);
    let tags = tensorboard.get("/data/plugin/pr_curves/tags", &[]);
    let tags: Vec<_> = tags["exp1"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(tags, ["classes/0", "classes/1", "curve"]);
}

fn assert_layout(tensorboard: &TensorBoard) {
    let layout = tensorboard.get("/data/plugin/custom_scalars/layout", &[]);
    let category = &layout["category"][0];
    assert_eq!(category["title"], json!("all"), "{layout}");
    assert_eq!(category["closed"], json!(true), "{layout}");
    let pattern = &category["chart"][0]["multiline"]["tag"][0];
    assert_eq!(*pattern, json!(r"^loss \(mean\)$"));
    let margin = json!({ "value": "mean", "lower": "min", "upper": "max" });
    assert_eq!(category["chart"][1]["margin"]["series"], json!([margin]));
    let pattern = pattern.as_str().unwrap();
    let route = "/data/plugin/custom_scalars/scalars";
    let lines = tensorboard.get(route, &[("run", "exp1"), ("tag", pattern)]);
    let expected = json!({
        "regex_valid": true,
        "tag_to_events": { "loss (mean)": [[WALL_TIME, 3, 0.5]] },
    });
    assert_eq!(lines, expected);
}

fn assert_histogram(tensorboard: &TensorBoard) {
    let series = [("run", "exp1"), ("tag", "raw")];
    let histograms = tensorboard.get("/data/plugin/histograms/histograms", &series);
    let buckets = json!([[0.0, 1.0, 7.0], [1.0, 10.0, 2.0]]);
    assert_eq!(histograms, json!([[WALL_TIME, 3, buckets]]));
    let distributions = tensorboard.get("/data/plugin/distributions/distributions", &series);
    let percentiles = distributions[0][2].as_array().unwrap();
    assert_eq!(percentiles.len(), 9, "{distributions}");
    assert_eq!(percentiles[8], json!([10_000, 10.0]), "{distributions}");
}

fn assert_table(tensorboard: &TensorBoard) {
    let series = [("run", "exp1"), ("tag", "table")];
    let texts = tensorboard.get("/data/plugin/text/text", &series);
    let html = texts[0]["text"].as_str().unwrap();
    for cell in [
        "<th>a|b</th>",
        "<th>*c*</th>",
        "<td>&lt;i&gt;</td>",
        "<td>d_e_f</td>",
    ] {
        assert!(html.contains(cell), "{cell}: {html}");
    }
}

fn assert_sound(tensorboard: &TensorBoard) {
    let series = [("run", "exp1"), ("tag", "tone"), ("sample", "0")];
    let clips = tensorboard.get("/data/plugin/audio/audio", &series);
    assert_eq!(clips[0]["contentType"], json!("audio/wav"), "{clips}");
    let query = clips[0]["query"].as_str().unwrap();
    let route = format!("/data/plugin/audio/individualAudio?{query}");
    assert_eq!(tensorboard.get_bytes(&route, &[]), CLIP.to_wav().unwrap());
}

fn assert_mesh(tensorboard: &TensorBoard) {
    let part = |name| {
        let series = [("run", "exp1"), ("tag", "shape"), ("sample", "0")];
        let part = [("content_type", name), ("step", "3")];
        let parameters = [&series[..], &part[..]].concat();
        tensorboard.get_bytes("/data/plugin/mesh/data", &parameters)
    };
    let vertices = VERTICES.as_flattened().iter();
    let vertices: Vec<_> = vertices.flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(part("VERTEX"), vertices);
    let faces: Vec<_> = [0_i32, 1, 2].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(part("FACE"), faces);
    assert_eq!(part("COLOR"), COLORS.as_flattened());
}

/// Two runs with other keys: each keeps its own, and metrics come from the children too.
#[test]
fn hyper_parameters_may_differ_between_runs() {
    let logdir = tempfile::tempdir().unwrap();
    let mut expected = Scalars::new();
    let runs = [
        ("exp1", ("learning_rate", 0.5.into()), 0.25_f32),
        ("exp2", ("optimizer", "adam".into()), 0.75),
    ];
    for (run, hparam, accuracy) in runs {
        let writer = SummaryWriter::create(logdir.path().join(run)).unwrap();
        writer
            .add_hparams([hparam, ("shuffle", true.into())])
            .unwrap();
        let child = writer.child("validation").unwrap();
        child.add_scalar("accuracy", accuracy, 1).unwrap();
        writer.finish().unwrap();
        let point = Point {
            step: 1,
            wall_time: None,
            value: accuracy,
        };
        expected.insert(
            (format!("{run}/validation"), "accuracy".to_owned()),
            vec![point],
        );
    }
    for loader in Loader::ALL {
        let tensorboard = TensorBoard::start(logdir.path(), loader);
        tensorboard.expect_scalars(&expected);
        let groups = tensorboard.session_groups();
        let mut rows: Vec<_> = groups.as_array().unwrap().iter().collect();
        rows.sort_by_key(|row| row["sessions"][0]["name"].as_str().map(str::to_owned));
        let shown: Vec<_> = rows
            .iter()
            .map(|row| (&row["hparams"], metric(row)))
            .collect();
        let first = json!({ "learning_rate": 0.5, "shuffle": true });
        let second = json!({ "optimizer": "adam", "shuffle": true });
        assert_eq!(
            shown,
            [(&first, 0.25), (&second, 0.75)],
            "{loader:?}: {groups}"
        );
    }
}

/// The only metric of a row: the accuracy of the child.
fn metric(row: &Value) -> f64 {
    let metric = &row["sessions"][0]["metricValues"][0];
    let name = json!({ "group": "validation", "tag": "accuracy" });
    assert_eq!(metric["name"], name, "{row}");
    metric["value"].as_f64().unwrap()
}
