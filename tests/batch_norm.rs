//! The layer of batch normalization: PyTorch 2.15's numbers, candle-nn's own layer, and where its
//! running statistics are kept.

#![cfg(feature = "train")]
#![allow(clippy::unwrap_used)]
#![allow(clippy::excessive_precision, reason = "as PyTorch prints them")]

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{BatchNormConfig, ModuleT, Optimizer, VarBuilder, VarMap};
use cnn_tb::nn::{BatchNorm, Init, Parameters, Sgd, SgdConfig, batch_norm};

const CPU: &Device = &Device::Cpu;

/// The script's numbers: quarters from −2 to 2.
fn pattern(shape: &[usize], step: usize) -> Tensor {
    let numbers = (0..shape.iter().product()).map(|i| ((i * step % 17) as f32 - 8.0) / 4.0);
    Tensor::from_vec(numbers.collect::<Vec<f32>>(), shape, CPU).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let apart = (found - expected).abs();
        assert!(
            apart <= 3e-6 * expected.abs().max(1.0),
            "{what}[{i}]: {found}, expected {expected}"
        );
    }
}

fn layer(features: usize) -> (BatchNorm, Parameters) {
    let parameters = Parameters::new(1, Init::Layers);
    let builder = parameters.builder(CPU).pp("norm");
    (batch_norm(features, 1e-5, builder).unwrap(), parameters)
}

fn set(parameters: &Parameters, name: &str, values: &[f32]) {
    let all = parameters
        .named()
        .into_iter()
        .chain(parameters.named_buffers());
    let (_, var) = all.into_iter().find(|(found, _)| found == name).unwrap();
    var.set(&Tensor::new(values, CPU).unwrap()).unwrap();
}

/// What the script prints of one pass.
struct Pass<'a> {
    output: &'a [f32],
    input_grad: &'a [f32],
    weight_grad: &'a [f32],
    bias_grad: &'a [f32],
}

/// One step of training, then an evaluation with the running statistics that it left:
///
/// ```python
/// def numbers(count, step):
///     return (torch.arange(count) * step % 17 - 8.0) / 4
///
/// norm = torch.nn.BatchNorm1d(3)  # BatchNorm2d for (2, 3, 2, 2)
/// with torch.no_grad():
///     norm.weight.copy_(torch.tensor([1.0, -0.5, 2.0]))
///     norm.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))
/// for train in [True, False]:
///     norm.train(train)
///     x = numbers(12, 5).reshape(4, 3).requires_grad_()  # 24, (2, 3, 2, 2)
///     y = norm(x)
///     norm.zero_grad()
///     (y * numbers(12, 7).reshape(4, 3)).sum().backward()
///     print(y, x.grad, norm.weight.grad, norm.bias.grad)
/// print(norm.running_mean, norm.running_var)
/// ```
fn is_pytorchs(shape: &[usize], passes: [Pass<'_>; 2], running: [[f32; 3]; 2]) {
    let (layer, parameters) = layer(3);
    set(&parameters, "norm.weight", &[1.0, -0.5, 2.0]);
    set(&parameters, "norm.bias", &[0.5, 0.0, -1.0]);
    let [bias, weight] = &parameters.vars_in_order()[..] else {
        panic!("a weight and a bias are trained, no more");
    };
    for (train, pass) in [true, false].into_iter().zip(passes) {
        let input = Var::from_tensor(&pattern(shape, 5)).unwrap();
        let output = layer.forward_t(&input, train).unwrap();
        let loss = (&output * pattern(shape, 7)).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        let grad = |var: &Var| numbers(grads.get(var).unwrap());
        assert_close("output", &numbers(&output), pass.output);
        assert_close("input's gradient", &grad(&input), pass.input_grad);
        assert_close("weight's gradient", &grad(weight), pass.weight_grad);
        assert_close("bias's gradient", &grad(bias), pass.bias_grad);
    }
    assert_close("mean", &numbers(layer.running_mean()), &running[0]);
    assert_close("variance", &numbers(layer.running_var()), &running[1]);
}

#[test]
fn features_are_normalized_as_by_pytorch() {
    let train = Pass {
        output: &[
            -1.1798449,
            0.10768236,
            1.6832386,
            1.4045318,
            0.27997416,
            -0.10558712,
            1.0599483,
            0.45226592,
            -1.8944129,
            0.7153647,
            -0.8399224,
            -3.6832385,
        ],
        input_grad: &[
            -0.26083875,
            0.23366433,
            4.561553,
            -0.760767,
            0.021735227,
            -6.081992,
            0.08694625,
            -0.19019388,
            -1.5205176,
            0.9346595,
            -0.0652057,
            3.0409565,
        ],
        weight_grad: &[2.6705227, -4.468818, 1.2298177],
        bias_grad: &[-2.0, 0.75, -0.75],
    };
    let eval = Pass {
        output: &[
            -1.3808355,
            0.32497618,
            0.08202767,
            2.0702388,
            0.5550478,
            -0.9484749,
            1.6100956,
            0.7851194,
            -1.9789774,
            1.1499523,
            -0.94041777,
            -3.00948,
        ],
        input_grad: &[
            -1.8405728,
            0.1150358,
            3.0915077,
            -0.9202864,
            -0.3451074,
            -3.606759,
            0.0,
            -0.80525064,
            -1.5457538,
            0.9202864,
            0.6902148,
            0.5152513,
        ],
        weight_grad: &[2.8413844, -6.239254, 0.88236773],
        bias_grad: &[-2.0, 0.75, -0.75],
    };
    let running = [
        [0.04375, -0.04375, -0.025],
        [1.1807292, 1.1807292, 0.94166666],
    ];
    is_pytorchs(&[4, 3], [train, eval], running);
}

#[test]
fn channels_are_normalized_as_by_pytorch() {
    let train = Pass {
        output: &[
            -1.0519361,
            -0.050686985,
            0.9505621,
            1.9518112,
            0.375238,
            -0.16081628,
            -0.69687057,
            0.58965975,
            -2.500952,
            -0.3567348,
            1.7874824,
            -3.3586388,
            0.7503123,
            1.7515614,
            -0.65143645,
            0.34981266,
            -0.5896597,
            0.69687057,
            0.1608163,
            -0.375238,
            1.358639,
            -3.7874823,
            -1.6432651,
            0.50095206,
        ],
        input_grad: &[
            -1.4077724,
            -0.11518167,
            1.177409,
            -0.93424726,
            -0.35089952,
            0.8013086,
            0.13093203,
            -0.8117827,
            -1.1522049,
            2.576756,
            -0.9846216,
            0.27234608,
            1.5997403,
            -0.5119159,
            1.1518121,
            -0.9598441,
            -0.09950958,
            0.7803603,
            0.10998373,
            -0.5603928,
            -0.27234608,
            0.9846216,
            -2.576756,
            1.1522049,
        ],
        weight_grad: &[1.0888584, 1.3937411, -3.1627204],
        bias_grad: &[-0.25, 0.5, -3.0],
    };
    let eval = Pass {
        output: &[
            -1.4201453,
            -0.21629244,
            0.98756045,
            2.1914134,
            0.59013313,
            -0.01825154,
            -0.6266362,
            0.833487,
            -2.0464215,
            0.387117,
            2.8206556,
            -3.019837,
            0.7467899,
            1.9506428,
            -0.9386042,
            0.26524872,
            -0.5049593,
            0.9551639,
            0.34677926,
            -0.2616054,
            2.333948,
            -3.5065448,
            -1.0730062,
            1.3605324,
        ],
        input_grad: &[
            -1.9261647,
            -0.2407706,
            1.4446236,
            -0.9630824,
            -0.3650308,
            0.8517385,
            -0.0,
            -0.8517385,
            -1.4601232,
            1.9468309,
            -2.9202464,
            0.48670772,
            1.9261647,
            -0.4815412,
            1.203853,
            -1.203853,
            -0.24335386,
            0.97341543,
            0.12167693,
            -0.7300616,
            -1.9468309,
            1.4601232,
            -3.406954,
            0.0,
        ],
        weight_grad: &[1.3227338, 1.4175361, -4.5750523],
        bias_grad: &[-0.25, 0.5, -3.0],
    };
    let running = [
        [-0.00625, -0.0375, 0.0375],
        [1.078125, 1.0553571, 1.0553571],
    ];
    is_pytorchs(&[2, 3, 2, 2], [train, eval], running);
}

/// candle-nn's layer, on variables of its own, is an oracle for what a few batches leave behind.
#[test]
fn running_statistics_are_candles() {
    let (ours, _) = layer(3);
    let map = VarMap::new();
    let builder = VarBuilder::from_varmap(&map, DType::F32, CPU);
    let theirs = candle_nn::batch_norm(3, 1e-5, builder).unwrap();
    for step in [3, 5, 7, 11] {
        let batch = pattern(&[step, 3, 4, 5], step);
        let (found, expected) = (ours.forward_t(&batch, true), theirs.forward_t(&batch, true));
        let (found, expected) = (found.unwrap(), expected.unwrap());
        assert_close("output", &numbers(&found), &numbers(&expected));
    }
    let (mean, variance) = (ours.running_mean(), ours.running_var());
    assert_close("mean", &numbers(mean), &numbers(theirs.running_mean()));
    assert_close(
        "variance",
        &numbers(variance),
        &numbers(theirs.running_var()),
    );
}

/// What the two halves of a batch do, whichever of them is through first.
#[test]
fn halves_are_run_at_will_and_counted_in_order() {
    let (halves, (whole, _), (parts, _)) = (
        [3, 5].map(|step| pattern(&[4, 3], step)),
        layer(3),
        layer(3),
    );
    for half in &halves {
        whole.forward_t(half, true).unwrap();
    }
    let mut stats = Vec::new();
    for half in halves.iter().rev() {
        stats.push(parts.forward_with_stats(half).unwrap().1);
    }
    assert_eq!(
        numbers(parts.running_mean()),
        [0.0; 3],
        "not before they are told to"
    );
    for stats in stats.iter().rev() {
        parts.clone().update(stats).unwrap();
    }
    assert_eq!(numbers(parts.running_mean()), numbers(whole.running_mean()));
    assert_eq!(numbers(parts.running_var()), numbers(whole.running_var()));
    let (other, _) = layer(2);
    assert!(other.update(&stats[0]).is_err(), "of three channels");
}

#[test]
fn running_statistics_are_saved_and_not_trained() {
    let (layer, parameters) = layer(3);
    let name = |(name, _): &(String, Var)| name.clone();
    let trained: Vec<_> = parameters.named().iter().map(name).collect();
    assert_eq!(trained, ["norm.bias", "norm.weight"]);
    let kept: Vec<_> = parameters.named_buffers().iter().map(name).collect();
    assert_eq!(kept, ["norm.running_mean", "norm.running_var"]);
    assert_eq!(
        (parameters.count(), parameters.vars_in_order().len()),
        (6, 2)
    );

    layer.forward_t(&pattern(&[4, 3], 5), true).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    parameters.save(&path).unwrap();
    let (again, others) = self::layer(3);
    others.load(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(numbers(again.running_mean()), numbers(layer.running_mean()));
    assert_eq!(numbers(again.running_var()), numbers(layer.running_var()));
    assert_ne!(numbers(again.running_mean()), [0.0; 3]);

    // candle-nn's layer takes its statistics from there too.
    let builder = others.builder(CPU).pp("norm");
    let theirs = candle_nn::batch_norm(3, 1e-5, builder).unwrap();
    assert_eq!(
        numbers(theirs.running_mean()),
        numbers(layer.running_mean())
    );
}

#[test]
fn the_articles_initial_values_leave_it_alone() {
    let parameters = Parameters::new(1, Init::Article);
    let layer = batch_norm(2, BatchNormConfig::default(), parameters.builder(CPU)).unwrap();
    let (weight, bias) = layer.weight_and_bias().unwrap();
    assert_eq!(
        (numbers(weight), numbers(bias)),
        (vec![1.0; 2], vec![0.0; 2])
    );
    assert_eq!(numbers(layer.running_mean()), [0.0; 2]);
    assert_eq!(numbers(layer.running_var()), [1.0; 2]);
}

/// From a `VarMap` statistics come as variables, which an optimizer finds no gradient for.
#[test]
fn a_loop_of_candles_trains_it() {
    let map = VarMap::new();
    let builder = VarBuilder::from_varmap(&map, DType::F32, CPU);
    let layer = batch_norm(3, 1e-5, builder).unwrap();
    let mut sgd = Sgd::new(map.all_vars(), SgdConfig::default()).unwrap();
    let (batch, target) = (pattern(&[8, 3], 5), pattern(&[8, 3], 5));
    let mut losses = Vec::new();
    for _ in 0..200 {
        let output = layer.forward_t(&batch, true).unwrap();
        let loss = (output - &target)
            .unwrap()
            .sqr()
            .unwrap()
            .mean_all()
            .unwrap();
        sgd.backward_step(&loss).unwrap();
        losses.push(loss.to_scalar::<f32>().unwrap());
    }
    assert!(losses[199] < 0.1 * losses[0], "{losses:?}");
    // By now they are the batch's own.
    let (train, eval) = (
        layer.forward_with_stats(&batch),
        layer.forward_t(&batch, false),
    );
    let (train, eval) = (numbers(&train.unwrap().0), numbers(&eval.unwrap()));
    assert!(
        train.iter().zip(&eval).all(|(a, b)| (a - b).abs() < 0.2),
        "{train:?} {eval:?}"
    );
}

#[test]
fn without_weight_and_bias_there_is_nothing_to_train() {
    let parameters = Parameters::new(1, Init::Layers);
    let config = BatchNormConfig {
        affine: false,
        eps: 0.0,
        ..BatchNormConfig::default()
    };
    let layer = batch_norm(2, config, parameters.builder(CPU)).unwrap();
    assert!(layer.weight_and_bias().is_none() && parameters.named().is_empty());
    let output = layer.forward_t(&pattern(&[50, 2], 5), true).unwrap();
    let squares = output.sqr().unwrap().mean(0).unwrap();
    assert_close("variance", &numbers(&squares), &[1.0, 1.0]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let error = |features, config| {
        let parameters = Parameters::new(1, Init::Layers);
        let layer = batch_norm(features, config, parameters.builder(CPU));
        layer.unwrap_err().to_string()
    };
    let config = BatchNormConfig::default();
    assert!(
        error(
            1,
            BatchNormConfig {
                eps: -1.0,
                ..config
            }
        )
        .contains("-1")
    );
    assert!(
        error(
            1,
            BatchNormConfig {
                momentum: 1.5,
                ..config
            }
        )
        .contains("1.5")
    );
    let kept = BatchNormConfig {
        remove_mean: false,
        ..config
    };
    assert!(error(1, kept).contains("remove_mean"));

    let (layer, _) = layer(3);
    for (shape, train, expected) in [
        (vec![4, 2], true, "shape (2,)"),
        (vec![4, 2, 3, 3], false, "shape (2,)"),
        (vec![4, 3, 2], true, "(N, C, H, W)"),
        (vec![1, 3], true, "1 numbers in a channel"),
        (vec![0, 3, 2, 2], true, "0 numbers in a channel"),
    ] {
        let error = layer.forward_t(&pattern(&shape, 5), train).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let nothing = layer.forward_t(&pattern(&[0, 3, 2, 2], 5), false).unwrap();
    assert_eq!(nothing.dims(), [0, 3, 2, 2]);
}
