//! The measurements as a table for people, and as JSON.

use serde_json::{Value, json};

use crate::limits::Limits;
use crate::outcome::{Outcome, median, quantile};
use crate::rounds::{Measured, Run};
use crate::servers::Kind;
use crate::workload::Target;

const MB: f64 = 1e6;

/// One line: medians over the rounds.
#[derive(Debug, Default)]
struct Line {
    name: String,
    rates: Vec<f64>,
    bytes: usize,
    p50: f64,
    p99: f64,
    cpu_milliseconds: Option<f64>,
    peak_mb: Option<f64>,
    of_durable: Option<f64>,
    of_given_back: Option<f64>,
    of_storescp: Option<f64>,
}

impl Line {
    fn of_outcomes<'a>(name: &str, bytes: usize, outcomes: impl Iterator<Item = &'a Outcome> + Clone) -> Self {
        let middle = |value: fn(&Outcome) -> f64| median(&outcomes.clone().map(value).collect::<Vec<_>>());
        Self {
            name: name.to_owned(),
            rates: outcomes.clone().map(Outcome::rate).collect(),
            bytes,
            p50: middle(|outcome| outcome.within(0.5)),
            p99: middle(|outcome| outcome.within(0.99)),
            ..Self::default()
        }
    }

    fn of_runs(measured: &Measured, kind: Kind, runs: &[Run]) -> Self {
        let cpu = |run: &Run| run.cpu_seconds * 1e3 / (run.outcome.done.max(1) as f64);
        let peak = runs.iter().map(|run| run.peak).max().unwrap_or_default();
        Self {
            cpu_milliseconds: Some(median(&runs.iter().map(cpu).collect::<Vec<_>>())),
            peak_mb: Some(peak as f64 / MB),
            of_durable: ratio(runs, |round| measured.raw_around(round, |limits| &limits.durable)),
            of_given_back: ratio(runs, |round| measured.raw_around(round, |limits| &limits.given_back)),
            of_storescp: ratio(runs, |round| Some(measured.of(Kind::Storescp)?.get(round)?.outcome.rate())),
            ..Self::of_outcomes(kind.name(), measured.bytes, runs.iter().map(|run| &run.outcome))
        }
    }

    fn rate(&self) -> f64 {
        median(&self.rates)
    }

    fn print(&self) -> String {
        let optional = |value: Option<f64>, digits| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
        let span = format!("{}-{}", short(quantile(&self.rates, 0.0)), short(quantile(&self.rates, 1.0)));
        format!(
            "| {:<19} | {:>8} | {:>13} | {:>6.0} | {:>7.1} | {:>7.1} | {:>7} | {:>7} | {:>10} | {:>13} | {:>11} |",
            self.name,
            short(self.rate()),
            span,
            self.rate() * self.bytes as f64 / MB,
            self.p50,
            self.p99,
            optional(self.cpu_milliseconds, 2),
            optional(self.peak_mb, 0),
            optional(self.of_durable, 2),
            optional(self.of_given_back, 2),
            optional(self.of_storescp, 2),
        )
    }
}

const HEADING: &str = "\
| what                | a second |  least - most |   MB/s |  p50 ms |  p99 ms |  CPU ms | peak MB | of durable | of given back | of storescp |
| ------------------- | -------: | ------------: | -----: | ------: | ------: | ------: | ------: | ---------: | ------------: | ----------: |";

fn short(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// The median over the rounds of a run's rate to what it is compared with in the same round.
fn ratio(runs: &[Run], other: impl Fn(usize) -> Option<f64>) -> Option<f64> {
    let pairs = runs.iter().enumerate().filter_map(|(round, run)| Some(run.outcome.rate() / other(round)?));
    let ratios: Vec<f64> = pairs.collect();
    (!ratios.is_empty()).then(|| median(&ratios))
}

/// The table of one workload, and whether Auscult reached what it must.
pub fn text(measured: &Measured) -> String {
    let mut lines = vec![format!("\n### {} (`{}`)\n", measured.workload.title, measured.workload.name)];
    lines.push(HEADING.to_owned());
    if !measured.limits.is_empty() {
        let line = |name, outcome: fn(&Limits) -> &Outcome| {
            Line::of_outcomes(name, measured.bytes, measured.limits.iter().map(outcome)).print()
        };
        lines.push(line("loopback copy", |limits| &limits.loopback));
        lines.push(line("durable files", |limits| &limits.durable));
        lines.push(line("durable, given back", |limits| &limits.given_back));
        lines.push(line("received, durable", |limits| &limits.received));
    }
    let mut after = Vec::new();
    for (kind, runs) in measured.runs.iter().filter(|(_, runs)| !runs.is_empty()) {
        let line = Line::of_runs(measured, *kind, runs);
        lines.push(line.print());
        after.extend(verdict(measured.workload.target, *kind, &line));
        let refused: u64 = runs.iter().filter_map(|run| run.outcome.refused).map(|(count, _)| count).sum();
        if let Some((_, status)) = runs.iter().find_map(|run| run.outcome.refused) {
            after.push(format!("{}: {refused} objects refused, the first with status {status:04X}", kind.name()));
        }
    }
    after.extend(measured.failures.iter().map(|(kind, why)| format!("{}: no measurement: {why}", kind.name())));
    lines.push(String::new());
    lines.extend(after);
    lines.join("\n")
}

fn verdict(target: Target, kind: Kind, line: &Line) -> Option<String> {
    if !kind.is_auscult() {
        return None;
    }
    let durable = |share: f64| line.of_durable.is_some_and(|ratio| ratio >= share);
    let (reached, what) = match target {
        Target::None => return None,
        Target::OfDurable(share) => (durable(share), format!("{share} of the durable rate")),
        Target::OfDurableOrStorescp(share) => {
            let reached = durable(share) || line.of_storescp.is_some_and(|ratio| ratio >= 1.0);
            (reached, format!("{share} of the durable rate, or storescp's"))
        }
        Target::PerSecond(rate) => (line.rate() >= rate, format!("{rate} a second")),
        Target::MemoryMb(most) => {
            (line.peak_mb.is_some_and(|peak| peak < most), format!("less than {most} MB over those at rest"))
        }
    };
    Some(format!("{}: {} ({what})", kind.name(), if reached { "reached" } else { "MISSED" }))
}

/// Every measurement of one workload.
pub fn json(measured: &Measured) -> Value {
    let outcome = |outcome: &Outcome| {
        json!({
            "done": outcome.done, "seconds": outcome.seconds, "rate": outcome.rate(),
            "p50_ms": outcome.within(0.5), "p99_ms": outcome.within(0.99),
            "refused": outcome.refused.map_or(0, |(count, _)| count),
        })
    };
    let run = |run: &Run| {
        json!({
            "outcome": outcome(&run.outcome), "cpu_seconds": run.cpu_seconds,
            "peak_bytes_over_rest": run.peak, "resting_bytes": run.resting,
        })
    };
    let limits = |limits: &Limits| {
        json!({
            "loopback": outcome(&limits.loopback), "durable": outcome(&limits.durable),
            "given_back": outcome(&limits.given_back), "received": outcome(&limits.received),
        })
    };
    let server = |(kind, runs): &(Kind, Vec<Run>)| {
        let line = Line::of_runs(measured, *kind, runs);
        json!({
            "name": kind.name(), "rate": line.rate(), "of_durable": line.of_durable, "of_given_back": line.of_given_back,
            "of_storescp": line.of_storescp, "runs": runs.iter().map(run).collect::<Vec<_>>(),
        })
    };
    json!({
        "workload": measured.workload.name, "bytes": measured.bytes,
        "limits": measured.limits.iter().map(limits).collect::<Vec<_>>(),
        "servers": measured.runs.iter().map(server).collect::<Vec<_>>(),
        "failures": measured.failures.iter().map(|(kind, why)| json!([kind.name(), why])).collect::<Vec<_>>(),
    })
}
