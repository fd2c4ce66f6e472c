//! The directory that a training writes into: which it is, and what goes into it.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::Context as _;
use cnn_tb::tb::Logdir;
use cnn_tb::train::{Checkpoint, Config};

use super::earlier_run::{EarlierRun, other_runs, projector_directories};
use crate::cli::output::{Advised, escape};

/// The settings, complete.
pub const CONFIG: &str = "config.toml";
/// The last weights.
pub const WEIGHTS: &str = "weights.safetensors";
/// What weights are called until they are whole.
pub const PART: &str = "weights.safetensors.part";
/// What the configuration is called until it is whole.
pub const CONFIG_PART: &str = "config.toml.part";
/// The directories below a run that belong to it.
pub const CHILDREN: [&str; 3] = ["train", "validation", "batches"];

/// The default logdir, and what runs in it are called.
const LOGDIR: &str = "runs";
const STEM: &str = "exp";

/// A directory that a training may write into.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Whether another free name will do, should this one be taken meanwhile.
    is_default: bool,
    /// The files of an earlier run, to be removed when the new one starts.
    leftovers: Vec<PathBuf>,
    origin: Origin,
}

/// What a training begins with.
#[derive(Debug)]
enum Origin {
    /// Nothing.
    New,
    /// What was there when the run went on.
    Resumed {
        config: Config,
        /// Checkpoints that nothing can be made of.
        damaged: Vec<PathBuf>,
    },
    /// Another run.
    Forked {
        checkpoint: Box<Checkpoint>,
        /// Which, and what is different now, in Markdown.
        description: String,
    },
}

impl RunDir {
    /// The directory that was asked for, or else the next free one in `runs`. Nothing is created
    /// or removed.
    ///
    /// # Errors
    /// A directory that holds a run which is not to be replaced, or other runs; each says what
    /// could be done.
    pub fn choose(logdir: Option<&Path>, overwrite: bool) -> anyhow::Result<Self> {
        let (path, leftovers) = match logdir {
            Some(path) => (path.to_owned(), to_be_removed(path, overwrite)?),
            None => (Logdir::next_name(LOGDIR, STEM)?, Vec::new()),
        };
        Ok(Self {
            path,
            is_default: logdir.is_none(),
            leftovers,
            origin: Origin::New,
        })
    }

    /// The directory of a run that goes on, which was begun with `config`. The files `damaged` are
    /// to be removed when it does.
    pub fn resumed(path: &Path, config: Config, damaged: Vec<PathBuf>) -> Self {
        Self {
            path: path.to_owned(),
            is_default: false,
            leftovers: Vec::new(),
            origin: Origin::Resumed { config, damaged },
        }
    }

    /// The next free directory beside `path`, for a training that begins at `checkpoint` of the run
    /// there. `description` says so, in Markdown.
    ///
    /// # Errors
    /// What the file system says of a path that ends in no name, as `.`.
    pub fn forked(
        path: &Path,
        checkpoint: Checkpoint,
        description: String,
    ) -> anyhow::Result<Self> {
        // What is below `.` would be inside the run.
        let resolved = match path.file_name() {
            Some(_) => path.to_owned(),
            None => {
                fs::canonicalize(path).with_context(|| format!("cannot read {}", path.display()))?
            }
        };
        Ok(Self {
            path: next_free(&resolved),
            is_default: false,
            leftovers: Vec::new(),
            origin: Origin::Forked {
                checkpoint: Box::new(checkpoint),
                description,
            },
        })
    }

    /// Whether the run goes on.
    pub fn is_resumed(&self) -> bool {
        matches!(self.origin, Origin::Resumed { .. })
    }

    /// What a fork was made of, in Markdown.
    pub fn forked_from(&self) -> Option<&str> {
        match &self.origin {
            Origin::Forked { description, .. } => Some(description),
            Origin::New | Origin::Resumed { .. } => None,
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the weights are saved.
    pub fn weights(&self) -> PathBuf {
        self.path.join(WEIGHTS)
    }

    /// Removes what an earlier run left, and lists it first on standard error unless `quiet`. Where
    /// no directory was asked for, makes one.
    pub fn clear(&mut self, quiet: bool) -> io::Result<()> {
        self.remove_leftovers(quiet)?;
        if self.is_default {
            // Of two trainings that start at once each makes its own.
            self.path = Logdir::next(LOGDIR, STEM).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Writes the configuration into the directory, which the log has made and locked. A run that
    /// goes on has one, and gets another only for more epochs than it was begun with; and what is
    /// damaged there goes. One that was forked gets its first checkpoint before, so that it can be
    /// resumed wherever it is cut.
    pub fn write_config(&self, config: &Config) -> io::Result<()> {
        let path = self.path.join(CONFIG);
        // Never over a file that came there meanwhile.
        if !self.is_resumed() && path.symlink_metadata().is_ok() {
            let error = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(naming("cannot create", &path)(error));
        }
        match &self.origin {
            Origin::New => {}
            Origin::Resumed {
                config: before,
                damaged,
            } => {
                for path in damaged {
                    fs::remove_file(path).map_err(naming("cannot remove", path))?;
                }
                if before.epochs == config.epochs {
                    return Ok(());
                }
            }
            Origin::Forked { checkpoint, .. } => checkpoint.save(&self.path)?,
        }
        self.replace_config(config)
    }

    /// Writes the configuration where somebody has removed it, the directory with it, during the
    /// training: without it nothing can be made of checkpoints and weights.
    pub fn restore_config(&self, config: &Config) -> io::Result<()> {
        match self.path.join(CONFIG).exists() {
            true => Ok(()),
            false => self.replace_config(config),
        }
    }

    fn replace_config(&self, config: &Config) -> io::Result<()> {
        let path = self.path.join(CONFIG);
        // Half a configuration would be read as another one.
        let part = self.path.join(CONFIG_PART);
        fs::create_dir_all(&self.path)
            .and_then(|()| fs::write(&part, config.to_toml()))
            .and_then(|()| fs::rename(&part, &path))
            .map_err(naming("cannot write", &path))
    }

    fn remove_leftovers(&self, quiet: bool) -> io::Result<()> {
        if self.leftovers.is_empty() {
            return Ok(());
        }
        if !quiet {
            let shown = |path: &Path| escape(&path.display().to_string());
            let mut text = format!("replacing the run in {}; removing\n", shown(&self.path));
            for path in &self.leftovers {
                text.push_str(&format!("  {}\n", shown(path)));
            }
            // Where standard error is closed there is nobody left to tell.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
        for path in &self.leftovers {
            fs::remove_file(path).map_err(naming("cannot remove", path))?;
        }
        let children = CHILDREN.map(|child| self.path.join(child));
        for directory in projector_directories(&self.path)
            .into_iter()
            .chain(children)
        {
            // What else is in them stays, and so do they.
            let _ = fs::remove_dir(directory);
        }
        Ok(())
    }

    /// Lets `save` write the weights under another name, and names them rightly once they are whole
    /// and on the disk. Where that cannot be done, they go to the system's directory for temporary files.
    ///
    /// # Errors
    /// What stood in the way, and where the weights are.
    pub fn save_weights<E>(&self, save: impl Fn(&Path) -> Result<(), E>) -> anyhow::Result<()>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let (part, whole) = (self.path.join(PART), self.weights());
        let saved = save(&part).map_err(anyhow::Error::from).and_then(|()| {
            // Windows syncs what is open for writing alone.
            let named = File::options()
                .write(true)
                .open(&part)
                .and_then(|file| file.sync_all())
                .and_then(|()| fs::rename(&part, &whole));
            Ok(named.map_err(naming("cannot write", &whole))?)
        });
        let Err(error) = saved else { return Ok(()) };
        let _ = fs::remove_file(&part);
        let name = format!("cnn-tb-{}-{WEIGHTS}", process::id());
        let elsewhere = env::temp_dir().join(name);
        match save(&elsewhere) {
            Ok(()) => {
                let advice = format!("the weights are in {}", elsewhere.display());
                Err(error.context(advice))
            }
            Err(_) => Err(error),
        }
    }

    /// The directory that TensorBoard is to be pointed at: the one that this run lies in.
    pub fn logdir(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => &self.path,
        }
    }

    /// A free directory beside this one.
    pub fn next(&self) -> PathBuf {
        next_free(&self.path)
    }
}

/// An error that says what was tried with which path.
fn naming(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

/// What has to be removed from a directory for a new run, or why there can be none.
fn to_be_removed(path: &Path, overwrite: bool) -> anyhow::Result<Vec<PathBuf>> {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => anyhow::bail!("{shown} is a file; --logdir takes a directory"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    }
    let earlier = EarlierRun::at(path)?;
    let others = other_runs(path, earlier.is_some());
    match earlier {
        None if others.is_empty() => Ok(Vec::new()),
        None => {
            let inside = argument(&Logdir::next_name(path, STEM)?);
            let others = listing(&others);
            anyhow::bail!(
                "{shown} holds other runs ({others}); name one inside it: --logdir {inside}"
            )
        }
        Some(earlier) if !overwrite => {
            let message = format!("{shown} already holds a run{}", earlier.describe());
            let free = argument(&next_free(path));
            let advice = format!("new name: --logdir {free}     replace it: --overwrite");
            Err(Advised::new(message, advice).into())
        }
        Some(_) if !others.is_empty() => {
            let message = format!(
                "{shown} holds other runs beside its own ({})",
                listing(&others)
            );
            let advice = "--overwrite replaces a single run; move the others away";
            Err(Advised::new(message, advice).into())
        }
        Some(earlier) if earlier.is_being_written() => {
            anyhow::bail!("{shown} is being written by another training; stop that one first")
        }
        Some(earlier) => earlier.files(),
    }
}

/// `exp1, exp2, …`
fn listing(names: &[String]) -> String {
    match names {
        [first, second, _, ..] => format!("{first}, {second}, …"),
        _ => names.join(", "),
    }
}

/// A path beside `path` at which there is nothing: the next number at the end of its name.
fn next_free(path: &Path) -> PathBuf {
    let Some(name) = path.file_name() else {
        return path.join(STEM);
    };
    let name = name.to_string_lossy();
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let (stem, number) = match name[stem.len()..].parse::<u64>() {
        Ok(number) => (stem.to_owned(), number),
        Err(_) => (format!("{name}-"), 1),
    };
    (number.saturating_add(1)..u64::MAX)
        .map(|number| path.with_file_name(format!("{stem}{number}")))
        .find(|path| path.symlink_metadata().is_err())
        .unwrap_or_else(|| path.to_owned())
}

/// A path as a shell takes it for one argument.
pub fn argument(path: &Path) -> String {
    quote(&path.display().to_string(), cfg!(windows))
}

fn quote(text: &str, is_windows: bool) -> String {
    let is_plain = |c: char| match c {
        '\\' => is_windows,
        _ => c.is_alphanumeric() || "/._-+=:,@%".contains(c),
    };
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else if is_windows {
        // No path there has quotes in it.
        format!("\"{}\"", escape(text))
    } else {
        format!("'{}'", escape(text).replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_free_name_counts_on() {
        let dir = tempfile::tempdir().unwrap();
        for taken in ["exp1", "exp2", "exp9", "plain", "plain-2"] {
            fs::create_dir(dir.path().join(taken)).unwrap();
        }
        for (name, expected) in [
            ("exp1", "exp3"),
            ("exp9", "exp10"),
            ("plain", "plain-3"),
            ("default-1", "default-2"),
            ("99999999999999999999999", "99999999999999999999999-2"),
        ] {
            assert_eq!(next_free(&dir.path().join(name)), dir.path().join(expected));
        }
        assert_eq!(next_free(Path::new("..")), Path::new("../exp"));
    }

    #[test]
    fn arguments_are_quoted_where_a_shell_would_split_them() {
        for (path, expected) in [
            ("runs/exp1", "runs/exp1"),
            ("läufe/精度", "läufe/精度"),
            ("my runs/exp1", "'my runs/exp1'"),
            ("it's", r"'it'\''s'"),
            ("$(rm)", "'$(rm)'"),
            ("", "''"),
            ("a\x1b[2Jb", r"'a\u{1b}[2Jb'"),
        ] {
            assert_eq!(quote(path, false), expected);
        }
        for (path, expected) in [
            (r"C:\runs\exp1", r"C:\runs\exp1"),
            (r"my runs\it's", r#""my runs\it's""#),
            ("", r#""""#),
        ] {
            assert_eq!(quote(path, true), expected);
        }
    }

    #[test]
    fn weights_appear_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir {
            path: dir.path().to_owned(),
            is_default: false,
            leftovers: Vec::new(),
            origin: Origin::New,
        };
        let fails = |path: &Path| {
            fs::write(path, "half")?;
            Err(io::Error::other("disk full"))
        };
        let error = run_dir.save_weights(fails).unwrap_err();
        assert_eq!(format!("{error:#}"), "disk full");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        run_dir
            .save_weights(|path| fs::write(path, "whole"))
            .unwrap();
        assert_eq!(fs::read_to_string(run_dir.weights()).unwrap(), "whole");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
