//! Optimizers, gradient clipping and schedules against PyTorch 2.15's numbers.

#![cfg(feature = "train")]
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Optimizer;
use cnn_tb::nn::{Adam, AdamConfig, AdamW, Schedule, Sgd, SgdConfig, clip_grad_norm};

/// The parameter after five steps on a gradient that depends on it and on the step:
///
/// ```python
/// def run(make):
///     p = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
///     optimizer = make([p])
///     for step in range(5):
///         p.grad = torch.tensor([0.5, -1.0, 2.0]) * p.detach() + step * 0.1
///         optimizer.step()
///     return p.detach().tolist()
/// ```
fn five_steps<O: Optimizer>(config: O::Config) -> (Vec<f32>, O) {
    let parameter = Var::new(&[1f32, -2.0, 0.5], &Device::Cpu).unwrap();
    let mut optimizer = O::new(vec![parameter.clone()], config).unwrap();
    for step in 0..5 {
        // The derivative of ½ a p² + b p is a p + b.
        let p = parameter.as_tensor();
        let a = Tensor::new(&[0.5f32, -1.0, 2.0], &Device::Cpu).unwrap();
        let loss = ((p.sqr().unwrap() * a).unwrap() * 0.5).unwrap();
        let loss = (loss + (p * (f64::from(step) * 0.1)).unwrap()).unwrap();
        optimizer.backward_step(&loss.sum_all().unwrap()).unwrap();
    }
    (parameter.to_vec1().unwrap(), optimizer)
}

fn assert_close(found: &[f32], expected: [f32; 3]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() < 2e-6,
            "{found}, expected {expected}"
        );
    }
}

/// `torch.optim.Adam(p, lr=0.1)` and `torch.optim.AdamW(p, lr=0.1, betas=(0.8, 0.99), eps=1e-6,
/// weight_decay=0.2)`.
#[test]
fn adam() {
    let config = AdamConfig {
        learning_rate: 0.1,
        ..AdamConfig::default()
    };
    let (parameter, adam) = five_steps::<Adam>(config);
    assert_close(&parameter, [0.497_823_54, -2.502_178_4, 0.007_882_625]);
    assert_eq!((adam.steps, adam.moments.len()), (5, 1));
    let config = AdamConfig {
        learning_rate: 0.1,
        beta1: 0.8,
        beta2: 0.99,
        epsilon: 1e-6,
        weight_decay: 0.2,
    };
    assert_close(
        &five_steps::<Adam>(config).0,
        [0.418_376_8, -2.293_261_3, -0.012_902_23],
    );
}

/// `torch.optim.AdamW(p, lr=0.1)`, whose weight decay is 0.01.
#[test]
fn adamw() {
    let config = AdamConfig {
        learning_rate: 0.1,
        ..AdamConfig::adamw()
    };
    assert_close(
        &five_steps::<AdamW>(config).0,
        [0.493_839_03, -2.491_192, 0.006_478_481],
    );
}

/// `torch.optim.SGD(p, lr=0.1, momentum=0.9)` and `torch.optim.SGD(p, lr=0.1, momentum=0.9,
/// nesterov=True, weight_decay=0.3)`.
#[test]
fn sgd() {
    let config = SgdConfig {
        learning_rate: 0.1,
        ..SgdConfig::default()
    };
    assert_close(
        &five_steps::<Sgd>(config).0,
        [0.241_189_69, -5.508_000_4, -0.439_539_97],
    );
    let config = SgdConfig {
        nesterov: true,
        weight_decay: 0.3,
        ..config
    };
    assert_close(
        &five_steps::<Sgd>(config).0,
        [-0.191_633_06, -5.416_520_6, -0.379_246],
    );
}

/// Two parameters and gradients of theirs.
fn two_parameters(dtype: DType, third: f32) -> (Vec<Var>, candle_core::backprop::GradStore) {
    let a = Tensor::new(&[3f32, -4.0, third], &Device::Cpu).unwrap();
    let b = Tensor::new(&[[1f32, 2.0], [-2.0, 0.25]], &Device::Cpu).unwrap();
    let vars = [&a, &b].map(|values| {
        let zeros = values.zeros_like().unwrap().to_dtype(dtype).unwrap();
        Var::from_tensor(&zeros).unwrap()
    });
    let parts = vars.iter().zip([a, b]).map(|(var, grad)| {
        let grad = grad.to_dtype(dtype).unwrap();
        (var.as_tensor() * grad).unwrap().sum_all().unwrap()
    });
    let sum = parts.reduce(|a, b| (a + b).unwrap()).unwrap();
    (vars.to_vec(), sum.backward().unwrap())
}

/// The numbers of all gradients, one after the other.
fn numbers(grads: &candle_core::backprop::GradStore, vars: &[Var]) -> Vec<f32> {
    let of = |var| grads.get(var).unwrap().to_dtype(DType::F32).unwrap();
    vars.iter()
        .flat_map(|var| of(var).flatten_all().unwrap().to_vec1::<f32>().unwrap())
        .collect()
}

/// ```python
/// a, b = torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2, 2))
/// a.grad = torch.tensor([3.0, -4.0, 0.5])
/// b.grad = torch.tensor([[1.0, 2.0], [-2.0, 0.25]])
/// norm = torch.nn.utils.clip_grad_norm_([a, b], 1.5)
/// ```
#[test]
fn gradients_are_clipped_by_their_total_norm() {
    let expected = [
        0.768_221_26,
        -1.024_295,
        0.128_036_87,
        0.256_073_74,
        0.512_147_5,
        -0.512_147_5,
        0.064_018_436,
    ];
    for dtype in [DType::F32, DType::F64] {
        let (vars, mut grads) = two_parameters(dtype, 0.5);
        let norm = clip_grad_norm(&mut grads, &vars, 1.5).unwrap();
        assert!((norm - 5.857_686_996).abs() < 1e-6, "{norm}");
        for (found, expected) in numbers(&grads, &vars).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
        }
        // What is below the limit stays as it is, and so does a parameter without a gradient.
        let (mut vars, mut grads) = two_parameters(dtype, 0.5);
        let before = numbers(&grads, &vars);
        vars.push(Var::zeros(2, dtype, &Device::Cpu).unwrap());
        let norm = clip_grad_norm(&mut grads, &vars, 100.0).unwrap();
        assert!((norm - 5.857_686_996).abs() < 1e-6, "{norm}");
        assert_eq!(numbers(&grads, &vars[..2]), before);
        assert!(grads.get(&vars[2]).is_none());
    }
}

#[test]
fn a_norm_that_is_not_finite_leaves_the_gradients_to_be_looked_at() {
    for bad in [f32::NAN, f32::INFINITY] {
        let (vars, mut grads) = two_parameters(DType::F32, bad);
        let norm = clip_grad_norm(&mut grads, &vars, 1.0).unwrap();
        assert!(!norm.is_finite(), "{norm}");
        let found = numbers(&grads, &vars);
        assert_eq!(found[..2], [3.0, -4.0]);
        assert_eq!(found[3..], [1.0, 2.0, -2.0, 0.25]);
    }
}

/// The learning rates of `OneCycleLR`, the first of them before the first `step()`:
///
/// ```python
/// optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
/// schedule = torch.optim.lr_scheduler.OneCycleLR(
///     optimizer, max_lr=peak, total_steps=updates, cycle_momentum=False)
/// for update in range(updates):
///     print(update, optimizer.param_groups[0]["lr"])
///     optimizer.step()
///     if update + 1 < updates:
///         schedule.step()
/// ```
#[test]
fn one_cycle() {
    let short = [
        (0, 0.004),
        (1, 0.052),
        (2, 0.1),
        (5, 0.061_126_202_193_628_93),
        (9, 4e-7),
    ];
    let long = [
        (0, 0.00012),
        (471, 0.001_452_605_876_909_165),
        (989, 0.003),
        (1650, 0.002_433_641_171_328_675),
        (3298, 1.338_718_774_962_345_6e-8),
        (3299, 1.2e-8),
    ];
    for (peak, updates, rates) in [(0.1, 10, &short[..]), (0.003, 3300, &long[..])] {
        for (update, expected) in rates {
            let found = Schedule::OneCycle.rate(peak, *update, updates);
            assert!(
                (found / expected - 1.0).abs() < 1e-9,
                "{update}: {found}, {expected}"
            );
        }
    }
}

#[test]
fn every_schedule_is_finite_and_never_above_its_peak() {
    for schedule in [
        Schedule::Constant,
        Schedule::Step,
        Schedule::Cosine,
        Schedule::OneCycle,
    ] {
        for updates in [1, 2, 3, 4, 7, 1000] {
            for update in 0..updates {
                let rate = schedule.rate(0.5, update, updates);
                assert!(
                    (0.0..=0.5).contains(&rate),
                    "{schedule:?} {update}/{updates}: {rate}"
                );
            }
        }
        assert!(schedule.rate(0.5, 0, 0).is_finite());
    }
    assert_eq!(Schedule::Cosine.rate(0.5, 0, 100), 0.5);
    assert!(Schedule::Cosine.rate(0.5, 99, 100) < 1e-9);
    assert_eq!(Schedule::Step.rate(1.0, 99, 100), 0.01);
}
