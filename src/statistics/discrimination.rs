//! The area under the ROC curve with the variance of DeLong et al. (Biometrics 1988), by the ranks of Sun and Xu (IEEE
//! Signal Processing Letters 2014), and the paired comparison of two models.

use super::Estimate;
use super::estimate::{Z, two_sided};

/// How well scores tell positives from negatives.
#[derive(Debug, Clone, PartialEq)]
pub struct Discrimination {
    area: f64,
    /// For each positive the share of negatives below it.
    positives: Vec<f64>,
    /// For each negative the share of positives above it.
    negatives: Vec<f64>,
}

/// One area less another on the same images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The difference.
    pub value: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
    /// Two-sided probability of a difference as large as this between equal models; 1 where there is none.
    pub p: f64,
}

impl Discrimination {
    /// From a score and the truth of each image; `None` without both positives and negatives.
    pub fn new(scores: &[f64], positive: &[bool]) -> Option<Self> {
        let of = |wanted: bool| -> Vec<f64> {
            scores.iter().zip(positive).filter(|(_, is)| **is == wanted).map(|(score, _)| *score).collect()
        };
        let (above, below) = (of(true), of(false));
        if above.is_empty() || below.is_empty() {
            return None;
        }
        let (m, n) = (above.len() as f64, below.len() as f64);
        let together = ranks(&[above.as_slice(), &below].concat());
        let (first, second) = together.split_at(above.len());
        let share = |together: &[f64], own: Vec<f64>, others: f64| -> Vec<f64> {
            together.iter().zip(own).map(|(all, own)| (all - own) / others).collect()
        };
        let positives = share(first, ranks(&above), n);
        let negatives: Vec<f64> = share(second, ranks(&below), m).into_iter().map(|below| 1.0 - below).collect();
        Some(Self { area: mean(&positives), positives, negatives })
    }

    /// The area under the ROC curve.
    pub fn auc(&self) -> Estimate {
        Estimate::normal(self.area, self.covariance(self).max(0.0).sqrt())
    }

    /// This area less that of another model on the same images in the same order; `None` for other images.
    pub fn less(&self, other: &Self) -> Option<Difference> {
        if (self.positives.len(), self.negatives.len()) != (other.positives.len(), other.negatives.len()) {
            return None;
        }
        let value = self.area - other.area;
        let variance = self.covariance(self) + other.covariance(other) - 2.0 * self.covariance(other);
        let deviation = variance.max(0.0).sqrt();
        let p = if deviation > 0.0 { two_sided(value / deviation) } else { f64::from(u8::from(value == 0.0)) };
        Some(Difference { value, low: value - Z * deviation, high: value + Z * deviation, p })
    }

    fn covariance(&self, other: &Self) -> f64 {
        covariance(&self.positives, &other.positives) / self.positives.len() as f64
            + covariance(&self.negatives, &other.negatives) / self.negatives.len() as f64
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    sum / a.len().saturating_sub(1).max(1) as f64
}

/// The rank of each value, from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in sorted.chunk_by(|a, b| a.1 == b.1) {
        let rank = before as f64 + (equal.len() as f64 + 1.0) / 2.0;
        before += equal.len();
        for (index, _) in equal {
            if let Some(to) = ranks.get_mut(*index) {
                *to = rank;
            }
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_share_of_pairs_in_order() {
        let scores = [0.1, 0.4, 0.35, 0.8, 0.4];
        let positive = [false, false, true, true, true];
        // Pairs: 0.35 > 0.1; 0.8 > both; 0.4 > 0.1, equal to 0.4.
        let auc = Discrimination::new(&scores, &positive).unwrap().auc();
        assert!((auc.value - 4.5 / 6.0).abs() < 1e-12);
        assert!(auc.low < auc.value && auc.high <= 1.0);
        assert!(Discrimination::new(&scores[..2], &positive[..2]).is_none());
    }

    /// DeLong's variance as it is defined: over all pairs.
    fn by_pairs(scores: &[f64], positive: &[bool]) -> (f64, f64) {
        let of =
            |wanted| -> Vec<f64> { (0..scores.len()).filter(|i| positive[*i] == wanted).map(|i| scores[i]).collect() };
        let (x, y) = (of(true), of(false));
        let order = |x: f64, y: f64| {
            if x > y {
                1.0
            } else if x == y {
                0.5
            } else {
                0.0
            }
        };
        let v10: Vec<f64> = x.iter().map(|x| mean(&y.iter().map(|y| order(*x, *y)).collect::<Vec<_>>())).collect();
        let v01: Vec<f64> = y.iter().map(|y| mean(&x.iter().map(|x| order(*x, *y)).collect::<Vec<_>>())).collect();
        let variance = |v: &[f64]| v.iter().map(|v_i| (v_i - mean(v)).powi(2)).sum::<f64>() / (v.len() - 1) as f64;
        (mean(&v10), variance(&v10) / x.len() as f64 + variance(&v01) / y.len() as f64)
    }

    #[test]
    fn ranks_give_delongs_variance() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20 {
            let positive: Vec<bool> = (0..40).map(|i| i % 3 == 0).collect();
            let scores: Vec<f64> =
                positive.iter().map(|is| f64::from(random.u8(0..20)) + if *is { 6.0 } else { 0.0 }).collect();
            let (area, variance) = by_pairs(&scores, &positive);
            let found = Discrimination::new(&scores, &positive).unwrap();
            assert!((found.area - area).abs() < 1e-12 && (found.covariance(&found) - variance).abs() < 1e-12);
        }
    }

    #[test]
    fn a_model_does_not_differ_from_itself() {
        let (scores, positive) = ([0.1, 0.7, 0.35, 0.8, 0.4], [false, false, true, true, true]);
        let one = Discrimination::new(&scores, &positive).unwrap();
        let Difference { value, low, high, p } = one.less(&one).unwrap();
        assert_eq!((value, low, high, p), (0.0, 0.0, 0.0, 1.0));
        let better = Discrimination::new(&[0.1, 0.2, 0.35, 0.8, 0.4], &positive).unwrap();
        let difference = better.less(&one).unwrap();
        assert!(difference.value > 0.0 && difference.low < difference.value && (0.0..1.0).contains(&difference.p));
    }
}
