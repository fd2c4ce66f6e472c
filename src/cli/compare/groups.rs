//! A row for each group of runs.

use cnn_tb::report::compare::{Comparison, Metric};
use cnn_tb::report::groups::{Group, Spread};
use cnn_tb::report::metric::Best;
use serde_json::{Value, json};

use crate::cli::compare::listing::{Datum, Field, Listing};
use crate::cli::compare::runs::{self, setting};
use crate::cli::output::escape_json;
use crate::cli::values;

/// The groups by the values of `settings`, with differences to the group at `base`. `names` are
/// those of the comparison's rows.
pub fn listing(
    comparison: &Comparison,
    names: &[String],
    metric: &Metric,
    settings: &[String],
    groups: &[Group],
    (best, base): (Option<Best>, usize),
) -> Listing {
    let deltas = deltas(groups, base);
    let objects = groups.iter().zip(&deltas).map(|(group, delta)| {
        let runs = group.rows.iter().map(|&row| names[row].as_str());
        let object = json_group(metric, settings, group, &runs.collect::<Vec<_>>(), *delta);
        escape_json(&object.to_string())
    });
    Listing {
        objects: objects.collect(),
        fields: fields(comparison, metric, settings, groups, best, &deltas),
    }
}

/// How far each mean lies above that of the group at `base`, which has none itself.
fn deltas(groups: &[Group], base: usize) -> Vec<Option<f64>> {
    let mean = |index: usize| Some(groups[index].spread?.mean);
    let delta = |index| Some(mean(index)? - mean(base)?).filter(|_| index != base);
    (0..groups.len()).map(delta).collect()
}

fn fields(
    comparison: &Comparison,
    metric: &Metric,
    settings: &[String],
    groups: &[Group],
    best: Option<Best>,
    deltas: &[Option<f64>],
) -> Vec<Field> {
    let mut fields: Vec<Field> = settings
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let cells = groups
                .iter()
                .map(|group| group.settings[index].as_ref().map(setting));
            Field {
                gap: if index == 0 { 0 } else { 2 },
                flush_right: index > 0,
                is_shown: true,
                is_essential: true,
                ..Field::new(name, name, cells.collect())
            }
        })
        .collect();
    fields.push(Field::new(
        "runs",
        "runs",
        groups.iter().map(runs_cell).collect(),
    ));
    fields.extend(metric_fields(metric, groups, best));
    let is_share = groups.iter().all(|group| group.is_share);
    let delta = |delta: f64| (values::delta(delta, is_share), Datum::number(delta));
    let cells = deltas.iter().map(|value| value.map(delta));
    fields.push(Field {
        is_shown: comparison.deciding().is_some(),
        ..Field::new("Δ", "delta", cells.collect())
    });
    fields
}

/// `5`, or `4 of 5` where one has no value.
fn runs_cell(group: &Group) -> Option<(String, Datum)> {
    let (counted, all) = (counted(group), group.rows.len());
    let text = match counted == all {
        true => all.to_string(),
        false => format!("{counted} of {all}"),
    };
    Some((text, Datum::Number(counted as f64, counted.to_string())))
}

fn counted(group: &Group) -> usize {
    group.spread.map_or(0, |spread| spread.count)
}

/// Mean and deviation in one column of a table, lowest and highest in another.
fn metric_fields(metric: &Metric, groups: &[Group], best: Option<Best>) -> [Field; 2] {
    let cells = |text: fn(&Spread, bool) -> String| {
        let cell = move |group: &Group| Some(text(&group.spread?, group.is_share));
        groups.iter().map(cell).collect()
    };
    let data = |key: &str, number: fn(&Spread) -> Option<f64>| {
        let number = |group: &Group| number(&group.spread?).map(Datum::number);
        (key.to_owned(), groups.iter().map(number).collect())
    };
    let chosen = if best == Some(Best::Last) {
        ""
    } else {
        "best "
    };
    let mean = Field {
        title: format!("{chosen}{}", runs::title(metric, best)),
        cells: cells(values::mean),
        data: vec![
            data("mean", |spread| Some(spread.mean)),
            data("deviation", |spread| spread.deviation),
        ],
        first: metric.direction,
        is_shown: true,
        is_essential: true,
        ..Field::new("", "", Vec::new())
    };
    let range = Field {
        title: "(min … max)".to_owned(),
        cells: cells(values::range),
        data: vec![
            data("min", |spread| Some(spread.min)),
            data("max", |spread| Some(spread.max)),
        ],
        flush_right: false,
        is_shown: true,
        ..Field::new("", "", Vec::new())
    };
    [mean, range]
}

/// A group as `--json` gives it; its help describes it.
fn json_group(
    metric: &Metric,
    settings: &[String],
    group: &Group,
    runs: &[&str],
    delta: Option<f64>,
) -> Value {
    let value = |setting: &Option<_>| setting.as_ref().map(values::json_setting);
    let settings = settings.iter().cloned().zip(
        group
            .settings
            .iter()
            .map(|setting| value(setting).unwrap_or(Value::Null)),
    );
    let spread = group.spread;
    json!({
        "settings": settings.collect::<serde_json::Map<_, _>>(),
        "runs": runs,
        "metric": runs::series(metric),
        "counted": counted(group),
        "mean": spread.map(|spread| spread.mean),
        "deviation": spread.and_then(|spread| spread.deviation),
        "min": spread.map(|spread| spread.min),
        "max": spread.map(|spread| spread.max),
        "delta": delta,
    })
}
