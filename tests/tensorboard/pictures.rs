//! Pictures: what TensorBoard serves of them decodes to what was logged.

use std::io::Cursor;
use std::time::Duration;

use cnn_tb::tb::SummaryWriter;
use cnn_tb::tb::image::{Image, RED};
use cnn_tb::tb::writer::{BoundingBox, Embedding};
use serde_json::{Value, json};

use crate::server::{Loader, TensorBoard};

const RUN: (&str, &str) = ("run", "exp1");

/// An image whose pixels all differ from those of another seed.
fn noise(width: usize, height: usize, channels: usize, seed: u8) -> Image {
    let bytes = (0..width * height * channels).map(|index| (index * 37 % 256) as u8 ^ seed);
    let bytes: Vec<_> = bytes.collect();
    Image::from_u8_hwc(&bytes, [height, width, channels]).unwrap()
}

/// The image in a PNG file.
pub fn decode_png(file: &[u8]) -> Image {
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let channels = info.color_type.samples();
    let shape = [info.height as usize, info.width as usize, channels];
    Image::from_u8_hwc(&pixels, shape).unwrap()
}

/// The frames of a GIF file, all of them grey, and their delay in hundredths of a second.
fn decode_grey_gif(file: &[u8]) -> Vec<(Image, u16)> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(file).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        let grey = frame.buffer.chunks_exact(4).map(|pixel| {
            assert!(pixel[0] == pixel[1] && pixel[1] == pixel[2]);
            pixel[0]
        });
        let shape = [frame.height.into(), frame.width.into(), 1];
        let image = Image::from_u8_hwc(&grey.collect::<Vec<_>>(), shape).unwrap();
        frames.push((image, frame.delay));
    }
    frames
}

/// The steps of a tag's sample, and what is served for each.
pub fn served(tensorboard: &TensorBoard, tag: &str, sample: &str) -> Vec<(i64, Vec<u8>)> {
    let parameters = [RUN, ("tag", tag), ("sample", sample)];
    let list = tensorboard.get("/data/plugin/images/images", &parameters);
    let items = list.as_array().unwrap().iter().map(|item| {
        let query = item["query"].as_str().unwrap();
        let route = format!("/data/plugin/images/individualImage?{query}");
        (
            item["step"].as_i64().unwrap(),
            tensorboard.get_bytes(&route, &[]),
        )
    });
    items.collect()
}

#[test]
fn images_are_shown_pixel_by_pixel() {
    let logdir = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::create(logdir.path().join("exp1")).unwrap();
    let [grey, rgb, rgba] = [1, 3, 4].map(|channels| noise(28, 27, channels, 0));
    let captioned = grey.scale(2).unwrap().caption("7 → 1 98%").unwrap();
    let captioned = captioned.frame(RED, 2).unwrap();
    let batch = [noise(5, 4, 3, 1), noise(5, 4, 3, 2), noise(5, 4, 3, 3)];
    for (step, image) in (1..).zip([&grey, &rgb, &rgba, &captioned]) {
        writer.add_image("größe/a & b", image, step).unwrap();
    }
    writer.add_images("batch", &batch, 7).unwrap();
    let boxes = [BoundingBox::new([8.0, 20.0, 90.0, 90.0], "cat 97%")];
    let scene = Image::from_f32_hw(&[0.25; 100 * 100], [100, 100]).unwrap();
    writer
        .add_image_with_boxes("boxes", &scene, &boxes, 1)
        .unwrap();
    let frames = [
        noise(16, 16, 1, 0),
        noise(16, 16, 1, 0x55),
        noise(16, 16, 1, 0xFF),
    ];
    let delay = Duration::from_millis(120);
    writer.add_video("film", &frames, delay, 1).unwrap();
    writer.finish().unwrap();

    for loader in Loader::ALL {
        let tensorboard = TensorBoard::start(logdir.path(), loader);
        let samples = |tags: &Value, tag: &str| tags["exp1"][tag]["samples"].clone();
        let all = [("größe/a & b", 1), ("batch", 3), ("boxes", 1), ("film", 1)];
        tensorboard.wait_for("/data/plugin/images/tags", &[], |tags| {
            all.iter()
                .all(|&(tag, count)| samples(tags, tag) == json!(count))
        });

        let single = served(&tensorboard, "größe/a & b", "0");
        let decoded: Vec<_> = single
            .iter()
            .map(|(step, file)| (*step, decode_png(file)))
            .collect();
        let expected = [grey.clone(), rgb.clone(), rgba.clone(), captioned.clone()];
        let expected: Vec<_> = (1..).zip(expected).collect();
        assert!(decoded == expected, "{loader:?}: {decoded:?}");
        for (sample, image) in ["0", "1", "2"].into_iter().zip(&batch) {
            let [(7, file)] = &served(&tensorboard, "batch", sample)[..] else {
                panic!("{loader:?}: not one step 7");
            };
            assert!(decode_png(file) == *image, "{loader:?}: sample {sample}");
        }

        let boxed = decode_png(&served(&tensorboard, "boxes", "0")[0].1);
        let with = |colour: [u8; 3]| {
            let pixels = boxed.pixels().chunks_exact(3);
            pixels.filter(|pixel| **pixel == colour).count()
        };
        // The box's edges with the bar of its label, the letters on that, and the untouched rest.
        let (coloured, white, rest) = (with([214, 39, 40]), with([255; 3]), with([64; 3]));
        assert!(
            coloured > 4 * 70 && white > 50,
            "{loader:?}: {coloured} {white}"
        );
        assert_eq!(coloured + white + rest, 100 * 100, "{loader:?}");

        let film = decode_grey_gif(&served(&tensorboard, "film", "0")[0].1);
        let expected = frames.clone().map(|frame| (frame, 12));
        assert!(film == expected, "{loader:?}: {film:?}");
    }
}

#[test]
fn embeddings_are_shown_with_labels_and_pictures() {
    let logdir = tempfile::tempdir().unwrap();
    let path = logdir.path().join("exp1");
    let vectors: Vec<_> = (0..15).map(|value| 0.1 * value as f32 - 1e-7).collect();
    let images: Vec<_> = (0..5).map(|seed| noise(8, 8, 1, seed * 40)).collect();
    let labels = ["7", "größe", "a\tb", "1", "0"];
    let writer = SummaryWriter::create(&path).unwrap();
    let embedding = Embedding::new(&vectors, 3).labels(labels).images(&images);
    writer.add_embedding("fc1/features", &embedding, 1).unwrap();
    writer.close().unwrap();
    let writer = SummaryWriter::append(&path, 2).unwrap();
    let rows = [["7", "right"], ["1", "wrong"], ["2", ""]];
    let embedding = Embedding::new(&vectors, 5).metadata(["digit", "verdict"], rows);
    writer.add_embedding("fc2", &embedding, 2).unwrap();
    writer.finish().unwrap();

    for loader in Loader::ALL {
        let tensorboard = TensorBoard::start(logdir.path(), loader);
        let projector = |route: &str| format!("/data/plugin/projector/{route}");
        tensorboard.wait_for(&projector("runs"), &[], |runs| *runs == json!(["exp1"]));
        let info = tensorboard.get(&projector("info"), &[RUN]);
        let embeddings = &info["embeddings"];
        assert_eq!(
            embeddings[0]["tensorName"],
            json!("fc1/features:00001"),
            "{loader:?}"
        );
        assert_eq!(embeddings[0]["tensorShape"], json!([5, 3]), "{loader:?}");
        assert_eq!(
            embeddings[0]["sprite"]["singleImageDim"],
            json!([8, 8]),
            "{loader:?}"
        );
        assert_eq!(
            embeddings[1]["tensorName"],
            json!("fc2:00002"),
            "{loader:?}"
        );

        let get = |route: &str, name: &str| {
            tensorboard.get_bytes(&projector(route), &[RUN, ("name", name)])
        };
        let bytes: Vec<_> = vectors
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        for name in ["fc1/features:00001", "fc2:00002"] {
            assert_eq!(get("tensor", name), bytes, "{loader:?}: {name}");
        }
        let text = |name: &str| String::from_utf8(get("metadata", name)).unwrap();
        assert_eq!(
            text("fc1/features:00001"),
            "7\ngröße\na b\n1\n0\n",
            "{loader:?}"
        );
        let table = "digit\tverdict\n7\tright\n1\twrong\n2\t\n";
        assert_eq!(text("fc2:00002"), table, "{loader:?}");

        // Five images need a square of three by three.
        let sprite = decode_png(&get("sprite_image", "fc1/features:00001"));
        assert_eq!((sprite.width(), sprite.height()), (24, 24), "{loader:?}");
        for (index, image) in images.iter().enumerate() {
            let (x, y) = (index % 3 * 8, index / 3 * 8);
            let rows = image.pixels().chunks_exact(8).enumerate();
            for (row, pixels) in rows {
                let first = (y + row) * 24 + x;
                assert_eq!(
                    sprite.pixels()[first..first + 8],
                    *pixels,
                    "{loader:?}: {index}"
                );
            }
        }
    }
}
