//! The logdirs in `tests/golden/doctor`: one for each finding, made here.

use std::fs;
use std::path::{Path, PathBuf};

use cnn_tb::tb::crc::masked_crc32c;
use cnn_tb::tb::proto::h_params_plugin_data::Data;
use cnn_tb::tb::proto::session_log::SessionStatus;
use cnn_tb::tb::proto::summary::{Value, value};
use cnn_tb::tb::proto::summary_metadata::PluginData;
use cnn_tb::tb::proto::{
    DataType, Event, Experiment, HParamInfo, HParamsPluginData, MetricInfo, MetricName, SessionLog,
    Summary, SummaryMetadata, TensorProto, event,
};
use cnn_tb::tb::record::append_record;
use cnn_tb::tb::summary::{hparams, text};
use prost::Message as _;

/// When the first event of most files was written, in seconds since the Unix epoch.
const START: f64 = 1_700_000_000.0;

/// Where they are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/doctor")
}

/// A logdir and what is found in it.
pub struct Golden {
    /// The finding's name, which is the directory's.
    pub name: &'static str,
    /// What the finding says, or how that begins.
    pub found: &'static str,
    /// Paths below the directory, and bytes.
    pub files: Vec<(&'static str, Vec<u8>)>,
}

/// An event file in the making: each event a second after the last one.
pub struct EventFile {
    pub bytes: Vec<u8>,
    now: f64,
}

impl EventFile {
    /// A file that begins with its version, as it should.
    pub fn new() -> Self {
        Self::at(START)
    }

    pub fn at(now: f64) -> Self {
        let version = event::What::FileVersion("brain.Event:2".to_owned());
        Self::empty(now).event(0, version)
    }

    fn empty(now: f64) -> Self {
        let bytes = Vec::new();
        Self { bytes, now }
    }

    /// Sets the wall time of the next event.
    fn set_time(mut self, now: f64) -> Self {
        self.now = now;
        self
    }

    fn event(mut self, step: i64, what: event::What) -> Self {
        let event = Event {
            wall_time: self.now,
            step,
            what: Some(what),
            ..Event::default()
        };
        self.now += 1.0;
        append_record(&mut self.bytes, &event.encode_to_vec());
        self
    }

    pub fn value(self, step: i64, value: Value) -> Self {
        self.values(step, vec![value])
    }

    fn values(self, step: i64, value: Vec<Value>) -> Self {
        self.event(step, event::What::Summary(Summary { value }))
    }

    /// Points of a scalar, each with half its step.
    pub fn scalars(self, tag: &str, steps: impl IntoIterator<Item = i64>) -> Self {
        let point = |file: Self, step| file.value(step, simple(tag, step as f32 / 2.0));
        steps.into_iter().fold(self, point)
    }

    fn start(self, step: i64) -> Self {
        let log = SessionLog {
            status: SessionStatus::Start.into(),
            ..SessionLog::default()
        };
        self.event(step, event::What::SessionLog(log))
    }

    fn append(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Turns a bit of the byte at `offset`.
    fn damage(mut self, offset: usize) -> Self {
        self.bytes[offset] ^= 1;
        self
    }
}

fn simple(tag: &str, number: f32) -> Value {
    Value {
        tag: tag.to_owned(),
        value: Some(value::Value::SimpleValue(number)),
        ..Value::default()
    }
}

fn metadata(plugin: &str, content: Vec<u8>) -> SummaryMetadata {
    SummaryMetadata {
        plugin_data: Some(PluginData {
            plugin_name: plugin.to_owned(),
            content,
        }),
        ..SummaryMetadata::default()
    }
}

fn tensor(tag: &str, plugin: Option<&str>, tensor: TensorProto) -> Value {
    Value {
        tag: tag.to_owned(),
        metadata: plugin.map(|plugin| metadata(plugin, Vec::new())),
        value: Some(value::Value::Tensor(tensor)),
        ..Value::default()
    }
}

/// A scalar as PyTorch's `add_scalar(…, new_style=True, double_precision=True)` writes it.
fn double(tag: &str, number: f64) -> Value {
    let doubles = TensorProto {
        dtype: DataType::DtDouble.into(),
        double_val: vec![number],
        ..TensorProto::default()
    };
    tensor(tag, Some("scalars"), doubles)
}

/// A tensor as a program writes it that does not know of plugins.
fn unnamed(tag: &str, number: f32) -> Value {
    let floats = TensorProto {
        dtype: DataType::DtFloat.into(),
        float_val: vec![number],
        ..TensorProto::default()
    };
    tensor(tag, None, floats)
}

fn image(tag: &str) -> Value {
    let strings = TensorProto {
        dtype: DataType::DtString.into(),
        string_val: vec![b"1".to_vec(), b"1".to_vec(), b"no picture".to_vec()],
        ..TensorProto::default()
    };
    tensor(tag, Some("images"), strings)
}

fn session(hparam: &str) -> Value {
    let hparams = [(hparam.to_owned(), 0.5.into())].into();
    hparams::start_value(&hparams, START)
}

/// An experiment summary with one setting and one metric.
fn experiment(hparam: &str, metric: &str) -> Value {
    let experiment = Experiment {
        hparam_infos: vec![HParamInfo {
            name: hparam.to_owned(),
            ..HParamInfo::default()
        }],
        metric_infos: vec![MetricInfo {
            name: Some(MetricName {
                tag: metric.to_owned(),
                ..MetricName::default()
            }),
            ..MetricInfo::default()
        }],
        ..Experiment::default()
    };
    let content = HParamsPluginData {
        version: 0,
        data: Some(Data::Experiment(experiment)),
    };
    Value {
        tag: "_hparams_/experiment".to_owned(),
        metadata: Some(metadata("hparams", content.encode_to_vec())),
        ..Value::default()
    }
}

const FIRST: &str = "exp1/events.out.tfevents.1700000000.host.1.0";
const SECOND: &str = "exp1/events.out.tfevents.1700000100.host.1.0";

fn golden(name: &'static str, found: &'static str, file: EventFile) -> Golden {
    let files = vec![(FIRST, file.bytes)];
    Golden { name, found, files }
}

fn two(name: &'static str, found: &'static str, files: [(&'static str, EventFile); 2]) -> Golden {
    let files = files.map(|(path, file)| (path, file.bytes)).into();
    Golden { name, found, files }
}

/// All of them.
pub fn all() -> Vec<Golden> {
    let mut all = vec![Golden {
        name: "no_events",
        found: "no event file here or below",
        files: vec![("exp1/notes.txt", b"learning rate too high?\n".to_vec())],
    }];
    all.extend(files());
    all.extend(records());
    all.extend(series());
    all.extend(directories());
    all.extend(clocks());
    all.extend(sessions());
    all
}

fn files() -> Vec<Golden> {
    let loss = || EventFile::new().scalars("loss", 1..=3);
    vec![
        two(
            "unread_name",
            "holds events, but its name lacks `tfevents`",
            [(FIRST, loss()), ("exp1/events.1700000100.log", loss())],
        ),
        golden("empty_file", "has no bytes", EventFile::empty(START)),
        golden(
            "no_file_version",
            "does not begin with the version of its format",
            EventFile::empty(START).scalars("loss", 1..=3),
        ),
    ]
}

/// Each record of a scalar `loss` has 42 bytes, and the first one begins at byte 40.
fn records() -> Vec<Golden> {
    let loss = || EventFile::new().scalars("loss", 1..=3);
    let torn = || loss().append(&loss().bytes[82..98]);
    let mut no_event = Vec::new();
    append_record(&mut no_event, b"\xff");
    let length = (300_u64 << 20).to_le_bytes();
    let long = [&length[..], &masked_crc32c(&length).to_le_bytes(), b"cut"].concat();
    vec![
        golden(
            "damaged_payload",
            "the record at byte 82 has a damaged payload",
            // A bit of the value: 1.0 becomes another number, and the event can still be decoded.
            loss().damage(82 + 34),
        ),
        golden(
            "damaged_length",
            "the record at byte 82 has a damaged length; 84 bytes from there on cannot be read",
            loss().damage(82),
        ),
        golden(
            "zero_tail",
            "from byte 166 on there are 100 zeros and nothing else",
            loss().append(&[0; 100]),
        ),
        golden(
            "torn_tail",
            "ends inside the record at byte 166: 16 of 42 bytes",
            torn(),
        ),
        // The test makes it look new.
        golden(
            "growing_tail",
            "16 of 42 bytes of the record at byte 166 are there; a writer seems to be at it",
            torn(),
        ),
        golden(
            "too_long",
            "the record at byte 166 is 314572800 bytes long",
            loss().append(&long),
        ),
        golden(
            "not_an_event",
            "the record at byte 166 is whole, but does not hold an event",
            loss().append(&no_event).scalars("loss", [4]),
        ),
        golden(
            "too_large",
            "the event at byte 166 has parts that take ",
            loss()
                .values(4, vec![Value::default(); 40_000])
                .scalars("loss", [4]),
        ),
        golden(
            "non_finite_time",
            "the event at byte 166 has the wall time NaN",
            loss()
                .set_time(f64::NAN)
                .scalars("loss", [4])
                .set_time(START + 9.0)
                .scalars("loss", [5]),
        ),
    ]
}

fn series() -> Vec<Golden> {
    let file = EventFile::new;
    vec![
        golden(
            "steps_go_back",
            "loss: the step goes back from 5 to 3; 3 points erased",
            file().scalars("loss", [1, 2, 3, 4, 5, 3, 4]),
        ),
        two(
            "lone_start",
            "loss: the step goes back from 5 to 3; 3 points erased",
            [
                (FIRST, file().scalars("loss", 1..=5)),
                (
                    SECOND,
                    EventFile::at(START + 100.0).start(3).scalars("loss", 3..=6),
                ),
            ],
        ),
        golden(
            "repeated_steps",
            "loss: several points at step 0; 2 points erased",
            file().scalars("loss", [0, 0, 0]),
        ),
        golden(
            "kind_changed",
            "loss: a series of scalars, in which 2 values from step 2 on are text",
            file()
                .scalars("loss", [1])
                .value(2, text::to_value("loss", "0.5"))
                .value(3, text::to_value("loss", "0.25")),
        ),
        golden(
            "no_plugin",
            "weights: 2 tensors from step 1 on, for which no plugin is named",
            file()
                .scalars("loss", [1])
                .value(1, unnamed("weights", 1.0))
                .value(2, unnamed("weights", 2.0)),
        ),
        golden(
            "unfit_scalar",
            "accuracy: 2 scalars from step 1 on are DT_DOUBLE",
            file()
                .scalars("loss", [1])
                .value(1, double("accuracy", 0.5))
                .value(2, double("accuracy", 0.75)),
        ),
        golden(
            "non_finite_values",
            "loss: 2 values from step 2 on are NaN or infinite",
            file()
                .scalars("loss", [1])
                .value(2, simple("loss", f32::INFINITY))
                .value(3, simple("loss", f32::NAN)),
        ),
        golden(
            "sampled",
            "images: 2 series with up to 12 points (b); 10 are kept",
            (1..=12).fold(file(), |file, step| {
                let file = file.value(step, image("b"));
                if step == 1 {
                    file
                } else {
                    file.value(step, image("a"))
                }
            }),
        ),
    ]
}

fn directories() -> Vec<Golden> {
    let loss = |start, steps| EventFile::at(START + start).scalars("loss", steps);
    vec![
        two(
            "two_writers",
            "written at the same time as",
            [(FIRST, loss(0.0, 1..=20)), (SECOND, loss(5.0, 1..=20))],
        ),
        two(
            "file_order",
            "written before",
            [
                ("exp1/tfevents.10", loss(50.0, 4..=6)),
                ("exp1/tfevents.9", loss(0.0, 1..=3)),
            ],
        ),
        two(
            "same_second",
            "its name has the same second as",
            [
                (FIRST, loss(0.0, 1..=3)),
                (
                    "exp1/events.out.tfevents.1700000000.host.2.0",
                    loss(50.0, 4..=6),
                ),
            ],
        ),
    ]
}

fn clocks() -> Vec<Golden> {
    let loss = || EventFile::new().scalars("loss", 1..=3);
    vec![
        golden(
            "clock_back",
            "at byte 166 the wall time goes back by 3600 s, and 1 more",
            loss().set_time(START + 3.0 - 3600.0).scalars("loss", 4..=5),
        ),
        golden(
            "clock_ahead",
            "the event at byte 166 has the wall time 4000000000, which is to come, and 1 more",
            loss().set_time(4e9).scalars("loss", 4..=5),
        ),
        golden(
            "clock_unset",
            "the event at byte 0 has the wall time 0, which is in 1970 or before, and 3 more",
            EventFile::at(0.0).scalars("loss", 1..=3),
        ),
    ]
}

fn sessions() -> Vec<Golden> {
    let trial = |hparam, metric| {
        let file = EventFile::new().value(0, experiment(hparam, "accuracy"));
        file.value(0, session(hparam)).scalars(metric, [1])
    };
    let other = "exp2/events.out.tfevents.1700000000.host.1.0";
    vec![
        two(
            "hidden_columns",
            "2 experiment summaries, not all of which list the settings dropout, lr",
            [
                (FIRST, trial("lr", "accuracy")),
                (other, trial("dropout", "accuracy")),
            ],
        ),
        two(
            "no_metrics",
            "a session without a metric",
            [
                (FIRST, trial("lr", "accuracy")),
                (other, trial("lr", "loss")),
            ],
        ),
    ]
}

/// Writes all of them in place of what is there.
pub fn write() {
    let root = root();
    if root.exists() {
        fs::remove_dir_all(&root).unwrap();
    }
    for Golden { name, files, .. } in all() {
        for (path, bytes) in files {
            let path = root.join(name).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}
