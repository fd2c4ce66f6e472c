//! One tag of a run, as the data server would have it, and what was wrong with its points.

use crate::report::doctor::finding::{Cause, Kept};
use crate::report::doctor::steps::{Added, Steps};

/// Plugins of which one point alone is shown, whichever others there are.
const SINGLES: [&str; 2] = ["hparams", "custom_scalars"];

/// How many points of a plugin's series are kept where `--samples_per_plugin` does not say it;
/// `None` where it makes no difference. Sources: `data_ingester.py` in
/// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/backend/event_processing>,
/// `run.rs` in <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/data/server>.
pub(super) fn kept(plugin: &str) -> Option<Kept> {
    let kept = |server, python| Some(Kept { server, python });
    match plugin {
        "scalars" => kept(1000, 1000),
        "images" | "audio" => kept(10, 10),
        "histograms" => kept(100, 500),
        "pr_curves" => kept(100, 100),
        "text" | "mesh" => kept(100, 10),
        _ => None,
    }
}

/// What is asked of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    /// The plugin that it names or, in the old form, belongs to; empty where there is none.
    pub plugin: &'a str,
    /// Which form it has, for a scalar that is not one 32-bit float.
    pub unfit: Option<&'a str>,
    /// Whether it is anything but a scalar that is NaN or infinite.
    pub is_finite: bool,
}

/// Cases of one kind: the first of them, and how many there are.
#[derive(Clone, Debug)]
struct Cases<T> {
    file: usize,
    step: i64,
    times: u64,
    /// Points that they erased.
    erased: u64,
    first: T,
}

/// A step that went back.
#[derive(Clone, Copy, Debug)]
struct Back {
    from: i64,
    /// Whether that is behind the first mark of a session's start.
    is_after_lone_start: bool,
}

/// One tag of a run.
#[derive(Debug)]
pub(super) struct Series {
    /// The plugin that its first value names.
    pub plugin: String,
    steps: Steps,
    last_file: usize,
    back: Option<Cases<Back>>,
    /// As `back`, where the point before was in another file.
    back_across: Option<Cases<Back>>,
    repeated: Option<Cases<()>>,
    repeated_across: Option<Cases<()>>,
    changed: Option<Cases<String>>,
    unnamed: Option<Cases<()>>,
    unfit: Option<Cases<String>>,
    non_finite: Option<Cases<()>>,
}

impl Series {
    /// A series without points; `plugin` is its first value's.
    pub(super) fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            steps: Steps::default(),
            last_file: 0,
            back: None,
            back_across: None,
            repeated: None,
            repeated_across: None,
            changed: None,
            unnamed: None,
            unfit: None,
            non_finite: None,
        }
    }

    /// Adds a value of the file with this number; how many points of other files it erases.
    pub(super) fn add(
        &mut self,
        (file, is_after_lone_start): (usize, bool),
        step: i64,
        given: Given,
    ) -> u64 {
        if !given.is_finite {
            count(&mut self.non_finite, file, step, 0, || ());
        }
        if !given.plugin.is_empty() && given.plugin != self.plugin {
            count(&mut self.changed, file, step, 0, || given.plugin.to_owned());
            return 0;
        }
        if self.plugin.is_empty() {
            count(&mut self.unnamed, file, step, 0, || ());
            return 0;
        }
        if let Some(form) = given.unfit {
            count(&mut self.unfit, file, step, 0, || form.to_owned());
            return 0;
        }
        if SINGLES.contains(&self.plugin.as_str()) {
            return 0;
        }
        let is_across = file != self.last_file;
        self.last_file = file;
        let erased = match self.steps.add(step) {
            Added::Forward => 0,
            Added::Repeated => {
                let cases = match is_across {
                    true => &mut self.repeated_across,
                    false => &mut self.repeated,
                };
                count(cases, file, step, 1, || ());
                1
            }
            Added::Back { last, erased } => {
                let cases = match is_across {
                    true => &mut self.back_across,
                    false => &mut self.back,
                };
                count(cases, file, step, erased, || Back {
                    from: last,
                    is_after_lone_start,
                });
                erased
            }
        };
        if is_across { erased } else { 0 }
    }

    /// A session that starts at `step` drops what lies at or after it.
    pub(super) fn start(&mut self, step: i64) {
        self.steps.drop_from(step);
    }

    /// How many points there are.
    pub(super) fn points(&self) -> u64 {
        self.steps.count()
    }

    /// What was wrong, each with the number of the file where it was first. What points of another
    /// file did is left out for the files of which `is_explained` holds.
    pub(super) fn causes(
        self,
        tag: &str,
        is_explained: impl Fn(usize) -> bool,
    ) -> Vec<(usize, Cause)> {
        let mut causes = Vec::new();
        let tag = || tag.to_owned();
        let is_open = |file: &usize| !is_explained(*file);
        let across = self.back_across.filter(|cases| is_open(&cases.file));
        for cases in self.back.into_iter().chain(across) {
            causes.push((cases.file, back_cause(tag(), &cases)));
        }
        let across = self.repeated_across.filter(|cases| is_open(&cases.file));
        for Cases {
            file, step, erased, ..
        } in self.repeated.into_iter().chain(across)
        {
            causes.push((
                file,
                Cause::RepeatedSteps {
                    tag: tag(),
                    step,
                    erased,
                },
            ));
        }
        if let Some(Cases {
            file,
            step,
            times,
            first: to,
            ..
        }) = self.changed
        {
            let from = self.plugin.clone();
            causes.push((
                file,
                Cause::KindChanged {
                    tag: tag(),
                    step,
                    from,
                    to,
                    times,
                },
            ));
        }
        if let Some(Cases {
            file, step, times, ..
        }) = self.unnamed
        {
            causes.push((
                file,
                Cause::NoPlugin {
                    tag: tag(),
                    step,
                    times,
                },
            ));
        }
        if let Some(Cases {
            file,
            step,
            times,
            first: found,
            ..
        }) = self.unfit
        {
            causes.push((
                file,
                Cause::UnfitScalar {
                    tag: tag(),
                    step,
                    found,
                    times,
                },
            ));
        }
        if let Some(Cases {
            file, step, times, ..
        }) = self.non_finite
        {
            causes.push((
                file,
                Cause::NonFiniteValues {
                    tag: tag(),
                    step,
                    times,
                },
            ));
        }
        causes
    }
}

fn count<T>(
    cases: &mut Option<Cases<T>>,
    file: usize,
    step: i64,
    erased: u64,
    first: impl FnOnce() -> T,
) {
    let cases = cases.get_or_insert_with(|| Cases {
        file,
        step,
        times: 0,
        erased: 0,
        first: first(),
    });
    cases.times += 1;
    cases.erased += erased;
}

fn back_cause(tag: String, cases: &Cases<Back>) -> Cause {
    let &Cases {
        step: to,
        times,
        erased,
        first,
        ..
    } = cases;
    let from = first.from;
    match first.is_after_lone_start {
        true => Cause::LoneStart {
            tag,
            from,
            to,
            times,
            erased,
        },
        false => Cause::StepsGoBack {
            tag,
            from,
            to,
            times,
            erased,
        },
    }
}
