//! The figures of a model on some images, under the keys that manifests, JSON and pages name them by.

use serde_json::{Map, Value as Json};

use crate::statistics::{Counts, Estimate};

/// What became of images at one threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AtThreshold {
    /// What a score at or above it says: `present`, `undetermined`.
    pub name: &'static str,
    /// The threshold.
    pub threshold: f64,
    /// What became of the images.
    pub counts: Counts,
}

impl AtThreshold {
    pub(super) fn new(name: &'static str, threshold: f64, scores: &[f64], positive: &[bool]) -> Self {
        Self { name, threshold, counts: Counts::at(threshold, scores, positive) }
    }

    /// Threshold, sensitivity, specificity and predictive values.
    pub fn entries(&self) -> Vec<Entry> {
        vec![
            Entry::new("threshold", "Threshold", Some(Value::Number(self.threshold))),
            Entry::new("sensitivity", "Sensitivity", self.counts.sensitivity().map(Value::Share)),
            Entry::new("specificity", "Specificity", self.counts.specificity().map(Value::Share)),
            Entry::new("ppv", "Positive predictive value", self.counts.positive_predictive_value().map(Value::Share)),
            Entry::new("npv", "Negative predictive value", self.counts.negative_predictive_value().map(Value::Share)),
        ]
    }
}

/// Every figure of a model on some images; `None` where it is not defined.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// How many images.
    pub images: usize,
    /// How many of them are of the reported label.
    pub positives: usize,
    /// Share of images whose label is the most probable one.
    pub accuracy: Option<Estimate>,
    /// The mean of that share over the labels.
    pub balanced_accuracy: Option<f64>,
    /// Area under the ROC curve.
    pub auc: Option<Estimate>,
    /// Average precision.
    pub average_precision: Option<Estimate>,
    /// At the threshold of the manifest.
    pub present: AtThreshold,
    /// At the lower threshold of the manifest, if it has one.
    pub undetermined: Option<AtThreshold>,
    /// Expected calibration error of the score.
    pub calibration_error: Option<f64>,
    /// Brier score of the score.
    pub brier_score: Option<f64>,
    /// Mean cross entropy over all labels.
    pub log_loss: Option<f64>,
}

/// A figure under its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// As JSON and TOML name it.
    pub key: &'static str,
    /// As people read it.
    pub label: &'static str,
    /// `None` where it is not defined.
    pub value: Option<Value>,
}

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// How many.
    Count(usize),
    /// A number without an interval.
    Number(f64),
    /// A number with its 95 % interval, which has the keys `..._low` and `..._high`.
    Share(Estimate),
}

impl Entry {
    fn new(key: &'static str, label: &'static str, value: Option<Value>) -> Self {
        Self { key, label, value }
    }

    /// The figure and its interval, for people.
    pub fn text(&self) -> String {
        match self.value {
            None => "\u{2013}".to_owned(),
            Some(Value::Count(count)) => count.to_string(),
            Some(Value::Number(number)) => format!("{number:.4}"),
            Some(Value::Share(Estimate { value, low, high })) => format!("{value:.4} ({low:.4} to {high:.4})"),
        }
    }

    /// Keys and numbers.
    fn numbers(&self) -> Vec<(String, Option<Json>)> {
        let key = |end: &str| format!("{}{end}", self.key);
        match self.value {
            Some(Value::Count(count)) => vec![(key(""), Some(count.into()))],
            Some(Value::Number(number)) => vec![(key(""), Some(number.into()))],
            Some(Value::Share(Estimate { value, low, high })) => {
                vec![(key(""), Some(value.into())), (key("_low"), Some(low.into())), (key("_high"), Some(high.into()))]
            }
            None => vec![(key(""), None)],
        }
    }
}

impl Figures {
    /// All figures; those of a threshold are those of the manifest's.
    pub fn entries(&self) -> Vec<Entry> {
        let share = |estimate: Option<Estimate>| estimate.map(Value::Share);
        let number = |number: Option<f64>| number.map(Value::Number);
        let mut entries = vec![
            Entry::new("n", "Images", Some(Value::Count(self.images))),
            Entry::new("positives", "Positive images", Some(Value::Count(self.positives))),
            Entry::new("accuracy", "Accuracy", share(self.accuracy)),
            Entry::new("balanced_accuracy", "Balanced accuracy", number(self.balanced_accuracy)),
            Entry::new("auc", "Area under the ROC curve", share(self.auc)),
            Entry::new("average_precision", "Average precision", share(self.average_precision)),
        ];
        entries.extend(self.present.entries());
        entries.extend([
            Entry::new("expected_calibration_error", "Expected calibration error", number(self.calibration_error)),
            Entry::new("brier_score", "Brier score", number(self.brier_score)),
            Entry::new("log_loss", "Cross entropy", number(self.log_loss)),
        ]);
        entries
    }

    /// As a JSON object; what is not defined is `null`.
    pub fn json(&self) -> Json {
        let numbers = |entries: Vec<Entry>| entries.into_iter().flat_map(|entry| entry.numbers());
        let mut object: Map<String, Json> =
            numbers(self.entries()).map(|(key, number)| (key, number.unwrap_or(Json::Null))).collect();
        if let Some(lower) = &self.undetermined {
            let below = numbers(lower.entries()).map(|(key, number)| (key, number.unwrap_or(Json::Null)));
            object.insert("undetermined".to_owned(), Json::Object(below.collect()));
        }
        Json::Object(object)
    }

    /// As a TOML table, to four decimals; what is not defined is left out.
    pub fn toml(&self) -> toml::Table {
        let rounded = |number: Json| match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Some(toml::Value::Integer(whole)),
            (None, Some(number)) => Some(toml::Value::Float((number * 1e4).round() / 1e4)),
            (None, None) => None,
        };
        let numbers = self.entries().into_iter().flat_map(|entry| entry.numbers());
        numbers.filter_map(|(key, number)| Some((key, rounded(number?)?))).collect()
    }
}
