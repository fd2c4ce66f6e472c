//! What is in a run directory already: a run, whose it is, which files are of it.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use cnn_tb::tb::event_file::event_file_names;
use cnn_tb::tb::proto::event::What;
use cnn_tb::tb::writer::{LOCK_NAME, PART_NAME};
use cnn_tb::tb::{EventReader, Logdir, SessionStatus};
use cnn_tb::train::{Config, LAST, PART as CHECKPOINT_PART, PREVIOUS};

use super::run_dir::{CHILDREN, CONFIG, CONFIG_PART, PART, WEIGHTS};
use crate::cli::output::Advised;
use crate::cli::units::ago;

/// The files that a training writes beside its event files and the Projector page's.
const FILES: [&str; 7] = [
    CONFIG,
    CONFIG_PART,
    WEIGHTS,
    PART,
    LAST,
    PREVIOUS,
    CHECKPOINT_PART,
];
/// What the Projector page reads first.
const PROJECTOR_CONFIG: &str = "projector_config.pbtxt";
/// The directory above all points.
const PROJECTOR: &str = "projector";
/// The files of some points.
const PROJECTOR_FILES: [&str; 3] = ["tensors.tsv", "metadata.tsv", "sprite.png"];
/// How many directories are looked into for other runs.
const MAX_DIRECTORIES: usize = 10_000;

/// A directory with something in it that a new run would add to or replace.
#[derive(Debug)]
pub struct EarlierRun<'a> {
    path: &'a Path,
}

impl<'a> EarlierRun<'a> {
    /// The run in the directory `path` itself, if there is one.
    pub fn at(path: &'a Path) -> anyhow::Result<Option<Self>> {
        let names =
            event_file_names(path).with_context(|| format!("cannot read {}", path.display()))?;
        let is_there = |name| path.join(name).symlink_metadata().is_ok();
        let is_run = !names.is_empty() || FILES.into_iter().any(is_there);
        Ok(is_run.then_some(Self { path }))
    }

    /// ` (6 epochs, finished 2 min ago)`, as far as its event files tell.
    pub fn describe(&self) -> String {
        let runs = Logdir::open(self.path).and_then(|logdir| logdir.runs());
        let own = (runs.ok()).and_then(|runs| runs.into_iter().find(|run| run.name() == "."));
        let Some(((_, last), run)) = own.and_then(|run| run.wall_times().zip(Some(run))) else {
            return String::new();
        };
        let points = run.scalars("validation/accuracy").unwrap_or_default();
        let epochs = match points.last().map_or(0, |point| point.step) {
            0 => "no epoch completed".to_owned(),
            1 => "1 epoch".to_owned(),
            count => format!("{count} epochs"),
        };
        if self.is_being_written() {
            return format!(" ({epochs}, still being written)");
        }
        let ended = match run.session().and_then(|session| session.status) {
            Some(SessionStatus::Success) => "finished",
            Some(SessionStatus::Failure) => "failed",
            Some(SessionStatus::Running) | None => "interrupted",
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |now| now.as_secs_f64());
        format!(" ({epochs}, {ended} {})", ago(now - last))
    }

    /// Whether a writer has the directory open at this moment.
    pub fn is_being_written(&self) -> bool {
        let lock = File::open(self.path.join(LOCK_NAME));
        lock.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Its files, all of which cnn-tb wrote.
    ///
    /// # Errors
    /// Anything in the place of such a file that cnn-tb did not write.
    pub fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let own = event_files(self.path)?;
        let is_ours = !own.is_empty() || is_our_config(&self.path.join(CONFIG));
        let mut files = Vec::new();
        for name in FILES {
            let file = self.path.join(name);
            if file.symlink_metadata().is_ok() {
                if !is_ours {
                    return Err(not_ours(&file));
                }
                files.push(file);
            }
        }
        files.extend(own);
        for child in CHILDREN.map(|child| self.path.join(child)) {
            // Behind a link is somebody else's directory.
            if child
                .symlink_metadata()
                .is_ok_and(|metadata| metadata.is_dir())
            {
                files.extend(event_files(&child)?);
            }
        }
        files.extend(projector_files(self.path)?);
        Ok(files)
    }
}

/// Names of runs below a directory, the nearest first and at most three; the children of its own
/// run are not counted.
pub fn other_runs(path: &Path, holds_run: bool) -> Vec<String> {
    let mut names = Vec::new();
    let mut directories = VecDeque::from([path.to_owned()]);
    for _ in 0..MAX_DIRECTORIES {
        let Some(directory) = directories.pop_front() else {
            break;
        };
        for child in subdirectories(&directory) {
            let name = child.strip_prefix(path).unwrap_or(&child).to_path_buf();
            let belongs = holds_run && CHILDREN.iter().any(|own| name == Path::new(own));
            let is_run = event_file_names(&child).is_ok_and(|files| !files.is_empty());
            if is_run && !belongs {
                // As runs are named, on Windows too.
                let parts: Vec<_> = name.iter().map(OsStr::to_string_lossy).collect();
                names.push(parts.join("/"));
                if names.len() == 3 {
                    return names;
                }
            } else {
                directories.push_back(child);
            }
        }
    }
    names
}

/// The directories directly in a directory, by name; links are not followed.
fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut directories: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    directories.sort();
    directories
}

/// The event files directly in a directory, all of which must be ours.
fn event_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let names = event_file_names(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths: Vec<PathBuf> = names.iter().map(|name| directory.join(name)).collect();
    if let Some(path) = paths.iter().find(|path| !is_our_event_file(path)) {
        return Err(not_ours(path));
    }
    for name in [LOCK_NAME, PART_NAME] {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok() {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// What a training has put beside its event files for the Projector page.
fn projector_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let config = path.join(PROJECTOR_CONFIG);
    let Ok(metadata) = config.symlink_metadata() else {
        return Ok(Vec::new());
    };
    let text = metadata.is_file().then(|| fs::read_to_string(&config).ok());
    if !text.flatten().is_some_and(|text| is_our_projector(&text)) {
        return Err(not_ours(&config));
    }
    let mut files = vec![config];
    let stages = projector_stages(path);
    for directory in stages.iter().flat_map(|stage| subdirectories(stage)) {
        let paths = PROJECTOR_FILES.map(|name| directory.join(name));
        let is_file = |path: &PathBuf| path.symlink_metadata().is_ok_and(|m| m.is_file());
        files.extend(paths.into_iter().filter(is_file));
    }
    Ok(files)
}

/// The directories that the Projector page's points of a run are in, the innermost first.
pub fn projector_directories(path: &Path) -> Vec<PathBuf> {
    let stages = projector_stages(path);
    let mut directories: Vec<PathBuf> = stages.iter().flat_map(|s| subdirectories(s)).collect();
    directories.extend(stages);
    directories.push(path.join(PROJECTOR));
    directories
}

/// The directories below [`PROJECTOR`] that a training makes: those named after a stage of a
/// network. In each is one for each step.
fn projector_stages(path: &Path) -> Vec<PathBuf> {
    let above = path.join(PROJECTOR);
    let is_directory = above.symlink_metadata().is_ok_and(|m| m.is_dir());
    let mut stages = match is_directory {
        true => subdirectories(&above),
        false => Vec::new(),
    };
    stages.retain(|stage| {
        let name = stage.file_name().unwrap_or_default();
        is_stage(&name.to_string_lossy())
    });
    stages
}

/// Whether a configuration of the Projector page names nothing but a training's points.
fn is_our_projector(text: &str) -> bool {
    let fields = text.lines().map(str::trim);
    let mut paths = fields.filter_map(|field| field.split_once("_path: "));
    paths.all(|(_, path)| {
        let below = path.strip_prefix("\"projector/");
        let stage = below.and_then(|below| below.split_once('/'));
        stage.is_some_and(|(stage, _)| is_stage(stage))
    })
}

/// Whether points may be called so: `conv3`, `fc1` or `input`, as
/// [`PlannedLayer::stage`](cnn_tb::nn::PlannedLayer::stage).
fn is_stage(name: &str) -> bool {
    let number = ["conv", "fc"]
        .iter()
        .find_map(|kind| name.strip_prefix(kind));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    name == "input" || number.is_some_and(is_number)
}

fn not_ours(path: &Path) -> anyhow::Error {
    let message = format!(
        "{} was not written by cnn-tb, so --overwrite leaves it alone",
        path.display()
    );
    Advised::new(message, "move it away, or choose another --logdir").into()
}

/// Whether the first event says so, or the file is empty as a training leaves it that was killed
/// in its first moment.
fn is_our_event_file(path: &Path) -> bool {
    let is_file = |path: &Path| {
        path.symlink_metadata()
            .is_ok_and(|metadata| metadata.is_file())
    };
    let Some(file) = is_file(path).then(|| File::open(path).ok()).flatten() else {
        return false;
    };
    match EventReader::new(file).next() {
        None => true,
        Some(Ok(event)) => {
            matches!(event.what, Some(What::FileVersion(_)))
                && event
                    .source_metadata
                    .is_some_and(|source| source.writer.starts_with("cnn-tb "))
        }
        Some(Err(_)) => false,
    }
}

/// Whether it is what a training writes, to the letter.
fn is_our_config(path: &Path) -> bool {
    let Ok(text) = fs::read_to_string(path) else {
        return false;
    };
    Config::from_toml(&text).is_ok_and(|config| config.to_toml() == text)
}

#[cfg(test)]
mod tests {
    use cnn_tb::tb::SummaryWriter;

    use super::*;

    #[test]
    fn a_directory_is_known_to_be_written_while_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let writer = SummaryWriter::create(dir.path()).unwrap();
        assert!(dir.path().join(LOCK_NAME).exists());
        let earlier = EarlierRun::at(dir.path()).unwrap().unwrap();
        assert!(earlier.is_being_written());
        writer.finish().unwrap();
        assert!(!earlier.is_being_written());
    }

    #[test]
    fn the_next_runs_below_are_named_and_own_children_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("events.out.tfevents.1.a"), "").unwrap();
        };
        fs::create_dir_all(dir.path().join("notes/old")).unwrap();
        assert_eq!(other_runs(dir.path(), false), [""; 0]);
        make("train");
        assert_eq!(other_runs(dir.path(), false), ["train"]);
        assert_eq!(other_runs(dir.path(), true), [""; 0]);
        make("train/deep");
        make("notes/old/exp1");
        make("exp2");
        assert_eq!(
            other_runs(dir.path(), true),
            ["exp2", "train/deep", "notes/old/exp1"]
        );
    }

    #[test]
    fn a_projector_is_ours_if_all_its_points_are() {
        for (text, expected) in [
            ("", true),
            (
                "embeddings {\n  tensor_path: \"projector/fc1/00006/tensors.tsv\"\n}\n",
                true,
            ),
            (
                "embeddings {\n  tensor_path: \"projector/conv12/00006/tensors.tsv\"\n}\n",
                true,
            ),
            (
                "embeddings {\n  tensor_path: \"projector/mine/1/tensors.tsv\"\n}\n",
                false,
            ),
            (
                "embeddings {\n  tensor_path: \"projector/fc/1/tensors.tsv\"\n}\n",
                false,
            ),
            ("model_checkpoint_path: \"model.ckpt\"\n", false),
        ] {
            assert_eq!(is_our_projector(text), expected, "{text}");
        }
    }

    #[test]
    fn a_config_is_ours_only_to_the_letter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CONFIG);
        let ours = Config::default().to_toml();
        for (text, expected) in [
            (ours.clone(), true),
            (String::new(), false),
            (format!("# mine\n{ours}"), false),
            ("[package]\nname = \"x\"\n".to_owned(), false),
        ] {
            fs::write(&path, &text).unwrap();
            assert_eq!(is_our_config(&path), expected, "{text}");
        }
    }
}
