//! `cnn-tb network`: the layers of a network, their shapes and their parameters.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use cnn_tb::nn::{Layer, NamedNetwork, Plan};
use cnn_tb::train::Config;
use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::dataset;
use crate::cli::output::{self, escape_json};
use crate::cli::table::{self, Column};
use crate::cli::train::settings;
use crate::cli::units::thousands;

/// Show the layers of a network, what each gives, and its parameters.
///
/// A network of your own is written in a file for --config, as tables [[layers]]; what a layer may be
/// and takes, docs/networks.md lists. Shapes are those for one image: channels x height x width, or a
/// count. Multiply-adds are the products that convolutions and linear layers add up for one image.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A network that has a name [default: article]
    #[arg(value_name = "NAME", conflicts_with = "config")]
    name: Option<NetworkName>,

    /// The network of a file with settings, as another run's config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The data set that its images are of: a directory with four IDX files [default: the one that
    /// the file names, or the built-in MNIST]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Print a JSON object instead
    ///
    /// Its keys: "network" (its name; own, if it is that of a file), "input" (channels, height and
    /// width of an image), "layers", "parameters" and "multiply_adds". A layer has the settings of its
    /// [[layers]] table, "name", "output" (channels, height and width, or a count), "parameters" and
    /// "multiply_adds".
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb network lenet5
  cnn-tb network --config net.toml";

/// A network that has a name, on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum NetworkName {
    /// The article's: two convolutions, two fully connected layers
    Article,
    /// LeNet-5 of 1998, with ReLU and max-pooling
    Lenet5,
    /// Three convolutions with batch normalisation: 99 % after one epoch
    Sprint,
    /// Five convolutions with batch normalisation, and dropout: the most accurate
    Deep,
}

impl NetworkName {
    /// The network.
    pub fn network(self) -> NamedNetwork {
        match self {
            NetworkName::Article => NamedNetwork::Article,
            NetworkName::Lenet5 => NamedNetwork::Lenet5,
            NetworkName::Sprint => NamedNetwork::Sprint,
            NetworkName::Deep => NamedNetwork::Deep,
        }
    }
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let config = match &args.config {
        Some(path) => settings::read(path)?,
        None => Config {
            network: args.name.map(NetworkName::network),
            ..Config::default()
        },
    };
    config.validate()?;
    let dataset = dataset::open(args.data.as_deref().or(config.data.as_deref()), false)?;
    let (height, width) = (dataset.height(), dataset.width());
    let name = config.network_name();
    let plan = config.plan(height, width, dataset.classes());
    let plan = plan.with_context(|| {
        format!("the network ({name}) does not fit to images of {height}x{width}")
    })?;
    output::print(&match args.json {
        true => json(name, &plan)?,
        false => text(name, &plan),
    })?;
    Ok(Outcome::Done)
}

/// The network as `--json` gives it; [`Args::json`] describes it.
#[derive(Serialize)]
struct JsonNetwork<'a> {
    network: &'a str,
    input: &'a [usize],
    layers: Vec<JsonLayer<'a>>,
    parameters: usize,
    multiply_adds: u64,
}

#[derive(Serialize)]
struct JsonLayer<'a> {
    #[serde(flatten)]
    layer: &'a Layer,
    name: &'a str,
    output: &'a [usize],
    parameters: usize,
    multiply_adds: u64,
}

/// Everything for programs, as one line.
fn json(name: &str, plan: &Plan) -> serde_json::Result<String> {
    let input = plan.input();
    let layers = plan.layers().iter().map(|planned| JsonLayer {
        layer: &planned.layer,
        name: &planned.name,
        output: planned.output.sizes(),
        parameters: planned.parameters,
        multiply_adds: planned.multiply_adds,
    });
    let object = JsonNetwork {
        network: name,
        input: input.sizes(),
        layers: layers.collect(),
        parameters: plan.parameters(),
        multiply_adds: plan.multiply_adds(),
    };
    Ok(escape_json(&serde_json::to_string(&object)?) + "\n")
}

/// A line for each layer, and the sums.
fn text(name: &str, plan: &Plan) -> String {
    let layers = plan.layers();
    let column =
        |title: &str, first: String, last: String, flush_right, cells: Vec<String>| Column {
            title: title.to_owned(),
            cells: [vec![first], cells, vec![last]].concat(),
            gap: 2,
            flush_right,
        };
    let count = |number: usize| match number {
        0 => String::new(),
        number => thousands(number),
    };
    let products = |number: u64| count(usize::try_from(number).unwrap_or(usize::MAX));
    let cells = |cell: &dyn Fn(usize) -> String| (0..layers.len()).map(cell).collect();
    let mut columns = [
        column(
            "",
            String::new(),
            String::new(),
            true,
            cells(&|at| (at + 1).to_string()),
        ),
        column(
            "layer",
            "images".to_owned(),
            format!("{name} network"),
            false,
            cells(&|at| layers[at].layer.to_string()),
        ),
        column(
            "name",
            String::new(),
            String::new(),
            false,
            cells(&|at| match layers[at].parameters {
                0 => String::new(),
                _ => layers[at].name.clone(),
            }),
        ),
        column(
            "output",
            plan.input().to_string(),
            String::new(),
            true,
            cells(&|at| layers[at].output.to_string()),
        ),
        column(
            "parameters",
            String::new(),
            thousands(plan.parameters()),
            true,
            cells(&|at| count(layers[at].parameters)),
        ),
        column(
            "multiply-adds",
            String::new(),
            products(plan.multiply_adds()),
            true,
            cells(&|at| products(layers[at].multiply_adds)),
        ),
    ];
    columns[0].gap = 0;
    table::lines(&columns).join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_has_a_layer_and_the_last_one_the_sums() {
        let plan = Plan::new(&NamedNetwork::Article.layers(), [1, 28, 28], 10).unwrap();
        let expected = [
            "   layer            name     output  parameters  multiply-adds",
            "   images                   1x28x28",
            "1  conv 6, 5x5      conv1   6x28x28         156        117,600",
            "2  max_pool 2x2             6x14x14",
            "3  relu                     6x14x14",
            "4  conv 16, 5x5     conv2  16x14x14       2,416        470,400",
            "5  max_pool 2x2              16x7x7",
            "6  relu                      16x7x7",
            "7  linear 128       fc1         128     100,480        100,352",
            "8  relu                         128",
            "9  linear           fc2          10       1,290          1,280",
            "   article network                      104,342        689,632\n",
        ];
        let expected = expected.join("\n");
        assert_eq!(text("article", &plan), expected);
    }

    #[test]
    fn json_has_each_layer_with_its_settings_and_its_shape() {
        let layers = [
            Layer::conv(6, 5),
            Layer::max_pool(2),
            Layer::BatchNorm {},
            Layer::Dropout { rate: 0.5 },
            Layer::classes(),
        ];
        let plan = Plan::new(&layers, [1, 28, 28], 10).unwrap();
        let found: serde_json::Value = serde_json::from_str(&json("own", &plan).unwrap()).unwrap();
        let layer =
            |settings: serde_json::Value, name, output: serde_json::Value, counts: [u64; 2]| {
                let mut layer = settings;
                layer["name"] = json!(name);
                layer["output"] = output;
                layer["parameters"] = json!(counts[0]);
                layer["multiply_adds"] = json!(counts[1]);
                layer
            };
        let pooled = || json!([6, 14, 14]);
        let conv = json!({"type": "conv", "channels": 6, "kernel": 5, "padding": "same"});
        let layers = [
            layer(conv, "conv1", json!([6, 28, 28]), [156, 117_600]),
            layer(
                json!({"type": "max_pool", "size": 2}),
                "max_pool1",
                pooled(),
                [0, 0],
            ),
            layer(json!({"type": "batch_norm"}), "bn1", pooled(), [12, 0]),
            layer(
                json!({"type": "dropout", "rate": 0.5}),
                "dropout1",
                pooled(),
                [0, 0],
            ),
            layer(
                json!({"type": "linear"}),
                "fc1",
                json!([10]),
                [11_770, 11_760],
            ),
        ];
        let expected = json!({
            "network": "own", "input": [1, 28, 28], "layers": layers,
            "parameters": 11_938, "multiply_adds": 129_360,
        });
        assert_eq!(found, expected);
    }
}
