//! Embeddings that a writer logs: points for TensorBoard's Projector page.

use std::fs;
use std::io;
use std::path::Path;

use crate::tb::image::{Image, check_equal_sizes};
use crate::tb::proto::{EmbeddingInfo, ProjectorConfig, SpriteMetadata};
use crate::tb::summary::projector;
use crate::tb::writer::{Step, SummaryWriter, WriteError};

/// Below the run directory: all files that the configuration names.
const DIRECTORY: &str = "projector";
/// The longest side of a sprite that the page draws, in pixels.
const MAX_SPRITE_SIDE: usize = 8192;

/// Points in a space of many dimensions, as a network's last hidden layer gives them, with what is
/// known of each. What does not fit together is found when it is logged.
///
/// ```
/// use cnn_tb::tb::{SummaryWriter, writer::Embedding};
/// # let logdir = tempfile::tempdir()?;
/// # let writer = SummaryWriter::create(logdir.path())?;
/// let features = [0.1, 0.9, 0.2, 0.8, 0.7, 0.3];
/// let embedding = Embedding::new(&features, 2).labels(["seven", "seven", "one"]);
/// writer.add_embedding("features", &embedding, 1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Embedding<'a> {
    vectors: &'a [f32],
    dimensions: usize,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    images: &'a [Image],
}

impl<'a> Embedding<'a> {
    /// The points in the rows of `vectors`, each of `dimensions` coordinates, one after the other.
    pub fn new(vectors: &'a [f32], dimensions: usize) -> Self {
        Self {
            vectors,
            dimensions,
            header: Vec::new(),
            rows: Vec::new(),
            images: &[],
        }
    }

    /// A label for each point, by which the page colours them.
    pub fn labels<S: Into<String>>(self, labels: impl IntoIterator<Item = S>) -> Self {
        self.metadata(["label"], labels.into_iter().map(|label| [label]))
    }

    /// A table with a row for each point: `header` names its columns. Tabs and line breaks in a cell
    /// become blanks.
    pub fn metadata<H: Into<String>, R: IntoIterator<Item: Into<String>>>(
        mut self,
        header: impl IntoIterator<Item = H>,
        rows: impl IntoIterator<Item = R>,
    ) -> Self {
        self.header = header.into_iter().map(Into::into).collect();
        self.rows = rows
            .into_iter()
            .map(|row| row.into_iter().map(Into::into).collect())
            .collect();
        self
    }

    /// A picture for each point, all of one size.
    pub fn images(mut self, images: &'a [Image]) -> Self {
        self.images = images;
        self
    }

    /// How many points there are; if something does not fit, what was found, and what fits.
    fn checked_points(&self) -> Result<usize, (String, String)> {
        let (numbers, dimensions) = (self.vectors.len(), self.dimensions);
        if dimensions == 0 || numbers == 0 || !numbers.is_multiple_of(dimensions) {
            let found = format!("{numbers} numbers for points of {dimensions} dimensions");
            return Err((found, "at least one whole point".to_owned()));
        }
        if let Some(index) = self.vectors.iter().position(|value| !value.is_finite()) {
            let (point, value) = (index / dimensions, self.vectors[index]);
            return Err((
                format!("{value} in point {point}"),
                "finite numbers".to_owned(),
            ));
        }
        let points = numbers / dimensions;
        let (columns, rows) = (self.header.len(), self.rows.len());
        let has_metadata = columns > 0 || rows > 0;
        if has_metadata && rows != points {
            let found = format!("metadata of {rows} rows");
            return Err((found, format!("{points}, one for each point")));
        }
        if let Some(row) = self.rows.iter().position(|row| row.len() != columns) {
            let cells = self.rows[row].len();
            let found = format!("{cells} cells in row {row} of the metadata");
            return Err((found, format!("{columns}, one for each column")));
        }
        Ok(points)
    }

    /// The pictures in a square, row by row, of as many rows as columns.
    fn sprite(&self, points: usize) -> Result<Option<Image>, (String, String)> {
        let Some(first) = self.images.first() else {
            return Ok(None);
        };
        let count = self.images.len();
        if count != points {
            let expected = format!("{points}, one for each point");
            return Err((format!("{count} images"), expected));
        }
        check_equal_sizes(self.images).map_err(|(found, expected)| (found, expected.to_owned()))?;
        let side = points.isqrt() + usize::from(points.isqrt().pow(2) < points);
        let longest = first.width().max(first.height());
        if side.saturating_mul(longest) > MAX_SPRITE_SIDE {
            let (width, height) = (first.width(), first.height());
            let found = format!("{count} images of {width}×{height} pixels");
            let expected = format!(
                "so few and small ones that {side} side by side have {MAX_SPRITE_SIDE} pixels at most"
            );
            return Err((found, expected));
        }
        Image::sheet(self.images, side, side, 0)
            .map(Some)
            .map_err(|error| (error.to_string(), "fewer or smaller images".to_owned()))
    }
}

impl SummaryWriter {
    /// Logs points for TensorBoard's Projector page, which shows them as a cloud: as
    /// `tag:step` in the page's list.
    ///
    /// They lie beside the event file: in `projector/<tag>/<step>/` the coordinates
    /// (`tensors.tsv`), what is known of each point (`metadata.tsv`) and the pictures in one
    /// (`sprite.png`); `projector_config.pbtxt` names them, next to those of other embeddings. All
    /// are replaced by rename, so that none is ever half there. The page draws the first 100,000
    /// points.
    ///
    /// # Errors
    /// [`WriteError::Value`] if the numbers are not finite or make no whole points, if there is
    /// not one row of metadata and one image, if any, for each point, for images of different
    /// sizes or a square of them of more than 8,192 pixels a side, and if a configuration is there
    /// that cannot be read; and see [`SummaryWriter`].
    pub fn add_embedding(
        &self,
        tag: &str,
        embedding: &Embedding<'_>,
        step: impl Step,
    ) -> Result<(), WriteError> {
        let step = step.to_i64()?;
        let points = embedding.checked_points();
        let points = points.map_err(WriteError::value(tag))?;
        let sprite = embedding.sprite(points).map_err(WriteError::value(tag))?;
        let directory = format!("{DIRECTORY}/{}/{step:05}", path_part(tag));
        let mut files = vec![(
            "tensors.tsv",
            projector::tensor_tsv(embedding.vectors, embedding.dimensions).into_bytes(),
        )];
        let mut info = EmbeddingInfo {
            tensor_name: format!("{tag}:{step:05}"),
            tensor_path: format!("{directory}/tensors.tsv"),
            tensor_shape: [points, embedding.dimensions]
                .map(|size| u32::try_from(size).unwrap_or(u32::MAX))
                .to_vec(),
            ..EmbeddingInfo::default()
        };
        if !embedding.rows.is_empty() {
            let table = projector::metadata_tsv(&embedding.header, &embedding.rows);
            files.push(("metadata.tsv", table.into_bytes()));
            info.metadata_path = format!("{directory}/metadata.tsv");
        }
        if let (Some(sprite), Some(image)) = (sprite, embedding.images.first()) {
            let file = sprite
                .to_png()
                .map_err(|error| WriteError::value(tag)((error.to_string(), "other images")))?;
            files.push(("sprite.png", file));
            info.sprite = Some(SpriteMetadata {
                image_path: format!("{directory}/sprite.png"),
                // At most the sprite's, which was checked.
                single_image_dim: vec![image.width() as u32, image.height() as u32],
            });
        }
        self.write_beside(|run| {
            // First what can be refused, then the files, and last what names them.
            let mut config = read_config(run, tag)?;
            projector::merge(&mut config, info);
            let directory = run.join(&directory);
            fs::create_dir_all(&directory).map_err(WriteError::io(&directory))?;
            for (name, bytes) in &files {
                replace(&directory.join(name), bytes)?;
            }
            let text = projector::to_text(&config);
            replace(&run.join(projector::CONFIG_NAME), text.as_bytes())
        })
    }
}

/// The configuration in a run directory; an empty one if there is none.
fn read_config(run: &Path, tag: &str) -> Result<ProjectorConfig, WriteError> {
    let path = run.join(projector::CONFIG_NAME);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(ProjectorConfig::default());
        }
        result => result.map_err(WriteError::io(&path))?,
    };
    projector::from_text(&String::from_utf8_lossy(&bytes)).map_err(|problem| {
        let found = format!("{} is there and has {problem}", path.display());
        WriteError::value(tag)((found, "a configuration to add to, or none"))
    })
}

/// Writes a file under a temporary name and gives it its own.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes).map_err(WriteError::io(&temporary))?;
    fs::rename(&temporary, path).map_err(WriteError::io(path))
}

/// A tag as one part of a path, another for every tag: what is no letter, digit, `-` or `_` of
/// ASCII is percent-encoded. `tfevents`, by which event files are known, has its `t` encoded.
fn path_part(tag: &str) -> String {
    let mut part = String::new();
    for byte in tag.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => part.push(char::from(byte)),
            _ => part += &format!("%{byte:02X}"),
        }
    }
    part.replace("tfevents", "%74fevents")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All files below `directory` but event files and locks, by their relative paths.
    fn files(directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut left = vec![directory.to_owned()];
        while let Some(next) = left.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => left.push(path),
                    false => {
                        let name = path.strip_prefix(directory).unwrap().display();
                        found.push(name.to_string().replace('\\', "/"));
                    }
                }
            }
        }
        found.retain(|path| path.starts_with("projector"));
        found.sort();
        found
    }

    #[test]
    fn embeddings_of_all_sessions_are_named_in_one_configuration() {
        let logdir = tempfile::tempdir().unwrap();
        let vectors = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let images = [1, 2, 3].map(|value| Image::from_u8_hwc(&[value; 6], [3, 2, 1]).unwrap());
        let embedding = Embedding::new(&vectors, 2).images(&images);
        let embedding = embedding.metadata(["label", "note"], [["7", ""], ["1", "x"], ["7", "y"]]);
        let writer = SummaryWriter::create(logdir.path()).unwrap();
        writer.add_embedding("fc1/tfevents", &embedding, 1).unwrap();
        writer.close().unwrap();
        let writer = SummaryWriter::append(logdir.path(), 2).unwrap();
        for _ in 0..2 {
            let plain = Embedding::new(&vectors, 3);
            writer.add_embedding("fc2", &plain, -2).unwrap();
        }
        let first = "projector/fc1%2F%74fevents/00001";
        let expected = [
            format!("{first}/metadata.tsv"),
            format!("{first}/sprite.png"),
            format!("{first}/tensors.tsv"),
            "projector/fc2/-0002/tensors.tsv".to_owned(),
            "projector_config.pbtxt".to_owned(),
        ];
        assert_eq!(files(logdir.path()), expected);
        let config = read_config(logdir.path(), "").unwrap();
        let sprite = SpriteMetadata {
            image_path: format!("{first}/sprite.png"),
            single_image_dim: vec![2, 3],
        };
        let expected = EmbeddingInfo {
            tensor_name: "fc1/tfevents:00001".to_owned(),
            metadata_path: format!("{first}/metadata.tsv"),
            tensor_path: format!("{first}/tensors.tsv"),
            tensor_shape: vec![3, 2],
            sprite: Some(sprite),
            ..EmbeddingInfo::default()
        };
        assert_eq!(config.embeddings[0], expected);
        assert_eq!(config.embeddings[1].tensor_name, "fc2:-0002");
        assert_eq!(config.embeddings.len(), 2);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_is_written() {
        let logdir = tempfile::tempdir().unwrap();
        let writer = SummaryWriter::create(logdir.path()).unwrap();
        let image = |side| Image::from_u8_hwc(&vec![0; side * side], [side, side, 1]).unwrap();
        let vectors = [0.0, 1.0, 2.0, 3.0];
        let (unequal, two, large) = ([image(1), image(2)], [image(1)], [image(4097), image(4097)]);
        let points = || Embedding::new(&vectors, 2);
        for (embedding, expected) in [
            (
                Embedding::new(&[], 2),
                "e: 0 numbers for points of 2 dimensions; expected at least",
            ),
            (Embedding::new(&vectors, 0), "4 numbers for points of 0"),
            (Embedding::new(&vectors, 3), "4 numbers for points of 3"),
            (
                Embedding::new(&[0.0, f32::NAN], 1),
                "NaN in point 1; expected finite",
            ),
            (points().labels(["a"]), "metadata of 1 rows; expected 2"),
            (
                points().metadata(["a"], [["b", "c"], ["d", "e"]]),
                "2 cells in row 0 of the metadata",
            ),
            (
                points().metadata(["a"], Vec::<[&str; 1]>::new()),
                "metadata of 0 rows",
            ),
            (points().images(&two), "1 images; expected 2"),
            (
                points().images(&unequal),
                "of 1×1 and of 2×2 pixels; expected one size",
            ),
            (
                points().images(&large),
                "2 images of 4097×4097 pixels; expected so few",
            ),
        ] {
            let error = writer
                .add_embedding("e", &embedding, 1)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(files(logdir.path()), [""; 0]);
        // A configuration that we do not understand is left as it is.
        let config = logdir.path().join(projector::CONFIG_NAME);
        fs::write(&config, "colour: 3").unwrap();
        let error = writer
            .add_embedding("e", &points(), 1)
            .unwrap_err()
            .to_string();
        assert!(error.contains("has \"colour\"; expected"), "{error}");
        assert_eq!(files(logdir.path()), [projector::CONFIG_NAME]);
        fs::remove_file(&config).unwrap();
        writer.add_embedding("e", &points(), 1).unwrap();
    }
}
