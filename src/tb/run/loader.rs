//! The event files of one directory, read into a run.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::tb::event_file::event_file_names;
use crate::tb::outline::{EventOutline, ValueOutline};
use crate::tb::proto::session_log::SessionStatus as LogStatus;
use crate::tb::proto::summary::value;
use crate::tb::proto::{Event, event};
use crate::tb::reader::{EventReader, ReadError, decode_event};
use crate::tb::record::RecordError;
use crate::tb::run::{Location, Point, Problem, Run, Session, Stored, hparams_yaml, span};
use crate::tb::scalar_event::ScalarEvent;
use crate::tb::summary::{Kind, graph, hparams, scalar, text};

/// Reads the event files directly in `path` as one run.
///
/// # Errors
/// The directory cannot be listed. A file that cannot be read is a [`Problem`] of the run.
pub(crate) fn read_directory(name: &str, path: &Path) -> io::Result<Run> {
    let mut loader = Loader {
        run: Run::new(name, path),
        tags: HashMap::new(),
        series: Vec::new(),
        last: 0,
        starts_purge: false,
        is_armed: false,
    };
    for file_name in event_file_names(path)? {
        loader.read_file(&path.join(file_name));
    }
    let mut run = loader.finish();
    if run.session.is_none() {
        let hparams = hparams_yaml::read(path);
        let session = Session {
            hparams,
            ..Session::default()
        };
        run.session = (!session.hparams.is_empty()).then_some(session);
    }
    Ok(run)
}

/// One run while its files are read, in the order of their names.
struct Loader {
    run: Run,
    /// Where in `series` each tag's points are.
    tags: HashMap<String, usize>,
    series: Vec<Series>,
    /// The series that was asked for last.
    last: usize,
    /// Whether the last file version was one in which starts of sessions purge.
    starts_purge: bool,
    /// Whether a start was seen: in TensorBoard's Python loader the first one of a run only arms.
    is_armed: bool,
}

/// One tag and its points.
struct Series {
    tag: String,
    points: Points,
    /// The series that followed this one last time. Trainings log their tags in turn, so that this
    /// is nearly always the next one too.
    next: usize,
}

/// The points of one tag. The first value of a tag decides what the tag is.
enum Points {
    /// With those that were dropped.
    Scalars(Vec<Point>, Vec<Point>),
    Texts(Vec<Point<String>>),
    /// Values that may be large, and stay in their files.
    Stored(Stored),
}

impl Loader {
    fn finish(mut self) -> Run {
        for Series { tag, points, .. } in self.series {
            match points {
                Points::Scalars(mut points, dropped) => {
                    points.shrink_to_fit();
                    if !dropped.is_empty() {
                        self.run.dropped_scalars.insert(tag.clone(), dropped);
                    }
                    self.run.scalars.insert(tag, points);
                }
                Points::Texts(points) => drop(self.run.texts.insert(tag, points)),
                Points::Stored(stored) => drop(self.run.stored.insert(tag, stored)),
            }
        }
        self.run
    }

    fn read_file(&mut self, path: &Path) {
        let file = match open_regular(path) {
            Ok(Some(file)) => file,
            Ok(None) => return,
            Err(cause) => return self.add_problem(path, ReadError::Open { cause }),
        };
        self.run.files.push(path.to_owned());
        self.run.bytes += file.metadata().map_or(0, |metadata| metadata.len());
        let mut events = EventReader::new(file);
        let mut has_problem = false;
        while let Some(result) = events.next_with(|offset, payload| self.add(offset, payload)) {
            let Err(error) = result else { continue };
            let is_io = matches!(error, ReadError::Record(RecordError::Io { .. }));
            match self.run.problems.last_mut() {
                Some(problem) if has_problem => problem.more += 1,
                _ => self.add_problem(path, error),
            }
            has_problem = true;
            if is_io {
                return;
            }
        }
    }

    fn add_problem(&mut self, path: &Path, error: ReadError) {
        let path = path.to_owned();
        self.run.problems.push(Problem {
            path,
            error,
            more: 0,
        });
    }

    fn add(&mut self, offset: u64, payload: &[u8]) -> Result<(), ReadError> {
        if let Some(event) = ScalarEvent::decode(payload) {
            self.add_time(offset, event.wall_time)?;
            let index = self.series_of(event.tag, || Kind::Scalar);
            self.add_scalar(index, event.step, event.wall_time, event.value);
            return Ok(());
        }
        let event: EventOutline = decode_event(offset, payload)?;
        self.add_time(offset, event.wall_time)?;
        if !event.file_version.is_empty() {
            self.starts_purge = has_purging_starts(&event.file_version);
        }
        if event
            .session_log
            .is_some_and(|log| log.status() == LogStatus::Start)
        {
            self.add_start(event.step);
        }
        let location = self.location(offset);
        let (step, wall_time) = (event.step, event.wall_time);
        if event.graph_def.is_some() {
            let index = self.series_of(graph::RUN_GRAPH, || Kind::Graph);
            self.add_stored(index, step, wall_time, location);
        }
        if let Some(tagged) = event.tagged_run_metadata {
            let index = self.series_of(&tagged.tag, || Kind::Graph);
            self.add_stored(index, step, wall_time, location);
        }
        let values = event
            .summary
            .map(|summary| summary.value)
            .unwrap_or_default();
        let mut needs_tensors = false;
        for value in values {
            needs_tensors |= self.add_outline(step, wall_time, location, value);
        }
        if needs_tensors {
            self.add_tensors(decode_event(offset, payload)?);
        }
        Ok(())
    }

    fn add_time(&mut self, offset: u64, wall_time: f64) -> Result<(), ReadError> {
        if !wall_time.is_finite() {
            let found = wall_time;
            return Err(ReadError::WallTime { offset, found });
        }
        self.run.wall_times = span(self.run.wall_times, Some((wall_time, wall_time)));
        Ok(())
    }

    /// The start of a session at `step`. Source: `plugin_event_accumulator.py` in
    /// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/backend/event_processing>.
    fn add_start(&mut self, step: i64) {
        if !self.starts_purge {
            return;
        }
        if self.is_armed {
            for series in &mut self.series {
                self.run.dropped += match &mut series.points {
                    Points::Scalars(points, dropped) => keep_dropped(points, dropped, step),
                    Points::Texts(points) => drop_from(points, step),
                    Points::Stored(stored) => drop_from(&mut stored.points, step),
                };
            }
        }
        self.is_armed = true;
    }

    /// Adds what the outline tells; whether the value's tensor is needed too.
    fn add_outline(
        &mut self,
        step: i64,
        wall_time: f64,
        location: Location,
        value: ValueOutline,
    ) -> bool {
        let metadata = value.metadata.as_ref();
        if let Some(info) = hparams::from_metadata(&value.tag, metadata) {
            self.add_session_info(info);
            return false;
        }
        let form = value.kind_of_form();
        let index = self.series_of(&value.tag, || form.unwrap_or_else(|| Kind::of(metadata)));
        match (&self.series[index].points, form) {
            (Points::Scalars(..), Some(Kind::Scalar)) => {
                let number = value.simple_value.unwrap_or_default();
                self.add_scalar(index, step, wall_time, number);
                false
            }
            (Points::Scalars(..) | Points::Texts(_), None) => true,
            (Points::Stored(stored), _) if form.is_none_or(|form| form == stored.kind) => {
                self.add_stored(index, step, wall_time, location);
                false
            }
            _ => false,
        }
    }

    fn add_scalar(&mut self, index: usize, step: i64, wall_time: f64, value: f32) {
        if let Points::Scalars(points, dropped) = &mut self.series[index].points {
            if points.last().is_some_and(|last| last.step >= step) {
                self.run.dropped += keep_dropped(points, dropped, step);
            }
            points.push(Point {
                step,
                wall_time,
                value,
            });
        }
    }

    fn add_stored(&mut self, index: usize, step: i64, wall_time: f64, location: Location) {
        if let Points::Stored(stored) = &mut self.series[index].points {
            self.run.dropped += push(&mut stored.points, step, wall_time, location);
        }
    }

    /// A record of the file that is read.
    fn location(&self, offset: u64) -> Location {
        let file = self.run.files.len().saturating_sub(1) as u32;
        Location { file, offset }
    }

    fn add_tensors(&mut self, event: Event) {
        let Some(event::What::Summary(summary)) = event.what else {
            return;
        };
        for value in summary.value {
            let Some(value::Value::Tensor(tensor)) = value.value else {
                continue;
            };
            let index = self.series_of(&value.tag, || Kind::Other);
            match &mut self.series[index].points {
                Points::Scalars(..) => {
                    if let Some(number) = scalar::from_tensor(&tensor) {
                        self.add_scalar(index, event.step, event.wall_time, number);
                    }
                }
                Points::Texts(points) => {
                    if let Some(text) = text::from_tensor(&tensor) {
                        self.run.dropped += push(points, event.step, event.wall_time, text);
                    }
                }
                Points::Stored(_) => {}
            }
        }
    }

    /// The first start and the first end hold for ever, as in TensorBoard.
    fn add_session_info(&mut self, info: hparams::SessionInfo) {
        let known = |secs: f64| (secs > 0.0).then_some(secs);
        let session = &mut self.run.session;
        match info {
            hparams::SessionInfo::Experiment => self.run.has_experiment = true,
            hparams::SessionInfo::Start {
                hparams,
                start_time_secs,
            } => {
                let session = session.get_or_insert_default();
                if session.start_time_secs.is_none() && session.hparams.is_empty() {
                    session.hparams = hparams;
                    session.start_time_secs = known(start_time_secs);
                }
            }
            hparams::SessionInfo::End {
                status,
                end_time_secs,
            } => {
                let session = session.get_or_insert_default();
                if session.end_time_secs.is_none() && session.status.is_none() {
                    session.status = status;
                    session.end_time_secs = known(end_time_secs);
                }
            }
        }
    }

    /// Where the series of a tag is; `kind` says what a new one is.
    #[inline]
    fn series_of(&mut self, tag: &str, kind: impl FnOnce() -> Kind) -> usize {
        if let Some(last) = self.series.get(self.last)
            && self.series[last.next].tag == tag
        {
            self.last = last.next;
            return self.last;
        }
        let index = match self.tags.get(tag) {
            Some(&index) => index,
            None => self.add_series(tag, kind()),
        };
        self.series[self.last].next = index;
        self.last = index;
        index
    }

    fn add_series(&mut self, tag: &str, kind: Kind) -> usize {
        let points = match kind {
            Kind::Scalar => Points::Scalars(Vec::new(), Vec::new()),
            Kind::Text => Points::Texts(Vec::new()),
            kind => Points::Stored(Stored {
                kind,
                points: Vec::new(),
            }),
        };
        let index = self.series.len();
        self.tags.insert(tag.to_owned(), index);
        self.series.push(Series {
            tag: tag.to_owned(),
            points,
            next: index,
        });
        index
    }
}

/// Adds a point behind those of smaller steps; all others are dropped, and counted. Source: `reservoir.rs` in
/// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/data/server>.
fn push<T>(points: &mut Vec<Point<T>>, step: i64, wall_time: f64, value: T) -> u64 {
    let is_behind = points.last().is_none_or(|last| last.step < step);
    let dropped = if is_behind {
        0
    } else {
        drop_from(points, step)
    };
    points.push(Point {
        step,
        wall_time,
        value,
    });
    dropped
}

/// Drops the points at or after `step`; gives their number.
fn drop_from<T>(points: &mut Vec<Point<T>>, step: i64) -> u64 {
    let kept = points.partition_point(|point| point.step < step);
    let dropped = points.len() - kept;
    points.truncate(kept);
    dropped as u64
}

/// Moves the points at or after `step` to `dropped`; gives their number.
fn keep_dropped(points: &mut Vec<Point>, dropped: &mut Vec<Point>, step: i64) -> u64 {
    let kept = points.partition_point(|point| point.step < step);
    let before = dropped.len();
    dropped.extend(points.drain(kept..));
    (dropped.len() - before) as u64
}

fn has_purging_starts(file_version: &str) -> bool {
    let version = file_version.strip_prefix("brain.Event:");
    version.is_some_and(|version| version.parse().is_ok_and(|version: f64| version >= 2.0))
}

/// Opens a file; `None` where it has gone or is no file, as a pipe, which might never end.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let open = || match fs::metadata(path)?.is_file() {
        true => File::open(path).map(Some),
        false => Ok(None),
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use prost::Message as _;

    use super::*;
    use crate::tb::proto::summary::Value;
    use crate::tb::proto::summary::{Audio, Image};
    use crate::tb::proto::{
        DataType, HistogramProto, SessionLog, Summary, SummaryMetadata, TensorProto,
        summary_metadata::PluginData,
    };
    use crate::tb::record::append_record;
    use crate::tb::run::{self, HParam, SeriesError, SessionStatus};
    use crate::tb::summary::histogram::Histogram;
    use crate::tb::summary::image::Images;
    use crate::tb::writer::EventWriter;

    /// An event file in the making: its events, and bytes that are not events.
    #[derive(Default)]
    struct EventFile(Vec<u8>);

    impl EventFile {
        /// A file of the version that writers use today.
        fn new() -> Self {
            let version = event::What::FileVersion("brain.Event:2".to_owned());
            Self::default().event(0, version)
        }

        fn event(self, step: i64, what: event::What) -> Self {
            let wall_time = 1e9 + step as f64;
            self.raw(&Event {
                wall_time,
                step,
                what: Some(what),
                ..Event::default()
            })
        }

        fn raw(mut self, event: &Event) -> Self {
            append_record(&mut self.0, &event.encode_to_vec());
            self
        }

        fn value(self, step: i64, value: Value) -> Self {
            let summary = Summary { value: vec![value] };
            self.event(step, event::What::Summary(summary))
        }

        fn scalars(self, tag: &str, points: &[(i64, f32)]) -> Self {
            points.iter().fold(self, |file, &(step, value)| {
                file.value(step, scalar::to_value(tag, value))
            })
        }

        fn start(self, step: i64) -> Self {
            let log = SessionLog {
                status: LogStatus::Start.into(),
                ..SessionLog::default()
            };
            self.event(step, event::What::SessionLog(log))
        }

        fn bytes(mut self, bytes: &[u8]) -> Self {
            self.0.extend_from_slice(bytes);
            self
        }
    }

    /// The run made of these files, in this order.
    fn run(files: &[EventFile]) -> Run {
        run_in(tempfile::tempdir().unwrap().path(), files)
    }

    /// The same in a directory that stays, for what is read again.
    fn run_in(directory: &Path, files: &[EventFile]) -> Run {
        for (index, file) in files.iter().enumerate() {
            let name = format!("events.out.tfevents.{index:010}.host");
            fs::write(directory.join(name), &file.0).unwrap();
        }
        read_directory("exp1", directory).unwrap()
    }

    fn points(run: &Run, tag: &str) -> Vec<(i64, f32)> {
        let points = run.scalars(tag).unwrap();
        points
            .iter()
            .map(|point| (point.step, point.value))
            .collect()
    }

    fn tensor_value(tag: &str, plugin: Option<&str>, tensor: TensorProto) -> Value {
        let metadata = plugin.map(|name| SummaryMetadata {
            plugin_data: Some(PluginData {
                plugin_name: name.to_owned(),
                ..PluginData::default()
            }),
            ..SummaryMetadata::default()
        });
        Value {
            tag: tag.to_owned(),
            metadata,
            value: Some(value::Value::Tensor(tensor)),
            ..Value::default()
        }
    }

    #[test]
    fn scalars_and_texts_are_found_in_every_form() {
        let float = |value: f32| TensorProto {
            dtype: DataType::DtFloat.into(),
            float_val: vec![value],
            ..TensorProto::default()
        };
        let double = TensorProto {
            dtype: DataType::DtDouble.into(),
            tensor_content: 4.5_f64.to_le_bytes().to_vec(),
            ..TensorProto::default()
        };
        let two = Summary {
            value: vec![scalar::to_value("loss", 5.5), scalar::to_value("rate", 0.1)],
        };
        let run = run(&[EventFile::new()
            .value(1, tensor_value("loss", Some("scalars"), float(1.5)))
            .value(2, tensor_value("loss", None, float(2.5)))
            .scalars("loss", &[(3, 3.5)])
            .value(4, tensor_value("loss", Some("ignored"), double))
            .event(5, event::What::Summary(two))
            .value(1, text::to_value("note", "first"))
            .value(2, text::to_value("note", "second"))
            .value(1, tensor_value("unknown", None, float(1.0)))]);
        let expected = [(1, 1.5), (2, 2.5), (3, 3.5), (4, 4.5), (5, 5.5)];
        assert_eq!(points(&run, "loss"), expected);
        assert_eq!(run.scalars("loss").unwrap()[0].wall_time, 1e9 + 1.0);
        assert!(run.scalar_tags().eq(["loss", "rate"]));
        assert!(run.text_tags().eq(["note"]));
        let texts = run.texts("note").unwrap();
        assert_eq!((texts[1].step, texts[1].value.as_str()), (2, "second"));
        assert_eq!(run.wall_times(), Some((1e9, 1e9 + 5.0)));
        assert_eq!(run.problems().count(), 0);
    }

    /// An image's payload may be large; here it is not even a tensor, which nobody notices.
    #[test]
    fn payloads_that_no_series_needs_are_not_decoded() {
        let image = tensor_value("image", Some("images"), TensorProto::default());
        let mut value = image.encode_to_vec();
        value.extend_from_slice(b"\x42\x01\xff");
        let summary = [b"\x0a", &[value.len() as u8][..], &value].concat();
        let payload = [b"\x2a", &[summary.len() as u8][..], &summary].concat();
        assert!(Event::decode(&payload[..]).is_err());
        let mut file = EventFile::new();
        append_record(&mut file.0, &payload);
        assert_eq!(run(&[file]).problems().count(), 0);
    }

    #[test]
    fn the_first_value_decides_what_a_tag_is() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        let run = run(&[EventFile::new()
            .scalars("a", &[(1, 1.0)])
            .value(2, histogram.to_value("a"))
            .value(3, text::to_value("a", "text"))
            .value(1, histogram.to_value("b"))
            .scalars("b", &[(2, 2.0)])]);
        assert_eq!(points(&run, "a"), [(1, 1.0)]);
        assert!(run.scalar_tags().eq(["a"]));
        assert_eq!(run.text_tags().count(), 0);
    }

    fn legacy(tag: &str, value: value::Value) -> Value {
        Value {
            tag: tag.to_owned(),
            value: Some(value),
            ..Value::default()
        }
    }

    fn images(tag: &str, files: &[&[u8]]) -> Value {
        let images = Images {
            width: 3,
            height: 2,
            files: files.iter().map(|file| file.to_vec()).collect(),
        };
        images.into_value(tag)
    }

    #[test]
    fn every_kind_is_listed_and_read_again_in_both_forms() {
        let histo = HistogramProto {
            min: -2.0,
            max: 3.0,
            num: 5.0,
            bucket_limit: vec![-9.0, 0.0, 1.0, 9.0, f64::MAX],
            bucket: vec![0.0, 2.0, 0.0, 3.0, 0.0],
            ..HistogramProto::default()
        };
        let histogram = Histogram::new(&[1.0, 2.0]);
        let image = Image {
            width: 5,
            height: 4,
            encoded_image_string: b"GIF".to_vec(),
            ..Image::default()
        };
        let audio = Audio {
            encoded_audio_string: b"RIFF".to_vec(),
            ..Audio::default()
        };
        let directory = tempfile::tempdir().unwrap();
        let run = run_in(
            directory.path(),
            &[
                EventFile::new()
                    .value(1, images("i", &[b"one", b"two"]))
                    .value(1, histogram.to_value("h"))
                    .event(0, event::What::GraphDef(vec![])),
                EventFile::new()
                    .value(2, legacy("i", value::Value::Image(image)))
                    .value(2, legacy("h", value::Value::Histo(histo)))
                    .value(2, legacy("a", value::Value::Audio(audio)))
                    .scalars("h", &[(3, 1.0)]),
            ],
        );
        let series = run.series().map(|series| {
            let run::Series {
                name,
                kind,
                points,
                first_step,
                last_step,
            } = series;
            format!("{name} {kind} {points} {first_step} {last_step}")
        });
        let expected = [
            "__run_graph__ graph 1 0 0",
            "a audio 1 2 2",
            "h histogram 2 1 2",
            "i image 2 1 2",
        ];
        assert_eq!(series.collect::<Vec<_>>(), expected);
        let found = run.images("i").unwrap();
        assert_eq!(
            (found[0].value.len(), found[0].value[1].bytes.as_slice()),
            (2, &b"two"[..])
        );
        let last = &found[1].value[0];
        assert_eq!(
            (last.width, last.height, &last.bytes[..]),
            (5, 4, &b"GIF"[..])
        );
        let found = run.histograms("h").unwrap();
        assert_eq!(found[0].value, histogram);
        let rows = found[1].value.buckets.iter();
        let rows: Vec<_> = rows.map(|row| [row.left, row.right, row.count]).collect();
        assert_eq!(rows, [[-2.0, 0.0, 2.0], [0.0, 1.0, 0.0], [1.0, 3.0, 3.0]]);
        assert_eq!(run.audio("a").unwrap()[0].value, [b"RIFF"]);
        let graph = run.tensors(Kind::Graph, graph::RUN_GRAPH).unwrap();
        assert_eq!(graph[0].value.string_val, [b""]);
        let error = run.images("h").unwrap_err();
        assert_eq!(error.to_string(), "run exp1 has no image \"h\"; it has i");
    }

    #[test]
    fn a_restart_drops_and_counts_points_of_every_kind() {
        let directory = tempfile::tempdir().unwrap();
        let run = run_in(
            directory.path(),
            &[
                EventFile::new()
                    .scalars("a", &[(1, 1.0), (2, 2.0), (3, 3.0)])
                    .value(2, images("i", &[b"old"]))
                    .value(3, images("i", &[b"gone"]))
                    .value(1, images("j", &[b"gone"]))
                    .value(1, images("j", &[b"kept"])),
                EventFile::new()
                    .start(2)
                    .start(2)
                    .value(2, images("i", &[b"new"]))
                    .scalars("a", &[(2, 20.0)]),
            ],
        );
        let found = run.images("i").unwrap();
        assert_eq!(
            (found.len(), &found[0].value[0].bytes[..]),
            (1, &b"new"[..])
        );
        assert_eq!(run.images("j").unwrap()[0].value[0].bytes, b"kept");
        assert_eq!(run.dropped(), 5);
        let dropped = run
            .dropped_points("a")
            .iter()
            .map(|point| (point.step, point.value));
        assert_eq!(dropped.collect::<Vec<_>>(), [(2, 2.0), (3, 3.0)]);
        assert!(run.dropped_points("i").is_empty());
    }

    /// The file is read again, and what it holds by then is not believed either.
    #[test]
    fn a_file_that_has_changed_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.out.tfevents.1");
        let file = EventFile::new().value(1, images("i", &[b"one"])).0;
        let other = EventFile::new().value(2, images("i", &[b"two"])).0;
        let mut damaged = file.clone();
        damaged[70] ^= 1;
        fs::write(&path, &file).unwrap();
        let run = read_directory("exp1", directory.path()).unwrap();
        assert_eq!(run.bytes(), file.len() as u64);
        for (bytes, message) in [
            (
                &other[..],
                "the record at byte 40 has changed since the run was read",
            ),
            (
                &file[..40],
                "the record at byte 40 has changed since the run was read",
            ),
            (&file[..50], "the record at byte 40 is cut short"),
            (&damaged, "the record at byte 40 has a damaged payload"),
        ] {
            fs::write(&path, bytes).unwrap();
            let error = run.images("i").unwrap_err();
            assert!(!matches!(error, SeriesError::Missing(_)));
            assert!(error.to_string().contains(message), "{error}");
        }
        fs::remove_file(&path).unwrap();
        let error = run.images("i").unwrap_err().to_string();
        assert!(error.contains("tfevents.1: cannot be opened"), "{error}");
    }

    #[test]
    fn restarts_leave_one_clean_line() {
        let first = || {
            EventFile::new()
                .scalars("a", &[(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)])
                .scalars("b", &[(1, 1.0), (3, 3.0)])
                .value(0, text::to_value("note", "kept"))
        };
        let again = [(3, 30.0)];
        let kept = [(1, 1.0), (2, 2.0), (3, 30.0)];
        type Points<'a> = &'a [(i64, f32)];
        let cases: [(Vec<EventFile>, Points, Points); 5] = [
            // Twice the start: everything from it on is gone, also what is not logged again.
            (
                vec![
                    first(),
                    EventFile::new().start(3).start(3).scalars("a", &again),
                ],
                &kept,
                &[(1, 1.0)],
            ),
            // The first start only arms, as with PyTorch's `purge_step`; the second one purges.
            (
                vec![first(), EventFile::new().start(3)],
                &[(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)],
                &[(1, 1.0), (3, 3.0)],
            ),
            (
                vec![
                    first(),
                    EventFile::new().start(9),
                    EventFile::new().start(2),
                ],
                &[(1, 1.0)],
                &[(1, 1.0)],
            ),
            // Without a start, a point drops those of its own tag.
            (
                vec![first(), EventFile::new().scalars("a", &again)],
                &kept,
                &[(1, 1.0), (3, 3.0)],
            ),
            // In files of an older version starts mean nothing.
            (
                vec![EventFile(first().0[40..].to_vec()).start(3).start(3)],
                &[(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)],
                &[(1, 1.0), (3, 3.0)],
            ),
        ];
        for (files, a, b) in cases {
            let run = run(&files);
            assert_eq!((&points(&run, "a")[..], &points(&run, "b")[..]), (a, b));
            assert_eq!(run.texts("note").unwrap().len(), 1);
        }
        let repeated =
            run(&[EventFile::new().scalars("a", &[(-1, 1.0), (5, 2.0), (5, 3.0), (0, 4.0)])]);
        assert_eq!(points(&repeated, "a"), [(-1, 1.0), (0, 4.0)]);
    }

    #[test]
    fn the_first_start_and_the_first_end_of_a_session_hold() {
        let hparams = |seed: f64| BTreeMap::from([("seed".to_owned(), HParam::Number(seed))]);
        let run = run(&[
            EventFile::new()
                .value(0, hparams::start_value(&hparams(1.0), 1e9))
                .value(0, hparams::start_value(&hparams(2.0), 2e9)),
            EventFile::new()
                .value(0, hparams::end_value(SessionStatus::Failure, 3e9))
                .value(0, hparams::end_value(SessionStatus::Success, 4e9)),
        ]);
        let session = Session {
            hparams: hparams(1.0),
            start_time_secs: Some(1e9),
            status: Some(SessionStatus::Failure),
            end_time_secs: Some(3e9),
        };
        assert_eq!(run.session(), Some(&session));
        assert_eq!(run.hparams(), &hparams(1.0));
        assert_eq!(run.scalar_tags().count() + run.text_tags().count(), 0);
    }

    #[test]
    fn what_is_wrong_is_told_and_the_rest_is_read() {
        let point = |step| EventFile::default().scalars("a", &[(step, 1.0)]).0;
        let mut damaged = point(2);
        damaged[20] ^= 1;
        let no_time = Event {
            wall_time: f64::NAN,
            ..Event::default()
        };
        let good = || EventFile::new().scalars("a", &[(1, 1.0)]);
        let cases = [
            (
                good().bytes(&point(2)[..9]),
                1,
                "is cut short: 9 of 16 bytes",
            ),
            (
                good().bytes(&damaged).bytes(&point(3)),
                2,
                "damaged payload",
            ),
            (good().bytes(&damaged).bytes(&damaged), 1, "(and 1 more)"),
            (good().bytes(&[0; 12]).bytes(&point(3)), 1, "damaged length"),
            (
                good().raw(&no_time).bytes(&point(3)),
                2,
                "the wall time NaN",
            ),
        ];
        for (file, count, message) in cases {
            let run = run(&[file, EventFile::new().scalars("b", &[(1, 1.0)])]);
            assert_eq!(points(&run, "a").len(), count);
            assert_eq!(points(&run, "b").len(), 1);
            let problems: Vec<_> = run.problems().map(ToString::to_string).collect();
            assert_eq!(problems.len(), 1);
            assert!(problems[0].contains(message), "{problems:?}");
            assert!(problems[0].contains("tfevents.0000000000"), "{problems:?}");
        }
    }

    /// Every prefix of a file is what a killed process may leave.
    #[test]
    fn wherever_a_file_is_cut_all_whole_records_are_read() {
        let file = EventFile::new().scalars("a", &[(1, 1.0), (2, 2.0), (3, 3.0)]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.out.tfevents.1");
        let point_bytes = (file.0.len() - 40) / 3;
        for cut in 0..=file.0.len() {
            fs::write(&path, &file.0[..cut]).unwrap();
            let run = read_directory("exp1", directory.path()).unwrap();
            let whole = cut.saturating_sub(40) / point_bytes;
            assert_eq!(
                run.scalars("a").map_or(0, <[_]>::len),
                whole,
                "cut at {cut}"
            );
            let is_clean = cut == 0 || (cut >= 40 && (cut - 40) % point_bytes == 0);
            assert_eq!(
                run.problems().count(),
                usize::from(!is_clean),
                "cut at {cut}"
            );
            assert!(run.problems().all(|problem| problem.error.is_truncated()));
        }
    }

    /// Bytes at random, some behind a good frame, so that the decoders see them too.
    #[test]
    fn nonsense_is_a_problem_and_never_a_panic() {
        use proptest::prelude::*;
        let payload = prop::collection::vec(any::<u8>(), 0..64);
        let tail = prop::collection::vec(any::<u8>(), 0..64);
        proptest!(|(payload in payload, tail in tail)| {
            let mut bytes = EventFile::new().0;
            append_record(&mut bytes, &payload);
            bytes.extend_from_slice(&tail);
            run(&[EventFile(bytes)]);
        });
    }

    #[test]
    #[cfg(unix)]
    fn a_name_that_is_no_file_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("tfevents.directory")).unwrap();
        std::os::unix::fs::symlink("nowhere", directory.path().join("tfevents.link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", directory.path().join("tfevents.zero")).unwrap();
        let run = read_directory("exp1", directory.path()).unwrap();
        assert_eq!((run.problems().count(), run.wall_times()), (0, None));
    }

    #[test]
    fn a_file_that_grows_is_read_to_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = File::create(directory.path().join("events.out.tfevents.1")).unwrap();
        file.write_all(&EventFile::new().0).unwrap();
        let mut writer = EventWriter::new(file);
        for step in 1..=3 {
            let event = ScalarEvent {
                wall_time: 1e9,
                step,
                tag: "loss",
                value: 0.5,
            };
            writer.write_scalar(&event).unwrap();
            let run = read_directory("exp1", directory.path()).unwrap();
            assert_eq!(points(&run, "loss").len() as i64, step);
        }
    }
}
