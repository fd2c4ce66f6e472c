//! One tag of a run, as the data server would have it, and what was wrong with its points.

use crate::report::doctor::finding::Cause;
use crate::report::doctor::given::Given;
use crate::report::doctor::steps::{Added, Steps};

/// Plugins of which one point alone is shown, whichever others there are.
const SINGLES: [&str; 2] = ["hparams", "custom_scalars"];

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
        if self.plugin.is_empty() {
            count(&mut self.unnamed, file, step, 0, || ());
            return 0;
        }
        if !given.plugin.is_empty() && given.plugin != self.plugin {
            count(&mut self.changed, file, step, 0, || given.plugin.to_owned());
            return 0;
        }
        if let Some(form) = given.unfit {
            count(&mut self.unfit, file, step, 0, || form);
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
        &self,
        tag: &str,
        is_explained: impl Fn(usize) -> bool,
    ) -> Vec<(usize, Cause)> {
        let tag = || tag.to_owned();
        let is_open = |(file, _): &(usize, Cause)| !is_explained(*file);
        let back = |cases: &_| back_cause(tag(), cases);
        let repeated = |&Cases { step, erased, .. }: &Cases<()>| Cause::RepeatedSteps {
            tag: tag(),
            step,
            erased,
        };
        let changed = |cases: &Cases<String>| Cause::KindChanged {
            tag: tag(),
            step: cases.step,
            from: self.plugin.clone(),
            to: cases.first.clone(),
            times: cases.times,
        };
        let unnamed = |&Cases { step, times, .. }: &Cases<()>| Cause::NoPlugin {
            tag: tag(),
            step,
            times,
        };
        let unfit = |cases: &Cases<String>| Cause::UnfitScalar {
            tag: tag(),
            step: cases.step,
            found: cases.first.clone(),
            times: cases.times,
        };
        let non_finite = |&Cases { step, times, .. }: &Cases<()>| Cause::NonFiniteValues {
            tag: tag(),
            step,
            times,
        };
        let causes = [
            told(&self.back, back),
            told(&self.back_across, back).filter(is_open),
            told(&self.repeated, repeated),
            told(&self.repeated_across, repeated).filter(is_open),
            told(&self.changed, changed),
            told(&self.unnamed, unnamed),
            told(&self.unfit, unfit),
            told(&self.non_finite, non_finite),
        ];
        causes.into_iter().flatten().collect()
    }
}

/// The cause that `cases` are, if there are any, and the file of the first.
fn told<T>(cases: &Option<Cases<T>>, cause: impl Fn(&Cases<T>) -> Cause) -> Option<(usize, Cause)> {
    cases.as_ref().map(|cases| (cases.file, cause(cases)))
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
