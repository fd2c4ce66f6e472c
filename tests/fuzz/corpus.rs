//! The corpus in `tests/corpus/`, made here: small files, named for the error that they give.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use cnn_tb::nn::{Init, Network, Parameters};
use cnn_tb::tb::crc::masked_crc32c;
use cnn_tb::tb::proto::summary::{Value, value};
use cnn_tb::tb::proto::{
    Event, SessionLog, Summary, SummaryMetadata, event, session_log::SessionStatus,
    summary_metadata::PluginData,
};
use cnn_tb::tb::summary::{hparams, text};
use cnn_tb::train::{Config, Preset, Schedule};
use png::{BitDepth, ColorType, Encoder};
use prost::Message as _;
use serde_json::{Map, Value as Json, json};

use super::parsers::Parser;
use super::parsers::format::{Format, zipped};
use super::parsers::training::{SIZE, dataset};

/// A path below `tests/corpus/`, and bytes.
type Made = (String, Vec<u8>);

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The files of a parser's corpus, by name.
pub fn files(parser: &Parser) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(tests().join("corpus").join(parser.corpus)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        files.push((name, fs::read(entry.path()).unwrap()));
    }
    files.sort();
    files
}

/// What a parser is tried on: its corpus, and for event files those of all writers.
pub fn inputs(parser: &Parser) -> Vec<Vec<u8>> {
    let mut inputs: Vec<Vec<u8>> = files(parser).into_iter().map(|(_, bytes)| bytes).collect();
    let others = match parser.corpus {
        "event" | "event_file" => event_files(&tests().join("golden")),
        _ => Vec::new(),
    };
    match parser.corpus {
        "event" => inputs.extend(others.iter().flat_map(|file| Format::Records.split(file))),
        _ => inputs.extend(others),
    }
    inputs
}

/// Every event file in a directory and below.
fn event_files(directory: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(event_files(&path));
        } else if path.to_string_lossy().contains("tfevents") {
            files.push(fs::read(path).unwrap());
        }
    }
    files
}

/// Writes the whole corpus in place of what is there.
pub fn write() {
    let root = tests().join("corpus");
    for (path, bytes) in made() {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// All files.
pub fn made() -> Vec<Made> {
    let folders = [
        ("event", events()),
        ("event_file", event_files_made()),
        ("hparams_yaml", yaml()),
        ("idx", idx_files()),
        ("dataset", datasets()),
        ("picture", pictures()),
        ("config", configs()),
        ("weights", weights()),
        ("checkpoint", checkpoints()),
    ];
    let paths = folders.into_iter().flat_map(|(folder, files)| {
        let files = files.into_iter();
        files.map(move |(name, bytes)| (format!("{folder}/{name}"), bytes))
    });
    paths.collect()
}

/// Names and bytes of one folder.
type Folder = Vec<(&'static str, Vec<u8>)>;

fn payload(step: i64, what: event::What) -> Vec<u8> {
    let event = Event {
        wall_time: 1e9 + step as f64,
        step,
        what: Some(what),
        ..Event::default()
    };
    event.encode_to_vec()
}

fn values(step: i64, value: Vec<Value>) -> Vec<u8> {
    payload(step, event::What::Summary(Summary { value }))
}

fn scalar(step: i64) -> Vec<u8> {
    let value = Value {
        tag: "loss".to_owned(),
        value: Some(value::Value::SimpleValue(0.5)),
        ..Value::default()
    };
    values(step, vec![value])
}

fn version() -> Vec<u8> {
    payload(0, event::What::FileVersion("brain.Event:2".to_owned()))
}

fn start(step: i64) -> Vec<u8> {
    let log = SessionLog {
        status: SessionStatus::Start.into(),
        ..SessionLog::default()
    };
    payload(step, event::What::SessionLog(log))
}

fn session() -> Vec<u8> {
    let settings = BTreeMap::from([("lr".to_owned(), 0.5.into())]);
    values(0, vec![hparams::start_value(&settings, 1e9)])
}

fn not_finite() -> Vec<u8> {
    let event = Event {
        wall_time: f64::NAN,
        ..Event::default()
    };
    event.encode_to_vec()
}

/// Payloads of records.
fn events() -> Folder {
    vec![
        ("sound.version", version()),
        ("sound.scalar", scalar(7)),
        (
            "sound.text",
            values(7, vec![text::to_value("notes", "a *text*")]),
        ),
        ("sound.settings", session()),
        (
            "sound.graph",
            payload(0, event::What::GraphDef(vec![10, 0])),
        ),
        ("sound.nothing", Vec::new()),
        ("read-event.no_message", vec![0xff]),
        ("read-event.tag_not_utf8", scalar_with_bytes(b"los\xff")),
        ("read-wall-time", not_finite()),
        ("read-too-large", values(7, vec![Value::default(); 40_000])),
    ]
}

/// A scalar of the tag `loss`, with other bytes in its place.
fn scalar_with_bytes(tag: &[u8; 4]) -> Vec<u8> {
    let mut bytes = scalar(7);
    let at = bytes
        .windows(4)
        .position(|window| window == b"loss")
        .unwrap();
    bytes[at..at + 4].copy_from_slice(tag);
    bytes
}

/// Payloads of two megabytes, nothing but empty parts.
pub fn swelling() -> Vec<Vec<u8>> {
    let tensor = |bytes: Vec<u8>| nested(&[5, 1, 8], bytes);
    let content = |bytes: Vec<u8>| {
        let plugin_data = PluginData {
            plugin_name: "hparams".to_owned(),
            content: bytes,
        };
        let value = Value {
            tag: "_hparams_/experiment".to_owned(),
            metadata: Some(SummaryMetadata {
                plugin_data: Some(plugin_data),
                ..SummaryMetadata::default()
            }),
            ..Value::default()
        };
        values(0, vec![value])
    };
    let empty = |field: u8| [field << 3 | 2, 0].repeat(1_000_000);
    vec![
        nested(&[5], empty(1)),
        tensor(empty(8)),
        tensor(nested(&[2], empty(2))),
        content(nested(&[2], empty(4))),
        content(nested(&[2], empty(5))),
    ]
}

/// Two megabytes of headers, each of which claims a payload that reaches to the end.
pub fn overlapping_records() -> Vec<u8> {
    let headers: u64 = 170_000;
    let header = |at: u64| {
        // Behind the payload its checksum has to have room.
        let length = ((headers - at).saturating_sub(2) * 12).to_le_bytes();
        let crc = masked_crc32c(&length).to_le_bytes();
        length.into_iter().chain(crc)
    };
    (0..headers).flat_map(header).collect()
}

/// Weights of a million classes, whose biases are bytes.
pub fn many_classes() -> Vec<u8> {
    bias("U8", json!([1_000_000]), 1_000_000)
}

/// A file of weights with nothing but the last layer's biases.
fn bias(dtype: &str, shape: Json, bytes: usize) -> Vec<u8> {
    let bias = json!({"dtype": dtype, "shape": shape, "data_offsets": [0, bytes]});
    tensors(&json!({"fc2.bias": bias}), &vec![0; bytes])
}

/// A message that lies in fields of these numbers, the outermost first.
fn nested(fields: &[u8], message: Vec<u8>) -> Vec<u8> {
    fields.iter().rev().fold(message, |message, field| {
        let mut outer = vec![field << 3 | 2];
        prost::encoding::encode_varint(message.len() as u64, &mut outer);
        outer.extend(message);
        outer
    })
}

fn event_files_made() -> Folder {
    let records = [
        version(),
        start(3),
        session(),
        scalar(1),
        scalar(2),
        scalar(2),
    ];
    let sound = Format::Records.join(&records);
    let with = |payload: Vec<u8>| Format::Records.join(&[&records[..], &[payload]].concat());
    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        bytes
    };
    let claims = |length: u64| {
        let length = length.to_le_bytes();
        let crc = masked_crc32c(&length).to_le_bytes();
        [&sound[..], &length, &crc, &[0; 100]].concat()
    };
    vec![
        ("sound", sound.clone()),
        ("sound.empty", Vec::new()),
        ("record-truncated", sound[..sound.len() - 3].to_vec()),
        ("record-truncated.header", sound[..5].to_vec()),
        ("record-truncated.claims_200_megabytes", claims(200_000_000)),
        ("record-too-long", claims(300 << 20)),
        ("record-too-long.all_bits", claims(u64::MAX)),
        ("record-length-checksum", flipped(1)),
        (
            "record-length-checksum.zeros",
            [&sound[..], &[0; 50]].concat(),
        ),
        ("record-payload-checksum", flipped(20)),
        ("read-event", with(vec![0xff])),
        ("read-wall-time", with(not_finite())),
    ]
}

fn yaml() -> Folder {
    let settings = "batch_size: 64\nlr: 1.0e-3\nname: resnet18\nquoted: '10'\naugment: true\n";
    let nested = "optimizer:\n  momentum: 0.9\nlayers:\n- 1\nnothing: null\nlist: [1, 2]\n";
    let odd = ": \n: : \n'': ''\n\": \"\nx: .nan\nx: -.inf\nx: 1e999\n\u{feff}a: b\n";
    vec![
        ("sound", [settings, nested].concat().into()),
        ("sound.odd", odd.into()),
        ("sound.not_utf8", b"lr: \xff\n".into()),
    ]
}

fn idx(magic: u8, sizes: &[u32], data: &[u8]) -> Vec<u8> {
    let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
    let header = [0, 0, 8, magic].into_iter().chain(sizes);
    header.chain(data.iter().copied()).collect()
}

fn idx_files() -> Folder {
    let images = || idx(3, &[2, 2, 3], &[7; 12]);
    let zip = zipped(&images());
    let mut checksum = zip.clone();
    checksum[zip.len() - 8] ^= 1;
    let mut deflate = zip.clone();
    deflate[10] = 0xff;
    vec![
        ("sound.images", images()),
        ("sound.labels", idx(1, &[3], &[7, 0, 255])),
        ("sound.images.gz", zip.clone()),
        (
            "sound.members.gz",
            [zipped(&images()[..9]), zipped(&images()[9..])].concat(),
        ),
        ("idx-io.checksum.gz", checksum),
        ("idx-io.deflate.gz", deflate),
        ("idx-io.cut.gz", zip[..zip.len() - 8].to_vec()),
        ("idx-magic", b"PNG and more".to_vec()),
        ("idx-header", images()[..10].to_vec()),
        ("idx-header.empty", Vec::new()),
        ("idx-dimensions.zero", idx(3, &[2, 0, 3], &[])),
        ("idx-dimensions.overflow", idx(3, &[u32::MAX; 3], &[7])),
        ("idx-cut", idx(3, &[2, 2, 3], &[7; 11])),
        (
            "idx-cut.claims_4_gigabytes",
            idx(3, &[u32::MAX, 1, 1], &[7; 11]),
        ),
        (
            "idx-cut.claims_4_gigabytes.gz",
            zipped(&idx(1, &[u32::MAX], &[7; 11])),
        ),
        ("idx-trailing", idx(3, &[2, 2, 3], &[7; 13])),
    ]
}

fn datasets() -> Folder {
    let images = |count: u32, side: u32| {
        let pixels = (0..count * side * side).map(|at| at as u8);
        idx(3, &[count, side, side], &pixels.collect::<Vec<u8>>())
    };
    let labels = |labels: &[u8]| idx(1, &[labels.len() as u32], labels);
    let bundle = |files: [Vec<u8>; 4]| Format::Bundle.join(&files);
    let (four, two) = (labels(&[0, 1, 0, 1]), labels(&[1, 0]));
    let sound = [images(4, 4), four.clone(), images(2, 4), two.clone()];
    let other = |at: usize, file: Vec<u8>| {
        let mut files = sound.clone();
        files[at] = file;
        bundle(files)
    };
    let named = |classes: &[u8]| {
        let mut file = bundle(sound.clone());
        file.extend(Format::Bundle.join(&[classes.to_vec()]));
        file
    };
    vec![
        ("sound", bundle(sound.clone())),
        ("sound.gz", bundle(sound.clone().map(|file| zipped(&file)))),
        ("sound.classes", named(b" cat \n\xe2\x80\xaadog/wolf\r\n")),
        ("class-names-line", named(b"cat\n\ndog\n")),
        ("class-names-line.not_utf8", named(b"cat\n\xff\n")),
        ("class-names-line.equal", named(b"a/b\na_b\n")),
        ("class-names-count", named(b"cat\n")),
        ("data-missing", Format::Bundle.join(&sound[..3])),
        ("data-count", other(1, labels(&[0, 1, 0]))),
        ("data-image-size", other(2, images(2, 5))),
        (
            "data-too-few",
            bundle([images(1, 4), labels(&[1]), images(2, 4), two]),
        ),
        ("data-one-class", other(1, labels(&[0; 4]))),
        ("data-label", other(3, labels(&[1, 2]))),
        ("idx-magic", other(0, four)),
    ]
}

/// A grey dot of 2 × 2 pixels, on a ground of the other grey.
fn png(color_type: ColorType, depth: BitDepth, ground: u8, dot: u8) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 6, 6);
    encoder.set_color(color_type);
    encoder.set_depth(depth);
    if color_type == ColorType::Indexed {
        encoder.set_palette(vec![255, 255, 255, 0, 0, 0]);
    }
    let bytes = color_type.samples() * if depth == BitDepth::Sixteen { 2 } else { 1 };
    let pixels = (0..36).flat_map(|at| {
        let is_dot = (2..4).contains(&(at / 6)) && (2..4).contains(&(at % 6));
        vec![if is_dot { dot } else { ground }; bytes]
    });
    let mut writer = encoder.write_header().unwrap();
    writer
        .write_image_data(&pixels.collect::<Vec<u8>>())
        .unwrap();
    writer.finish().unwrap();
    file
}

fn pictures() -> Folder {
    let sound = png(ColorType::Grayscale, BitDepth::Eight, 255, 0);
    let with_side = |side: u32| {
        let mut chunks = Format::Png.split(&sound);
        chunks[0][4..8].copy_from_slice(&side.to_be_bytes());
        chunks[0][8..12].copy_from_slice(&side.to_be_bytes());
        Format::Png.join(&chunks)
    };
    // The decoder panicked at it.
    let palette = |length: usize| {
        let mut chunks = Format::Png.split(&png(ColorType::Indexed, BitDepth::Eight, 0, 1));
        chunks[1].truncate(4 + length);
        Format::Png.join(&chunks)
    };
    let mut flipped = sound.clone();
    flipped[20] ^= 1;
    vec![
        ("sound.png", sound.clone()),
        (
            "sound.16_bits.png",
            png(ColorType::Rgb, BitDepth::Sixteen, 0, 255),
        ),
        (
            "sound.alpha.png",
            png(ColorType::Rgba, BitDepth::Eight, 0, 255),
        ),
        (
            "sound.palette.png",
            png(ColorType::Indexed, BitDepth::Eight, 0, 1),
        ),
        (
            "picture-signature.jpeg",
            b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(),
        ),
        ("picture-damaged.checksum.png", flipped),
        (
            "picture-damaged.cut.png",
            sound[..sound.len() - 30].to_vec(),
        ),
        ("picture-damaged.palette.png", palette(4)),
        ("picture-damaged.claims_25_megapixels.png", with_side(5000)),
        ("picture-too-large.png", with_side(5001)),
        (
            "picture-blank.png",
            png(ColorType::Grayscale, BitDepth::Eight, 9, 9),
        ),
    ]
}

/// A network with a layer of each kind.
const LAYERS: &str = r#"epochs = 3
[[layers]]
type = "conv"
channels = 4
kernel = 3
[[layers]]
type = "batch_norm"
[[layers]]
type = "relu"
[[layers]]
type = "max_pool"
[[layers]]
type = "avg_pool"
size = 3
stride = 2
[[layers]]
type = "dropout"
rate = 0.25
[[layers]]
type = "linear"
"#;

fn configs() -> Folder {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("sound.default.toml", Config::default().to_toml().into()),
        (
            "sound.article.toml",
            Preset::Article.config().to_toml().into(),
        ),
        ("sound.empty.toml", Vec::new()),
        ("sound.layers.toml", text(LAYERS)),
        ("plan-count.toml", text("layers = []\n")),
        (
            "plan-layer.last.toml",
            text("[[layers]]\ntype = \"relu\"\n"),
        ),
        (
            "plan-layer.sizes.toml",
            text(&LAYERS.replace("kernel = 3", "kernel = 255\npadding = 18446744073709551615")),
        ),
        (
            "toml.padding.toml",
            text(&LAYERS.replace("kernel = 3", "kernel = 3\npadding = \"valid\"")),
        ),
        ("sound.all.toml", every_setting().to_toml().into()),
        ("toml.syntax.toml", text("epochs = = 3\n")),
        ("toml.setting.toml", text("epochs = 3\nepoch_size = 1\n")),
        ("toml.type.toml", text("epochs = \"three\"\n")),
        ("toml.negative.toml", text("seed = -1\n")),
        ("toml.device.toml", text("device = \"tpu:0\"\n")),
        ("toml.not_utf8.toml", b"data = \"\xff\n".to_vec()),
        (
            "toml.nested_lists.toml",
            text(&format!("data = {}", "[".repeat(3000))),
        ),
        (
            "toml.nested_tables.toml",
            text(&format!("data{}", ".a".repeat(1500))),
        ),
        ("config.epochs.toml", text("epochs = 0\n")),
        ("config.batch_size.toml", text("batch_size = 65537\n")),
        ("config.learning_rate.toml", text("learning_rate = nan\n")),
        ("config.weight_decay.toml", text("weight_decay = 0.1\n")),
        ("config.clip_norm.toml", text("clip_norm = -0.0\n")),
        ("config.threads.toml", text("threads = 0\n")),
    ]
}

fn every_setting() -> Config {
    Config {
        data: Some("data".into()),
        optimizer: cnn_tb::train::OptimizerKind::Sgd,
        weight_decay: Some(0.1),
        clip_norm: Some(1.0),
        early_stopping: Some(3),
        time_limit_secs: Some(60.0),
        threads: Some(2),
        instruction_set: Some(cnn_tb::nn::InstructionSet::Portable),
        ..Config::default()
    }
}

/// A safetensors file of a header and data.
fn tensors(header: &Json, data: &[u8]) -> Vec<u8> {
    Format::Safetensors.join(&[header.to_string().into_bytes(), data.to_vec()])
}

fn weights() -> Folder {
    let parameters = Parameters::new(1, Init::Layers);
    let plan = Config::default().plan(SIZE, SIZE, 2).unwrap();
    Network::new(&plan, parameters.builder(&Device::Cpu)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    parameters.save(&path).unwrap();
    let sound = fs::read(path).unwrap();
    vec![
        ("sound", sound.clone()),
        ("trained-weights.cut", sound[..700].to_vec()),
        ("trained-weights.empty", Vec::new()),
        (
            "trained-weights.header_of_all_bits",
            [&[0xff; 8][..], b"{}"].concat(),
        ),
        ("trained-weights.no_bias", tensors(&json!({}), &[])),
        ("trained-weights.bias_alone", bias("F32", json!([2]), 8)),
        (
            "trained-weights.1000_classes",
            bias("U8", json!([1000]), 1000),
        ),
        ("trained-weights.no_class", bias("F32", json!([0]), 0)),
        (
            "trained-weights.overflow",
            bias("F32", json!([u64::MAX, 2]), 8),
        ),
        ("trained-weights.nested", {
            let header = format!("{{\"a\":{}", "[".repeat(3000));
            Format::Safetensors.join(&[header.into_bytes(), Vec::new()])
        }),
    ]
}

/// A checkpoint after `completed` epochs, with other texts in its metadata.
fn checkpoint(config: &Config, completed: usize, texts: &[(&str, &str)]) -> Vec<u8> {
    let config = config.to_toml();
    let dataset = dataset();
    let (train, validation) = (dataset.train(), dataset.validation());
    let data = [train.labels(), validation.labels(), validation.pixels()].concat();
    let mut fields = Map::new();
    for (name, text) in [
        (
            "config_crc32",
            format!("{:08x}", crc32fast::hash(config.as_bytes())),
        ),
        ("config", config),
        ("data_crc32", format!("{:08x}", crc32fast::hash(&data))),
        ("instruction_set", "portable".to_owned()),
        ("update", completed.to_string()),
        ("optimizer_steps", completed.to_string()),
        ("elapsed_nanos", "1000000".to_owned()),
    ] {
        fields.insert(name.to_owned(), text.into());
    }
    for (name, text) in texts {
        fields.insert((*name).to_owned(), (*text).into());
    }
    let epochs = 48 * completed;
    let header = json!({
        "__metadata__": fields,
        "epochs": {"dtype": "F64", "shape": [completed, 6], "data_offsets": [0, epochs]},
        "notes": {"dtype": "F32", "shape": [2], "data_offsets": [epochs, epochs + 8]},
    });
    Format::Checkpoint.join(&[header.to_string().into_bytes(), vec![0; epochs + 8]])
}

fn checkpoints() -> Folder {
    let config = Config {
        epochs: 3,
        schedule: Schedule::Constant,
        ..Config::default()
    };
    let made = |texts: &[(&str, &str)]| checkpoint(&config, 1, texts);
    let nan = Config {
        learning_rate: f64::NAN,
        ..config.clone()
    };
    let sound = made(&[]);
    let mut version = sound[..sound.len() - 4].to_vec();
    version[7] = 2;
    let sealed = |bytes: &[u8]| [bytes, &crc32fast::hash(bytes).to_le_bytes()].concat();
    vec![
        ("sound", sound.clone()),
        ("checkpoint-damaged.cut", sound[..sound.len() - 1].to_vec()),
        ("checkpoint-damaged.empty", Vec::new()),
        ("checkpoint-damaged.beginning", sealed(b"something else")),
        ("checkpoint-unknown.version", sealed(&version)),
        ("checkpoint-unknown.field", made(&[("update", "many")])),
        ("checkpoint-unknown.config", made(&[("config_crc32", "0")])),
        ("checkpoint-unknown.end", made(&[("end", "of the world")])),
        ("checkpoint-unknown.update", made(&[("update", "7")])),
        (
            "checkpoint-unknown.no_tensors",
            sealed(b"cnn-tb\0\x01\x02\0\0\0\0\0\0\0{}"),
        ),
        ("checkpoint-other-settings", checkpoint(&nan, 1, &[])),
        (
            "checkpoint-schedule",
            checkpoint(&Config::default(), 1, &[]),
        ),
        ("checkpoint-complete", checkpoint(&config, 3, &[])),
        (
            "checkpoint-complete.stopped",
            made(&[("end", "early_stopping")]),
        ),
        (
            "checkpoint-other-instructions",
            made(&[("instruction_set", "avx2")]),
        ),
        ("checkpoint-other-data", made(&[("data_crc32", "0")])),
    ]
}
