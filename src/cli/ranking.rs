//! Which rows and columns are shown, in which order: the arguments for it.

use clap::ValueEnum;
use cnn_tb::report::metric;

/// What is shown of a table of runs.
#[derive(Debug, clap::Args)]
pub struct Ranking {
    /// Take this value of each run instead of the one that is best by the metric's name
    ///
    /// `min` and `max` are about the metric that decides, and say which of its values are better;
    /// `last` takes the last value of every metric.
    #[arg(long, value_enum)]
    best: Option<Best>,

    /// Sort the rows by this column instead
    #[arg(long, value_name = "COLUMN")]
    pub sort: Option<String>,

    /// Show only the first rows
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,

    /// Show only these columns, in this order, besides the first
    ///
    /// A column is called as in the table; settings that are not shown can be named too.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub columns: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Best {
    /// The lowest; lower is better
    Min,
    /// The highest; higher is better
    Max,
    /// The last
    Last,
}

impl Ranking {
    /// Which value stands for a run; `None` leaves it to the metric's name.
    pub fn best(&self) -> Option<metric::Best> {
        self.best.map(|best| match best {
            Best::Min => metric::Best::Min,
            Best::Max => metric::Best::Max,
            Best::Last => metric::Best::Last,
        })
    }
}
