//! Conditions on hyper-parameters, as people write them: `lr<1e-2`, `optimizer=adam`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::tb::HParam;

/// A condition that a run's hyper-parameters fulfil or not.
///
/// It is written as a name, an operator and a value: `<`, `<=`, `>` and `>=` compare numbers, `=`
/// (or `==`) and `!=` compare numbers, texts and truth values. The first operator in the text
/// divides it; blanks around the name and the value do not count.
///
/// ```
/// use cnn_tb::report::condition::Condition;
/// use std::collections::BTreeMap;
///
/// let hparams = BTreeMap::from([("lr".to_owned(), 0.001.into()), ("optimizer".to_owned(), "adam".into())]);
/// let holds = |text: &str| text.parse::<Condition>().map(|condition| condition.holds(&hparams));
/// assert_eq!(holds("lr<1e-2"), Ok(true));
/// assert_eq!(holds("optimizer != sgd"), Ok(true));
/// assert_eq!(holds("dropout=0"), Ok(false)); // A run without it does not fit.
/// assert!(holds("lr").is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    name: String,
    operator: Operator,
    value: String,
    number: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    Unequal,
}

/// Longer ones before those that they begin with.
const OPERATORS: [(&str, Operator); 7] = [
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("!=", Operator::Unequal),
    ("==", Operator::Equal),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

/// A text that is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// There is no operator, or nothing before it.
    #[error("{text:?} is no condition; one has a name, an operator and a value: {FORMS}")]
    Form {
        /// What was found.
        text: String,
    },
    /// An order is asked for, but not that of numbers.
    #[error("{text:?} compares with {value:?}, which is no number; texts have = and !=: {FORMS}")]
    NoNumber {
        /// What was found.
        text: String,
        /// What stands after the operator.
        value: String,
    },
}

const FORMS: &str = "lr<1e-2, lr<=0.01, bs>64, bs>=64, optimizer=adam, optimizer!=sgd";

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let (at, sign, operator) = first_operator(text)
            .filter(|(at, ..)| !text[..*at].trim().is_empty())
            .ok_or_else(|| ConditionError::Form {
                text: text.to_owned(),
            })?;
        let value = text[at + sign.len()..].trim().to_owned();
        let number = value.parse().ok().filter(|number: &f64| !number.is_nan());
        let is_order = !matches!(operator, Operator::Equal | Operator::Unequal);
        if is_order && number.is_none() {
            let text = text.to_owned();
            return Err(ConditionError::NoNumber { text, value });
        }
        Ok(Self {
            name: text[..at].trim().to_owned(),
            operator,
            value,
            number,
        })
    }
}

fn first_operator(text: &str) -> Option<(usize, &'static str, Operator)> {
    text.char_indices().find_map(|(at, _)| {
        let is_here = |(sign, _): &&(&str, Operator)| text[at..].starts_with(sign);
        let (sign, operator) = OPERATORS.iter().find(is_here)?;
        Some((at, *sign, *operator))
    })
}

impl Condition {
    /// The hyper-parameter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a run with these hyper-parameters fulfils it. One that lacks the hyper-parameter
    /// fulfils no condition on it, `!=` included; a text is never less or greater than a number.
    pub fn holds(&self, hparams: &BTreeMap<String, HParam>) -> bool {
        let Some(found) = hparams.get(&self.name) else {
            return false;
        };
        match self.operator {
            Operator::Equal => self.is_value(found),
            Operator::Unequal => !self.is_value(found),
            operator => match (found, self.number) {
                (HParam::Number(found), Some(number)) => match operator {
                    Operator::Less => *found < number,
                    Operator::AtMost => *found <= number || is_same(*found, number),
                    Operator::Greater => *found > number,
                    _ => *found >= number || is_same(*found, number),
                },
                _ => false,
            },
        }
    }

    fn is_value(&self, found: &HParam) -> bool {
        match found {
            HParam::Number(found) => self.number.is_some_and(|number| is_same(*found, number)),
            HParam::Text(text) => *text == self.value,
            // Python writes them with a capital.
            HParam::Bool(flag) => self.value.eq_ignore_ascii_case(&flag.to_string()),
        }
    }
}

/// Whether a stored number is the one that was written: 0.003 is also 0.003000000026077032, which
/// is what the 32-bit number becomes in an event file.
fn is_same(found: f64, written: f64) -> bool {
    found == written || found == f64::from(written as f32)
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPERATORS
            .iter()
            .rfind(|(_, operator)| *operator == self.operator)
            .map_or("", |(sign, _)| sign);
        write!(f, "{}{sign}{}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_for_numbers_texts_and_truth_values() {
        let hparams: BTreeMap<String, HParam> = [
            ("lr", HParam::from(0.003_f32)),
            ("bs", 64.into()),
            ("optimizer", "adam".into()),
            ("model/depth", "18".into()),
            ("amp", true.into()),
            ("bad", f64::NAN.into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let cases = [
            ("lr=0.003", true),
            ("lr<=0.003", true),
            ("lr>=3e-3", true),
            ("lr<1e-2", true),
            ("lr<0.002", false),
            ("bs>=64", true),
            ("bs>64", false),
            (" bs == 64.0 ", true),
            ("bs!=64", false),
            ("bs=adam", false),
            ("bs!=adam", true),
            ("bs<inf", true),
            ("optimizer=adam", true),
            ("optimizer=Adam", false),
            ("optimizer!=sgd", true),
            ("optimizer<3", false),
            ("model/depth=18", true),
            ("amp=True", true),
            ("amp!=false", true),
            ("bad<1", false),
            ("bad=NaN", false),
            ("missing=1", false),
            ("missing!=1", false),
        ];
        for (text, expected) in cases {
            let condition: Condition = text.parse().unwrap();
            assert_eq!(condition.holds(&hparams), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_says_what_there_is() {
        for text in ["", "lr", "<3", " = adam", "ü", "lr<", "lr<fast", "lr>=NaN"] {
            let error = text.parse::<Condition>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} ")), "{error}");
            assert!(error.ends_with(FORMS), "{error}");
        }
        let condition: Condition = "note=a<b=c".parse().unwrap();
        assert_eq!(
            (condition.name(), condition.value.as_str()),
            ("note", "a<b=c")
        );
        assert_eq!(condition.to_string(), "note=a<b=c");
        assert_eq!(
            " lr <= 3 ".parse::<Condition>().unwrap().to_string(),
            "lr<=3"
        );
    }
}
