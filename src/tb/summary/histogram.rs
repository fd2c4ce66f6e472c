//! Histograms: how the values of one step are distributed.

use crate::tb::proto::summary::{Value, value};
use crate::tb::proto::{DataClass, DataType, HistogramProto, TensorProto};
use crate::tb::summary::scalar::Number;
use crate::tb::summary::{Misfit, shape, tensor_value};

pub(super) const PLUGIN: &str = "histograms";
/// Buckets of every histogram; TensorBoard's page re-bins to as many.
const BUCKETS: usize = 30;

/// One bucket: the count of the values from `left` up to, but not including, `right`; the last
/// bucket includes its `right`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Left edge.
    pub left: f64,
    /// Right edge.
    pub right: f64,
    /// Count of the values.
    pub count: f64,
}

/// Numbers whose distribution can be logged: slices, arrays and vectors of `f32` or `f64`; with the
/// feature `candle` also its tensors of any float type.
pub trait Values: sealed::Sealed {
    /// Their histogram.
    ///
    /// # Errors
    /// Only a tensor gives one: whose element type holds no floats, or whose device fails.
    fn to_histogram(&self) -> Result<Histogram, Misfit>;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

impl<T: Number> sealed::Sealed for [T] {}
impl<T: Number> Values for [T] {
    fn to_histogram(&self) -> Result<Histogram, Misfit> {
        Ok(Histogram::new(self))
    }
}

impl<T: Number> sealed::Sealed for Vec<T> {}
impl<T: Number> Values for Vec<T> {
    fn to_histogram(&self) -> Result<Histogram, Misfit> {
        self[..].to_histogram()
    }
}

impl<T: Number, const N: usize> sealed::Sealed for [T; N] {}
impl<T: Number, const N: usize> Values for [T; N] {
    fn to_histogram(&self) -> Result<Histogram, Misfit> {
        self[..].to_histogram()
    }
}

/// Buckets over the finite values, 30 of equal width where they were made here, and how many values were not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The buckets, from left to right.
    pub buckets: Vec<Bucket>,
    /// Count of the values that are NaN or infinite; they are in no bucket.
    pub non_finite: usize,
}

impl Histogram {
    /// The histogram of `values`, as TensorBoard's own writer makes it: equal values all lie in the
    /// last bucket, whose edges are that value; without values, all is 0. Source: `summary_v2.py` in
    /// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/plugins/histogram>.
    pub fn new<T: Number>(values: &[T]) -> Self {
        let finite = || {
            values
                .iter()
                .map(|value| value.to_f64())
                .filter(|value| value.is_finite())
        };
        let count = finite().count();
        let non_finite = values.len() - count;
        let (min, max) = match count {
            0 => (0.0, 0.0),
            _ => finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
                (min.min(value), max.max(value))
            }),
        };
        // A range beyond the largest `f64` is measured at half its size.
        let scale = if (max - min).is_finite() { 1.0 } else { 0.5 };
        let width = (max * scale - min * scale) / BUCKETS as f64;
        let mut counts = [0_usize; BUCKETS];
        if min == max {
            counts[BUCKETS - 1] = count;
        } else {
            for value in finite() {
                let index = ((value * scale - min * scale) / width) as usize;
                counts[index.min(BUCKETS - 1)] += 1;
            }
        }
        let edge = |index: usize| match index {
            BUCKETS => max,
            _ => (min * scale + width * index as f64) / scale,
        };
        let buckets = counts.iter().enumerate().map(|(index, &count)| Bucket {
            left: edge(index),
            right: edge(index + 1),
            count: count as f64,
        });
        Self {
            buckets: buckets.collect(),
            non_finite,
        }
    }

    /// A histogram that was counted elsewhere: `counts[i]` values lie between `edges[i]` and
    /// `edges[i + 1]`.
    ///
    /// # Errors
    /// No buckets, edges that are not one more than the counts, edges that are not finite or that
    /// fall, a count that is negative or not finite.
    pub fn from_buckets<E: Number, C: Number>(edges: &[E], counts: &[C]) -> Result<Self, Misfit> {
        if counts.is_empty() || edges.len() != counts.len() + 1 {
            let found = format!("{} edges and {} counts", edges.len(), counts.len());
            return Err(Misfit::new(found, "at least one count, and one edge more"));
        }
        let edges: Vec<_> = edges.iter().map(|edge| edge.to_f64()).collect();
        if edges.iter().any(|edge| !edge.is_finite()) || !edges.is_sorted() {
            let found = format!("edges from {} to {}", edges[0], edges[edges.len() - 1]);
            let found = format!("{found} that are not finite or fall");
            return Err(Misfit::new(found, "finite edges in rising order"));
        }
        let counts = counts.iter().map(|count| count.to_f64());
        if let Some(count) = counts.clone().find(|c| !c.is_finite() || *c < 0.0) {
            return Err(Misfit::new(
                format!("a count of {count}"),
                "finite counts from 0 on",
            ));
        }
        let buckets = counts.enumerate().map(|(index, count)| Bucket {
            left: edges[index],
            right: edges[index + 1],
            count,
        });
        Ok(Self {
            buckets: buckets.collect(),
            non_finite: 0,
        })
    }

    /// A tensor of 64-bit floats with a row (left, right, count) for each bucket.
    pub fn to_value(&self, tag: &str) -> Value {
        let rows = self.buckets.iter();
        let tensor = TensorProto {
            dtype: DataType::DtDouble.into(),
            tensor_shape: Some(shape([self.buckets.len(), 3])),
            double_val: rows
                .flat_map(|row| [row.left, row.right, row.count])
                .collect(),
            ..TensorProto::default()
        };
        tensor_value(tag, PLUGIN, Vec::new(), DataClass::Tensor, tensor)
    }

    /// The histogram in a value of either form; `None` where there is none.
    pub(crate) fn from_value(value: Value) -> Option<Self> {
        match value.value? {
            value::Value::Tensor(tensor) => Self::from_tensor(&tensor),
            value::Value::Histo(histo) => Self::from_proto(&histo),
            _ => None,
        }
    }

    /// The histogram in a tensor of rows (left, right, count), of 64-bit or 32-bit floats; `None`
    /// for any other.
    pub fn from_tensor(tensor: &TensorProto) -> Option<Self> {
        let content = &tensor.tensor_content[..];
        let numbers: Vec<f64> = match DataType::try_from(tensor.dtype) {
            Ok(DataType::DtDouble) if content.is_empty() => tensor.double_val.clone(),
            Ok(DataType::DtDouble) => content
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| f64::from_le_bytes(bytes))
                .collect(),
            Ok(DataType::DtFloat) if content.is_empty() => tensor
                .float_val
                .iter()
                .map(|&number| number.into())
                .collect(),
            Ok(DataType::DtFloat) => content
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| f32::from_le_bytes(bytes).into())
                .collect(),
            _ => return None,
        };
        let (rows, []) = numbers.as_chunks() else {
            return None;
        };
        let bucket = |&[left, right, count]: &[f64; 3]| Bucket { left, right, count };
        let buckets = rows.iter().map(bucket).collect();
        Some(Self {
            buckets,
            non_finite: 0,
        })
    }

    /// The histogram in the old form, which gives right edges alone: empty buckets at both ends are
    /// left out, and the least and the largest value bound the rest. `None` where there are not as
    /// many counts as edges. Source: `data_compat.py` in
    /// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard>.
    fn from_proto(histo: &HistogramProto) -> Option<Self> {
        let (limits, counts) = (&histo.bucket_limit, &histo.bucket);
        if limits.len() != counts.len() {
            return None;
        }
        let filled = |count: &f64| *count > 0.0;
        let mut buckets = Vec::new();
        if let (Some(first), Some(last)) = (
            counts.iter().position(filled),
            counts.iter().rposition(filled),
        ) {
            for index in first..=last {
                buckets.push(Bucket {
                    left: if index == first {
                        histo.min
                    } else {
                        limits[index - 1]
                    },
                    right: if index == last {
                        histo.max
                    } else {
                        limits[index]
                    },
                    count: counts[index],
                });
            }
        }
        Some(Self {
            buckets,
            non_finite: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(histogram: &Histogram) -> Vec<f64> {
        histogram
            .buckets
            .iter()
            .map(|bucket| bucket.count)
            .collect()
    }

    #[test]
    fn values_lie_in_the_bucket_that_holds_them() {
        let histogram = Histogram::new(&[0.0_f32, 0.5, 1.0, 29.9, 30.0, 30.0]);
        let mut expected = vec![0.0; 30];
        (expected[0], expected[1], expected[29]) = (2.0, 1.0, 3.0);
        assert_eq!(counts(&histogram), expected);
        for (index, bucket) in histogram.buckets.iter().enumerate() {
            assert_eq!(
                (bucket.left, bucket.right),
                (index as f64, index as f64 + 1.0)
            );
        }
    }

    /// Counts and edges of the same values in `summary_v2.py`, there computed by NumPy.
    #[test]
    fn buckets_are_those_of_tensorboards_own_writer() {
        let values = [-1.5, 0.1, 0.2, 0.2, 3.7, 2.25, -0.5, 1.0, 1.0, 1.0];
        let histogram = Histogram::new(&values);
        let filled: Vec<_> = (0..30)
            .map(|index| (index, histogram.buckets[index].count))
            .filter(|&(_, count)| count > 0.0)
            .collect();
        let expected = [
            (0, 1.0),
            (5, 1.0),
            (9, 3.0),
            (14, 3.0),
            (21, 1.0),
            (29, 1.0),
        ];
        assert_eq!(filled, expected);
        let edges = [1, 7, 29].map(|index| histogram.buckets[index].left);
        let expected = [-1.3266666666666667, -0.2866666666666666, 3.5266666666666673];
        assert_eq!(edges, expected);
    }

    #[test]
    fn buckets_from_elsewhere_fit_or_are_refused() {
        let histogram = Histogram::from_buckets(&[0.0_f32, 0.5, 2.0], &[3.0, 0.0]).unwrap();
        let (left, right, count) = (0.5, 2.0, 0.0);
        assert_eq!(histogram.buckets[1], Bucket { left, right, count });
        assert_eq!((histogram.buckets.len(), histogram.non_finite), (2, 0));
        let cases: [(&[f64], &[f64], &str); 6] = [
            (&[], &[], "0 edges and 0 counts"),
            (&[0.0, 1.0], &[1.0, 1.0], "2 edges and 2 counts"),
            (&[1.0, 0.0], &[1.0], "edges from 1 to 0 that"),
            (&[0.0, f64::NAN], &[1.0], "edges from 0 to NaN that"),
            (&[0.0, 1.0], &[-1.0], "a count of -1"),
            (&[0.0, 1.0], &[f64::INFINITY], "a count of inf"),
        ];
        for (edges, counts, found) in cases {
            let error = Histogram::from_buckets(edges, counts).unwrap_err();
            assert!(error.found.starts_with(found), "{error}");
        }
    }

    #[test]
    fn odd_values_neither_panic_nor_vanish() {
        let cases: [(&[f64], f64, f64, usize); 8] = [
            (&[], 0.0, 0.0, 0),
            (&[2.0, 2.0], 2.0, 2.0, 0),
            (&[f64::NAN, f64::INFINITY, 1.0], 1.0, 1.0, 2),
            (&[f64::NAN], 0.0, 0.0, 1),
            (&[f64::MIN, 0.0, f64::MAX], f64::MIN, f64::MAX, 0),
            (&[0.0, 5e-324], 0.0, 5e-324, 0),
            (&[-1e-300, 1e300], -1e-300, 1e300, 0),
            (&[1.0, 1.0 + f64::EPSILON], 1.0, 1.0 + f64::EPSILON, 0),
        ];
        for (values, left, right, non_finite) in cases {
            let histogram = Histogram::new(values);
            assert_eq!(histogram.non_finite, non_finite);
            assert_eq!(histogram.buckets.len(), 30);
            assert_eq!(
                (histogram.buckets[0].left, histogram.buckets[29].right),
                (left, right)
            );
            let total: f64 = counts(&histogram).iter().sum();
            assert_eq!(total, (values.len() - non_finite) as f64, "{values:?}");
            for pair in histogram.buckets.windows(2) {
                assert!(pair[0].left <= pair[0].right && pair[0].right == pair[1].left);
            }
        }
        let middle = counts(&Histogram::new(&[f64::MIN, 0.0, f64::MAX]));
        assert_eq!(
            (middle[0], middle[14] + middle[15], middle[29]),
            (1.0, 1.0, 1.0)
        );
        assert_eq!(counts(&Histogram::new(&[2.0_f32, 2.0]))[29], 2.0);
    }
}
