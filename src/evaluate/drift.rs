//! How far the same model in other numbers moves: what it says of the same images, one by one, and as a whole.

use super::{Comparison, EvaluateError, Evaluation};

/// How far the area under the ROC curve may move.
const AUC: f64 = 0.002;

/// How far a probability may move.
const PROBABILITY: f64 = 0.02;

/// The least share of the images whose probabilities all move no further.
const SHARE: f64 = 0.99;

/// A model in other numbers beside itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Images that both saw.
    pub images: usize,
    /// The area under its ROC curve less that of f32; `None` without positives and negatives.
    pub auc: Option<f64>,
    /// Images whose probabilities all moved by 0.02 at most.
    pub near: usize,
    /// The furthest that a probability moved.
    pub furthest: f64,
    /// How far the probabilities of an image moved on average, the furthest of each.
    pub mean: f64,
}

impl Drift {
    /// Of a model in other numbers from what it says in f32 of the same images.
    ///
    /// # Errors
    /// The models have other labels.
    pub fn new(reduced: &Evaluation<'_>, f32: &Evaluation<'_>) -> Result<Self, EvaluateError> {
        let Comparison { auc, .. } = reduced.against(f32)?;
        let pairs = reduced.images().iter().zip(f32.images());
        let moved: Vec<f64> = pairs
            .map(|(a, b)| {
                let each = a.probabilities.iter().zip(&b.probabilities);
                each.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
            })
            .collect();
        Ok(Self::of(&moved, auc.map(|difference| difference.value)))
    }

    fn of(moved: &[f64], auc: Option<f64>) -> Self {
        Self {
            images: moved.len(),
            auc,
            near: moved.iter().filter(|moved| **moved <= PROBABILITY).count(),
            furthest: moved.iter().copied().fold(0.0, f64::max),
            mean: moved.iter().sum::<f64>() / moved.len().max(1) as f64,
        }
    }

    /// The share of the images whose probabilities all moved by 0.02 at most.
    pub fn share(&self) -> f64 {
        self.near as f64 / self.images.max(1) as f64
    }

    /// Whether it is within the bounds: the area moves by 0.002 at most, 99 % of the probabilities by 0.02.
    pub fn is_small(&self) -> bool {
        self.images > 0 && self.auc.is_some_and(|auc| auc.abs() <= AUC) && self.share() >= SHARE
    }

    /// As one line.
    pub fn text(&self) -> String {
        let auc = self.auc.map_or("unknown".to_owned(), |auc| format!("{auc:+.5}"));
        format!(
            "{} images: AUC {auc} (at most {AUC}), {:.2} % of probabilities within {PROBABILITY} (at least {} %), mean {:.4}, \
             furthest {:.4}",
            self.images,
            1e2 * self.share(),
            1e2 * SHARE,
            self.mean,
            self.furthest
        )
    }

    /// As a table for a manifest.
    pub fn toml(&self) -> toml::Table {
        let rounded = |value: f64| toml::Value::Float((value * 1e5).round() / 1e5);
        let mut table = toml::Table::new();
        table.insert("images".into(), toml::Value::Integer(i64::try_from(self.images).unwrap_or(i64::MAX)));
        if let Some(auc) = self.auc {
            table.insert("auc_less_f32".into(), rounded(auc));
        }
        table.insert("within_0_02".into(), rounded(self.share()));
        table.insert("mean_moved".into(), rounded(self.mean));
        table.insert("furthest_moved".into(), rounded(self.furthest));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_the_area_and_of_each_probability() {
        let mut moved = vec![0.001; 99];
        moved.push(0.3);
        let drift = Drift::of(&moved, Some(-0.002));
        assert!(drift.is_small() && drift.furthest == 0.3 && drift.share() == 0.99, "{drift:?}");
        assert!(!Drift::of(&moved, Some(-0.0021)).is_small());
        assert!(!Drift::of(&moved, None).is_small());
        moved.push(0.021);
        assert!(!Drift::of(&moved, Some(0.0)).is_small());
        assert!(!Drift::of(&[], Some(0.0)).is_small());
    }

    #[test]
    fn it_says_how_far_the_furthest_and_how_many() {
        let drift = Drift::of(&[0.0, 0.04], Some(0.0001));
        assert!(drift.text().starts_with("2 images: AUC +0.00010 (at most 0.002), 50.00 % of"), "{}", drift.text());
        assert_eq!(drift.toml()["furthest_moved"].as_float(), Some(0.04));
    }
}
