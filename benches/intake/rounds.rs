//! One workload: servers take turns, round after round, with the raw limits measured in between.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::limits::Limits;
use crate::object::Object;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::processes::Watch;
use crate::servers::{Kind, Server};
use crate::workload::{Sending, Workload};

/// One measurement of one server.
#[derive(Debug)]
pub struct Run {
    /// What it did.
    pub outcome: Outcome,
    /// Processor time that it took.
    pub cpu_seconds: f64,
    /// Most resident bytes over those at rest.
    pub peak: u64,
    /// Resident bytes at rest.
    pub resting: u64,
}

/// All measurements of one workload.
#[derive(Debug)]
pub struct Measured {
    /// What was sent.
    pub workload: &'static Workload,
    /// Octets of one data set; none where none is sent.
    pub bytes: usize,
    /// Each server's runs, one a round.
    pub runs: Vec<(Kind, Vec<Run>)>,
    /// Before the first round and after each; none where a workload has none.
    pub limits: Vec<Limits>,
    /// Servers that failed, and why.
    pub failures: Vec<(Kind, String)>,
}

impl Measured {
    /// A raw rate around one round: before and after it.
    pub fn raw_around(&self, round: usize, raw: fn(&Limits) -> &Outcome) -> Option<f64> {
        let rate = |at: usize| self.limits.get(at).map(|limits| raw(limits).rate());
        Some(f64::midpoint(rate(round)?, rate(round + 1)?))
    }

    /// The runs of one server.
    pub fn of(&self, kind: Kind) -> Option<&[Run]> {
        self.runs.iter().find(|(other, _)| *other == kind).map(|(_, runs)| runs.as_slice())
    }
}

/// Measures one workload.
pub fn measure(workload: &'static Workload, kinds: &[Kind], options: &Options) -> Result<Measured> {
    let (length, state) = (options.length(), options.state.as_path());
    let mut kinds: Vec<Kind> = kinds.iter().copied().filter(|kind| workload.suits(*kind)).collect();
    let mut objects = Vec::new();
    for kind in &kinds {
        if !objects.iter().any(|(shows, _)| *shows == kind.shows()) {
            objects.push((kind.shows(), Object::compose(kind.shows(), workload.pixels)?));
        }
    }
    let bytes = match workload.sending {
        Sending::EchoInTurn => 0,
        _ => objects.first().map_or(0, |(_, object)| object.data_set.len()),
    };
    let runs = kinds.iter().map(|kind| (*kind, Vec::new())).collect();
    let mut measured = Measured { workload, bytes, runs, limits: Vec::new(), failures: Vec::new() };
    measured.limits.extend(limits(workload, state, bytes, length)?);
    for round in 0..options.rounds() {
        // What one measurement leaves behind in memory and on the disk should not always meet the same server next.
        let mut turns = kinds.clone();
        turns.rotate_left(round % kinds.len().max(1));
        for kind in turns {
            let object = objects.iter().find(|(shows, _)| *shows == kind.shows());
            let (_, object) = object.context("an object of each kind was composed")?;
            match run(workload, kind, object, options) {
                Ok(run) => {
                    if let Some((_, runs)) = measured.runs.iter_mut().find(|(other, _)| *other == kind) {
                        runs.push(run);
                    }
                }
                Err(error) => {
                    measured.failures.push((kind, format!("{error:#}")));
                    kinds.retain(|other| *other != kind);
                }
            }
        }
        measured.limits.extend(limits(workload, state, bytes, length)?);
    }
    Ok(measured)
}

fn run(workload: &Workload, kind: Kind, object: &Object, options: &Options) -> Result<Run> {
    let server = Server::start(kind, &options.auscult, &options.state)?;
    let (before, watch) = (server.usage(), Watch::start(server.group()));
    let outcome = workload.put_on(server.address, object, options.length());
    let after = server.usage();
    let (peak, resting) = (watch.finish()?, server.resting());
    drop(server);
    settle(&options.state)?;
    let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
    Ok(Run { outcome: outcome?, cpu_seconds, peak: peak.saturating_sub(resting), resting })
}

fn limits(workload: &Workload, state: &Path, bytes: usize, length: Duration) -> Result<Option<Limits>> {
    let limits = workload.limits(state, bytes, length)?;
    settle(state)?;
    Ok(limits)
}

/// What one measurement left to be written, or removed, is not a load on the next.
fn settle(state: &Path) -> Result<()> {
    Ok(rustix::fs::syncfs(File::open(state)?)?)
}
