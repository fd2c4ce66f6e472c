//! The images of a run as files.

use super::{FileNames, tags};
use crate::tb::{Kind, Run, SeriesError};

/// An image as a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Its name: the step with at least eight digits, where several images were logged at once the
    /// number among these, and the extension that its bytes call for, as `00000006_0.png`.
    pub name: String,
    /// The image as it was logged.
    pub bytes: Vec<u8>,
}

/// The series of images in `run` and its children, each with the name of a directory for its files.
pub fn image_series(run: &Run) -> Vec<(String, String)> {
    let mut names = FileNames::default();
    let tags = tags(run, Kind::Image).into_iter();
    tags.map(|tag| {
        let directory = names.add(&tag);
        (tag, directory)
    })
    .collect()
}

/// All images of a series, which is named as [`Run::images`] takes it.
///
/// ```
/// use cnn_tb::report::export::{image_files, image_series};
/// use cnn_tb::tb::{Logdir, SummaryWriter, image::Image};
/// # let directory = tempfile::tempdir()?;
/// # let runs = directory.path();
/// let writer = SummaryWriter::create(runs.join("exp1"))?;
/// let digit = Image::from_f32_hw(&[0.5; 28 * 28], [28, 28])?;
/// writer.add_image("samples/digit", &digit, 6)?;
/// writer.finish()?;
///
/// for run in Logdir::open(runs)?.runs()? {
///     for (series, directory) in image_series(&run) {
///         assert_eq!(directory, "samples_digit");
///         assert_eq!(image_files(&run, &series)?[0].name, "00000006.png");
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`Run::images`].
pub fn image_files(run: &Run, series: &str) -> Result<Vec<ImageFile>, SeriesError> {
    let mut files = Vec::new();
    for point in run.images(series)? {
        let is_batch = point.value.len() > 1;
        for (index, image) in point.value.into_iter().enumerate() {
            let index = is_batch.then_some(index);
            files.push(ImageFile {
                name: file_name(point.step, index, &image.bytes),
                bytes: image.bytes,
            });
        }
    }
    Ok(files)
}

fn file_name(step: i64, index: Option<usize>, bytes: &[u8]) -> String {
    let index = index.map(|index| format!("_{index}")).unwrap_or_default();
    format!("{step:08}{index}.{}", extension(bytes))
}

/// The extension of what these bytes are, by how they begin.
fn extension(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [b'G', b'I', b'F', b'8', ..] => "gif",
        [0xff, 0xd8, 0xff, ..] => "jpg",
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => "webp",
        [b'B', b'M', ..] => "bmp",
        _ => "bin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_step_and_content() {
        let cases: [(i64, Option<usize>, &[u8], &str); 5] = [
            (6, None, b"\x89PNG\r\n", "00000006.png"),
            (6, Some(0), b"GIF89a", "00000006_0.gif"),
            (
                123_456_789,
                Some(11),
                b"\xff\xd8\xff\xe0",
                "123456789_11.jpg",
            ),
            (-1, None, b"RIFF\0\0\0\0WEBP", "-0000001.webp"),
            (0, None, b"", "00000000.bin"),
        ];
        for (step, index, bytes, expected) in cases {
            assert_eq!(file_name(step, index, bytes), expected);
        }
    }
}
