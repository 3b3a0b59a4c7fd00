//! How long to wait before the next try: doubling, bounded, and never in step with other senders.

use std::time::Duration;

use crate::config;

/// Waits of one destination.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// The administrator's times; no failure yet.
    pub fn new(settings: &config::Delivery) -> Self {
        Self {
            first: Duration::from_secs(settings.retry_first_seconds),
            longest: Duration::from_secs(settings.retry_max_seconds),
            failures: 0,
        }
    }

    /// The wait after one more failure; `jitter` in 0..1 takes up to a fifth off it.
    pub fn after_failure(&mut self, jitter: f64) -> Duration {
        let wait = self.first.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(1.0 - 0.2 * jitter.clamp(0.0, 1.0))
    }

    /// The destination answers again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_anew() {
        let mut backoff = Backoff::new(&config::Delivery::default());
        let seconds: Vec<u64> = (0..7).map(|_| backoff.after_failure(0.0).as_secs()).collect();
        assert_eq!(seconds, [30, 60, 120, 240, 480, 900, 900]);
        backoff.reset();
        assert_eq!(backoff.after_failure(1.0), Duration::from_secs(24));
        backoff.failures = u32::MAX;
        assert_eq!(backoff.after_failure(0.0), Duration::from_secs(900));
    }
}
