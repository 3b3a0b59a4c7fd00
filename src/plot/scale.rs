//! Axes: from values to pixels, and the round values that are written beside them.

/// An axis with its label and range.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    label: String,
    low: f64,
    high: f64,
    form: Form,
}

/// How ticks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Whole,
}

impl Axis {
    /// From 0 to 1.
    pub fn unit(label: &str) -> Self {
        Self { label: label.to_owned(), low: 0.0, high: 1.0, form: Form::Plain }
    }

    /// From 0 to a round value that is not below any of these; 1 where there is none.
    pub fn from_zero(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let largest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let step = step(largest);
        let high = (largest / step).ceil() * step;
        Self { label: label.to_owned(), low: 0.0, high, form: Form::Plain }
    }

    /// From a round value below all of these to 1: for shares that are near it.
    pub fn up_to_one(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let lowest = values.filter(|value| value.is_finite()).fold(1.0, f64::min).clamp(0.0, 0.9);
        Self { label: label.to_owned(), low: (lowest * 10.0).floor() / 10.0, high: 1.0, form: Form::Plain }
    }

    /// Whole numbers from 1.
    pub fn counted(label: &str, last: usize) -> Self {
        Self { label: label.to_owned(), low: 1.0, high: last.max(2) as f64, form: Form::Whole }
    }

    /// What it measures.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Where a value stands, 0 at the low end and 1 at the high end; what is outside stands at the end.
    pub(super) fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Round values in the range, with their text.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let step = match self.form {
            Form::Plain => step(self.high - self.low),
            Form::Whole => step(self.high - self.low).max(1.0),
        };
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let tick = |number: i64| number as f64 * step;
        let mut ticks: Vec<f64> = (first..=last).map(tick).collect();
        if self.form == Form::Whole && !ticks.contains(&self.low) {
            ticks.retain(|tick| tick - self.low >= step / 2.0);
            ticks.insert(0, self.low);
        }
        ticks.into_iter().map(|tick| (tick, format!("{tick:.decimals$}"))).collect()
    }
}

/// 1, 2 or 5 times a power of ten, so that there are four to ten steps in a range.
fn step(range: f64) -> f64 {
    let power = 10.0_f64.powf((range / 10.0).log10().ceil());
    [0.1, 0.2, 0.5, 1.0].into_iter().map(|part| part * power).find(|step| range / step <= 6.0).unwrap_or(power * 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(texts(&Axis::unit("score")), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(
            texts(&Axis::up_to_one("accuracy", [0.87, 0.99].into_iter())),
            ["0.80", "0.85", "0.90", "0.95", "1.00"]
        );
        assert_eq!(texts(&Axis::counted("epoch", 10)), ["1", "2", "4", "6", "8", "10"]);
        assert_eq!(texts(&Axis::counted("epoch", 1)), ["1", "2"]);
        assert_eq!(
            texts(&Axis::from_zero("images", [437.0, 12.0].into_iter())),
            ["0", "100", "200", "300", "400", "500"]
        );
        assert_eq!(texts(&Axis::from_zero("loss", [0.31].into_iter())), ["0.0", "0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(texts(&Axis::from_zero("loss", [f64::NAN].into_iter())).len(), 6);
    }

    #[test]
    fn values_stand_within_the_axis() {
        let axis = Axis::from_zero("images", [10.0].into_iter());
        assert_eq!([-1.0, 0.0, 5.0, 10.0, 11.0].map(|value| axis.share(value)), [0.0, 0.0, 0.5, 1.0, 1.0]);
    }
}
