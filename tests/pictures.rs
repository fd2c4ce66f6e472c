//! Digits of any size, at any place, dark on light or light on dark: are they made alike MNIST's,
//! and does a network know them?

#![cfg(all(feature = "train", feature = "mnist"))]
#![allow(clippy::unwrap_used)]

use candle_core::{Device, Module, Tensor};
use cnn_tb::data::{Dataset, Picture};
use cnn_tb::nn::{Network, count_correct};
use cnn_tb::random::{Purpose, Stream};
use cnn_tb::train::{Config, Observer, fit};

const SIDE: usize = 28;
const COUNT: usize = 1_000;

/// Looks at nothing.
struct Blind;

impl Observer for Blind {}

/// A network that saw the training images once.
fn trained(dataset: &Dataset) -> Network {
    let config = Config {
        epochs: 1,
        ..Config::default()
    };
    let outcome = fit(&config, dataset, &mut Blind).unwrap();
    let plan = config.plan(SIDE, SIDE, 10).unwrap();
    Network::new(&plan, outcome.parameters.builder(&Device::Cpu)).unwrap()
}

/// A PNG file of the digit 2 to 20 times as large, somewhere in a picture of up to twice its size.
/// It is the same for the same index.
fn drawn(digit: &[u8], index: usize) -> Vec<u8> {
    let mut stream = Stream::new(1, Purpose::Shift, index as u64);
    let scale = 2.0 + 18.0 * f64::from(stream.uniform());
    let size = (SIDE as f64 * scale) as u32;
    let (height, width) = (size + stream.below(size), size + stream.below(size));
    let top = stream.below(height - size + 1);
    let left = stream.below(width - size + 1);
    let source = |at: u32, start: u32| Some((f64::from(at.checked_sub(start)?) / scale) as usize);
    let is_inverted = index.is_multiple_of(2);
    let mut pixels = Vec::new();
    for y in 0..height {
        let row = source(y, top).and_then(|y| digit.chunks_exact(SIDE).nth(y));
        for x in 0..width {
            let pixel = row.zip(source(x, left)).and_then(|(row, x)| row.get(x));
            let pixel = pixel.copied().unwrap_or(0);
            pixels.push(if is_inverted { 255 - pixel } else { pixel });
        }
    }
    png(width, height, &pixels)
}

fn png(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(pixels).unwrap();
    writer.finish().unwrap();
    file
}

/// How many of these images the network knows.
fn right(network: &Network, images: &[u8], labels: &[u8]) -> usize {
    let shape = (labels.len(), 1, SIDE, SIDE);
    let images = images.iter().map(|&pixel| f32::from(pixel) / 255.0);
    let images = Tensor::from_iter(images, &Device::Cpu).unwrap();
    let logits = network.forward(&images.reshape(shape).unwrap()).unwrap();
    let labels = labels.iter().map(|&label| u32::from(label));
    count_correct(&logits, &Tensor::from_iter(labels, &Device::Cpu).unwrap()).unwrap()
}

#[test]
fn digits_are_known_at_any_size_and_place_and_inverted() {
    let dataset = Dataset::mnist().unwrap();
    let network = trained(&dataset);
    let test = dataset.test().unwrap();
    let labels = &test.labels()[..COUNT];
    let originals = &test.pixels()[..COUNT * SIDE * SIDE];
    let pictures = originals.chunks_exact(SIDE * SIDE).enumerate();
    let images: Vec<u8> = pictures
        .flat_map(|(index, digit)| {
            let picture = Picture::from_png(&drawn(digit, index)[..]).unwrap();
            picture.digit(SIDE, SIDE).unwrap()
        })
        .collect();

    let (plain, found) = (
        right(&network, originals, labels),
        right(&network, &images, labels),
    );
    assert!(
        found >= 970,
        "{found} of {COUNT}, and {plain} of the originals"
    );
    // The measure that counts: the network knows them as it knows the originals.
    assert!(found + 10 >= plain, "{found}, but {plain} of the originals");

    // They are nearly the same images.
    let pairs = images.iter().zip(originals);
    let difference: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    let mean = difference as f64 / images.len() as f64;
    assert!(mean < 12.0, "{mean} grey levels");
}
