//! Which rows and columns are shown, in which order: the arguments for it.

use clap::ValueEnum;
use cnn_tb::report::compare;
use cnn_tb::report::nearest::nearest;

use crate::cli::compare::listing::Listing;
use crate::cli::output::Advised;

/// What is shown of a comparison.
#[derive(Debug, clap::Args)]
pub struct Ranking {
    /// Take this value of each run instead of the one that is best by the metric's name
    ///
    /// `min` and `max` are about the metric that decides, and say which of its values are better;
    /// `last` takes the last value of every metric.
    #[arg(long, value_enum)]
    best: Option<Best>,

    /// Sort the rows by this column instead: a metric's best first, anything else ascending
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,

    /// Show only the first rows
    #[arg(long, value_name = "N")]
    top: Option<usize>,

    /// Show only these columns, in this order, besides the first
    ///
    /// A column is called as in the table or in `--format csv`; settings that do not differ can be
    /// named too.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    columns: Vec<String>,
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
    /// Which value stands for a run.
    pub fn best(&self) -> compare::Best {
        match self.best {
            None => compare::Best::ByName,
            Some(Best::Min) => compare::Best::Min,
            Some(Best::Max) => compare::Best::Max,
            Some(Best::Last) => compare::Best::Last,
        }
    }

    /// Leaves of `listing` what is to be shown.
    ///
    /// # Errors
    /// A column that is not there.
    pub fn apply(&self, listing: &mut Listing) -> anyhow::Result<()> {
        let mut rows: Vec<usize> = (0..listing.objects.len()).collect();
        if let Some(name) = &self.sort {
            rows = listing.fields[place(listing, name)?].order();
        }
        rows.truncate(self.top.unwrap_or(usize::MAX));
        let places = self.columns.iter().map(|name| place(listing, name));
        let places = places.collect::<anyhow::Result<Vec<usize>>>()?;
        listing.take(&rows);
        if places.is_empty() {
            listing.fields.retain(|field| field.is_shown);
        } else {
            let chosen = places.into_iter().filter(|&place| place > 0);
            listing.fields = [0]
                .into_iter()
                .chain(chosen)
                .filter_map(|place| listing.fields.get(place).cloned())
                .collect();
        }
        Ok(())
    }
}

/// Where the column of this name is.
fn place(listing: &Listing, name: &str) -> anyhow::Result<usize> {
    let mut fields = listing.fields.iter();
    fields
        .position(|field| field.is_named(name))
        .ok_or_else(|| {
            let keys = listing.fields.iter().flat_map(|field| &field.data);
            let keys = nearest(name, keys.map(|(key, _)| key.as_str()));
            Advised::new(
                format!("there is no column {name:?}"),
                format!("the nearest are {}", keys.join(", ")),
            )
            .into()
        })
}
