//! Every op and the whole network against finite differences and against candle's composed ops.

#![cfg(feature = "train")]
#![allow(clippy::unwrap_used)]

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Module, Optimizer as _};
use cnn_tb::nn::{
    Adam, AdamConfig, Init, NamedNetwork, Network, Parameters, Plan, affine, composed,
    conv_pool_relu, convolve, cross_entropy, max_pool2d, relu,
};
use cnn_tb::random::{Purpose, Stream};

const CPU: &Device = &Device::Cpu;

/// Normally distributed numbers, the same for the same seed.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut stream = Stream::new(seed, Purpose::Init, 0);
    let numbers: Vec<f32> = (0..shape.iter().product())
        .map(|_| stream.normal())
        .collect();
    Tensor::from_vec(numbers, shape, CPU).unwrap()
}

/// All different numbers, 0.1 apart, none nearer to 0 than 0.05: so a small step changes no winner
/// and no sign.
fn spread(shape: &[usize], seed: u64) -> Tensor {
    let count = shape.iter().product::<usize>() as u32;
    let order = Stream::new(seed, Purpose::Order, 0).permutation(count);
    let number = |i: u32| 0.1 * (f64::from(i) - f64::from(count / 2)) + 0.05;
    let numbers: Vec<f32> = order.into_iter().map(|i| number(i) as f32).collect();
    Tensor::from_vec(numbers, shape, CPU).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().unwrap();
    flat.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0, |max: f64, x| max.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / scale;
        assert!(
            error <= tolerance,
            "{what}[{i}]: {found}, expected {expected}"
        );
    }
}

/// Weights the outputs differently, so that the upstream gradient is not all ones.
fn weighted_sum(output: &Tensor) -> Result<Tensor> {
    let weights = random(output.dims(), 99).to_dtype(output.dtype())?;
    (output * weights)?.sum_all()
}

/// Holds the gradient of `op` by every input against central differences of `oracle`, both of
/// `weighted_sum`, at the given inputs in f32 and f64.
fn check_gradient(
    what: &str,
    inputs: &[Tensor],
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
    oracle: impl Fn(&[Tensor]) -> Result<Tensor>,
    tolerance: f64,
) {
    let vars: Vec<Var> = inputs
        .iter()
        .map(|input| Var::from_tensor(input).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let loss = weighted_sum(&op(&tensors).unwrap()).unwrap();
    let grads = loss.backward().unwrap();
    let step = 1e-5;
    let exact: Vec<Tensor> = inputs
        .iter()
        .map(|x| x.to_dtype(DType::F64).unwrap())
        .collect();
    for (which, var) in vars.iter().enumerate() {
        let at = |index: usize, delta: f64| {
            let mut values = numbers(&exact[which]);
            values[index] += delta;
            let mut inputs = exact.clone();
            inputs[which] = Tensor::from_vec(values, exact[which].shape(), CPU).unwrap();
            let sum = weighted_sum(&oracle(&inputs).unwrap()).unwrap();
            sum.to_scalar::<f64>().unwrap()
        };
        let found = numbers(grads.get(var).unwrap());
        let stride = found.len().div_ceil(200); // at most 200 numbers of each input
        let chosen: Vec<usize> = (0..found.len()).step_by(stride).collect();
        let expected: Vec<f64> = chosen
            .iter()
            .map(|i| (at(*i, step) - at(*i, -step)) / (2.0 * step))
            .collect();
        let found: Vec<f64> = chosen.iter().map(|i| found[*i]).collect();
        assert_close(
            &format!("{what}, input {which}"),
            &found,
            &expected,
            tolerance,
        );
    }
}

#[test]
fn convolution() {
    for (images, channels_in, channels_out, size, kernel, padding, stride) in [
        (3, 1, 6, (9, 7), 5, 2, 1),
        (2, 3, 4, (8, 8), 3, 0, 1),
        (2, 2, 3, (7, 10), 3, 1, 2),
        (1, 2, 2, (4, 3), 1, 0, 3),
        (1, 1, 1, (2, 2), 5, 2, 1),
        (14, 2, 3, (5, 5), 3, 4, 2),
    ] {
        let inputs = [
            random(&[images, channels_in, size.0, size.1], 1),
            random(&[channels_out, channels_in, kernel, kernel], 2),
            random(&[channels_out], 3),
        ];
        let what = format!("convolve {kernel}x{kernel}, padding {padding}, stride {stride}");
        let ours = convolve(&inputs[0], &inputs[1], &inputs[2], padding, stride).unwrap();
        let theirs =
            composed::convolve(&inputs[0], &inputs[1], &inputs[2], padding, stride).unwrap();
        assert_eq!(ours.dims(), theirs.dims(), "{what}");
        assert_close(&what, &numbers(&ours), &numbers(&theirs), 1e-5);
        check_gradient(
            &what,
            &inputs,
            |x| convolve(&x[0], &x[1], &x[2], padding, stride),
            |x| composed::convolve(&x[0], &x[1], &x[2], padding, stride),
            1e-4,
        );
    }
}

#[test]
fn pooling() {
    for (size, kernel) in [((8, 8), 2), ((7, 9), 2), ((9, 9), 3), ((3, 3), 1)] {
        let input = spread(&[2, 3, size.0, size.1], 4);
        let what = format!("max_pool2d {kernel}x{kernel} of {size:?}");
        let ours = max_pool2d(&input, kernel, kernel).unwrap();
        let theirs = composed::max_pool2d(&input, kernel, kernel).unwrap();
        assert_eq!(ours.dims(), theirs.dims(), "{what}");
        assert_eq!(numbers(&ours), numbers(&theirs), "{what}");
        let op = |x: &[Tensor]| max_pool2d(&x[0], kernel, kernel);
        check_gradient(
            &what,
            &[input],
            op,
            |x| composed::max_pool2d(&x[0], kernel, kernel),
            1e-5,
        );
    }
}

/// Overlapping windows have no composed form: one winner takes the gradients of both its windows.
#[test]
fn pooling_with_overlapping_windows() {
    let input = Var::new(&[[[[1f32, 2.0, 9.0, 4.0, 5.0], [0.0; 5], [0.0; 5]]]], CPU).unwrap();
    let output = max_pool2d(input.as_tensor(), 3, 2).unwrap();
    assert_eq!(numbers(&output), [9.0, 9.0]);
    let grads = (output * 3.0)
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    let mut expected = vec![0.0; 15];
    expected[2] = 6.0;
    assert_eq!(numbers(grads.get(&input).unwrap()), expected);
}

#[test]
fn the_first_of_equal_values_wins() {
    let input = Var::new(&[[[[1f32, 1.0, 0.0, 5.0], [1.0, 1.0, 5.0, 5.0]]]], CPU).unwrap();
    for pool in [max_pool2d, composed::max_pool2d] {
        let output = pool(input.as_tensor(), 2, 2).unwrap();
        assert_eq!(numbers(&output), [1.0, 5.0]);
        let grads = weighted_sum(&output).unwrap().backward().unwrap();
        let upstream = numbers(&random(&[1, 1, 1, 2], 99));
        let grad = numbers(grads.get(&input).unwrap());
        assert_eq!(
            grad,
            [upstream[0], 0.0, 0.0, upstream[1], 0.0, 0.0, 0.0, 0.0]
        );
    }
}

#[test]
fn a_nan_stays_seen() {
    let nan = f32::NAN;
    for position in 0..4 {
        let mut window = [1f32, -2.0, 3.0, 0.5];
        window[position] = nan;
        let window = Tensor::from_slice(&window, (1, 1, 2, 2), CPU).unwrap();
        let pooled = max_pool2d(&window, 2, 2).unwrap();
        assert!(numbers(&pooled)[0].is_nan(), "pooling, position {position}");
        assert!(numbers(&relu(&pooled).unwrap())[0].is_nan(), "relu");
        assert!(
            numbers(&composed::relu(&pooled).unwrap())[0].is_nan(),
            "composed relu"
        );
    }
    let images = Tensor::full(nan, (2, 1, 28, 28), CPU).unwrap();
    let network = article(Init::Layers).0;
    assert!(
        numbers(&network.forward(&images).unwrap())
            .iter()
            .all(|x| x.is_nan())
    );
}

#[test]
fn rectified_linear_unit() {
    let input = spread(&[5, 7], 5);
    check_gradient(
        "relu",
        &[input],
        |x| relu(&x[0]),
        |x| composed::relu(&x[0]),
        1e-5,
    );
    let zeros = Var::new(&[0f32, -0.0], CPU).unwrap();
    for op in [relu, composed::relu] {
        let grads = op(zeros.as_tensor())
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        let at_zero = numbers(grads.get(&zeros).unwrap());
        assert!(at_zero == [0.0, 0.0] || at_zero == [1.0, 1.0]);
    }
    let grads = relu(zeros.as_tensor())
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    assert_eq!(
        numbers(grads.get(&zeros).unwrap()),
        [0.0, 0.0],
        "as in PyTorch"
    );
}

/// The fused op against the single ones, for shapes that take either way through it.
#[test]
fn convolution_pooling_and_relu() {
    for (images, channels_in, channels_out, size, kernel, padding) in [
        (3, 1, 6, (28, 28), 5, 2),
        (3, 1, 6, (28, 28), 5, 0),
        (13, 6, 16, (14, 14), 5, 2),
        (2, 3, 20, (9, 7), 3, 1),
        (2, 3, 20, (9, 7), 4, 1),
        (1, 2, 3, (2, 3), 1, 0),
        (2, 1, 40, (5, 30), 7, 3),
        (1, 4, 1, (6, 41), 3, 2),
        (14, 2, 9, (4, 4), 9, 4),
    ] {
        let inputs = [
            random(&[images, channels_in, size.0, size.1], 1),
            random(&[channels_out, channels_in, kernel, kernel], 2),
            random(&[channels_out], 3),
        ];
        let what = format!(
            "conv_pool_relu {inputs:?}",
            inputs = inputs.each_ref().map(|x| x.dims())
        );
        let single = |x: &[Tensor]| {
            let x = composed::convolve(&x[0], &x[1], &x[2], padding, 1)?;
            composed::relu(&composed::max_pool2d(&x, 2, 2)?)
        };
        let ours = conv_pool_relu(&inputs[0], &inputs[1], &inputs[2], padding).unwrap();
        let theirs = single(&inputs).unwrap();
        assert_eq!(ours.dims(), theirs.dims(), "{what}");
        assert_close(&what, &numbers(&ours), &numbers(&theirs), 1e-5);
        let op = |x: &[Tensor]| conv_pool_relu(&x[0], &x[1], &x[2], padding);
        check_gradient(&what, &inputs, op, single, 1e-4);
    }
}

/// A blank border gives windows of equal values: the first wins, as in the single ops.
#[test]
fn the_fused_op_treats_ties_and_nan_as_the_single_ones() {
    let mut pixels = vec![0f32; 8 * 8];
    for (i, pixel) in [(27, 1.0), (28, 1.0), (35, 1.0), (36, f32::NAN), (60, 2.0)] {
        pixels[i] = pixel;
    }
    for channels in [1, 40] {
        let input = Var::from_vec(pixels.clone(), (1, 1, 8, 8), CPU).unwrap();
        let weight = Var::ones((channels, 1, 1, 1), DType::F32, CPU).unwrap();
        let bias = Tensor::full(0.05f32, channels, CPU).unwrap();
        let bias = Var::from_tensor(&bias).unwrap();
        let fused = conv_pool_relu(&input, &weight, &bias, 0).unwrap();
        let single = convolve(&input, &weight, &bias, 0, 1).unwrap();
        let single = relu(&max_pool2d(&single, 2, 2).unwrap()).unwrap();
        let bits = |x: &Tensor| numbers(x).into_iter().map(f64::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(&fused), bits(&single), "{channels}");
        assert!(numbers(&fused).iter().any(|x| x.is_nan()));
        let fused = weighted_sum(&fused).unwrap().backward().unwrap();
        let single = weighted_sum(&single).unwrap().backward().unwrap();
        let grad_input = |grads: &GradStore| numbers(grads.get(&input).unwrap());
        assert_close(
            "grad_input",
            &grad_input(&fused),
            &grad_input(&single),
            1e-6,
        );
        let grad_bias = |grads: &GradStore| numbers(grads.get(&bias).unwrap());
        assert_close("grad_bias", &grad_bias(&fused), &grad_bias(&single), 1e-6);
    }
}

#[test]
fn fully_connected() {
    let inputs = [random(&[13, 20], 6), random(&[7, 20], 7), random(&[7], 8)];
    check_gradient(
        "affine",
        &inputs,
        |x| affine(&x[0], &x[1], &x[2]),
        |x| composed::affine(&x[0], &x[1], &x[2]),
        1e-5,
    );
}

#[test]
fn softmax_cross_entropy() {
    let labels = Tensor::new(&[0u32, 3, 1, 1, 2], CPU).unwrap();
    let logits = (random(&[5, 4], 9) * 3.0).unwrap();
    check_gradient(
        "cross_entropy",
        &[logits],
        |x| cross_entropy(&x[0], &labels),
        |x| composed::cross_entropy(&x[0], &labels),
        1e-5,
    );
    let large = Tensor::new(&[[1000f32, -1000.0], [1000.0, -1000.0]], CPU).unwrap();
    let loss = cross_entropy(&large, &Tensor::new(&[0u32, 1], CPU).unwrap()).unwrap();
    assert_eq!(loss.to_scalar::<f32>().unwrap(), 1000.0, "no overflow");
}

fn article(init: Init) -> (Network, Parameters) {
    let parameters = Parameters::new(11, init);
    let plan = Plan::new(&NamedNetwork::Article.layers(), [1, 28, 28], 10).unwrap();
    let network = Network::new(&plan, parameters.builder(CPU)).unwrap();
    (network, parameters)
}

/// The article's network from candle's own ops; parameters in the order of their names.
fn composed_article(images: &Tensor, parameters: &[Tensor]) -> Result<Tensor> {
    let [b1, w1, b2, w2, b3, w3, b4, w4] = parameters else {
        panic!("8 parameters");
    };
    let x = composed::convolve(images, w1, b1, 2, 1)?;
    let x = composed::relu(&composed::max_pool2d(&x, 2, 2)?)?;
    let x = composed::convolve(&x, w2, b2, 2, 1)?;
    let x = composed::relu(&composed::max_pool2d(&x, 2, 2)?)?.flatten_from(1)?;
    let x = composed::relu(&composed::affine(&x, w3, b3)?)?;
    composed::affine(&x, w4, b4)
}

#[test]
fn the_network_is_the_articles() {
    let (_, parameters) = article(Init::Article);
    assert_eq!(parameters.count(), 104_342);
    let shapes: Vec<(String, Vec<usize>)> = parameters
        .named()
        .into_iter()
        .map(|(name, var)| (name, var.dims().to_vec()))
        .collect();
    let expected = [
        ("conv1.bias", vec![6]),
        ("conv1.weight", vec![6, 1, 5, 5]),
        ("conv2.bias", vec![16]),
        ("conv2.weight", vec![16, 6, 5, 5]),
        ("fc1.bias", vec![128]),
        ("fc1.weight", vec![128, 784]),
        ("fc2.bias", vec![10]),
        ("fc2.weight", vec![10, 128]),
    ];
    assert!(
        shapes
            .iter()
            .map(|(name, shape)| (name.as_str(), shape.clone()))
            .eq(expected)
    );
    for (name, var) in parameters.named() {
        let values = numbers(var.as_tensor());
        if name.ends_with("bias") {
            assert!(values.iter().all(|x| *x as f32 == 0.05), "{name}");
        } else {
            assert!(
                values.iter().all(|x| x.abs() <= 0.1),
                "{name} is cut off at 2 σ"
            );
            let variance = values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64;
            // A normal cut off at 2 σ has 0.880 of its σ left.
            assert!(
                (variance.sqrt() / 0.05 - 0.88).abs() < 0.1,
                "{name}: {}",
                variance.sqrt()
            );
        }
    }
}

#[test]
fn the_whole_network() {
    let images = random(&[3, 1, 28, 28], 12);
    let labels = Tensor::new(&[3u32, 1, 4], CPU).unwrap();
    let (network, parameters) = article(Init::Layers);
    let vars: Vec<Var> = parameters.vars_in_order();
    let values: Vec<Tensor> = vars.iter().map(|var| var.as_detached_tensor()).collect();
    let exact_images = images.to_dtype(DType::F64).unwrap();
    check_gradient(
        "network",
        &values,
        |x| {
            // The network owns its parameters, so they are exchanged for the ones to be checked.
            let [b1, w1, b2, w2, b3, w3, b4, w4] = x else {
                panic!("8 parameters")
            };
            let x = conv_pool_relu(&images, w1, b1, 2)?;
            let x = conv_pool_relu(&x, w2, b2, 2)?;
            let logits = affine(&relu(&affine(&x.flatten_from(1)?, w3, b3)?)?, w4, b4)?;
            let same = network.forward(&images)?;
            assert_eq!(numbers(&logits), numbers(&same), "the network is these ops");
            cross_entropy(&logits, &labels)
        },
        |x| composed::cross_entropy(&composed_article(&exact_images, x)?, &labels),
        1e-4,
    );
}

#[test]
fn twenty_steps_agree_with_composed_ops() {
    let (network, parameters) = article(Init::Article);
    let (_, twin) = article(Init::Article);
    let config = AdamConfig {
        learning_rate: 1e-3,
        ..AdamConfig::default()
    };
    let mut adam = Adam::new(parameters.vars_in_order(), config).unwrap();
    let mut twin_adam = Adam::new(twin.vars_in_order(), config).unwrap();
    let twin_tensors: Vec<Tensor> = twin
        .vars_in_order()
        .iter()
        .map(|var| var.as_tensor().clone())
        .collect();
    for step in 0..20 {
        // As in MNIST, most of the image is blank, so most windows of the first layer are ties.
        let digits = relu(&random(&[10, 1, 16, 16], 100 + step)).unwrap();
        let images = digits
            .pad_with_zeros(2, 6, 6)
            .unwrap()
            .pad_with_zeros(3, 6, 6)
            .unwrap();
        let labels: Vec<u32> = (0..10).map(|i| (i + step as u32) % 10).collect();
        let labels = Tensor::new(labels, CPU).unwrap();
        let loss = cross_entropy(&network.forward(&images).unwrap(), &labels).unwrap();
        adam.backward_step(&loss).unwrap();
        let logits = composed_article(&images, &twin_tensors).unwrap();
        let twin_loss = composed::cross_entropy(&logits, &labels).unwrap();
        twin_adam.backward_step(&twin_loss).unwrap();
        assert_close("loss", &numbers(&loss), &numbers(&twin_loss), 1e-4);
    }
    for ((name, ours), (_, theirs)) in parameters.named().into_iter().zip(twin.named()) {
        let (ours, theirs) = (numbers(ours.as_tensor()), numbers(theirs.as_tensor()));
        assert_close(&name, &ours, &theirs, 1e-4);
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let x = random(&[2, 1, 8, 8], 1);
    let (weight, bias) = (random(&[3, 1, 5, 5], 1), random(&[3], 1));
    assert!(
        convolve(&x, &random(&[3, 2, 5, 5], 1), &bias, 2, 1).is_err(),
        "channels"
    );
    assert!(
        convolve(&x, &weight, &random(&[4], 1), 2, 1).is_err(),
        "bias"
    );
    assert!(convolve(&x, &weight, &bias, 2, 0).is_err(), "stride");
    assert!(
        convolve(&x, &random(&[3, 1, 9, 9], 1), &bias, 0, 1).is_err(),
        "kernel too large"
    );
    assert!(max_pool2d(&x, 9, 9).is_err() && max_pool2d(&x, 0, 1).is_err());
    assert!(max_pool2d(&x, 2, 0).is_err());
    assert!(affine(&random(&[2, 3], 1), &random(&[4, 5], 1), &random(&[4], 1)).is_err());
    let labels = |labels: &[u32]| Tensor::new(labels, CPU).unwrap();
    assert!(
        cross_entropy(&random(&[2, 3], 1), &labels(&[0, 3])).is_err(),
        "label too large"
    );
    assert!(
        cross_entropy(&random(&[2, 3], 1), &labels(&[0])).is_err(),
        "too few labels"
    );
    assert!(
        cross_entropy(&random(&[0, 3], 1), &labels(&[])).is_err(),
        "nothing"
    );
}
