//! `cnn-tb train`: trains a network and logs it for TensorBoard.

mod cut_run;
mod earlier_run;
mod interrupt;
mod json;
mod mishap;
mod run_dir;
pub mod settings;
mod surroundings;
mod terminal;
mod watch;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ArgAction;
use cnn_tb::data::Dataset;
use cnn_tb::train::{
    Batch, Checkpoint, Config, Epoch, Finish, FitError, Groups, Metrics, Start, Stopped, fit,
    resume,
};

use self::cut_run::CutRun;
use self::json::Json;
use self::run_dir::RunDir;
use self::terminal::Terminal;
use self::watch::Watch;
use super::{Outcome, dataset, output};

const EXAMPLES: &str = "\
Examples:
  cnn-tb train --preset article --epochs 20 --seed 7 --logdir runs/exp1
  cnn-tb train --resume --logdir runs/exp1";

const LONG_ABOUT: &str = "\
Train a network and log it for TensorBoard

Results go to standard output, progress and warnings to standard error. The run directory gets \
config.toml (every setting), weights.safetensors (the last weights), event files, last.checkpoint \
and previous.checkpoint (what --resume goes on from) and, for TensorBoard's Projector page, projector_config.pbtxt and projector/. A training that \
--early-stopping or --time-limit ends is a success: it reads the test images, saves the weights that it \
has, says why it ended and which epoch was the best, and exits 0. Ctrl-C stops \
after the current batch, keeps the logs, saves the weights and exits 130; a second one stops at once.

What cannot be written while the network is trained, as on a full disk, is told once, and the training \
goes on: what belongs into event files is kept (up to 32 MiB for each directory) and written when there \
is room again, checkpoints are tried after every epoch. If something is missing at the end, the exit \
code is 2. Weights that the run directory does not take go to the system's directory for temporary files.

After every epoch a checkpoint is written. --resume goes on from the last one, whatever ended the \
training, and comes to the same weights and the same series as if nothing had; a run without one is \
begun anew. Settings are the run's; --threads may differ, and --epochs where the schedule is constant: \
so a finished run is trained further. A finished run is left as it is, with exit code 0. Other settings \
are an error; with --force they make a fork, a new run in the next free directory beside the old one, \
which begins with the weights and epochs of its last checkpoint and, unless --optimizer changes \
between sgd and the others, with the state of the optimizer.

The network is the article's, unless --network or the file of --config says another; cnn-tb network \
prints its layers.

With --json standard output has one object a line: `start` with the first training step, `epoch` \
after each epoch, `result` at the end or, after Ctrl-C, `interrupted`. `config` has every setting. \
Accuracy is a fraction. elapsed_secs counts from the start of the command; logging_secs is how much \
of it went into event files since the `epoch` line before, evaluation_secs how much into the \
validation images; images_per_sec leaves evaluation out. `stopped` is null, \"early_stopping\" or \
\"time_limit\"; best_epoch is the one with the lowest validation loss:
  {\"event\":\"start\",\"elapsed_secs\":…,\"config\":{…},…}
  {\"event\":\"epoch\",\"epoch\":1,\"train\":{\"loss\":…,\"accuracy\":…},
   \"validation\":{…},\"images_per_sec\":…,\"evaluation_secs\":…,\"logging_secs\":…,\"elapsed_secs\":…}
  {\"event\":\"result\",\"test\":{\"loss\":…,\"accuracy\":…},\"stopped\":null,\"best_epoch\":6,
   \"logdir\":…,\"weights\":…,…}";

/// Train a network and log it for TensorBoard.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, long_about = LONG_ABOUT)]
pub struct Args {
    /// The run directory [default: the next free runs/expN]
    #[arg(long, value_name = "DIR")]
    logdir: Option<PathBuf>,
    /// Replace the run that the run directory holds: only what cnn-tb wrote is removed
    #[arg(long)]
    overwrite: bool,
    /// Go on with the run in the run directory, which was cut: with its settings, after the last
    /// epoch that it completed
    #[arg(long, requires = "logdir", conflicts_with = "overwrite")]
    resume: bool,
    /// With --resume and other settings: go on from the run's last checkpoint in a new run beside it,
    /// which leaves the run itself as it is
    #[arg(long, requires = "resume")]
    force: bool,
    /// What to log, separated by commas [default: all]
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', action = ArgAction::Set, num_args = 1)]
    log: Option<Vec<Group>>,
    /// Print one JSON object a line
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print nothing unless something goes wrong
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    settings: settings::Flags,
}

/// A group of things to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    /// Accuracy and loss of every epoch, the test result; Custom Scalars
    Epochs,
    /// Loss and learning rate of every optimizer update
    Batches,
    /// The settings, as hyperparameters and as text; machine, command and commit
    Settings,
    /// Validation accuracy of each class; tables of it and of what is taken for what
    Classes,
    /// Norm of the gradient in the last update of every epoch
    Gradients,
    /// Predictions, worst mistakes, confusion, filters and feature maps, as pictures
    Images,
    /// Distributions of weights, gradients and what the layers give; dead units
    Histograms,
    /// The network as a graph
    Graph,
    /// Precision-recall curves of each class
    Curves,
    /// What the last layer is given for 2,000 test images, for the Projector
    Embedding,
    /// Everything
    All,
    /// Nothing
    None,
}

/// What tells the user about a training.
trait Report: Send {
    /// The network is there, the first update comes next.
    fn start(&mut self, _start: &Start<'_>) -> io::Result<()> {
        Ok(())
    }

    /// An update was made.
    fn batch(&mut self, _batch: &Batch, _times: Times) -> io::Result<()> {
        Ok(())
    }

    /// An epoch was completed.
    fn epoch(&mut self, _epoch: &Epoch, _times: Times) -> io::Result<()> {
        Ok(())
    }

    /// Something is wrong, and the training goes on.
    fn warn(&mut self, text: &str) {
        output::warn(text);
    }

    /// Everything is written.
    fn end(&mut self, _end: &End<'_>) -> io::Result<()> {
        Ok(())
    }
}

/// A report of nothing: `--quiet`.
struct Quiet;

impl Report for Quiet {}

/// Where the time went.
#[derive(Clone, Copy)]
struct Times {
    /// Since the start of the command.
    elapsed: Duration,
    /// Spent on event files in this epoch.
    logging: Duration,
}

/// How a training ended.
struct End<'a> {
    config: &'a Config,
    run_dir: &'a RunDir,
    /// Epochs that were completed; the last of them may be one that the time limit cut.
    epochs: &'a [Epoch],
    /// Those of them that were completed before the command: it resumed a training.
    completed_before: usize,
    /// Why it ended before its last epoch, if it did.
    stopped: Option<Stopped>,
    /// The test result; `None` for a training that was interrupted.
    test: Option<Test>,
    /// Since the start of the command.
    elapsed: Duration,
}

/// The last weights on the test split.
#[derive(Clone, Copy)]
struct Test {
    metrics: Metrics,
    wrong: usize,
    images: usize,
}

impl From<&Finish<'_>> for Test {
    fn from(finish: &Finish<'_>) -> Self {
        Self {
            metrics: finish.test,
            wrong: finish.test_wrong,
            images: finish.test_images,
        }
    }
}

/// What is trained, where it is written, and where it begins.
struct Plan {
    config: Config,
    dataset: Dataset,
    run_dir: RunDir,
    checkpoint: Option<Checkpoint>,
}

impl Plan {
    /// As the flags say; `None` where a run that is to go on is finished. Nothing is created or
    /// removed.
    fn new(args: &Args) -> anyhow::Result<Option<Self>> {
        let Some(path) = args.logdir.as_deref().filter(|_| args.resume) else {
            let config = args.settings.config()?;
            let run_dir = RunDir::choose(args.logdir.as_deref(), args.overwrite)?;
            return Ok(Some(Self {
                dataset: dataset::open(config.data.as_deref(), args.quiet)?,
                config,
                run_dir,
                checkpoint: None,
            }));
        };
        let cut = CutRun::open(path, &args.settings)?;
        if args.force {
            let dataset = dataset::open(cut.config.data.as_deref(), args.quiet)?;
            let (run_dir, checkpoint) = cut.fork(&dataset, args.quiet)?;
            return Ok(Some(Self {
                config: cut.config,
                dataset,
                run_dir,
                checkpoint: Some(checkpoint),
            }));
        }
        cut.check(args.quiet)?;
        if let Some(text) = cut.finished() {
            if !args.quiet {
                output::tell(&text);
            }
            return Ok(None);
        }
        Ok(Some(Self {
            dataset: dataset::open(cut.config.data.as_deref(), args.quiet)?,
            run_dir: cut.run_dir(),
            config: cut.config,
            checkpoint: cut.checkpoint,
        }))
    }
}

/// Trains as the flags say. Nothing is created or removed before everything that can be wrong with
/// them was looked at.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let Some(plan) = Plan::new(&args)? else {
        return Ok(Outcome::Done);
    };
    let Plan {
        config,
        dataset,
        run_dir,
        checkpoint,
    } = plan;

    let interrupted = interrupt::listen(args.quiet)?;
    let report: Box<dyn Report> = match (args.quiet, args.json) {
        (true, _) => Box::new(Quiet),
        (_, true) => Box::new(Json::default()),
        _ => Box::new(Terminal::new()),
    };
    let groups = groups(args.log.as_deref());
    let mut watch = Watch::new(run_dir, groups, args.quiet, report, began, interrupted);
    let fitted = match &checkpoint {
        Some(checkpoint) => resume(&config, &dataset, checkpoint, &mut watch),
        None => fit(&config, &dataset, &mut watch),
    };
    let outcome = match fitted {
        Ok(outcome) => outcome,
        Err(error) => {
            // What else ends a training, as a full disk, says nothing about its settings.
            if let FitError::NonFinite { .. } = error {
                watch.fail();
            }
            return Err(error.into());
        }
    };
    if outcome.test.is_none() {
        watch
            .run_dir()
            .save_weights(|path| outcome.save_weights(path))?;
    }
    let test = watch.end(&config, &outcome)?;
    Ok(if test.is_some() {
        Outcome::Done
    } else {
        Outcome::Interrupted
    })
}

fn groups(chosen: Option<&[Group]>) -> Groups {
    let Some(chosen) = chosen else {
        return Groups::default();
    };
    let has = |group| chosen.contains(&group) || chosen.contains(&Group::All);
    Groups {
        epochs: has(Group::Epochs),
        batches: has(Group::Batches),
        settings: has(Group::Settings),
        classes: has(Group::Classes),
        gradients: has(Group::Gradients),
        images: has(Group::Images),
        histograms: has(Group::Histograms),
        graph: has(Group::Graph),
        curves: has(Group::Curves),
        embedding: has(Group::Embedding),
    }
}
