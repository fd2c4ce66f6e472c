//! Stochastic gradient descent with momentum.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use candle_nn::Optimizer;

use super::parts::StepParts;
use super::state::OptimizerState;
use super::update::{in_place, sum};
use crate::nn::kernel::simd::InstructionSet;
use crate::nn::kernel::update::{Formula, update};
use crate::nn::slice::{has_kernel, with_f32s};

/// The settings of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// How far a step goes.
    pub learning_rate: f64,
    /// How much of the velocity is kept from one step to the next.
    pub momentum: f64,
    /// Whether a step looks ahead along the velocity (Nesterov, 1983).
    pub nesterov: bool,
    /// How much of a parameter is added to its gradient.
    pub weight_decay: f64,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-2,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
        }
    }
}

/// Stochastic gradient descent with momentum, by PyTorch's formulas (dampening 0).
#[derive(Debug)]
pub struct Sgd {
    /// The settings; they may be changed between steps.
    pub config: SgdConfig,
    /// The parameters with their velocities, in the order in which they were given.
    pub velocities: Vec<Velocity>,
}

/// A parameter and what [`Sgd`] remembers of its gradients.
#[derive(Clone, Debug)]
pub struct Velocity {
    /// The parameter.
    pub parameter: Var,
    /// Running sum of the gradients, fading by the momentum.
    pub velocity: Var,
}

impl Formula<1> for SgdConfig {
    #[inline(always)]
    fn apply(&self, parameters: &mut [f32], grads: &[f32], [velocities]: [&mut [f32]; 1]) {
        let (rate, momentum) = (self.learning_rate as f32, self.momentum as f32);
        let (along_grad, along_velocity) = if self.nesterov {
            (1.0, momentum)
        } else {
            (0.0, 1.0)
        };
        let decay = self.weight_decay as f32;
        for ((parameter, grad), velocity) in parameters.iter_mut().zip(grads).zip(velocities) {
            let grad = grad + decay * *parameter;
            *velocity = momentum * *velocity + grad;
            *parameter -= rate * (along_grad * grad + along_velocity * *velocity);
        }
    }
}

impl SgdConfig {
    fn apply_composed(&self, state: &Velocity, grad: &Tensor) -> Result<()> {
        let parameter = state.parameter.as_tensor().detach();
        let grad = (grad + (&parameter * self.weight_decay)?)?;
        let velocity = ((state.velocity.as_tensor() * self.momentum)? + &grad)?;
        let step = if self.nesterov {
            (grad + (&velocity * self.momentum)?)?
        } else {
            velocity.clone()
        };
        state.velocity.set(&velocity)?;
        state
            .parameter
            .set(&(parameter - (step * self.learning_rate)?)?)
    }
}

impl Optimizer for Sgd {
    type Config = SgdConfig;

    fn new(vars: Vec<Var>, config: SgdConfig) -> Result<Self> {
        let vars = vars.into_iter().filter(|var| var.dtype().is_float());
        let velocities = vars.map(|parameter| {
            Ok(Velocity {
                velocity: Var::from_tensor(&parameter.zeros_like()?)?,
                parameter,
            })
        });
        Ok(Self {
            config,
            velocities: velocities.collect::<Result<_>>()?,
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

impl OptimizerState for Sgd {
    fn steps(&self) -> usize {
        0
    }

    fn set_steps(&mut self, _steps: usize) {}

    fn memory(&self) -> Vec<(&'static str, Vec<Var>)> {
        let velocities = self.velocities.iter().map(|state| state.velocity.clone());
        vec![("velocity", velocities.collect())]
    }
}

impl StepParts for Sgd {
    fn step_parts(&mut self, parts: &[GradStore]) -> Result<()> {
        for state in &self.velocities {
            let grads: Vec<_> = parts
                .iter()
                .filter_map(|part| part.get(&state.parameter))
                .collect();
            if !grads.iter().all(|grad| has_kernel(grad)) {
                self.config.apply_composed(state, &sum(&grads)?)?;
                continue;
            }
            with_f32s("sgd", &grads, |grads| {
                in_place(&state.velocity, |velocity| {
                    in_place(&state.parameter, |parameter| {
                        let set = InstructionSet::current();
                        update(set, self.config, parameter, grads, [&mut *velocity]);
                        Ok(())
                    })
                })
            })?;
        }
        Ok(())
    }
}
