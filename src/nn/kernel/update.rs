//! What an optimizer does to a parameter: one pass over parameter, gradients and state.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::shard;
use super::simd::InstructionSet;

/// Numbers that are updated at a time: they stay in the nearest cache.
const CHUNK: usize = 4096;

/// Chunks that make a task worth it.
const CHUNKS: usize = 4;

/// An optimizer's formula, for numbers side by side: parameters, gradients and `STATES` numbers of
/// state for each.
pub trait Formula<const STATES: usize>: Copy + Sync {
    /// Updates some parameters and their state.
    fn apply(&self, parameters: &mut [f32], grads: &[f32], states: [&mut [f32]; STATES]);
}

/// Updates `parameters` by the sum of `grads`, taken in order; chunks run side by side.
///
/// # Panics
/// If the lengths differ.
pub fn update<const STATES: usize>(
    instruction_set: InstructionSet,
    formula: impl Formula<STATES>,
    parameters: &mut [f32],
    grads: &[&[f32]],
    states: [&mut [f32]; STATES],
) {
    let len = parameters.len();
    assert!(grads.iter().all(|grad| grad.len() == len), "gradients");
    assert!(states.iter().all(|state| state.len() == len), "state");
    let mut states = states.map(|state| state.chunks_mut(CHUNK));
    let chunks = parameters.chunks_mut(CHUNK).enumerate();
    let chunks: Vec<_> = chunks
        .map(|(i, parameters)| {
            let states = states
                .each_mut()
                .map(|chunks| chunks.next().unwrap_or_default());
            (i * CHUNK, parameters, states)
        })
        .collect();
    chunks
        .into_par_iter()
        .with_min_len(CHUNKS)
        .for_each(|(at, parameters, states)| {
            instruction_set.run(Chunk {
                formula,
                grads,
                at,
                parameters,
                states,
            });
        });
}

struct Chunk<'a, F, const STATES: usize> {
    formula: F,
    grads: &'a [&'a [f32]],
    at: usize,
    parameters: &'a mut [f32],
    states: [&'a mut [f32]; STATES],
}

impl<F: Formula<STATES>, const STATES: usize> WithSimd for Chunk<'_, F, STATES> {
    type Output = ();

    // Plain loops, which the compiler turns into whatever instructions it is given here: they round
    // alike on all of them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let range = self.at..self.at + self.parameters.len();
        match self.grads {
            [] => {}
            [grad] => {
                self.formula
                    .apply(self.parameters, &grad[range], self.states);
            }
            [first, others @ ..] => {
                let mut sum = [0.0; CHUNK];
                let sum = &mut sum[..range.len()];
                sum.copy_from_slice(&first[range.clone()]);
                for other in others {
                    shard::add(sum, &other[range.clone()]);
                }
                self.formula.apply(self.parameters, sum, self.states);
            }
        }
    }
}
