//! Whether scores are probabilities: reliability, calibration error, Brier score, and the temperature that mends most.

use super::Estimate;

/// Bins of equal width between 0 and 1.
pub const BINS: usize = 10;

/// Images whose scores are alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Images in it.
    pub images: usize,
    /// Mean of their scores.
    pub score: f64,
    /// Share of them that are positive.
    pub positive: Estimate,
}

/// How far scores are from probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    bins: Vec<Bin>,
    error: f64,
    brier: f64,
}

impl Calibration {
    /// From a score, 0..=1, and the truth of each image; `None` of no image.
    pub fn new(scores: &[f64], positive: &[bool]) -> Option<Self> {
        let images = scores.len().min(positive.len());
        let (mut bins, mut error) = (Vec::new(), 0.0);
        for bin in 0..BINS {
            let within = |score: f64| ((score * BINS as f64) as usize).min(BINS - 1) == bin;
            let members: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
            let members: Vec<_> = members.into_iter().filter(|(score, _)| within(*score)).collect();
            let hits = members.iter().filter(|(_, is)| *is).count();
            let Some(positive) = Estimate::proportion(hits, members.len()) else { continue };
            let score = members.iter().map(|(score, _)| score).sum::<f64>() / members.len() as f64;
            error += (score - positive.value).abs() * members.len() as f64 / images as f64;
            bins.push(Bin { images: members.len(), score, positive });
        }
        let squares = scores.iter().zip(positive).map(|(score, is)| (score - f64::from(u8::from(*is))).powi(2));
        (images > 0).then(|| Self { bins, error, brier: squares.sum::<f64>() / images as f64 })
    }

    /// The bins that hold images, lowest scores first.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// Expected calibration error: how far the mean score of a bin is from its share of positives, by images.
    pub fn expected_error(&self) -> f64 {
        self.error
    }

    /// Brier score: the mean square of score less truth.
    pub fn brier_score(&self) -> f64 {
        self.brier
    }
}

/// The temperature by which logits are to be divided for the least cross entropy (Guo et al., ICML 2017), between 1/20
/// and 20; each image with its logits and its class.
pub fn temperature(images: &[(Vec<f64>, usize)]) -> f64 {
    let entropy = |logarithm: f64| -> f64 {
        let temperature = logarithm.exp();
        images.iter().map(|(logits, class)| cross_entropy(logits, *class, temperature)).sum()
    };
    // Golden section: the sum is convex in the inverse temperature, so that it has one minimum.
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-(20.0_f64.ln()), 20.0_f64.ln());
    for _ in 0..60 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if entropy(a) < entropy(b) { high = b } else { low = a }
    }
    f64::midpoint(low, high).exp()
}

fn cross_entropy(logits: &[f64], class: usize, temperature: f64) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| ((logit - largest) / temperature).exp()).sum();
    let own = logits.get(class).copied().unwrap_or(f64::NEG_INFINITY);
    sum.ln() - (own - largest) / temperature
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_the_distance_of_scores_and_shares() {
        let scores = [0.05, 0.05, 0.75, 0.75, 0.75, 1.0];
        let positive = [false, true, true, true, false, true];
        let found = Calibration::new(&scores, &positive).unwrap();
        let expected = (2.0 * 0.45 + 3.0 * (0.75 - 2.0 / 3.0) + 0.0) / 6.0;
        assert!((found.expected_error() - expected).abs() < 1e-12);
        assert_eq!(found.bins().iter().map(|bin| bin.images).collect::<Vec<_>>(), [2, 3, 1]);
        let brier = (0.0025 + 0.9025 + 2.0 * 0.0625 + 0.5625) / 6.0;
        assert!((found.brier_score() - brier).abs() < 1e-12);
        assert_eq!(Calibration::new(&[], &[]), None);
    }

    #[test]
    fn overconfident_logits_are_cooled_to_the_shares() {
        // Nine of ten are right: the best score is 0.9, at logits of ln 9 apart.
        let images: Vec<(Vec<f64>, usize)> = (0..10).map(|i| (vec![0.0, 8.0], usize::from(i > 0))).collect();
        assert!((temperature(&images) - 8.0 / 9.0_f64.ln()).abs() < 1e-3);
    }
}
