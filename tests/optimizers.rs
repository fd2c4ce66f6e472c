//! Optimizers and schedules against PyTorch 2.15's numbers.

#![cfg(feature = "train")]
#![allow(clippy::unwrap_used)]

use candle_core::{Device, Tensor, Var};
use candle_nn::Optimizer;
use cnn_tb::nn::{Adam, AdamConfig, Schedule, Sgd, SgdConfig};

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

/// The learning rates of `OneCycleLR(optimizer, max_lr, total_steps)`, the first of them before
/// the first `step()`.
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
