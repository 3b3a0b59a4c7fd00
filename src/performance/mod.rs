//! How well a model does on labelled images: figures with intervals, drawings, and a page that shows them.

mod drawings;
mod figures;
mod page;

pub use drawings::Drawing;
pub use figures::{AtThreshold, Entry, Figures, Value};
pub use page::Page;

use crate::model::Output;
use crate::plot::Matrix;
use crate::statistics::{Calibration, Confusion, Cuts, Discrimination};

/// What a model said of an image, and the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Index of the image's class among the labels.
    pub class: usize,
    /// A probability for each label.
    pub probabilities: Vec<f64>,
}

impl Scored {
    /// Index of the most probable label; the first one of equals.
    pub fn answer(&self) -> usize {
        let larger = |best: (usize, f64), (index, value): (usize, &f64)| {
            if *value > best.1 { (index, *value) } else { best }
        };
        self.probabilities.iter().enumerate().fold((0, f64::NEG_INFINITY), larger).0
    }
}

/// Scored images, and what is asked of them.
#[derive(Debug, Clone)]
pub struct Performance<'a> {
    output: &'a Output,
    images: &'a [Scored],
    scores: Vec<f64>,
    positive: Vec<bool>,
}

impl<'a> Performance<'a> {
    /// What a model with these labels and thresholds said of images.
    pub fn new(output: &'a Output, images: &'a [Scored]) -> Self {
        let positive = output.positive_index();
        Self {
            output,
            images,
            scores: images.iter().map(|image| image.probabilities.get(positive).copied().unwrap_or(f64::NAN)).collect(),
            positive: images.iter().map(|image| image.class == positive).collect(),
        }
    }

    /// Every figure.
    pub fn figures(&self) -> Figures {
        let confusion = self.confusion();
        let own = |image: &Scored| image.probabilities.get(image.class).copied().unwrap_or(f64::NAN);
        let entropy = self.images.iter().map(|image| -own(image).max(f64::MIN_POSITIVE).ln()).sum::<f64>();
        let calibration = self.calibration();
        let (scores, positive) = (&self.scores, &self.positive);
        let at = |name, threshold: f64| AtThreshold::new(name, threshold, scores, positive);
        let lower = self.output.operating_point().undetermined_from();
        Figures {
            images: self.images.len(),
            positives: positive.iter().filter(|is| **is).count(),
            accuracy: confusion.accuracy(),
            balanced_accuracy: confusion.balanced_accuracy(),
            auc: self.discrimination().map(|found| found.auc()),
            average_precision: self.cuts().average_precision(),
            present: at("present", self.output.threshold.fraction()),
            undetermined: lower.map(|lower| at("undetermined", lower.fraction())),
            calibration_error: calibration.as_ref().map(Calibration::expected_error),
            brier_score: calibration.as_ref().map(Calibration::brier_score),
            log_loss: (!self.images.is_empty()).then(|| entropy / self.images.len() as f64),
        }
    }

    /// How well the scores tell positives from negatives; `None` without both.
    pub fn discrimination(&self) -> Option<Discrimination> {
        Discrimination::new(&self.scores, &self.positive)
    }

    /// What becomes of the images at every threshold.
    pub fn cuts(&self) -> Cuts {
        Cuts::new(&self.scores, &self.positive)
    }

    fn calibration(&self) -> Option<Calibration> {
        Calibration::new(&self.scores, &self.positive)
    }

    fn confusion(&self) -> Confusion {
        let answers = self.images.iter().map(|image| (image.class, image.answer()));
        Confusion::new(self.output.labels.len(), answers)
    }

    /// Confusion matrix, ROC, precision-recall, reliability and scores as drawings; `what` names the images in titles.
    pub fn drawings(&self, what: &str) -> Vec<Drawing> {
        let confusion = self.confusion();
        // Labels that no image has and no image got, such as spare outputs, are left out.
        let rows = confusion.rows();
        let used = rows.iter().enumerate().filter(|(label, row)| {
            row.iter().sum::<usize>() + rows.iter().filter_map(|row| row.get(*label)).sum::<usize>() > 0
        });
        let used: Vec<usize> = used.map(|(label, _)| label).collect();
        let kept = |row: &Vec<usize>| used.iter().filter_map(|label| row.get(*label)).copied().collect::<Vec<_>>();
        let counts: Vec<_> = used.iter().filter_map(|label| rows.get(*label)).map(kept).collect();
        let names: Vec<_> = used.iter().filter_map(|label| self.output.labels.get(*label)).cloned().collect();
        let matrix = Matrix { title: format!("Confusion matrix, {what}"), names: &names, counts: &counts };
        let mut drawings = vec![Drawing { name: "confusion", svg: matrix.svg() }];
        let threshold = AtThreshold::new("present", self.output.threshold.fraction(), &self.scores, &self.positive);
        if let Some(discrimination) = self.discrimination() {
            drawings.push(drawings::roc(what, &self.cuts(), discrimination.auc(), &threshold));
        }
        drawings.extend(drawings::precision_recall(what, &self.cuts(), &threshold));
        drawings.extend(self.calibration().map(|calibration| drawings::reliability(what, &calibration)));
        drawings.push(drawings::scores(what, &self.output.positive, &self.scores, &self.positive, threshold.threshold));
        drawings
    }
}

#[cfg(test)]
mod tests;
