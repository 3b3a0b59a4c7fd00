//! How long to wait before the next try: doubling, bounded, and never in step with other senders.

use std::time::Duration;

use crate::config;

/// The wait after `failures` failures in a row, at least one; `jitter` in 0..1 takes up to a fifth off it.
pub(super) fn wait(settings: &config::Delivery, failures: u32, jitter: f64) -> Duration {
    let first = Duration::from_secs(settings.retry_first_seconds);
    let longest = Duration::from_secs(settings.retry_max_seconds);
    let wait = first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest);
    wait.mul_f64(1.0 - 0.2 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let settings = config::Delivery::default();
        let seconds: Vec<u64> = (1..8).map(|failures| wait(&settings, failures, 0.0).as_secs()).collect();
        assert_eq!(seconds, [30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(wait(&settings, 1, 1.0), Duration::from_secs(24));
        assert_eq!(wait(&settings, u32::MAX, 0.0), Duration::from_secs(900));
    }
}
