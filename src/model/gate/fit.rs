//! Fitting the gate: ridge regression on 1 and -1, each side counting as much as the other, in its dual form (Saunders et
//! al., ICML 1998), which is as large as there are pictures; and the choice of its operating point.

use rayon::prelude::*;

use super::{Gate, Impression};

/// The penalty on the weights, as a share of the mean diagonal of the pictures' products.
const RIDGE: f64 = 0.1;

/// Chest radiographs that were held out and have to be accepted.
const ACCEPTED: f64 = 0.995;

impl Gate {
    /// The gate that tells chest radiographs from others; the same impressions give the same gate. `None` where one
    /// side is empty, or an impression is no number.
    pub fn fitted(chests: &[Impression], others: &[Impression]) -> Option<Self> {
        if chests.is_empty() || others.is_empty() {
            return None;
        }
        let count = (chests.len() + others.len()) as f64;
        let of_side = |side: &[Impression], target: f64| {
            let weight = (count / (2.0 * side.len() as f64)).sqrt();
            vec![(weight, target); side.len()]
        };
        let sides = [of_side(chests, 1.0), of_side(others, -1.0)].concat();
        let pictures: Vec<&Impression> = chests.iter().chain(others).collect();
        let mut mean = vec![0.0; Impression::LENGTH];
        for picture in &pictures {
            mean.iter_mut().zip(picture.values()).for_each(|(mean, value)| *mean += f64::from(*value) / count);
        }
        let row = |(picture, (weight, _)): (&&Impression, &(f64, f64))| -> Vec<f64> {
            picture.values().iter().zip(&mean).map(|(value, mean)| weight * (f64::from(*value) - mean)).collect()
        };
        let rows: Vec<Vec<f64>> = pictures.iter().zip(&sides).map(row).collect();
        let products = |(at, row): (usize, &Vec<f64>)| rows.iter().take(at + 1).map(|other| dot(row, other)).collect();
        let mut products: Vec<Vec<f64>> = rows.par_iter().enumerate().map(products).collect();
        let diagonal: f64 = products.iter().filter_map(|row| row.last()).sum();
        for last in products.iter_mut().filter_map(|row| row.last_mut()) {
            *last += RIDGE * diagonal / count;
        }
        let targets = sides.iter().map(|(weight, target)| weight * target).collect();
        let shares = solved(products, targets)?;
        let mut weights = vec![0.0; Impression::LENGTH];
        for (row, share) in rows.iter().zip(&shares) {
            weights.iter_mut().zip(row).for_each(|(weight, value)| *weight += share * value);
        }
        let bias = -dot(&weights, &mean) as f32;
        let weights: Vec<f32> = weights.into_iter().map(|weight| weight as f32).collect();
        let finite = weights.iter().chain([&bias]).all(|value| value.is_finite());
        finite.then_some(Self { weights, bias })
    }
}

/// From which score on images are accepted: that which 99.5 % of the chest radiographs reach, and at most 0, where the
/// fit is undecided, because images of other devices score lower than those that were at hand.
pub fn operating_point(chests: &[f64]) -> f64 {
    let mut scores = chests.to_vec();
    scores.sort_unstable_by(f64::total_cmp);
    let declined = ((1.0 - ACCEPTED) * scores.len() as f64) as usize;
    scores.get(declined).copied().unwrap_or(0.0).min(0.0)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves a symmetric, positive definite system, of which the lower triangle is given row by row (Cholesky).
fn solved(mut triangle: Vec<Vec<f64>>, mut values: Vec<f64>) -> Option<Vec<f64>> {
    for at in 0..triangle.len() {
        let (above, below) = triangle.split_at_mut(at);
        let row = below.first_mut()?;
        for (column, other) in above.iter().enumerate() {
            let known = dot(row.get(..column)?, other.get(..column)?);
            let value = row.get_mut(column)?;
            *value = (*value - known) / other.get(column)?;
        }
        let known = dot(row.get(..at)?, row.get(..at)?);
        let pivot = row.get_mut(at)?;
        *pivot = (*pivot - known).sqrt();
        if pivot.is_nan() || *pivot <= 0.0 {
            return None;
        }
    }
    for (at, row) in triangle.iter().enumerate() {
        let known = dot(row.get(..at)?, values.get(..at)?);
        let value = values.get_mut(at)?;
        *value = (*value - known) / row.get(at)?;
    }
    for (at, row) in triangle.iter().enumerate().rev() {
        let value = values.get(at)? / row.get(at)?;
        *values.get_mut(at)? = value;
        values.iter_mut().zip(row).take(at).for_each(|(other, below)| *other -= value * below);
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Impressions of features `1 + (index * step + seed) % 11` under a layout of a slope.
    fn impression(seed: usize, step: usize) -> Impression {
        let pooled: Vec<f32> = (0..2048).map(|index| 1.0 + ((index * step + seed * 3) % 11) as f32).collect();
        let image: Vec<f32> = (0..28 * 28).map(|at| ((at * step + seed) % 97) as f32 / 97.0).collect();
        Impression::new(&pooled, &image, 28, 1.0)
    }

    #[test]
    fn the_fit_is_that_of_numpy() {
        let side = |step: usize, count: usize| (0..count).map(|seed| impression(seed, step)).collect::<Vec<_>>();
        let (chests, others) = (side(1, 5), side(4, 3));
        let gate = Gate::fitted(&chests, &others).unwrap();
        let scores: Vec<f64> = chests.iter().chain(&others).map(|each| gate.score(each)).collect();
        // numpy.linalg.solve(K + 0.1 * trace(K) / 8 * I, y) with the same rows.
        for (found, expected) in
            scores.iter().zip([0.574524, 0.652629, 0.645757, 0.582993, 0.726572, -1.071666, -1.026432, -1.084376])
        {
            assert!((found - expected).abs() < 1e-4, "{scores:?}");
        }
        assert_eq!(Gate::fitted(&chests, &[]), None);
    }

    #[test]
    fn a_small_system_is_solved() {
        // [[4, 2], [2, 3]] x = [2, 5]
        let found = solved(vec![vec![4.0], vec![2.0, 3.0]], vec![2.0, 5.0]).unwrap();
        assert!((found[0] + 0.5).abs() < 1e-12 && (found[1] - 2.0).abs() < 1e-12, "{found:?}");
        assert_eq!(solved(vec![vec![1.0], vec![2.0, 1.0]], vec![1.0, 1.0]), None);
    }

    #[test]
    fn the_operating_point_accepts_nearly_all_and_is_never_above_zero() {
        let scores: Vec<f64> = (0..1000).map(|score| f64::from(score) / 1000.0 - 0.2).collect();
        let point = operating_point(&scores);
        assert!((point + 0.195).abs() < 1e-9, "{point}");
        assert_eq!(scores.iter().filter(|score| **score >= point).count(), 995);
        assert_eq!(operating_point(&[0.4, 0.6]), 0.0);
        assert_eq!(operating_point(&[0.4, -0.3]), -0.3);
        assert_eq!(operating_point(&[]), 0.0);
    }
}
