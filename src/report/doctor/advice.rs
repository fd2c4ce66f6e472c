//! What TensorBoard makes of each cause, and what to do: the same for every case of it.
//!
//! "The data server" is the loader that TensorBoard uses by default (`--load_fast=auto`), "the
//! Python loader" the other one (`--load_fast=false`). Sources: `run.rs`, `event_file.rs`,
//! `reservoir.rs` and `data_compat.rs` in
//! <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/data/server>,
//! `plugin_event_accumulator.py`, `directory_watcher.py` and `event_file_loader.py` in
//! <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/backend/event_processing>,
//! `backend_context.py` in
//! <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/plugins/hparams>.

use crate::report::doctor::finding::Cause;

impl Cause {
    /// What TensorBoard makes of it, and which of its loaders: one or two sentences.
    pub fn effect(&self) -> &'static str {
        match self {
            Self::NoEvents => "TensorBoard says \"No dashboards are active\".",
            Self::Unreadable { .. } => "Neither loader shows anything of it.",
            Self::UnreadName => {
                "Both loaders pass it over: they read only files whose names contain `tfevents`."
            }
            Self::EmptyFile => {
                "The Python loader lists a run without anything in it; the data server does not \
                 list it."
            }
            Self::NoFileVersion => {
                "The data server does not mind; the Python loader falls back on an old rule by \
                 which a step that goes back drops the later points of its tag."
            }
            Self::DamagedPayload { .. } => {
                "The Python loader shows nothing from this record on. The data server uses the \
                 record if it can be decoded all the same, perhaps with wrong numbers; if not, or \
                 with --checksum, it gives up the file for as long as it runs."
            }
            Self::DamagedLength { .. } => {
                "Both loaders show nothing from this record on, though what follows may be whole; \
                 the data server does not look at the file again for as long as it runs."
            }
            Self::ZeroTail { .. } => {
                "The place was reserved, but the bytes never came (a power failure, a network file \
                 system). Both loaders stop here, and show nothing of what is appended later."
            }
            Self::TornTail { .. } => {
                "The writer was killed, or the disk was full. Both loaders show all but the last \
                 record, and wait for its rest; whatever is appended behind it is lost."
            }
            Self::GrowingTail { .. } => {
                "Both loaders wait for the rest of it. Look again when the writer has ended."
            }
            Self::TooLong { .. } => {
                "TensorBoard moves at most 256 MiB from its data server to its web server at once."
            }
            Self::NotAnEvent { .. } => {
                "The data server gives up the file. The Python loader's reading thread ends by an \
                 exception: after that no run at all is updated."
            }
            Self::TooLarge { .. } => {
                "Both loaders decode it whatever it takes: a few megabytes of such events can fill \
                 a machine's memory. cnn-tb leaves it out."
            }
            Self::NonFiniteTime { .. } => {
                "At a wall time that is NaN the data server gives up the file, and all behind it \
                 is lost; at an infinite one it drops the event."
            }
            Self::StepsGoBack { .. } => {
                "The data server erases the points of the tag at or after the step to which it \
                 goes back. The Python loader keeps them, and draws a line that doubles back."
            }
            Self::LoneStart { .. } => {
                "The start of a session is marked only here, and the Python loader takes the first \
                 mark of a run for an announcement: it keeps the old points, and the line doubles \
                 back. The data server erases them."
            }
            Self::RepeatedSteps { .. } => {
                "The data server keeps only the last point of a step. The Python loader draws them \
                 all, one above the other."
            }
            Self::KindChanged { .. } => {
                "A tag is what its first value was. The data server drops values of another kind; \
                 with the Python loader the whole tag may answer with an error."
            }
            Self::NoPlugin { .. } => {
                "Neither loader shows them anywhere: the plugin named by a tag's first value \
                 decides on which page a series is shown."
            }
            Self::UnfitScalar { .. } => {
                "The data server drops them without a word: it takes only single 32-bit floats. \
                 The Python loader shows them."
            }
            Self::NonFiniteValues { .. } => {
                "Charts mark them with triangles and leave a gap in the line; the value shown at \
                 the end may be NaN."
            }
            Self::Sampled { .. } => {
                "TensorBoard shows a random sample of the points, of which only the last is sure \
                 to be there."
            }
            Self::TwoWriters { .. } => {
                "Both loaders read the files of a directory one after the other. While both grow, \
                 the Python loader follows only the later one; where they have tags in common, the \
                 data server erases points."
            }
            Self::FileOrder { .. } => {
                "Both loaders read the files of a directory in the order of their names, so the \
                 later points come first: the data server erases them where tags are common, the \
                 Python loader draws a line that doubles back."
            }
            Self::SameSecond { .. } => {
                "Files of one second are read in the order of the rest of their names, which is by \
                 host and process and not by time."
            }
            Self::ClockBack { .. } => {
                "Charts over wall time and relative time double back, and runs may be listed in \
                 another order; charts over steps are right."
            }
            Self::ClockAhead { .. } | Self::ClockUnset { .. } => {
                "Charts over wall time are stretched to that date, and the run takes another place \
                 in the list; charts over steps are right."
            }
            Self::HiddenColumns { .. } => {
                "The HParams page takes its columns from one experiment summary of the logdir, an \
                 arbitrary one, and hides what that one does not list."
            }
            Self::NoMetrics => "The HParams page shows the session as a row without results.",
        }
    }

    /// What to do about it: one or two sentences.
    pub fn repair(&self) -> &'static str {
        match self {
            Self::NoEvents => "Name the directory that holds the runs.",
            Self::Unreadable { .. } => "Give yourself the right to read it.",
            Self::UnreadName => {
                "Rename it, as to events.out.tfevents.<seconds>.<anything>, in a directory of its \
                 own."
            }
            Self::EmptyFile => "Remove it, unless a program has just begun to write it.",
            Self::NoFileVersion => {
                "Nothing, as long as no step goes back. Writers should begin each file with the \
                 version \"brain.Event:2\"."
            }
            Self::DamagedPayload { .. }
            | Self::DamagedLength { .. }
            | Self::ZeroTail { .. }
            | Self::TornTail { .. }
            | Self::NotAnEvent { .. } => {
                "Copy what is good: cnn-tb doctor --repair OUT FILE, then put OUT in FILE's place \
                 and start TensorBoard again."
            }
            Self::GrowingTail { .. } => "Nothing.",
            Self::TooLong { .. } => {
                "Log smaller values; --repair copies the file without this record."
            }
            Self::TooLarge { .. } => {
                "Log fewer values in one event. cnn-tb doctor --repair OUT FILE copies the file \
                 without it."
            }
            Self::NonFiniteTime { .. } => {
                "Give writers finite times. cnn-tb doctor --repair OUT FILE copies the file \
                 without these events."
            }
            Self::StepsGoBack { .. } => {
                "Let steps only rise. For a restart write into a new directory, or mark it \
                 (SummaryWriter::append of cnn-tb does); for several epochs count on."
            }
            Self::LoneStart { .. } => {
                "Nothing, for the default loader. Writers should mark the first start of a run \
                 too: purge_step=0 when it begins, purge_step=N when it goes on."
            }
            Self::RepeatedSteps { .. } => {
                "Give each point a step of its own: with PyTorch, pass global_step to add_scalar."
            }
            Self::KindChanged { .. } => "Give each kind of value a tag of its own.",
            Self::NoPlugin { .. } => {
                "Write them with the plugin's metadata, as add_scalar, add_histogram or add_text \
                 do; without it they can only be read by programs."
            }
            Self::UnfitScalar { .. } => {
                "Log 32-bit floats (in PyTorch without double_precision), or start TensorBoard \
                 with --load_fast=false."
            }
            Self::NonFiniteValues { .. } => {
                "Look for what diverged at that step. The event file is fine."
            }
            Self::Sampled { .. } => {
                "Start TensorBoard with a higher limit, as --samples_per_plugin=images=200,\
                 scalars=100000; cnn-tb export reads all points."
            }
            Self::TwoWriters { .. } => {
                "Give each writer a directory of its own. For what is there: move one of the files \
                 into a new directory."
            }
            Self::FileOrder { .. } => {
                "Rename the files so that their names sort by time, and start TensorBoard again."
            }
            Self::SameSecond { .. } => "Give each writer a directory of its own.",
            Self::ClockBack { .. } | Self::ClockAhead { .. } | Self::ClockUnset { .. } => {
                "Look at charts by step; set the clock, or the wall times that the program passes."
            }
            Self::HiddenColumns { .. } => {
                "Write the experiment summary once, with all names, or write none: TensorBoard \
                 then finds the columns itself. PyTorch's add_hparams writes one per run, so give \
                 it the same names in every run."
            }
            Self::NoMetrics => {
                "Log a scalar in the session's directory or below it; where there is an experiment \
                 summary, under a metric's name."
            }
        }
    }
}
