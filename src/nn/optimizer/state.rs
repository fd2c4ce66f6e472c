//! What an optimizer remembers from one step to the next.

use candle_core::Var;

/// An optimizer whose state can be written down and set again, so that it goes on as if it had
/// never stopped.
pub trait OptimizerState {
    /// Steps taken so far; 0 for an optimizer that does not count them.
    fn steps(&self) -> usize;

    /// Goes on after so many steps.
    fn set_steps(&mut self, steps: usize);

    /// What it remembers of the gradients: each kind's name, and a tensor for each parameter, in
    /// the order in which they were given. To set the tensors is to set the state.
    fn memory(&self) -> Vec<(&'static str, Vec<Var>)>;
}
