//! `cnn-tb eval`: what a trained network gets right, class by class, and what it does not.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use anyhow::bail;
use clap::ValueEnum;
use cnn_tb::data::{Dataset, Split};
use cnn_tb::train::{ClassMetrics, Confusion, Mistake, Predictions};
use console::Term;
use serde::Serialize;

use crate::cli::output::{self, escape, escape_json};
use crate::cli::table::{self, Column};
use crate::cli::trained::open;
use crate::cli::units::{loss, percent, thousands};
use crate::cli::{Outcome, dataset};

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

    /// A data set in place of the one that config.toml names: fashion-mnist, kmnist, or a directory
    /// with four IDX files
    #[arg(long, value_name = "NAME|DIR")]
    data: Option<PathBuf>,

    /// Print a JSON object instead
    ///
    /// Its keys: "run", "dataset", "split", "images", "wrong", "accuracy" (a fraction), "loss",
    /// "confusion" (a row for each label, a column for each prediction), "per_class" (objects with
    /// "class", "name", "precision", "recall", "f1", "support") and "mistakes" (objects with "index",
    /// "label", "predicted", "probability": all of them, the most certain first). A class is a
    /// number, its name is that of the data set. A quotient of nothing by nothing is null.
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
    let dataset = dataset::open(data, false)?;
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
        output::print(&text(&title, dataset.class_names(), &predictions, width))?;
    }
    Ok(Outcome::Done)
}

/// Everything for people, in a terminal of this width.
fn text(title: &str, names: &[String], predictions: &Predictions, width: Option<usize>) -> String {
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

    let matrix = matrix(names, &confusion);
    let used = matrix.iter().map(|column| column.gap + column.width());
    if width.is_none_or(|width| used.sum::<usize>() <= width) {
        section("label ↓ taken for →", &matrix);
    } else {
        let title = "most confused (the matrix is too wide for here, --json has it)";
        section(title, &confused(names, &confusion));
    }
    section("per class", &per_class(names, &confusion));
    if !mistakes.is_empty() {
        let shown = mistakes.len().min(WORST);
        section("worst mistakes", &worst(names, &mistakes[..shown]));
    }
    lines.join("\n") + "\n"
}

/// A class as a table has it: its number, and its name if it has one.
fn numbered(names: &[String], class: usize) -> String {
    let number = class.to_string();
    match names.get(class).filter(|name| **name != number) {
        Some(name) => format!("{number} {}", escape(name)),
        None => number,
    }
}

/// A column of classes: flush left, where they have names.
fn classes(
    title: &str,
    gap: usize,
    names: &[String],
    classes: impl Iterator<Item = usize>,
) -> Column {
    let cells = classes.map(|class| numbered(names, class)).collect();
    let are_numbers = names
        .iter()
        .enumerate()
        .all(|(class, name)| *name == class.to_string());
    Column {
        flush_right: are_numbers,
        ..column(title, gap, cells)
    }
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

/// The confusion matrix; a point stands for never. Columns have numbers, for want of room.
fn matrix(names: &[String], confusion: &Confusion) -> Vec<Column> {
    let mut columns = vec![classes("", 0, names, 0..confusion.classes())];
    columns.extend((0..confusion.classes()).map(|predicted| {
        let cells = confusion.rows().map(|row| match row[predicted] {
            0 => "·".to_owned(),
            count => count.to_string(),
        });
        column(&predicted.to_string(), 2, cells.collect())
    }));
    columns
}

/// The pairs that were confused most often.
fn confused(names: &[String], confusion: &Confusion) -> Vec<Column> {
    let mut pairs = confusion.confused();
    pairs.truncate(PAIRS);
    let times = pairs.iter().map(|pair| pair.2.to_string()).collect();
    vec![
        classes("label", 0, names, pairs.iter().map(|pair| pair.0)),
        classes("taken for", 2, names, pairs.iter().map(|pair| pair.1)),
        column("times", 2, times),
    ]
}

/// The mistakes that the network was most certain of.
fn worst(names: &[String], mistakes: &[Mistake]) -> Vec<Column> {
    let images = mistakes.iter().map(|mistake| mistake.index.to_string());
    let labels = mistakes.iter().map(|mistake| mistake.label);
    let predicted = mistakes.iter().map(|mistake| mistake.predicted);
    let probabilities = mistakes
        .iter()
        .map(|mistake| percent(f64::from(mistake.probability)));
    vec![
        column("image", 0, images.collect()),
        classes("label", 2, names, labels),
        classes("taken for", 2, names, predicted),
        column("probability", 2, probabilities.collect()),
    ]
}

fn per_class(names: &[String], confusion: &Confusion) -> Vec<Column> {
    let metrics = confusion.per_class();
    let shares = |share: fn(&ClassMetrics) -> Option<f64>| {
        let shares = metrics.iter().map(share);
        shares
            .map(|share| share.map_or_else(|| "–".to_owned(), percent))
            .collect()
    };
    let support = metrics
        .iter()
        .map(|class| thousands(class.support as usize));
    vec![
        classes("class", 0, names, 0..metrics.len()),
        column("precision", 2, shares(|class| class.precision)),
        column("recall", 2, shares(|class| class.recall)),
        column("F1", 2, shares(|class| class.f1)),
        column("support", 2, support.collect()),
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
    per_class: Vec<JsonClass<'a>>,
    mistakes: Vec<JsonMistake>,
}

#[derive(Serialize)]
struct JsonClass<'a> {
    class: usize,
    name: &'a str,
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
            .zip(dataset.class_names())
            .map(|(class, name)| JsonClass {
                class: class.class,
                name,
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
    use cnn_tb::data::class_numbers;

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
        let text = |width| text("data, test", &class_numbers(3), &predictions(), width);
        assert_eq!(text(None), expected);
        assert_eq!(text(Some(10)), expected);
    }

    #[test]
    fn classes_have_their_names_beside_their_numbers() {
        let names = ["cat", "dog/wolf", "\u{202e}fish"].map(String::from);
        let expected = "\
data, test: 4 images
loss 0.3396  accuracy 75.00 %  (1 of 4 wrong)

label ↓ taken for →
                0  1  2
0 cat           2  ·  ·
1 dog/wolf      1  1  ·
2 \\u{202e}fish  ·  ·  ·

per class
class           precision    recall       F1  support
0 cat             66.67 %  100.00 %  80.00 %        2
1 dog/wolf       100.00 %   50.00 %  66.67 %        2
2 \\u{202e}fish          –         –        –        0

worst mistakes
image  label       taken for  probability
    2  1 dog/wolf  0 cat          72.75 %
";
        assert_eq!(text("data, test", &names, &predictions(), None), expected);
        let narrow = text("data, test", &names, &predictions(), Some(9));
        let expected = "\
label       taken for  times
1 dog/wolf  0 cat          1
";
        assert!(narrow.contains(expected), "{narrow}");
    }

    #[test]
    fn a_narrow_terminal_gets_the_most_confused() {
        let narrow = text("data, test", &class_numbers(3), &predictions(), Some(9));
        let expected = "\
most confused (the matrix is too wide for here, --json has it)
label  taken for  times
    1          0      1
";
        assert!(narrow.contains(expected), "{narrow}");
    }
}
