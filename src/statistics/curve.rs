//! What becomes of the images at every threshold: the ROC and the precision-recall curve, and thresholds that reach an
//! aim.

use std::fmt;
use std::str::FromStr;

use super::Estimate;

/// What became of the images at one threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Positives that are flagged.
    pub true_positives: usize,
    /// Negatives that are flagged.
    pub false_positives: usize,
    /// Negatives that are not flagged.
    pub true_negatives: usize,
    /// Positives that are not flagged.
    pub false_negatives: usize,
}

impl Counts {
    /// Of scores of which those at or above the threshold are flagged.
    pub fn at(threshold: f64, scores: &[f64], positive: &[bool]) -> Self {
        let mut counts = Self::default();
        for (score, is) in scores.iter().zip(positive) {
            let count = match (score >= &threshold, is) {
                (true, true) => &mut counts.true_positives,
                (true, false) => &mut counts.false_positives,
                (false, false) => &mut counts.true_negatives,
                (false, true) => &mut counts.false_negatives,
            };
            *count += 1;
        }
        counts
    }

    /// Share of the positives that are flagged.
    pub fn sensitivity(&self) -> Option<Estimate> {
        Estimate::proportion(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// Share of the negatives that are not flagged.
    pub fn specificity(&self) -> Option<Estimate> {
        Estimate::proportion(self.true_negatives, self.true_negatives + self.false_positives)
    }

    /// Share of the flagged that are positive.
    pub fn positive_predictive_value(&self) -> Option<Estimate> {
        Estimate::proportion(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Share of the others that are negative.
    pub fn negative_predictive_value(&self) -> Option<Estimate> {
        Estimate::proportion(self.true_negatives, self.true_negatives + self.false_negatives)
    }
}

/// A threshold and what becomes of the images there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// Scores at or above it are flagged.
    pub threshold: f64,
    /// What became of the images.
    pub counts: Counts,
}

/// Every threshold that makes a difference, from the one that flags nothing to the one that flags everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Cuts(Vec<Cut>);

impl Cuts {
    /// From a score and the truth of each image.
    pub fn new(scores: &[f64], positive: &[bool]) -> Self {
        let mut sorted: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut counts = Counts::at(f64::INFINITY, scores, positive);
        let mut cuts = vec![Cut { threshold: f64::INFINITY, counts }];
        for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
            let hits = equal.iter().filter(|(_, is)| *is).count();
            let others = equal.len() - hits;
            counts.true_positives += hits;
            counts.false_negatives -= hits;
            counts.false_positives += others;
            counts.true_negatives -= others;
            cuts.extend(equal.first().map(|(threshold, _)| Cut { threshold: *threshold, counts }));
        }
        Self(cuts)
    }

    /// The cuts.
    pub fn all(&self) -> &[Cut] {
        &self.0
    }

    /// Average precision: the mean over the positives of the precision where each is found. Its interval is the binomial
    /// one of Boyd et al. (ECML PKDD 2013), in Wilson's form. `None` without positives.
    pub fn average_precision(&self) -> Option<Estimate> {
        let positives = self.0.last()?.counts.true_positives;
        let mut found = 0;
        let mut sum = 0.0;
        for Counts { true_positives, false_positives, .. } in self.0.iter().map(|cut| cut.counts) {
            let precision = true_positives as f64 / (true_positives + false_positives).max(1) as f64;
            sum += precision * (true_positives - found) as f64;
            found = true_positives;
        }
        Estimate::share(sum / positives as f64, positives)
    }

    /// The threshold that reaches an aim and gives up least of the other side, in the middle between two scores; `None`
    /// where nothing reaches it.
    pub fn threshold_for(&self, aim: Aim) -> Option<f64> {
        let reaches = |cut: &Cut| match aim {
            Aim::Sensitivity(wanted) => cut.counts.sensitivity().is_some_and(|found| found.value >= wanted),
            Aim::Specificity(wanted) => cut.counts.specificity().is_some_and(|found| found.value >= wanted),
        };
        let at = match aim {
            Aim::Sensitivity(_) => self.0.iter().position(reaches)?,
            Aim::Specificity(_) => self.0.iter().rposition(reaches)?,
        };
        let threshold = self.0.get(at)?.threshold.min(1.0);
        let below = self.0.get(at + 1).map_or(threshold, |next| next.threshold);
        Some(f64::midpoint(threshold, below))
    }
}

/// What a threshold is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// At least this share of the positives is flagged.
    Sensitivity(f64),
    /// At least this share of the negatives is not flagged.
    Specificity(f64),
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sensitivity(share) => write!(f, "sensitivity={share}"),
            Self::Specificity(share) => write!(f, "specificity={share}"),
        }
    }
}

/// The text was no aim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no aim; write sensitivity=0.95 or specificity=0.90")]
pub struct AimError(String);

impl FromStr for Aim {
    type Err = AimError;

    fn from_str(text: &str) -> Result<Self, AimError> {
        let fault = || AimError(text.to_owned());
        let (what, share) = text.split_once('=').ok_or_else(fault)?;
        let share = share.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0).ok_or_else(fault)?;
        match what {
            "sensitivity" => Ok(Self::Sensitivity(share)),
            "specificity" => Ok(Self::Specificity(share)),
            _ => Err(fault()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 6] = [0.9, 0.8, 0.8, 0.4, 0.3, 0.1];
    const POSITIVE: [bool; 6] = [true, true, false, true, false, false];

    #[test]
    fn cuts_go_from_nothing_to_everything() {
        let cuts = Cuts::new(&SCORES, &POSITIVE);
        let flagged: Vec<(usize, usize)> =
            cuts.all().iter().map(|cut| (cut.counts.true_positives, cut.counts.false_positives)).collect();
        assert_eq!(flagged, [(0, 0), (1, 0), (2, 1), (3, 1), (3, 2), (3, 3)]);
        for cut in cuts.all() {
            assert_eq!(cut.counts, Counts::at(cut.threshold, &SCORES, &POSITIVE));
        }
        // scikit-learn: average_precision_score
        let precision = cuts.average_precision().unwrap();
        assert!((precision.value - (1.0 + 2.0 / 3.0 + 3.0 / 4.0) / 3.0).abs() < 1e-12);
        assert!(precision.low < precision.value && precision.value < precision.high);
    }

    #[test]
    fn a_threshold_reaches_its_aim_and_no_more_than_that() {
        let cuts = Cuts::new(&SCORES, &POSITIVE);
        let threshold = |aim: &str| cuts.threshold_for(aim.parse().unwrap()).unwrap();
        assert!((threshold("sensitivity=1") - 0.35).abs() < 1e-12);
        assert!((threshold("sensitivity=0.6") - 0.6).abs() < 1e-12);
        assert!((threshold("specificity=1") - 0.85).abs() < 1e-12);
        assert!((threshold("specificity=0.5") - 0.35).abs() < 1e-12);
        for wrong in ["sensitivity", "sensitivity=0", "sensitivity=95", "accuracy=0.9"] {
            assert!(wrong.parse::<Aim>().unwrap_err().to_string().contains("sensitivity=0.95"));
        }
    }
}
