//! `cnn-tb network`: the layers of a network, their shapes and their parameters.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use cnn_tb::nn::{NamedNetwork, Plan};
use cnn_tb::train::Config;

use crate::cli::Outcome;
use crate::cli::dataset;
use crate::cli::output;
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
    output::print(&text(name, &plan))?;
    Ok(Outcome::Done)
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
}
