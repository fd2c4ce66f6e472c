//! `cnn-tb eval`: what a trained network gets right, class by class, and what it does not.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use anyhow::bail;
use clap::ValueEnum;
use cnn_tb::data::{Dataset, Split};
use cnn_tb::train::{ClassMetrics, Confusion, Predictions};
use console::Term;
use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::output::{self, escape, escape_json};
use crate::cli::table::{self, Column};
use crate::cli::trained::{dataset, open};
use crate::cli::units::{loss, percent, thousands};

/// How many mistakes are shown.
const WORST: usize = 10;
/// How many confused pairs are shown where the matrix is too wide.
const PAIRS: usize = 10;

/// Show what a trained network gets right and wrong, class by class.
///
/// Accuracy and loss, how often each class was taken for each (the confusion matrix: a row for each
/// label, a column for each prediction), precision, recall and F1 of each class with its number of
/// images ("support"), and the mistakes that the network was most certain of. Images are counted
/// from 0 within the split.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a training: it holds config.toml and weights.safetensors
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Which images
    #[arg(long, value_name = "SPLIT", default_value = "test")]
    split: SplitName,

    /// A data set in place of the one that config.toml names: a directory with four IDX files
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Print a JSON object instead
    ///
    /// Its keys: "run", "dataset", "split", "images", "wrong", "accuracy" (a fraction), "loss",
    /// "confusion" (a row for each label, a column for each prediction), "per_class" (objects with
    /// "class", "precision", "recall", "f1", "support") and "mistakes" (objects with "index",
    /// "label", "predicted", "probability": all of them, the most certain first). A quotient of
    /// nothing by nothing is null.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb eval runs/exp1
  cnn-tb eval runs/exp1 --split validation --json";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SplitName {
    /// The images that were trained on
    Train,
    /// The images that recipes are chosen by
    Validation,
    /// The images that nothing was chosen by
    Test,
}

impl SplitName {
    fn name(self) -> &'static str {
        match self {
            SplitName::Train => "train",
            SplitName::Validation => "validation",
            SplitName::Test => "test",
        }
    }

    fn of(self, dataset: &Dataset) -> anyhow::Result<&Split> {
        Ok(match self {
            SplitName::Train => dataset.train(),
            SplitName::Validation => dataset.validation(),
            SplitName::Test => dataset.test()?,
        })
    }
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let trained = open(&args.run)?;
    let data = args.data.as_deref().or(trained.config().data.as_deref());
    let dataset = dataset(data)?;
    let network = trained.network(dataset.height(), dataset.width(), dataset.classes())?;
    let split = args.split.of(&dataset)?;
    if split.is_empty() {
        bail!(
            "{}: its {} split has no images",
            dataset.name(),
            args.split.name()
        );
    }
    let logits = network.logits(split.pixels())?;
    let predictions = Predictions::from_logits(&logits, dataset.classes(), split.labels())?;
    if args.json {
        output::print(&json(args, &dataset, &predictions)?)?;
    } else {
        let terminal = io::stdout()
            .is_terminal()
            .then(|| Term::stdout().size_checked());
        let width = terminal.flatten().map(|(_, width)| usize::from(width));
        let title = format!("{}, {}", escape(dataset.name()), args.split.name());
        output::print(&text(&title, &predictions, width))?;
    }
    Ok(Outcome::Done)
}

/// Everything for people, in a terminal of this width.
fn text(title: &str, predictions: &Predictions, width: Option<usize>) -> String {
    let metrics = predictions.metrics();
    let mistakes = predictions.mistakes();
    let confusion = predictions.confusion();
    let mut lines = vec![
        format!("{title}: {} images", thousands(predictions.len())),
        format!(
            "loss {}  accuracy {}  ({} of {} wrong)",
            loss(metrics.loss),
            percent(metrics.accuracy),
            thousands(mistakes.len()),
            thousands(predictions.len())
        ),
    ];
    let mut section = |title: &str, columns: &[Column]| {
        lines.push(String::new());
        lines.push(output::bold(title));
        lines.extend(table::lines(columns));
    };

    let matrix = matrix(&confusion);
    let used = matrix.iter().map(|column| column.gap + column.width());
    if width.is_none_or(|width| used.sum::<usize>() <= width) {
        section("label ↓ taken for →", &matrix);
    } else {
        let title = "most confused (the matrix is too wide for here, --json has it)";
        section(title, &confused(&confusion));
    }
    section("per class", &per_class(&confusion));
    if !mistakes.is_empty() {
        let shown = mistakes.len().min(WORST);
        let worst = &mistakes[..shown];
        let cells = |cell: &dyn Fn(usize) -> String| (0..shown).map(cell).collect();
        let columns = [
            column("image", 0, cells(&|at| worst[at].index.to_string())),
            column("label", 2, cells(&|at| worst[at].label.to_string())),
            column("taken for", 2, cells(&|at| worst[at].predicted.to_string())),
            column(
                "probability",
                2,
                cells(&|at| percent(f64::from(worst[at].probability))),
            ),
        ];
        section("worst mistakes", &columns);
    }
    lines.join("\n") + "\n"
}

/// A column of numbers.
fn column(title: &str, gap: usize, cells: Vec<String>) -> Column {
    Column {
        title: title.to_owned(),
        cells,
        gap,
        flush_right: true,
    }
}

/// The confusion matrix; a point stands for never.
fn matrix(confusion: &Confusion) -> Vec<Column> {
    let classes = 0..confusion.classes();
    let labels = classes.clone().map(|label| label.to_string()).collect();
    let mut columns = vec![column("", 0, labels)];
    columns.extend(classes.map(|predicted| {
        let cells = confusion.rows().map(|row| match row[predicted] {
            0 => "·".to_owned(),
            count => count.to_string(),
        });
        column(&predicted.to_string(), 2, cells.collect())
    }));
    columns
}

/// The pairs that were confused most often.
fn confused(confusion: &Confusion) -> Vec<Column> {
    let mut pairs = confusion.confused();
    pairs.truncate(PAIRS);
    let cells = |cell: fn(&(usize, usize, u64)) -> String| pairs.iter().map(cell).collect();
    vec![
        column("label", 0, cells(|pair| pair.0.to_string())),
        column("taken for", 2, cells(|pair| pair.1.to_string())),
        column("times", 2, cells(|pair| pair.2.to_string())),
    ]
}

fn per_class(confusion: &Confusion) -> Vec<Column> {
    let classes = confusion.per_class();
    let shares = |share: fn(&ClassMetrics) -> Option<f64>| {
        let shares = classes.iter().map(share);
        shares
            .map(|share| share.map_or_else(|| "–".to_owned(), percent))
            .collect()
    };
    let counts = |count: fn(&ClassMetrics) -> usize| {
        classes
            .iter()
            .map(|class| thousands(count(class)))
            .collect()
    };
    vec![
        column("class", 0, counts(|class| class.class)),
        column("precision", 2, shares(|class| class.precision)),
        column("recall", 2, shares(|class| class.recall)),
        column("F1", 2, shares(|class| class.f1)),
        column("support", 2, counts(|class| class.support as usize)),
    ]
}

#[derive(Serialize)]
struct JsonEval<'a> {
    run: String,
    dataset: &'a str,
    split: &'static str,
    images: usize,
    wrong: usize,
    accuracy: f64,
    loss: f64,
    confusion: Vec<&'a [u64]>,
    per_class: Vec<JsonClass>,
    mistakes: Vec<JsonMistake>,
}

#[derive(Serialize)]
struct JsonClass {
    class: usize,
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
    support: u64,
}

#[derive(Serialize)]
struct JsonMistake {
    index: usize,
    label: usize,
    predicted: usize,
    probability: f32,
}

/// Everything for programs, as one line.
fn json(args: &Args, dataset: &Dataset, predictions: &Predictions) -> anyhow::Result<String> {
    let metrics = predictions.metrics();
    let mistakes = predictions.mistakes();
    let confusion = predictions.confusion();
    let per_class = confusion.per_class();
    let object = JsonEval {
        run: args.run.display().to_string(),
        dataset: dataset.name(),
        split: args.split.name(),
        images: predictions.len(),
        wrong: mistakes.len(),
        accuracy: metrics.accuracy,
        loss: metrics.loss,
        confusion: confusion.rows().collect(),
        per_class: per_class
            .iter()
            .map(|class| JsonClass {
                class: class.class,
                precision: class.precision,
                recall: class.recall,
                f1: class.f1,
                support: class.support,
            })
            .collect(),
        mistakes: mistakes
            .iter()
            .map(|mistake| JsonMistake {
                index: mistake.index,
                label: mistake.label,
                predicted: mistake.predicted,
                probability: mistake.probability,
            })
            .collect(),
    };
    Ok(escape_json(&serde_json::to_string(&object)?) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four images of three classes, the last of which never occurs; image 2 is taken for class 0.
    fn predictions() -> Predictions {
        let logits = [5.0, 0.0, 0.0, 0.0, 5.0, 0.0, 5.0, 4.0, 0.0, 5.0, 0.0, 0.0];
        Predictions::from_logits(&logits, 3, &[0, 1, 1, 0]).unwrap()
    }

    #[test]
    fn a_wide_terminal_gets_the_matrix() {
        let expected = "\
data, test: 4 images
loss 0.3396  accuracy 75.00 %  (1 of 4 wrong)

label ↓ taken for →
   0  1  2
0  2  ·  ·
1  1  1  ·
2  ·  ·  ·

per class
class  precision    recall       F1  support
    0    66.67 %  100.00 %  80.00 %        2
    1   100.00 %   50.00 %  66.67 %        2
    2          –         –        –        0

worst mistakes
image  label  taken for  probability
    2      1          0      72.75 %
";
        assert_eq!(text("data, test", &predictions(), None), expected);
        assert_eq!(text("data, test", &predictions(), Some(10)), expected);
    }

    #[test]
    fn a_narrow_terminal_gets_the_most_confused() {
        let narrow = text("data, test", &predictions(), Some(9));
        let expected = "\
most confused (the matrix is too wide for here, --json has it)
label  taken for  times
    1          0      1
";
        assert!(narrow.contains(expected), "{narrow}");
    }
}
