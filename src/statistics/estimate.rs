//! A figure with its 95 % interval.

/// Quantile of the standard normal distribution that leaves 2.5 % above it.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// A figure and its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// A proportion with the score interval of Wilson (J Am Stat Assoc 1927); `None` of nothing.
    pub fn proportion(hits: usize, of: usize) -> Option<Self> {
        Self::share(hits as f64 / of as f64, of)
    }

    /// A share of so many with Wilson's interval; `None` of nothing.
    pub(super) fn share(value: f64, of: usize) -> Option<Self> {
        if of == 0 {
            return None;
        }
        let n = of as f64;
        let centre = value + Z * Z / (2.0 * n);
        let reach = Z * (value * (1.0 - value) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        Some(Self { value, low: ((centre - reach) / scale).max(0.0), high: ((centre + reach) / scale).min(1.0) })
    }

    /// A figure between 0 and 1 with a normal interval that is cut off there.
    pub(super) fn normal(value: f64, deviation: f64) -> Self {
        Self { value, low: (value - Z * deviation).max(0.0), high: (value + Z * deviation).min(1.0) }
    }
}

/// Probability that a standard normal variable is farther from zero than `z`, by the complementary error function of
/// Numerical Recipes (`erfcc`, relative error below 1.2e-7).
pub(super) fn two_sided(z: f64) -> f64 {
    const COEFFICIENTS: [f64; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
        -1.265_512_23,
    ];
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, coefficient| sum * t + coefficient);
    (t * (polynomial - x * x).exp()).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_have_wilsons_interval() {
        // statsmodels: proportion_confint(81, 263, method="wilson")
        let Estimate { value, low, high } = Estimate::proportion(81, 263).unwrap();
        assert!((value - 0.307_984_79).abs() < 1e-8 && (low - 0.255_287_65).abs() < 1e-4, "{low}");
        assert!((high - 0.366_207_0).abs() < 1e-4, "{high}");
        let none = Estimate::proportion(0, 10).unwrap();
        assert!(none.low == 0.0 && (none.high - 0.277_533).abs() < 1e-5);
        assert_eq!(Estimate::proportion(0, 0), None);
    }

    #[test]
    fn probabilities_are_those_of_the_normal_distribution() {
        for (z, p) in [(0.0, 1.0), (1.0, 0.317_310_508), (-Z, 0.05), (3.0, 0.002_699_796)] {
            assert!((two_sided(z) - p).abs() < 2e-7 * p.max(0.1), "{z}");
        }
    }
}
