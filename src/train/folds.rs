//! Cross-validation: as many trainings as the images have shares, each tested on a share of its own, so that every image
//! is in one test. How well such a model does, and how much chance has to do with it.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::finish::Aim;
use super::{Event, Ground, Job, Options, TrainError, one};
use crate::dataset::{Part, Rule};

/// Where the account of a package has what cross-validation said.
pub(super) const KEY: &str = "cross_validation";

/// Where an account has the digest of everything that its weights depend on.
pub(super) const RUN: &str = "run";

/// Figures that are told: their keys, and what people read.
const FIGURES: [(&str, &str); 10] = [
    ("accuracy", "Accuracy"),
    ("balanced_accuracy", "Balanced accuracy"),
    ("auc", "Area under the ROC curve"),
    ("average_precision", "Average precision"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
    ("ppv", "Positive predictive value"),
    ("npv", "Negative predictive value"),
    ("expected_calibration_error", "Expected calibration error"),
    ("log_loss", "Cross entropy"),
];

/// What the trainings of a cross-validation said of their images.
#[derive(Debug, Clone, PartialEq)]
pub struct Folds {
    /// Figures of validation and test by part and key, for each training.
    each: Vec<Value>,
}

/// A figure over the trainings in which it is defined.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    mean: f64,
    /// Standard deviation of the sample; 0 of one training.
    deviation: f64,
    lowest: f64,
    highest: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let extreme = |of: fn(f64, f64) -> f64| values.iter().copied().reduce(of);
        let (lowest, highest) = (extreme(f64::min)?, extreme(f64::max)?);
        Some(Self { mean, deviation: (squares / (count - 1.0).max(1.0)).sqrt(), lowest, highest })
    }
}

impl Folds {
    /// Heads of the columns of [`Folds::rows`].
    pub(super) const HEAD: [&str; 5] = ["", "mean", "standard deviation", "lowest", "highest"];

    fn spread(&self, part: Part, key: &str) -> Option<Spread> {
        let value = |figures: &Value| figures.get(part.name())?.get(key)?.as_f64();
        Spread::of(&self.each.iter().filter_map(value).collect::<Vec<_>>())
    }

    /// What it is, in words.
    pub fn text(&self) -> String {
        let count = self.each.len();
        format!(
            "{count} trainings like this one, each tested on another of {count} shares of the images and watched on the next \
             one: figures of the test. The package is of none of them, but of the training whose figures stand above."
        )
    }

    /// The figures of the test over all trainings: what, mean, standard deviation, lowest and highest.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let row = |(key, label): &(&str, &str)| {
            let Spread { mean, deviation, lowest, highest } = self.spread(Part::Test, key)?;
            let numbers = [mean, deviation, lowest, highest].map(|value| format!("{value:.4}"));
            Some(std::iter::once((*label).to_owned()).chain(numbers).collect())
        };
        FIGURES.iter().filter_map(row).collect()
    }

    /// For `metrics.json`: mean and spread by part and key, and the figures of each training.
    pub(super) fn json(&self) -> Value {
        let figure = |part: Part, key: &str| {
            let Spread { mean, deviation, lowest, highest } = self.spread(part, key)?;
            let value = json!({ "mean": mean, "standard_deviation": deviation, "lowest": lowest, "highest": highest });
            Some((key.to_owned(), value))
        };
        let figures = |part| FIGURES.iter().filter_map(move |(key, _)| figure(part, key)).collect::<Map<_, _>>();
        json!({
            "folds": self.each.len(),
            "validation": figures(Part::Validation),
            "test": figures(Part::Test),
            "each": self.each,
        })
    }
}

/// Trains once for each share, with an account of its own in `folds/`; those that an earlier run of the same command has
/// finished are taken as they are.
pub(super) fn validated(
    job: &Job,
    ground: &Ground<'_>,
    count: usize,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Folds, TrainError> {
    let mut each = Vec::with_capacity(count);
    for fold in 0..count {
        tell(Event::Fold { number: fold + 1, of: count });
        let job = job.of_fold(fold, count);
        let metrics = job.out.join("metrics.json");
        let run = super::fingerprint_of(&job, ground)?;
        let figures = match finished(&metrics) {
            Some(account) if account.get(RUN).and_then(Value::as_str) != Some(&run.to_string()) => {
                return Err(TrainError::OtherRun(metrics));
            }
            Some(account) => [Part::Validation, Part::Test]
                .map(|part| (part.name().to_owned(), account.get(part.name()).cloned().unwrap_or_default()))
                .into_iter()
                .collect(),
            None => {
                let figures = one(&job, ground, (Aim::Figures, None), tell)?;
                let held_out = figures.into_iter().filter(|(part, _)| *part != Part::Training);
                held_out.map(|(part, figures)| (part.name().to_owned(), figures.json())).collect()
            }
        };
        each.push(Value::Object(figures));
    }
    Ok(Folds { each })
}

/// The account of a training, if there is one and it is finished.
fn finished(metrics: &Path) -> Option<Value> {
    let account: Value = serde_json::from_slice(&std::fs::read(metrics).ok()?).ok()?;
    (account.get("finished")? == &Value::Bool(true)).then_some(account)
}

impl Job {
    /// The same with another share of the images for the test.
    fn of_fold(&self, fold: usize, of: usize) -> Self {
        let rule = match self.options.rule.clone() {
            Rule::Random { seed, group, stratified } => Rule::Fold { seed, group, stratified, fold, of },
            other => other,
        };
        let out = self.out.join("folds").join((fold + 1).to_string());
        Self { out, options: Options { rule, ..self.options.clone() }, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_spread_are_those_of_the_sample() {
        let each = [0.9, 0.8, 1.0, 0.9].map(|accuracy| json!({ "test": { "accuracy": accuracy, "auc": null } }));
        let folds = Folds { each: each.to_vec() };
        // numpy: std([0.9, 0.8, 1.0, 0.9], ddof=1)
        assert_eq!(folds.rows(), [["Accuracy", "0.9000", "0.0816", "0.8000", "1.0000"]]);
        let json = folds.json();
        assert_eq!((json["folds"].as_u64(), json["test"]["accuracy"]["highest"].as_f64()), (Some(4), Some(1.0)));
        assert_eq!(json["each"][1]["test"]["accuracy"], 0.8);
        assert!(json["test"]["auc"].is_null() && json["validation"].as_object().is_some_and(Map::is_empty));
    }
}
