//! What one measurement gave.

use std::time::Duration;

/// Objects that were answered, and how long that took.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Objects, or associations, that were answered with success.
    pub done: u64,
    /// Answers with another status, and the first such status.
    pub refused: Option<(u64, u16)>,
    /// From the first octet sent to the last answer.
    pub seconds: f64,
    /// From the first octet of each object to its answer, milliseconds.
    pub milliseconds: Vec<f64>,
}

impl Outcome {
    /// Notes an answer.
    pub fn note(&mut self, status: u16, took: Duration) {
        match status {
            0 => {
                self.done += 1;
                self.milliseconds.push(took.as_secs_f64() * 1e3);
            }
            other => self.refused = Some((self.refused.map_or(1, |(count, _)| count + 1), other)),
        }
    }

    /// Adds what another thread did at the same time.
    pub fn join(&mut self, other: Self) {
        self.done += other.done;
        self.refused = match (self.refused, other.refused) {
            (Some((ours, status)), Some((theirs, _))) => Some((ours + theirs, status)),
            (ours, theirs) => ours.or(theirs),
        };
        self.seconds = self.seconds.max(other.seconds);
        self.milliseconds.extend(other.milliseconds);
    }

    /// Objects per second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.seconds.max(1e-9)
    }

    /// The time within which this share of the objects was answered, milliseconds.
    pub fn within(&self, share: f64) -> f64 {
        quantile(&self.milliseconds, share)
    }
}

/// A quantile of values in any order; 0 of none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

/// The middle value.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    match sorted.len() % 2 {
        0 => sorted.get((sorted.len() / 2).saturating_sub(1)).map_or(0.0, |lower| f64::midpoint(*lower, upper)),
        _ => upper,
    }
}
