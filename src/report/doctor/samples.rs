//! Series of more points than TensorBoard keeps.

use std::collections::BTreeMap;

use crate::report::doctor::finding::{Cause, Kept};

/// How many points of a plugin's series are kept where `--samples_per_plugin` does not say it;
/// `None` where it makes no difference. Sources: `data_ingester.py` in
/// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/backend/event_processing>,
/// `run.rs` in <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/data/server>.
fn kept(plugin: &str) -> Option<Kept> {
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

/// A cause for each plugin with such series, of `(tag, plugin, points)` of all.
pub(super) fn causes<'a>(series: impl Iterator<Item = (&'a str, &'a str, u64)>) -> Vec<Cause> {
    let mut causes: BTreeMap<&str, Cause> = BTreeMap::new();
    for (tag, plugin, points) in series {
        let Some(kept) = kept(plugin) else { continue };
        if points <= kept.server.min(kept.python) {
            continue;
        }
        let first = || Cause::Sampled {
            plugin: plugin.to_owned(),
            tag: String::new(),
            points: 0,
            kept,
            series: 0,
        };
        let cause = causes.entry(plugin).or_insert_with(first);
        if let Cause::Sampled {
            tag: longest,
            points: most,
            series,
            ..
        } = cause
        {
            *series += 1;
            if points > *most {
                (*longest, *most) = (tag.to_owned(), points);
            }
        }
    }
    causes.into_values().collect()
}
