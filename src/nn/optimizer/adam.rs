//! Adam and AdamW.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use candle_nn::Optimizer;

use super::parts::StepParts;
use super::state::OptimizerState;
use super::update::{in_place, sum};
use crate::nn::kernel::simd::InstructionSet;
use crate::nn::kernel::update::{Formula, update};
use crate::nn::slice::{has_kernel, with_f32s};

/// The settings of [`Adam`]; the default is PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// How far a step goes.
    pub learning_rate: f64,
    /// How much of the mean gradient is kept from one step to the next.
    pub beta1: f64,
    /// How much of the mean squared gradient is kept from one step to the next.
    pub beta2: f64,
    /// What is added to the root of the mean squared gradient.
    pub epsilon: f64,
    /// How much of a parameter is taken away at a step, times the learning rate: with a value
    /// above 0 this is AdamW.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// Adam (Kingma and Ba, 2015), with decoupled weight decay if asked for (Loshchilov and Hutter,
/// 2019): PyTorch's formulas, in one pass over parameter, gradient and moments.
#[derive(Debug)]
pub struct Adam {
    /// The settings; they may be changed between steps.
    pub config: AdamConfig,
    /// Steps taken so far.
    pub steps: usize,
    /// The parameters with their moments, in the order in which they were given.
    pub moments: Vec<Moments>,
}

/// A parameter and what [`Adam`] remembers of its gradients.
#[derive(Clone, Debug)]
pub struct Moments {
    /// The parameter.
    pub parameter: Var,
    /// Running mean of the gradient.
    pub first: Var,
    /// Running mean of the squared gradient.
    pub second: Var,
}

/// The numbers of one step that are the same for every parameter.
#[derive(Clone, Copy)]
struct Step {
    /// 1 − β₁ and 1 − β₂, subtracted in f64: in f32 the second loses five digits.
    first_share: f32,
    second_share: f32,
    beta2: f32,
    epsilon: f32,
    decay: f32,
    size: f32,
    second_scale: f32,
}

impl Formula<2> for Step {
    #[inline(always)]
    fn apply(&self, parameters: &mut [f32], grads: &[f32], [first, second]: [&mut [f32]; 2]) {
        let moments = first.iter_mut().zip(second);
        for ((parameter, grad), (first, second)) in parameters.iter_mut().zip(grads).zip(moments) {
            *first += self.first_share * (grad - *first);
            *second = self.beta2 * *second + self.second_share * grad * grad;
            let root = second.sqrt() * self.second_scale + self.epsilon;
            *parameter = *parameter * self.decay - self.size * *first / root;
        }
    }
}

impl Step {
    fn apply_composed(&self, moments: &Moments, grad: &Tensor) -> Result<()> {
        let first = moments.first.as_tensor();
        let first = (first + ((grad - first)? * f64::from(self.first_share))?)?;
        let squared = (grad.sqr()? * f64::from(self.second_share))?;
        let second = ((moments.second.as_tensor() * f64::from(self.beta2))? + squared)?;
        let root = ((second.sqrt()? * f64::from(self.second_scale))? + f64::from(self.epsilon))?;
        let kept = (moments.parameter.as_tensor().detach() * f64::from(self.decay))?;
        let parameter = (kept - ((&first * f64::from(self.size))? / root)?)?;
        moments.first.set(&first)?;
        moments.second.set(&second)?;
        moments.parameter.set(&parameter)
    }
}

impl Adam {
    fn next_step(&mut self) -> Step {
        self.steps += 1;
        let AdamConfig {
            learning_rate,
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } = self.config;
        let steps = self.steps as f64;
        Step {
            first_share: (1.0 - beta1) as f32,
            second_share: (1.0 - beta2) as f32,
            beta2: beta2 as f32,
            epsilon: epsilon as f32,
            decay: (1.0 - learning_rate * weight_decay) as f32,
            size: (learning_rate / (1.0 - beta1.powf(steps))) as f32,
            second_scale: (1.0 - beta2.powf(steps)).sqrt().recip() as f32,
        }
    }
}

impl Optimizer for Adam {
    type Config = AdamConfig;

    fn new(vars: Vec<Var>, config: AdamConfig) -> Result<Self> {
        let vars = vars.into_iter().filter(|var| var.dtype().is_float());
        let moments = vars.map(|parameter| {
            let zeros = || Var::from_tensor(&parameter.zeros_like()?);
            Ok(Moments {
                first: zeros()?,
                second: zeros()?,
                parameter,
            })
        });
        Ok(Self {
            config,
            steps: 0,
            moments: moments.collect::<Result<_>>()?,
        })
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        self.step_parts(std::slice::from_ref(grads))
    }

    fn learning_rate(&self) -> f64 {
        self.config.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.config.learning_rate = learning_rate;
    }
}

impl OptimizerState for Adam {
    fn steps(&self) -> usize {
        self.steps
    }

    fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }

    fn memory(&self) -> Vec<(&'static str, Vec<Var>)> {
        let all = |get: fn(&Moments) -> &Var| self.moments.iter().map(get).cloned().collect();
        vec![
            ("first_moment", all(|moments| &moments.first)),
            ("second_moment", all(|moments| &moments.second)),
        ]
    }
}

impl StepParts for Adam {
    fn step_parts(&mut self, parts: &[GradStore]) -> Result<()> {
        let step = self.next_step();
        for moments in &self.moments {
            let grads: Vec<_> = parts
                .iter()
                .filter_map(|part| part.get(&moments.parameter))
                .collect();
            if !grads.iter().all(|grad| has_kernel(grad)) {
                step.apply_composed(moments, &sum(&grads)?)?;
                continue;
            }
            with_f32s("adam", &grads, |grads| {
                in_place(&moments.first, |first| {
                    in_place(&moments.second, |second| {
                        in_place(&moments.parameter, |parameter| {
                            let set = InstructionSet::current();
                            update(set, step, parameter, grads, [&mut *first, &mut *second]);
                            Ok(())
                        })
                    })
                })
            })?;
        }
        Ok(())
    }
}
