//! Pictures that a writer logs: images, boxes on images, animations.

use std::time::Duration;

use crate::tb::image::{Colour, Image, WHITE, check_equal_sizes, check_frames, text_width, to_gif};
use crate::tb::summary::image::Images;
use crate::tb::writer::{Step, SummaryWriter, WriteError};

/// The most bytes of files in one value: 64 MiB. TensorBoard keeps all images in memory.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

/// Colours of boxes that differ from each other, dark enough for white letters.
const BOX_COLOURS: [Colour; 8] = [
    [214, 39, 40],
    [31, 119, 180],
    [44, 160, 44],
    [148, 103, 189],
    [200, 90, 0],
    [140, 86, 75],
    [190, 60, 150],
    [0, 128, 128],
];

/// A labelled rectangle on an image, in pixels from the upper left corner. What lies beyond the
/// image is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundingBox {
    /// Left, top, right and bottom edge.
    pub edges: [f32; 4],
    /// What is written at the box; nothing if it is empty.
    pub label: String,
}

impl BoundingBox {
    /// A box with its edges in the order left, top, right, bottom, which PyTorch's
    /// `add_image_with_boxes` takes too.
    pub fn new(edges: [f32; 4], label: impl Into<String>) -> Self {
        Self {
            edges,
            label: label.into(),
        }
    }
}

impl SummaryWriter {
    /// Logs an image, as a PNG file in the event file.
    ///
    /// TensorBoard keeps 10 steps of each tag, drawn by chance, unless it is started with
    /// `--samples_per_plugin images=100`.
    ///
    /// ```
    /// use cnn_tb::tb::{SummaryWriter, image::Image};
    /// # let logdir = tempfile::tempdir()?;
    /// # let writer = SummaryWriter::create(logdir.path())?;
    /// let digit = Image::from_f32_hw(&[0.5; 28 * 28], [28, 28])?;
    /// writer.add_image("digit", &digit.scale(4)?, 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WriteError::Value`] for more than [`MAX_VALUE_BYTES`], and see [`SummaryWriter`].
    pub fn add_image(&self, tag: &str, image: &Image, step: impl Step) -> Result<(), WriteError> {
        self.add_images(tag, std::slice::from_ref(image), step)
    }

    /// Logs several images of one size, each of which TensorBoard shows on a card of its own. To
    /// see them side by side log a [grid](Image::grid).
    ///
    /// # Errors
    /// [`WriteError::Value`] for no images, for some of different sizes, and for more than
    /// [`MAX_VALUE_BYTES`]; and see [`SummaryWriter`].
    pub fn add_images(
        &self,
        tag: &str,
        images: &[Image],
        step: impl Step,
    ) -> Result<(), WriteError> {
        let Some(first) = images.first() else {
            return Err(WriteError::value(tag)(("no image", "at least one")));
        };
        check_equal_sizes(images).map_err(WriteError::value(tag))?;
        let files: Result<_, _> = images.iter().map(Image::to_png).collect();
        let files = files.map_err(|error| unencoded(tag, &error))?;
        self.add_files(tag, first, files, step)
    }

    /// Logs an image with boxes drawn on it, each with its label in white on the box's colour, above
    /// the box where there is room and else within. Equal labels have equal colours.
    ///
    /// ```
    /// use cnn_tb::tb::{SummaryWriter, image::Image, writer::BoundingBox};
    /// # let logdir = tempfile::tempdir()?;
    /// # let writer = SummaryWriter::create(logdir.path())?;
    /// let scene = Image::from_f32_chw(&[0.9; 3 * 120 * 160], [3, 120, 160])?;
    /// let boxes = [BoundingBox::new([20.0, 30.0, 90.0, 100.0], "cat 97%")];
    /// writer.add_image_with_boxes("scene", &scene, &boxes, 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WriteError::Value`] for a box with an edge that is not finite or whose edges are not in
    /// their order, and as [`add_image`](Self::add_image).
    pub fn add_image_with_boxes(
        &self,
        tag: &str,
        image: &Image,
        boxes: &[BoundingBox],
        step: impl Step,
    ) -> Result<(), WriteError> {
        for BoundingBox { edges, .. } in boxes {
            let [left, top, right, bottom] = edges;
            let in_order = left <= right && top <= bottom;
            if !in_order || edges.iter().any(|edge| !edge.is_finite()) {
                let found = format!("a box with the edges {edges:?}");
                let expected = "finite numbers, left ≤ right and top ≤ bottom";
                return Err(WriteError::value(tag)((found, expected)));
            }
        }
        self.add_image(tag, &with_boxes(image, boxes), step)
    }

    /// Logs `frames` of one size as an animation, which TensorBoard plays over and over; each is
    /// shown for `delay`. It is a GIF file, in the colours that [`to_gif`] says.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cnn_tb::tb::{SummaryWriter, image::Image};
    /// # let logdir = tempfile::tempdir()?;
    /// # let writer = SummaryWriter::create(logdir.path())?;
    /// let frames = [0.0, 0.5, 1.0].map(|grey| Image::from_f32_hw(&[grey; 64], [8, 8]));
    /// let frames = frames.into_iter().collect::<Result<Vec<_>, _>>()?;
    /// writer.add_video("fade", &frames, Duration::from_millis(250), 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WriteError::Value`] for no frames, for some of different sizes or beyond 65,535 pixels a
    /// side, for a delay that is not within 10 ms and 655 s, and for more than
    /// [`MAX_VALUE_BYTES`]; and see [`SummaryWriter`].
    #[doc(alias = "add_animation")]
    #[doc(alias = "gif")]
    pub fn add_video(
        &self,
        tag: &str,
        frames: &[Image],
        delay: Duration,
        step: impl Step,
    ) -> Result<(), WriteError> {
        check_frames(frames, delay).map_err(WriteError::value(tag))?;
        let file = to_gif(frames, delay).map_err(|error| unencoded(tag, &error))?;
        self.add_files(tag, &frames[0], vec![file], step)
    }

    /// Logs image files, all of the size of `image`.
    fn add_files(
        &self,
        tag: &str,
        image: &Image,
        files: Vec<Vec<u8>>,
        step: impl Step,
    ) -> Result<(), WriteError> {
        let bytes: usize = files.iter().map(Vec::len).sum();
        if bytes > MAX_VALUE_BYTES {
            let found = format!("{bytes} bytes of image files");
            let expected = format!("at most {MAX_VALUE_BYTES}");
            return Err(WriteError::value(tag)((found, expected)));
        }
        let images = Images {
            width: image.width(),
            height: image.height(),
            files,
        };
        self.add_values(vec![images.into_value(tag)], step)
    }
}

fn unencoded(tag: &str, error: &std::io::Error) -> WriteError {
    let found = format!("an image that cannot be encoded ({error})");
    WriteError::value(tag)((found, "another"))
}

/// A copy of `image` with the boxes on it; the labels come last, so that no box crosses them.
fn with_boxes(image: &Image, boxes: &[BoundingBox]) -> Image {
    let mut image = image.clone();
    let side = image.width().min(image.height());
    let (line, letter) = (1 + side / 100, 1 + side / 400);
    let mut labels: Vec<&str> = Vec::new();
    let mut coloured = Vec::new();
    for labelled in boxes {
        let known = labels.iter().position(|&label| label == labelled.label);
        let index = known.unwrap_or(labels.len());
        if known.is_none() {
            labels.push(&labelled.label);
        }
        coloured.push((labelled, BOX_COLOURS[index % BOX_COLOURS.len()]));
    }
    for (labelled, colour) in &coloured {
        let [left, top, right, bottom] = labelled.edges.map(|edge| edge.round() as i64);
        // The conversion saturates, and so must the difference.
        let size = [right.saturating_sub(left), bottom.saturating_sub(top)];
        image.draw_rectangle([left, top], size, *colour, line as i64);
    }
    for (labelled, colour) in coloured {
        draw_label(&mut image, labelled, colour, letter);
    }
    image
}

/// Writes a box's label, in letters of `size`, on a bar in the box's colour.
fn draw_label(image: &mut Image, labelled: &BoundingBox, colour: Colour, size: usize) {
    if labelled.label.is_empty() {
        return;
    }
    let margin = 2 * size as i64;
    let bar_width = (text_width(&labelled.label) * size) as i64 + 2 * margin;
    let bar_height = 9 * size as i64 + 2 * margin;
    let [left, top, ..] = labelled.edges.map(|edge| edge.round() as i64);
    let last_x = image.width() as i64 - bar_width;
    let x = left.min(last_x).max(0);
    let y = match top.saturating_sub(bar_height) {
        above if above >= 0 => above,
        _ => top.max(0),
    };
    image.fill_rectangle(x, y, bar_width, bar_height, colour);
    image.draw_text(
        x + margin,
        y.saturating_add(margin),
        &labelled.label,
        WHITE,
        size,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tb::EventReader;
    use crate::tb::event_file::event_file_names;
    use crate::tb::proto::{event, summary::value};

    fn white(width: usize, height: usize) -> Image {
        Image::from_u8_hwc(&vec![255; width * height], [height, width, 1]).unwrap()
    }

    /// Tag and images of every image value in the writer's file.
    fn logged(writer: &SummaryWriter) -> Vec<(String, Images)> {
        let name = event_file_names(writer.path()).unwrap().pop().unwrap();
        let file = std::fs::File::open(writer.path().join(name)).unwrap();
        let mut found = Vec::new();
        for event in EventReader::new(file) {
            let Some(event::What::Summary(summary)) = event.unwrap().what else {
                continue;
            };
            for value in summary.value {
                if let Some(value::Value::Tensor(tensor)) = &value.value {
                    found.push((value.tag, Images::from_tensor(tensor).unwrap()));
                }
            }
        }
        found
    }

    #[test]
    fn images_lie_in_the_file_as_they_were_encoded() {
        let logdir = tempfile::tempdir().unwrap();
        let writer = SummaryWriter::create(logdir.path()).unwrap();
        let images = [white(3, 2), white(3, 2).frame([0; 3], 0).unwrap()];
        writer.add_image("one", &images[0], 1).unwrap();
        writer.add_images("two", &images, 1).unwrap();
        let delay = Duration::from_millis(100);
        writer.add_video("film", &images, delay, 1).unwrap();
        let png = images[0].to_png().unwrap();
        let value = |tag: &str, files: Vec<Vec<u8>>| {
            let images = Images {
                width: 3,
                height: 2,
                files,
            };
            (tag.to_owned(), images)
        };
        let expected = [
            value("one", vec![png.clone()]),
            value("two", vec![png.clone(), png]),
            value("film", vec![to_gif(&images, delay).unwrap()]),
        ];
        assert_eq!(logged(&writer), expected);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_the_writer_goes_on() {
        let logdir = tempfile::tempdir().unwrap();
        let writer = SummaryWriter::create(logdir.path()).unwrap();
        let text = |result: Result<(), WriteError>| result.unwrap_err().to_string();
        let (small, large) = (white(3, 2), white(4, 2));
        let no_images = writer.add_images("a", &[], 1);
        assert_eq!(text(no_images), "a: no image; expected at least one");
        let unequal = [small.clone(), large];
        assert_eq!(
            text(writer.add_images("a", &unequal, 1)),
            "a: images of 3×2 and of 4×2 pixels; expected one size"
        );
        let delay = Duration::from_millis(100);
        assert!(text(writer.add_video("a", &unequal, delay, 1)).contains("one size"));
        assert!(text(writer.add_video("a", &[], delay, 1)).contains("no frame"));
        let still = writer.add_video("a", &unequal[..1], Duration::ZERO, 1);
        assert!(text(still).contains("10 ms"));
        for edges in [
            [0.0, 0.0, f32::NAN, 1.0],
            [0.0, 2.0, 1.0, 1.0],
            [0.0, 0.0, f32::INFINITY, 1.0],
        ] {
            let boxes = [BoundingBox::new(edges, "")];
            let error = text(writer.add_image_with_boxes("a", &small, &boxes, 1));
            assert!(error.contains("left ≤ right"), "{error}");
        }
        let files = vec![vec![0; MAX_VALUE_BYTES], vec![0]];
        assert_eq!(
            text(writer.add_files("a", &small, files, 1)),
            "a: 67108865 bytes of image files; expected at most 67108864"
        );
        assert_eq!(logged(&writer), []);
        writer.add_image("a", &small, 1).unwrap();
        assert_eq!(logged(&writer).len(), 1);
    }

    #[test]
    fn boxes_of_equal_labels_have_equal_colours() {
        let boxes = [
            BoundingBox::new([10.0, 30.4, 40.0, 60.0], "cat"),
            BoundingBox::new([50.0, 30.0, 90.0, 60.0], "dog"),
            BoundingBox::new([5.0, 70.0, 1e30, f32::MAX], "cat"),
            BoundingBox::new([-1e30, f32::MIN, 1.0, 1.0], ""),
        ];
        let image = with_boxes(&white(100, 100), &boxes);
        let at = |x: usize, y: usize| {
            let first = 3 * (y * 100 + x);
            <[u8; 3]>::try_from(&image.pixels()[first..first + 3]).unwrap()
        };
        let [cat, dog] = [BOX_COLOURS[0], BOX_COLOURS[1]];
        assert_eq!([at(10, 30), at(39, 59), at(5, 99)], [cat; 3]);
        assert_eq!([at(50, 30), at(89, 59)], [dog; 2]);
        // Within a box nothing is drawn; its label stands above it.
        assert_eq!([at(20, 40), at(40, 60)], [WHITE; 2]);
        assert_eq!([at(11, 18), at(11, 29)], [cat; 2]);
        let letters = (10..30).any(|x| (19..29).any(|y| at(x, y) == WHITE));
        assert!(letters);
    }
}
