//! `cnn-tb predict`: which digit, or what else, is in a picture.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use cnn_tb::data::Picture;
use cnn_tb::train::{TrainedNetwork, softmax};
use console::{Term, measure_text_width, truncate_str};
use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::dataset::{Outline, outline};
use crate::cli::output::{self, escape, escape_json};
use crate::cli::trained::open;
use crate::cli::units::percent;

/// How many classes are named after the most probable one.
const RUNNERS_UP: usize = 2;

/// Tell which digit is in a picture.
///
/// A picture is a PNG file of any size and colour type, dark on light or light on dark, the digit
/// anywhere in it. It is made alike the images that the network was trained on: the border tells
/// the background, the ink is cut out, scaled and put in the middle. A line has the picture, the
/// class with its probability, and the next most probable ones.
///
/// A picture that cannot be read or is blank is an error that names it; the others are still looked
/// at, and the exit code is 2.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a training: it holds config.toml and weights.safetensors
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Pictures, as PNG files
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// The data set that the network was trained on, for the size of its images and the names of its
    /// classes: fashion-mnist, kmnist, or a directory [default: the one that config.toml names]
    #[arg(long, value_name = "NAME|DIR")]
    data: Option<PathBuf>,

    /// Print one JSON object a line instead, one for each picture
    ///
    /// Its keys: "image", "class" (a number), "name" (of the class), "probability" and
    /// "probabilities", which has all classes in their order.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb predict runs/exp1 seven.png
  cnn-tb predict runs/exp1 --json drawings/*.png";

/// What a network reads pictures with.
struct Reader {
    network: TrainedNetwork,
    outline: Outline,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Prediction {
    image: String,
    class: usize,
    name: String,
    probability: f32,
    probabilities: Vec<f32>,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let trained = open(&args.run)?;
    let data = args.data.as_deref().or(trained.config().data.as_deref());
    let classes = trained.classes()?;
    let outline = outline(data, classes)?;
    let reader = Reader {
        network: trained.network(outline.height, outline.width, classes)?,
        outline,
    };

    let names: Vec<String> = (args.images.iter())
        .map(|image| escape(&image.display().to_string()))
        .collect();
    let longest = names.iter().map(|name| measure_text_width(name)).max();
    let terminal = io::stdout()
        .is_terminal()
        .then(|| Term::stdout().size_checked());
    let columns = terminal.flatten().map(|(_, columns)| usize::from(columns));
    let mut outcome = Outcome::Done;
    for (image, name) in args.images.iter().zip(&names) {
        match reader.predict(image) {
            Ok(prediction) if args.json => {
                output::print(&(escape_json(&serde_json::to_string(&prediction)?) + "\n"))?;
            }
            Ok(prediction) => {
                let classes = &reader.outline.class_names;
                let line = line(&prediction, classes, name, longest.unwrap_or(0), columns);
                output::print(&(line + "\n"))?;
            }
            Err(error) => {
                output::error(&error);
                outcome = Outcome::Failed;
            }
        }
    }
    Ok(outcome)
}

impl Reader {
    /// # Errors
    /// Each names the file.
    fn predict(&self, image: &Path) -> anyhow::Result<Prediction> {
        let shown = image.display();
        let file = File::open(image).with_context(|| format!("cannot read {shown}"))?;
        let digit = Picture::from_png(file)
            .and_then(|picture| picture.digit(self.outline.height, self.outline.width))
            .with_context(|| format!("{shown}"))?;
        let logits = self.network.logits(&digit)?;
        if let Some(logit) = logits.iter().find(|logit| !logit.is_finite()) {
            bail!(
                "{shown}: the network gives {logit}, expected finite numbers; its weights are damaged"
            );
        }
        let probabilities = softmax(&logits);
        let (class, probability) = ranked(&probabilities)
            .first()
            .copied()
            .with_context(|| format!("{shown}: the network tells no classes apart"))?;
        Ok(Prediction {
            image: shown.to_string(),
            class,
            name: self.outline.class_names[class].clone(),
            probability,
            probabilities,
        })
    }
}

/// Every class with its probability, the most probable first.
fn ranked(probabilities: &[f32]) -> Vec<(usize, f32)> {
    let mut ranked: Vec<_> = probabilities.iter().copied().enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked
}

/// `seven.png   7   99.87 %   then 1 0.08 %, 9 0.03 %`, in a narrow terminal less of it.
fn line(
    prediction: &Prediction,
    class_names: &[String],
    name: &str,
    longest: usize,
    columns: Option<usize>,
) -> String {
    const LEAST_NAME: usize = 8;
    let classes: Vec<String> = class_names.iter().map(|name| escape(name)).collect();
    let widest = classes.iter().map(|class| measure_text_width(class)).max();
    let text = |(class, probability): (usize, f32)| {
        format!("{} {}", classes[class], percent(f64::from(probability)))
    };
    let runners_up: Vec<String> = (ranked(&prediction.probabilities).into_iter())
        .skip(1)
        .take(RUNNERS_UP)
        .map(text)
        .collect();
    let probability = percent(f64::from(prediction.probability));
    let class = &classes[prediction.class];
    let gap = " ".repeat(
        widest
            .unwrap_or(0)
            .saturating_sub(measure_text_width(class)),
    );
    let answer = format!("   {class}{gap}   {probability:>8}");
    let then = format!("   then {}", runners_up.join(", "));
    let (mut width, mut line) = (longest, answer.clone() + &then);
    if let Some(columns) = columns
        && longest + measure_text_width(&line) > columns
    {
        width = columns
            .saturating_sub(measure_text_width(&answer))
            .max(LEAST_NAME)
            .min(longest);
        line = answer;
    }
    let name = truncate_str(name, width, "…");
    let padding = " ".repeat(width.saturating_sub(measure_text_width(&name)));
    format!("{name}{padding}{line}")
}

#[cfg(test)]
mod tests {
    use cnn_tb::data::class_numbers;

    use super::*;

    #[test]
    fn a_narrow_terminal_gets_less_of_a_line() {
        let prediction = Prediction {
            image: "drawings/seven.png".to_owned(),
            class: 1,
            name: "1".to_owned(),
            probability: 0.75,
            probabilities: vec![0.0625, 0.75, 0.1875],
        };
        let name = &prediction.image;
        let full = "drawings/seven.png     1    75.00 %   then 2 18.75 %, 0 6.25 %";
        for (columns, expected) in [
            (None, full),
            (Some(62), full),
            (Some(61), "drawings/seven.png     1    75.00 %"),
            (Some(30), "drawings/seven…   1    75.00 %"),
            (Some(1), "drawing…   1    75.00 %"),
        ] {
            let line = line(&prediction, &class_numbers(3), name, 20, columns);
            assert_eq!(line, expected);
        }
        let names = ["cat", "dog\u{202e}", "鳥"].map(String::from);
        assert_eq!(
            line(&prediction, &names, name, 18, None),
            r"drawings/seven.png   dog\u{202e}    75.00 %   then 鳥 18.75 %, cat 6.25 %"
        );
    }
}
