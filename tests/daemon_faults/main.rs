//! Whatever was answered 0x0000 leads to exactly one current report of its study at every destination: counted at the
//! destination, while the daemon is killed, stopped and reloaded, and while destinations misbehave.
//!
//! Random moments come from a seed, which is printed: TEST_SEED repeats it. TEST_KILLS=200 kills more
//! often than the tests usually do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod destinations;
mod kills;
mod late_images;
mod signals;

use std::time::Duration;

use support::destination::Destination;

/// Times that let a test see several tries.
const QUICK: &str = "[delivery]\nconnect_seconds = 2\nresponse_seconds = 2\nretry_first_seconds = 1\n\
                     retry_max_seconds = 2\n";
/// Times that outlast any test.
const PATIENT: &str = "[delivery]\nconnect_seconds = 300\nresponse_seconds = 3600\n";

/// Settings for these destinations, named "first", "second" and so on.
fn delivering(times: &str, destinations: &[&Destination]) -> String {
    let names = ["first", "second"];
    let tables: Vec<String> = names.iter().zip(destinations).map(|(name, one)| one.table(name)).collect();
    format!("{times}{}", tables.concat())
}

/// A seed of this run's own, printed with the name of the variable that repeats it.
fn seed() -> u64 {
    let seed = setting("TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("TEST_SEED={seed}");
    seed
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// Lets a load run for a random time: this is the moment at which a fault strikes, not a wait for something.
fn let_run(random: &mut fastrand::Rng, milliseconds: std::ops::Range<u64>) {
    std::thread::park_timeout(Duration::from_millis(random.u64(milliseconds)));
}
