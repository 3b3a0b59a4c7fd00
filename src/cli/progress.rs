//! How far long work is: a bar on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where nobody watches a bar, a line is written this often.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Progress on standard error.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Progress {
    /// Nothing done yet.
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}").ok();
        let bar = style
            .filter(|_| io::stderr().is_terminal())
            .map(|style| ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style));
        Self { bar, said: Instant::now() }
    }

    /// So many images of all have been seen.
    pub(super) fn images(&mut self, done: usize, of: usize, elapsed: Duration) {
        let rate = done as f64 / elapsed.as_secs_f64().max(1e-3);
        let left = of.saturating_sub(done) as f64 / rate.max(1e-3);
        let text = format!("images, {rate:.1} images/s, {} left", time(Duration::from_secs_f64(left.min(1e6))));
        match &self.bar {
            Some(bar) => {
                bar.set_length(of as u64);
                bar.set_position(done as u64);
                bar.set_message(text);
                if done == of {
                    bar.finish_and_clear();
                }
            }
            None if done == of || self.said.elapsed() >= BETWEEN_LINES => {
                self.said = Instant::now();
                line(&format!("{done} of {of} {text}"));
            }
            None => {}
        }
    }

    /// Something that stays readable.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| line(text)),
            None => line(text),
        }
    }
}

fn line(text: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

/// A time for people.
pub(super) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().ceil() as u64;
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {:02} s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_minutes_and_seconds() {
        let said = [0.2, 59.0, 61.0, 3600.0].map(|seconds| time(Duration::from_secs_f64(seconds)));
        assert_eq!(said, ["1 s", "59 s", "1 min 01 s", "60 min 00 s"]);
    }
}
