//! Every op on random shapes against candle's own ops, in f64; the same bits for any number of
//! threads.

#![cfg(feature = "train")]
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{BatchNormConfig, ModuleT as _, VarBuilder};
use cnn_tb::nn::{
    affine, avg_pool2d, batch_norm, batch_norm_eval, batch_norm_train, composed, conv_pool_relu,
    convolve, cross_entropy, dropout, dropout_keys, max_pool2d, relu,
};
use cnn_tb::random::{Purpose, Stream};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const CPU: &Device = &Device::Cpu;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 100,
        rng_seed: RngSeed::Fixed(20),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Normally distributed numbers, the same for the same seed.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut stream = Stream::new(seed, Purpose::Init, 0);
    let numbers: Vec<f32> = (0..shape.iter().product())
        .map(|_| stream.normal())
        .collect();
    Tensor::from_vec(numbers, shape, CPU).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().unwrap();
    flat.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// The output of an op, and the gradient of each input when outputs are weighted differently.
fn passes(inputs: &[Tensor], op: impl Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Vec<f64>> {
    let vars: Vec<Var> = inputs
        .iter()
        .map(|x| Var::from_tensor(x).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let output = op(&tensors).unwrap();
    let weights = random(output.dims(), 99).to_dtype(output.dtype()).unwrap();
    let loss = (&output * weights).unwrap().sum_all().unwrap();
    let grads = loss.backward().unwrap();
    let grads = vars.iter().map(|var| numbers(grads.get(var).unwrap()));
    [numbers(&output)].into_iter().chain(grads).collect()
}

/// Holds an op and its gradients against what is composed of candle's ops, in f64.
fn agree(
    inputs: &[Tensor],
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
    oracle: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let exact: Vec<_> = inputs
        .iter()
        .map(|x| x.to_dtype(DType::F64).unwrap())
        .collect();
    let (found, expected) = (passes(inputs, op), passes(&exact, oracle));
    for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{which}");
        let scale = expected.iter().fold(1.0, |max: f64, x| max.max(x.abs()));
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (found - expected).abs() / scale;
            assert!(error < 2e-5, "{which}[{i}]: {found}, expected {expected}");
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn convolution(
        images in 1usize..7, channels_in in 1usize..6, channels_out in 1usize..11,
        height in 1usize..13, width in 1usize..13, kernel in 1usize..6,
        padding in 0usize..4, stride in 1usize..4,
    ) {
        prop_assume!(height.min(width) + 2 * padding >= kernel);
        let inputs = [
            random(&[images, channels_in, height, width], 1),
            random(&[channels_out, channels_in, kernel, kernel], 2),
            random(&[channels_out], 3),
        ];
        agree(
            &inputs,
            |x| convolve(&x[0], &x[1], &x[2], padding, stride),
            |x| composed::convolve(&x[0], &x[1], &x[2], padding, stride),
        );
    }

    #[test]
    fn convolution_pooling_and_relu(
        images in 1usize..7, channels_in in 1usize..10, channels_out in 1usize..20,
        height in 2usize..13, width in 2usize..13, kernel in 1usize..6, padding in 0usize..5,
    ) {
        prop_assume!(padding < kernel && kernel < height.min(width) + 2 * padding);
        let inputs = [
            random(&[images, channels_in, height, width], 1),
            random(&[channels_out, channels_in, kernel, kernel], 2),
            random(&[channels_out], 3),
        ];
        agree(
            &inputs,
            |x| conv_pool_relu(&x[0], &x[1], &x[2], padding),
            |x| {
                let x = composed::convolve(&x[0], &x[1], &x[2], padding, 1)?;
                composed::relu(&composed::max_pool2d(&x, 2, 2)?)
            },
        );
    }

    #[test]
    fn pooling(
        images in 1usize..4, channels in 1usize..4, height in 1usize..13, width in 1usize..40,
        kernel in 1usize..6, stride in 1usize..5,
    ) {
        prop_assume!(height.min(width) >= kernel);
        let input = [random(&[images, channels, height, width], 1)];
        agree(
            &input,
            |x| avg_pool2d(&x[0], kernel, stride),
            |x| composed::avg_pool2d(&x[0], kernel, stride),
        );
        agree(
            &input,
            |x| max_pool2d(&x[0], kernel, kernel),
            |x| composed::max_pool2d(&x[0], kernel, kernel),
        );
    }

    #[test]
    fn batch_normalization(
        images in 1usize..10, channels in 1usize..6, size in prop::option::of((1usize..8, 1usize..8)),
        far in -1000f64..1000.0, eps in 0.0..0.01,
    ) {
        let shape = match size {
            Some((height, width)) => vec![images, channels, height, width],
            None => vec![images, channels],
        };
        // Of few numbers the deviation is near to 0, and what is divided by it far from everything.
        prop_assume!(shape.iter().product::<usize>() / channels >= 3);
        let inputs = [random(&shape, 1), random(&[channels], 2), random(&[channels], 3)];
        let train = |x: &[Tensor]| batch_norm_train(&x[0], &x[1], &x[2], eps).map(|both| both.0);
        let oracle =
            |x: &[Tensor]| composed::batch_norm_train(&x[0], &x[1], &x[2], eps).map(|both| both.0);
        agree(&inputs, train, oracle);

        let (mean, variance) = (random(&[channels], 4), random(&[channels], 5).sqr().unwrap());
        agree(
            &inputs,
            |x| batch_norm_eval(&x[0], &x[1], &x[2], &mean, &variance, eps + 0.1),
            |x| composed::batch_norm_eval(&x[0], &x[1], &x[2], &mean, &variance, eps + 0.1),
        );

        // With a ReLU after it, and in a layer.
        let config = BatchNormConfig { eps, ..BatchNormConfig::default() };
        let layer = |x: &[Tensor]| {
            let names = ["weight", "bias", "running_mean", "running_var"];
            let tensors = [&x[1], &x[2], &mean, &variance].map(Tensor::clone);
            let tensors = names.map(String::from).into_iter().zip(tensors).collect();
            let builder = VarBuilder::from_tensors(tensors, DType::F32, CPU);
            Ok::<_, candle_core::Error>(batch_norm(channels, config, builder)?.with_relu())
        };
        agree(
            &inputs,
            |x| Ok(layer(x)?.forward_with_stats(&x[0])?.0),
            |x| relu(&oracle(x)?),
        );
        agree(
            &inputs,
            |x| layer(x)?.forward_t(&x[0], false),
            |x| relu(&composed::batch_norm_eval(&x[0], &x[1], &x[2], &mean, &variance, eps)?),
        );

        // A mean far from 0 costs digits of the input and no more.
        let far = (&inputs[0] + far).unwrap();
        let (_, found) = batch_norm_train(&far, &inputs[1], &inputs[2], eps).unwrap();
        let far = far.to_dtype(DType::F64).unwrap();
        let [weight, bias] = [1, 2].map(|i| inputs[i].to_dtype(DType::F64).unwrap());
        let (_, expected) = composed::batch_norm_train(&far, &weight, &bias, eps).unwrap();
        let stats = numbers(found.variance()).into_iter().zip(numbers(expected.variance()));
        for (found, expected) in stats {
            prop_assert!((found - expected).abs() < 1e-5 * expected.max(1.0), "{found} {expected}");
        }
        let stats = numbers(found.mean()).into_iter().zip(numbers(expected.mean()));
        for (found, expected) in stats {
            prop_assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0));
        }
        prop_assert_eq!(found.count(), expected.count());
    }

    #[test]
    fn dropping_out(rows in 1usize..6, columns in 1usize..150, rate in 0.0..1.0, seed in any::<u64>()) {
        let images: Vec<u32> = (0..rows as u32).collect();
        let keys = dropout_keys(seed, 2, 3, &images);
        let input = random(&[rows, columns], 1);
        agree(
            std::slice::from_ref(&input),
            |x| dropout(&x[0], rate, &keys),
            |x| composed::dropout(&x[0], rate, &keys),
        );
        // A row's mask comes from its key alone.
        let last = input.narrow(0, rows - 1, 1).unwrap();
        let alone = dropout(&last, rate, &keys[rows - 1..]).unwrap();
        let among = dropout(&input, rate, &keys).unwrap();
        prop_assert_eq!(numbers(&alone), &numbers(&among)[(rows - 1) * columns..]);
    }

    #[test]
    fn the_others(rows in 1usize..20, features in 1usize..30, classes in 1usize..12) {
        let inputs = [
            random(&[rows, features], 1),
            random(&[classes, features], 2),
            random(&[classes], 3),
        ];
        let labels: Vec<u32> = (0..rows).map(|row| (row * 7 % classes) as u32).collect();
        let labels = Tensor::new(labels, CPU).unwrap();
        agree(
            &inputs,
            |x| relu(&affine(&x[0], &x[1], &x[2])?),
            |x| composed::relu(&composed::affine(&x[0], &x[1], &x[2])?),
        );
        agree(
            &inputs,
            |x| cross_entropy(&affine(&x[0], &x[1], &x[2])?, &labels),
            |x| composed::cross_entropy(&composed::affine(&x[0], &x[1], &x[2])?, &labels),
        );
    }
}

/// A network of every op, as large as to be split among threads.
#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let images: Vec<u32> = (0..9).collect();
    let keys = dropout_keys(1, 0, 0, &images);
    let labels = Tensor::new(images, CPU).unwrap();
    let inputs = [
        random(&[9, 3, 16, 16], 1),
        random(&[8, 3, 3, 3], 2),
        random(&[8], 3),
        random(&[8], 4),
        random(&[16, 8, 3, 3], 5),
        random(&[16], 6),
        random(&[16], 7),
        random(&[9, 16 * 4], 8),
        random(&[9], 9),
    ];
    let network = |x: &[Tensor]| {
        let y = convolve(&x[0], &x[1], &x[2], 1, 1)?; // (9, 8, 16, 16)
        let (y, _) = batch_norm_train(&y, &x[3], &x[2], 1e-5)?;
        let y = avg_pool2d(&relu(&y)?, 2, 2)?; // (9, 8, 8, 8)
        let y = convolve(&y, &x[4], &x[5], 1, 2)?; // (9, 16, 4, 4)
        let y = batch_norm_eval(&y, &x[6], &x[5], &x[5], &x[6].sqr()?, 1e-5)?;
        let y = max_pool2d(&dropout(&y, 0.3, &keys)?, 2, 2)?; // (9, 16, 2, 2)
        cross_entropy(&affine(&y, &x[7], &x[8])?, &labels)
    };
    let on_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| passes(&inputs, network))
    };
    let one = on_threads(1);
    assert!(one.iter().flatten().all(|x| x.is_finite()));
    for threads in [2, 3] {
        assert_eq!(on_threads(threads), one, "{threads} threads");
    }
}

/// Quarters from −2 to 2.
fn pattern(shape: &[usize], step: usize) -> Tensor {
    let numbers = (0..shape.iter().product()).map(|i| ((i * step % 17) as f32 - 8.0) / 4.0);
    Tensor::from_vec(numbers.collect::<Vec<f32>>(), shape, CPU).unwrap()
}

/// Output and gradients with PyTorch's upstream gradient.
fn pattern_passes(inputs: &[Tensor], op: impl Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Vec<f64>> {
    let vars: Vec<Var> = inputs
        .iter()
        .map(|x| Var::from_tensor(x).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let output = op(&tensors).unwrap();
    let loss = (&output * pattern(output.dims(), 7))
        .unwrap()
        .sum_all()
        .unwrap();
    let grads = loss.backward().unwrap();
    let grads = vars.iter().map(|var| numbers(grads.get(var).unwrap()));
    [numbers(&output)].into_iter().chain(grads).collect()
}

/// All numbers are whole sixteenths, so PyTorch's sums and ours are exact:
///
/// ```python
/// def numbers(count, step):
///     return (torch.arange(count) * step % 17 - 8.0) / 4
///
/// x = numbers(40, 5).reshape(1, 2, 4, 5).requires_grad_()
/// w = numbers(36, 3).reshape(2, 2, 3, 3).requires_grad_()
/// b = torch.tensor([0.5, -1.0]).requires_grad_()
/// y = torch.nn.functional.conv2d(x, w, b, stride=2, padding=1)
/// (y * numbers(12, 7).reshape(y.shape)).sum().backward()
/// print(y, x.grad, w.grad, b.grad)
/// ```
#[test]
fn convolution_gives_pytorchs_numbers() {
    let bias = Tensor::new(&[0.5f32, -1.0], CPU).unwrap();
    let inputs = [pattern(&[1, 2, 4, 5], 5), pattern(&[2, 2, 3, 3], 3), bias];
    let found = pattern_passes(&inputs, |x| convolve(&x[0], &x[1], &x[2], 1, 2));
    let expected: [&[f64]; 4] = [
        &[
            -6.6875, 11.0, -1.125, -2.25, 12.3125, -0.875, -3.4375, -4.75, -4.0625, 2.75, 1.25,
            -4.625,
        ],
        &[
            -2.0, -1.8125, 2.8125, -3.875, 0.1875, 2.75, 0.3125, -0.375, 1.5, 0.75, 0.75, -4.8125,
            -1.875, 3.75, -1.3125, 0.75, 0.9375, -0.375, 1.875, 1.6875, 1.5, -0.9375, 0.1875,
            -0.375, -1.125, -2.25, 1.4375, -5.9375, 1.5, 2.0625, 0.75, 0.75, -0.5625, 1.3125,
            1.3125, -3.5, -0.9375, 4.125, -0.5625, -3.125,
        ],
        &[
            1.8125, -2.625, -1.625, -0.5625, 2.8125, 3.1875, 1.0, -0.5625, -3.9375, 2.3125, 1.5625,
            -1.5, -0.6875, -4.3125, 4.4375, 0.875, 2.9375, -2.6875, -2.0, 2.8125, 2.0, -0.75,
            3.0625, -0.1875, 0.875, -0.75, 1.25, -1.375, -3.4375, 2.25, -0.625, 2.6875, -0.8125,
            1.0, -0.0625, 0.625,
        ],
        &[-2.75, 0.75],
    ];
    assert_eq!(found, expected);
}

/// Windows that overlap; all numbers are exact again:
///
/// ```python
/// x = numbers(60, 5).reshape(1, 2, 5, 6).requires_grad_()
/// y = torch.nn.functional.avg_pool2d(x, 4, 1)
/// (y * numbers(12, 7).reshape(y.shape)).sum().backward()
/// print(y, x.grad)
/// ```
#[test]
fn average_pooling_gives_pytorchs_numbers() {
    let found = pattern_passes(&[pattern(&[1, 2, 5, 6], 5)], |x| avg_pool2d(&x[0], 4, 1));
    let expected: [&[f64]; 2] = [
        &[
            -0.03125, 0.15625, 0.078125, 0.03125, 0.21875, 0.140625, 0.015625, -0.0625, -0.140625,
            0.078125, 0.0, -0.078125,
        ],
        &[
            -0.125, -0.140625, -0.046875, -0.046875, 0.078125, 0.09375, -0.1875, -0.15625,
            -0.171875, -0.171875, 0.015625, -0.015625, -0.1875, -0.15625, -0.171875, -0.171875,
            0.015625, -0.015625, -0.1875, -0.15625, -0.171875, -0.171875, 0.015625, -0.015625,
            -0.0625, -0.015625, -0.125, -0.125, -0.0625, -0.109375, 0.0, 0.109375, 0.0625, 0.0625,
            0.0625, -0.046875, 0.0625, 0.078125, 0.046875, 0.046875, -0.015625, -0.03125, 0.0625,
            0.078125, 0.046875, 0.046875, -0.015625, -0.03125, 0.0625, 0.078125, 0.046875,
            0.046875, -0.015625, -0.03125, 0.0625, -0.03125, -0.015625, -0.015625, -0.078125,
            0.015625,
        ],
    ];
    assert_eq!(found, expected);
}

/// Sets of images that are given in another order, or split among batches, get the same masks.
#[test]
fn masks_are_functions_of_seed_layer_epoch_and_image() {
    let keys = dropout_keys(1, 2, 3, &[40, 50, 60]);
    assert_eq!(dropout_keys(1, 2, 3, &[60, 40]), [keys[2], keys[0]]);
    for other in [
        dropout_keys(9, 2, 3, &[40]),
        dropout_keys(1, 9, 3, &[40]),
        dropout_keys(1, 2, 9, &[40]),
        dropout_keys(1, 2, 3, &[9]),
    ] {
        assert_ne!(other[0], keys[0]);
    }
    let ones = Tensor::ones((3, 40_000), DType::F32, CPU).unwrap();
    for rate in [0.0, 0.1, 0.5, 0.9] {
        let output = numbers(&dropout(&ones, rate, &keys).unwrap());
        let dropped = output.iter().filter(|x| **x == 0.0).count() as f64 / output.len() as f64;
        assert!((dropped - rate).abs() < 0.005, "{dropped} of {rate}");
        let mean = output.iter().sum::<f64>() / output.len() as f64;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
    }
    let nan = Tensor::full(f32::NAN, (3, 100), CPU).unwrap();
    let output = dropout(&nan, 0.9, &keys).unwrap();
    assert!(
        numbers(&output).iter().all(|x| x.is_nan()),
        "a NaN stays seen"
    );
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let x = random(&[2, 3, 8, 8], 1);
    let error = |result: Result<Tensor>| result.unwrap_err().to_string();
    assert!(error(avg_pool2d(&x, 9, 1)).contains("8x8"));
    assert!(avg_pool2d(&x, 0, 1).is_err() && avg_pool2d(&x, 2, 0).is_err());
    assert!(error(dropout(&x, 0.5, &[1])).contains("a key for each"));
    for rate in [1.0, -0.1, f64::NAN] {
        assert!(error(dropout(&x, rate, &[1, 2])).contains("rate"));
    }
    let channels = random(&[3], 1);
    let [few, far] = [random(&[2], 1), random(&[2, 3, 8], 1)];
    assert!(batch_norm_train(&x, &few, &channels, 1e-5).is_err());
    assert!(batch_norm_train(&far, &channels, &channels, 1e-5).is_err());
    assert!(batch_norm_train(&x, &channels, &channels, -1.0).is_err());
    assert!(
        error(batch_norm_eval(
            &x, &channels, &channels, &few, &channels, 0.0
        ))
        .contains("not [2]")
    );
    let (weight, bias) = (random(&[4, 3, 3, 3], 1), random(&[4], 1));
    for (empty, weight) in [
        ([2, 3, 8, 0], weight.dims()),
        ([2, 0, 8, 8], &[4, 0, 3, 3][..]),
    ] {
        let (empty, weight) = (random(&empty, 1), random(weight, 1));
        assert!(error(convolve(&empty, &weight, &bias, 2, 1)).contains("empty"));
    }
    let most = usize::MAX;
    assert!(convolve(&x, &weight, &bias, most, 1).is_err(), "padding");
    assert!(
        convolve(&x, &weight, &bias, 0, most).is_ok(),
        "one position"
    );
    let none = convolve(&random(&[0, 3, 8, 8], 1), &weight, &bias, 1, 1).unwrap();
    assert_eq!(none.dims(), [0, 4, 8, 8]);
}
