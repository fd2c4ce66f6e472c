//! How the learning rate varies over a training.

use serde::{Deserialize, Serialize};

/// A course of the learning rate, from the first update to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Always the same.
    Constant,
    /// A tenth after 60 % of the updates, a hundredth after 85 %.
    Step,
    /// Half a cosine from the largest rate down to 0 (Loshchilov and Hutter, 2017).
    Cosine,
    /// A cosine up from a 25th of the largest rate over the first 30 % of the updates, then one
    /// down to nearly nothing: PyTorch's `OneCycleLR` with its defaults, momentum left alone
    /// (Smith and Topin, 2018).
    OneCycle,
}

impl Schedule {
    /// As in `config.toml` and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Schedule::Constant => "constant",
            Schedule::Step => "step",
            Schedule::Cosine => "cosine",
            Schedule::OneCycle => "one-cycle",
        }
    }

    /// Whether the rate of an update depends on how many there are to be.
    pub fn depends_on_updates(self) -> bool {
        self != Schedule::Constant
    }

    /// The rate of one update, where the largest is `peak`; `update` counts from 0 to `updates - 1`.
    ///
    /// ```
    /// use cnn_tb::nn::Schedule;
    /// assert_eq!(Schedule::Constant.rate(0.1, 5, 100), 0.1);
    /// assert!(Schedule::OneCycle.rate(0.1, 0, 100) < 0.1 / 24.0);
    /// ```
    pub fn rate(self, peak: f64, update: usize, updates: usize) -> f64 {
        let last = updates.saturating_sub(1).max(1) as f64;
        let done = update as f64;
        match self {
            Schedule::Constant => peak,
            Schedule::Step if done < 0.6 * last => peak,
            Schedule::Step if done < 0.85 * last => peak / 10.0,
            Schedule::Step => peak / 100.0,
            Schedule::Cosine => anneal(peak, 0.0, done / last),
            Schedule::OneCycle => {
                let start = peak / 25.0;
                let top = (0.3 * updates as f64 - 1.0).max(0.0);
                if done <= top {
                    anneal(start, peak, if top > 0.0 { done / top } else { 1.0 })
                } else {
                    anneal(peak, start / 1e4, (done - top) / (last - top).max(1.0))
                }
            }
        }
    }
}

/// From `from` to `to` along half a cosine, as `part` goes from 0 to 1.
fn anneal(from: f64, to: f64, part: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (std::f64::consts::PI * part).cos())
}
