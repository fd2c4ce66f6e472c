//! A row for each run.

use std::collections::{BTreeMap, BTreeSet};

use cnn_tb::report::compare::{Comparison, Metric, Reading, Row};
use cnn_tb::report::metric::Best;
use cnn_tb::tb::HParam;
use serde::Serialize;
use serde_json::Value;

use crate::cli::compare::listing::{Datum, Field, Listing};
use crate::cli::output::{escape, escape_json};
use crate::cli::units::duration;
use crate::cli::values::{self, arrow};

/// The runs of `comparison`, called `names`; with differences to the row `baseline`, if there is
/// one.
pub fn listing(
    comparison: &Comparison,
    names: &[String],
    best: Option<Best>,
    baseline: Option<usize>,
) -> serde_json::Result<Listing> {
    let deltas = baseline.map(|baseline| deltas(comparison, baseline));
    let mut fields = fields(comparison, names, best);
    if let Some(deltas) = &deltas {
        let after_step = |field: &Field| field.is_named("step");
        let place = fields
            .iter()
            .position(after_step)
            .map_or(1, |place| place + 1);
        fields.insert(place, delta_field(comparison, deltas));
    }
    let mut objects = Vec::new();
    for (index, row) in comparison.rows.iter().enumerate() {
        let mut object = json_run(&comparison.metrics, &names[index], row);
        object.delta = deltas
            .as_ref()
            .map(|deltas| deltas[index].map(|delta| delta as f32));
        objects.push(escape_json(&serde_json::to_string(&object)?));
    }
    Ok(Listing { fields, objects })
}

/// How far each run's value lies above the baseline's, which has no difference itself.
fn deltas(comparison: &Comparison, baseline: usize) -> Vec<Option<f64>> {
    let readings = comparison.deciding_readings();
    let value = |index: usize| readings[index].map(Reading::comparable);
    let delta = |index| Some(value(index)? - value(baseline)?).filter(|_| index != baseline);
    (0..readings.len()).map(delta).collect()
}

fn delta_field(comparison: &Comparison, deltas: &[Option<f64>]) -> Field {
    let readings = comparison.deciding_readings();
    let is_share = readings
        .iter()
        .flatten()
        .all(|reading| reading.share().is_some());
    let rows = deltas.iter().map(|delta| {
        delta.map(|delta| (values::delta(delta, is_share), Datum::narrow(delta as f32)))
    });
    Field::new("Δ", "delta", rows.collect())
}

/// Every column, the run's name first.
fn fields(comparison: &Comparison, names: &[String], best: Option<Best>) -> Vec<Field> {
    let rows = &comparison.rows;
    let run = |name: &String| Some((escape(name), Datum::Text(name.clone())));
    let mut fields = vec![Field {
        gap: 0,
        flush_right: false,
        is_essential: true,
        ..Field::new("run", "run", names.iter().map(run).collect())
    }];
    let deciding = comparison.deciding().map(|(index, _)| index);
    for (index, metric) in comparison.metrics.iter().enumerate() {
        let readings = || rows.iter().map(|row| row.best[index].as_ref());
        let cell = |reading: &Reading| (values::value(reading), Datum::narrow(reading.value));
        let cells = readings().map(|reading| reading.map(cell)).collect();
        fields.push(Field {
            first: metric.direction,
            is_essential: deciding == Some(index),
            ..Field::new(title(metric, best), series(metric), cells)
        });
        // The step is that of the first metric, and of the first that there is.
        if index == 0 || deciding == Some(index) && rows.iter().all(|row| row.best[0].is_none()) {
            let counts_epochs = readings().flatten().all(|reading| reading.counts_epochs);
            let title = if counts_epochs { "at epoch" } else { "at step" };
            let cell = |reading: &Reading| {
                let step = reading.step.to_string();
                (step.clone(), Datum::Number(reading.step as f64, step))
            };
            let cells = readings().map(|reading| reading.map(cell)).collect();
            fields.push(Field {
                gap: 2,
                ..Field::new(title, "step", cells)
            });
        }
    }
    let test = |row: &Row| {
        let test = row.test_accuracy.as_ref()?;
        Some((values::value(test), Datum::narrow(test.value)))
    };
    fields.push(Field::new(
        "test",
        "test_accuracy",
        rows.iter().map(test).collect(),
    ));
    let time = |row: &Row| {
        let secs = row.elapsed_secs?;
        Some((duration(secs), Datum::number(rounded(secs))))
    };
    fields.push(Field::new(
        "time",
        "elapsed_secs",
        rows.iter().map(time).collect(),
    ));
    fields.extend(settings(comparison));
    fields
}

/// A column for each setting; those that do not differ are not shown unless asked for.
fn settings(comparison: &Comparison) -> impl Iterator<Item = Field> {
    let rows = &comparison.rows;
    let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.settings.keys()).collect();
    names.into_iter().map(|name| {
        let cells = rows.iter().map(|row| row.settings.get(name).map(setting));
        Field {
            is_shown: comparison.differing.contains(name),
            ..Field::new(name, name, cells.collect())
        }
    })
}

/// A setting as a cell.
pub fn setting(value: &HParam) -> (String, Datum) {
    let datum = match value {
        HParam::Number(number) => Datum::Number(*number, values::number_text(*number)),
        other => Datum::Text(other.to_string()),
    };
    (values::setting(value), datum)
}

/// What is above a metric's column: its series, or what was looked for.
pub fn title(metric: &Metric, best: Option<Best>) -> String {
    let last = if best == Some(Best::Last) {
        "last "
    } else {
        ""
    };
    let name = match &metric.series {
        Some(series) => series.clone(),
        None => metric.key.replace('_', " "),
    };
    format!("{last}{name} {}", arrow(metric.direction))
}

/// The series, where all runs have it by one name.
pub fn series(metric: &Metric) -> &str {
    metric.series.as_deref().unwrap_or(&metric.key)
}

fn rounded(secs: f64) -> f64 {
    (secs * 1000.0).round() / 1000.0
}

/// A run as `--json` gives it; the help of `--json` describes it.
#[derive(Serialize)]
struct JsonRun<'a> {
    run: &'a str,
    path: String,
    metrics: BTreeMap<&'a str, Option<JsonReading<'a>>>,
    test_accuracy: Option<f32>,
    elapsed_secs: Option<f64>,
    settings: BTreeMap<&'a str, Value>,
    /// Only where there is a baseline; null for itself and where one of both has no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Option<f32>>,
}

#[derive(Serialize)]
struct JsonReading<'a> {
    series: &'a str,
    best: f32,
    step: i64,
}

fn json_run<'a>(metrics: &'a [Metric], name: &'a str, row: &'a Row) -> JsonRun<'a> {
    let reading = |reading: &'a Reading| JsonReading {
        series: &reading.series,
        best: reading.value,
        step: reading.step,
    };
    let best = row.best.iter().map(|best| best.as_ref().map(reading));
    let settings = row.settings.iter();
    JsonRun {
        run: name,
        path: row.path.display().to_string(),
        metrics: metrics
            .iter()
            .map(|metric| metric.key.as_str())
            .zip(best)
            .collect(),
        test_accuracy: row.test_accuracy.as_ref().map(|test| test.value),
        elapsed_secs: row.elapsed_secs.map(rounded),
        settings: settings
            .map(|(name, value)| (name.as_str(), values::json_setting(value)))
            .collect(),
        delta: None,
    }
}
