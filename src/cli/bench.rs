//! `auscult bench`: how fast the model is on this machine, for whoever sizes one.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use candle_core::Tensor;
use serde_json::json;

use super::overrides::{Overrides, Threads};
use super::{Failed, log};
use crate::config::{Config, ConfigError, Log, LogLevel};
use crate::daemon;
use crate::model::Model;

/// Runs before the first that counts.
const WARM_UP: usize = 2;
/// Runs that count, however long they take.
const LEAST_RUNS: usize = 5;
/// Most images in one run: more take memory, and are no faster.
const LARGEST_BATCH: u16 = 256;

/// Measure how fast the model is on this machine.
///
/// Loads the package with its self-test, then classifies the same image again and again: the model alone, without
/// receiving, decoding and reporting. Nothing else should run meanwhile.
#[derive(clap::Args)]
pub(super) struct Bench {
    /// Images that are classified together; the service takes those that wait, a few at most on a processor
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=LARGEST_BATCH.into()))]
    batch: u16,
    #[command(flatten)]
    threads: Threads,
    /// How long to measure
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    #[command(flatten)]
    overrides: Overrides,
    /// JSON on one line instead of text
    #[arg(long)]
    json: bool,
}

/// What was measured.
struct Measured {
    load: Duration,
    first_answer: Duration,
    /// Of each run, the shortest first; at least one.
    runs: Vec<Duration>,
    images: u16,
}

impl Bench {
    /// The configuration with what the arguments override.
    pub(super) fn configuration(&self) -> Result<Config, ConfigError> {
        self.threads.set_in(self.overrides.configuration()?)
    }

    pub(super) fn run(self) -> Result<()> {
        let config = self.configuration()?;
        log::start(&Log { level: LogLevel::Info, ..config.log.clone() });
        let began = Instant::now();
        let model = daemon::load_model(&config)?;
        let load = began.elapsed();
        let measured = self.measure(&model, began, load)?;
        let threads = match config.model.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        if self.json { tell_programs(&model, threads, &measured) } else { tell_people(&model, threads, &measured) }
    }

    fn measure(&self, model: &Model, began: Instant, load: Duration) -> Result<Measured> {
        let ramp = model.input().ramp()?;
        let images = Tensor::stack(&vec![ramp; self.batch.into()], 0)?;
        let mut first_answer = None;
        for _ in 0..WARM_UP {
            model.probabilities(&images)?;
            first_answer.get_or_insert_with(|| began.elapsed());
        }
        let (length, counted) = (Duration::from_secs(self.seconds), Instant::now());
        let mut runs = Vec::new();
        while runs.len() < LEAST_RUNS || counted.elapsed() < length {
            let run = Instant::now();
            model.probabilities(&images)?;
            runs.push(run.elapsed());
        }
        runs.sort_unstable();
        Ok(Measured { load, first_answer: first_answer.unwrap_or(load), runs, images: self.batch })
    }
}

impl Measured {
    /// The time within which a share of the runs, 0..=1, was done.
    fn within(&self, share: f64) -> Duration {
        let at = (share * (self.runs.len().saturating_sub(1)) as f64).round() as usize;
        self.runs.get(at).copied().unwrap_or_default()
    }

    fn images_a_second(&self) -> f64 {
        f64::from(self.images) / self.within(0.5).as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

fn tell_people(model: &Model, threads: usize, measured: &Measured) -> Result<()> {
    let mut out = io::stdout().lock();
    let (algorithm, Measured { load, first_answer, runs, images }) = (model.algorithm(), measured);
    writeln!(out, "machine   {}, {threads} threads, {} with {}", processor(), model.device(), model.isa().name())?;
    let precision = model.precision().name();
    writeln!(out, "model     {} {}, {precision}", algorithm.name, algorithm.version_with_digest())?;
    writeln!(out, "load      {:.0} ms with the self-test; first answer after {:.0} ms", ms(*load), ms(*first_answer))?;
    writeln!(
        out,
        "speed     {:.1} images/s; {images} together: median {:.1} ms, 90 % within {:.1} ms, {} runs",
        measured.images_a_second(),
        ms(measured.within(0.5)),
        ms(measured.within(0.9)),
        runs.len()
    )?;
    Ok(writeln!(out, "memory    {:.0} MB at most", peak_bytes()? as f64 / 1e6)?)
}

fn tell_programs(model: &Model, threads: usize, measured: &Measured) -> Result<()> {
    let algorithm = model.algorithm();
    let facts = json!({
        "processor": processor(), "device": model.device(), "instructions": model.isa().name(), "threads": threads,
        "model": algorithm.name, "version": algorithm.version_with_digest(), "precision": model.precision().name(),
        "batch": measured.images, "runs": measured.runs.len(),
        "median_ms": ms(measured.within(0.5)), "p90_ms": ms(measured.within(0.9)),
        "images_per_second": measured.images_a_second(),
        "load_ms": ms(measured.load), "first_answer_ms": ms(measured.first_answer), "peak_rss_bytes": peak_bytes()?,
    });
    Ok(writeln!(io::stdout(), "{facts}")?)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What the processor calls itself.
fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or("unknown processor", |(_, name)| name.trim()).to_owned()
}

/// The most resident memory that this process ever had (proc(5), `VmHWM`).
fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
    let kibibytes: u64 = peak.ok_or_else(|| Failed("/proc/self/status tells no VmHWM".into()))?;
    Ok(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_runs_is_that_of_the_sorted_times() {
        let runs = (1..=11).map(Duration::from_millis).collect();
        let measured = Measured { load: Duration::ZERO, first_answer: Duration::ZERO, runs, images: 3 };
        assert_eq!([0.0, 0.5, 0.9, 1.0].map(|share| measured.within(share).as_millis()), [1, 6, 10, 11]);
        assert_eq!(measured.images_a_second(), 500.0);
    }
}
