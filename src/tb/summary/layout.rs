//! Charts of several tags: the layout of the Custom Scalars page.

use prost::Message as _;

use crate::tb::proto::chart::Content;
use crate::tb::proto::summary::Value;
use crate::tb::proto::{self, DataClass, DataType, MarginChartContent, MultilineChartContent};
use crate::tb::proto::{TensorProto, TensorShapeProto};
use crate::tb::summary::{Misfit, tensor_value};

pub(super) const PLUGIN: &str = "custom_scalars";
const TAG: &str = "custom_scalars__config__";

/// What the Custom Scalars page shows: categories of charts. The layouts of all runs are put
/// together by the titles of the categories, and each chart draws all runs.
///
/// ```
/// use cnn_tb::tb::{Category, Chart, Layout, Margin, exact_tag};
/// let layout = Layout::new([Category::new(
///     "training",
///     [
///         // Two tags, and all whose names begin with `per_class/`.
///         Chart::lines("all", [exact_tag("accuracy"), exact_tag("loss"), "per_class/".to_owned()]),
///         Chart::margins("seeds", [Margin::new("mean", "min", "max")]),
///     ],
/// )]);
/// # let logdir = tempfile::tempdir()?;
/// # let writer = cnn_tb::tb::SummaryWriter::create(logdir.path())?;
/// writer.add_custom_scalars(&layout)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    categories: Vec<Category>,
}

/// A category of a [`Layout`]: charts below one title.
#[derive(Clone, Debug, PartialEq)]
pub struct Category {
    title: String,
    charts: Vec<Chart>,
    closed: bool,
}

/// One chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    title: String,
    content: ChartContent,
}

#[derive(Clone, Debug, PartialEq)]
enum ChartContent {
    Lines(Vec<String>),
    Margins(Vec<Margin>),
}

/// A line in a band: three tags, as they are (not patterns).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Margin {
    value: String,
    lower: String,
    upper: String,
}

/// The pattern that matches `tag` and no other: its special characters escaped, its end marked.
///
/// ```
/// assert_eq!(cnn_tb::tb::exact_tag("loss (mean)"), r"^loss \(mean\)$");
/// ```
pub fn exact_tag(tag: &str) -> String {
    let mut pattern = String::from("^");
    for c in tag.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('$');
    pattern
}

impl Layout {
    /// The layout with these categories, from top to bottom.
    pub fn new(categories: impl IntoIterator<Item = Category>) -> Self {
        let categories = categories.into_iter().collect();
        Self { categories }
    }

    /// A string tensor of rank 0: the serialized layout.
    ///
    /// # Errors
    /// A layout without categories, a category without charts, a chart without tags.
    pub fn to_value(&self) -> Result<Value, Misfit> {
        if self.categories.is_empty() {
            return Err(Misfit::new("a layout without categories", "one or more"));
        }
        let categories = self.categories.iter().map(Category::to_proto);
        let layout = proto::Layout {
            version: 0,
            category: categories.collect::<Result<_, _>>()?,
        };
        let tensor = TensorProto {
            dtype: DataType::DtString.into(),
            tensor_shape: Some(TensorShapeProto::default()),
            string_val: vec![layout.encode_to_vec()],
            ..TensorProto::default()
        };
        Ok(tensor_value(
            TAG,
            PLUGIN,
            Vec::new(),
            DataClass::Tensor,
            tensor,
        ))
    }
}

impl Category {
    /// These charts below `title`.
    pub fn new(title: impl Into<String>, charts: impl IntoIterator<Item = Chart>) -> Self {
        Self {
            title: title.into(),
            charts: charts.into_iter().collect(),
            closed: false,
        }
    }

    /// Closed until somebody opens it.
    pub fn closed(mut self) -> Self {
        self.closed = true;
        self
    }

    fn to_proto(&self) -> Result<proto::Category, Misfit> {
        if self.charts.is_empty() {
            let found = format!("the category {:?} without charts", self.title);
            return Err(Misfit::new(found, "one or more"));
        }
        Ok(proto::Category {
            title: self.title.clone(),
            chart: self
                .charts
                .iter()
                .map(Chart::to_proto)
                .collect::<Result<_, _>>()?,
            closed: self.closed,
        })
    }
}

impl Chart {
    /// A line for each tag of each run that one of the regular expressions matches from the tag's
    /// start on; [`exact_tag`] makes one of a plain tag.
    pub fn lines<P: Into<String>>(
        title: impl Into<String>,
        patterns: impl IntoIterator<Item = P>,
    ) -> Self {
        let patterns = patterns.into_iter().map(Into::into);
        Self {
            title: title.into(),
            content: ChartContent::Lines(patterns.collect()),
        }
    }

    /// Lines in bands, for each run.
    pub fn margins(title: impl Into<String>, margins: impl IntoIterator<Item = Margin>) -> Self {
        Self {
            title: title.into(),
            content: ChartContent::Margins(margins.into_iter().collect()),
        }
    }

    fn to_proto(&self) -> Result<proto::Chart, Misfit> {
        let (content, is_empty) = match &self.content {
            ChartContent::Lines(tag) => {
                let tag = tag.clone();
                let is_empty = tag.is_empty();
                (Content::Multiline(MultilineChartContent { tag }), is_empty)
            }
            ChartContent::Margins(margins) => {
                let series = margins.iter().map(Margin::to_proto).collect();
                let content = Content::Margin(MarginChartContent { series });
                (content, margins.is_empty())
            }
        };
        if is_empty {
            let found = format!("the chart {:?} without tags", self.title);
            return Err(Misfit::new(found, "one or more"));
        }
        Ok(proto::Chart {
            title: self.title.clone(),
            content: Some(content),
        })
    }
}

impl Margin {
    /// The line `value` in the band from `lower` to `upper`, all of them tags.
    pub fn new(
        value: impl Into<String>,
        lower: impl Into<String>,
        upper: impl Into<String>,
    ) -> Self {
        Self {
            value: value.into(),
            lower: lower.into(),
            upper: upper.into(),
        }
    }

    fn to_proto(&self) -> proto::margin_chart_content::Series {
        proto::margin_chart_content::Series {
            value: self.value.clone(),
            lower: self.lower.clone(),
            upper: self.upper.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_show_nothing_is_refused() {
        let error = |layout: Layout| layout.to_value().unwrap_err().to_string();
        let with = |chart| Layout::new([Category::new("c", [chart])]);
        assert!(error(Layout::new([])).starts_with("a layout without categories"));
        assert!(error(Layout::new([Category::new("c", [])])).contains("\"c\" without charts"));
        let no_tags: [&str; 0] = [];
        assert!(error(with(Chart::lines("x", no_tags))).contains("\"x\" without tags"));
        assert!(error(with(Chart::margins("x", []))).contains("\"x\" without tags"));
        assert!(with(Chart::lines("x", ["loss"])).to_value().is_ok());
    }
}
