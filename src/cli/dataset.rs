//! The data set that `--data` or a config.toml names.

#[cfg(feature = "download")]
mod fetch;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::bail;
use cnn_tb::data::{DataError, Dataset, Published, class_names, class_numbers};

use crate::cli::output::{self, Advised};

/// What of a data set is known without its images.
pub struct Outline {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// One for each class.
    pub class_names: Vec<String>,
}

/// The data set of this name or in this directory, or the built-in MNIST. A published one is fetched
/// if need be and if this program can, and its progress shown unless `quiet`.
///
/// # Errors
/// What is wrong with it, with what could be done.
pub fn open(data: Option<&Path>, quiet: bool) -> anyhow::Result<Dataset> {
    let Some(data) = data else {
        return built_in();
    };
    match published(data) {
        Some(set) => {
            if data.is_dir() && !quiet {
                let name = set.name;
                output::warn(&format!(
                    "{name} is {}, not the directory here: that is ./{name}",
                    set.title
                ));
            }
            open_published(set, quiet)
        }
        None => Dataset::open(data).map_err(advised),
    }
}

/// What is known of that data set without its images, for a network that tells `classes` apart.
///
/// # Errors
/// As [`open`], and another number of classes.
pub fn outline(data: Option<&Path>, classes: usize) -> anyhow::Result<Outline> {
    let ((height, width), class_names) = match data.and_then(published) {
        Some(set) => {
            let names = set.class_names.iter().map(|&name| name.to_owned());
            (set.image_size, names.collect())
        }
        None => {
            let size = Dataset::image_size(data).map_err(advised)?;
            let names = match data {
                Some(directory) => class_names(directory, classes)?,
                None => class_numbers(classes),
            };
            (size, names)
        }
    };
    if class_names.len() != classes {
        let (data, names) = (data.unwrap_or(Path::new("")).display(), class_names.len());
        bail!("{data} has {names} classes, expected {classes}, which the network tells apart");
    }
    Ok(Outline {
        height,
        width,
        class_names,
    })
}

/// The published data set of this name.
fn published(data: &Path) -> Option<&'static Published> {
    data.to_str().and_then(Published::by_name)
}

#[cfg(feature = "mnist")]
fn built_in() -> anyhow::Result<Dataset> {
    Ok(Dataset::mnist()?)
}

#[cfg(not(feature = "mnist"))]
fn built_in() -> anyhow::Result<Dataset> {
    Err(Advised::new("this cnn-tb was built without MNIST", other()).into())
}

/// What could be named instead.
fn other() -> String {
    let names: Vec<&str> = Published::all().iter().map(|set| set.name).collect();
    format!(
        "name a directory with four IDX files, or {}: --data NAME|DIR",
        names.join(" or ")
    )
}

/// An error about the data set in a directory, with what could be done.
fn advised(error: DataError) -> anyhow::Error {
    match error {
        DataError::Missing { .. } => Advised::new(error.to_string(), other()).into(),
        error => error.into(),
    }
}

fn open_published(set: &Published, quiet: bool) -> anyhow::Result<Dataset> {
    let directory = cache_directory(set)?;
    #[cfg(feature = "download")]
    fetch::fetch(set, &directory, quiet)?;
    #[cfg(not(feature = "download"))]
    let _ = quiet;
    Dataset::published(set, &directory).map_err(|error| match error {
        DataError::NotThere { .. } => by_hand(
            error.to_string(),
            "fetch them into this directory, or build cnn-tb with --features download, which does:",
            set,
            &directory,
        ),
        error => error.into(),
    })
}

/// An error for want of files, with where they are published.
fn by_hand(message: String, advice: &str, set: &Published, directory: &Path) -> anyhow::Error {
    let urls = set.missing(directory).into_iter().map(|file| set.url(file));
    urls.fold(Advised::new(message, advice), Advised::line)
        .into()
}

/// Where the files of a published data set lie: in the cache directory that the user or the system
/// has for programs (XDG Base Directory Specification, "XDG_CACHE_HOME"; Apple's File System
/// Programming Guide; Microsoft's FOLDERID_LocalAppData).
fn cache_directory(set: &Published) -> anyhow::Result<PathBuf> {
    let absolute = |name| {
        let path = PathBuf::from(env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let at_home = |path| {
        Some(
            env::home_dir()
                .filter(|home| home.is_absolute())?
                .join(path),
        )
    };
    let caches = absolute("XDG_CACHE_HOME").or_else(|| {
        if cfg!(windows) {
            absolute("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            at_home("Library/Caches")
        } else {
            at_home(".cache")
        }
    });
    match caches {
        Some(caches) => Ok(caches.join("cnn-tb").join(set.name)),
        None => Err(Advised::new(
            format!(
                "there is no directory to keep {} in: no home is known",
                set.title
            ),
            "set XDG_CACHE_HOME to an absolute path",
        )
        .into()),
    }
}
