//! Memory and processor time of a server: its process group, as `/proc` tells.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow};

/// Bytes of a page on every machine that this is run on.
const PAGE_BYTES: u64 = 4096;
/// Units of a second in which Linux tells processor times.
const TICKS: f64 = 100.0;
/// Between two looks at the memory.
const INTERVAL: Duration = Duration::from_millis(50);

/// What a group of processes holds and has used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Resident bytes of all of them.
    pub resident: u64,
    /// The most that each had resident, added up.
    pub high_water: u64,
    /// Processor time of those alive and of those that ended.
    pub cpu_seconds: f64,
}

/// The processes of a group.
fn members(group: u32) -> impl Iterator<Item = (PathBuf, Usage)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        Some((entry.path(), parse(&stat, group)?))
    })
}

/// Lets the high-water mark of each process of a group begin anew, behind what its start took (proc(5), `clear_refs`).
pub fn forget_high_water(group: u32) -> io::Result<()> {
    members(group).try_for_each(|(path, _)| fs::write(path.join("clear_refs"), "5"))
}

/// Adds up the processes of a group.
pub fn usage(group: u32) -> Usage {
    let mut whole = Usage::default();
    for (path, one) in members(group) {
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        whole.resident += one.resident;
        whole.cpu_seconds += one.cpu_seconds;
        whole.high_water += high_water(&status).unwrap_or(one.resident);
    }
    whole
}

/// A line of `/proc/PID/stat` (proc(5)), if its process is of the group. The name in it may hold anything.
fn parse(stat: &str, group: u32) -> Option<Usage> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    (number(2)? == u64::from(group)).then_some(())?;
    let ticks: u64 = (11..=14).filter_map(number).sum();
    let resident = number(21)? * PAGE_BYTES;
    Some(Usage { resident, high_water: 0, cpu_seconds: ticks as f64 / TICKS })
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Looks at the memory of a group of processes until it is told to stop.
#[derive(Debug)]
pub struct Watch {
    group: u32,
    stop: Sender<()>,
    watching: JoinHandle<u64>,
}

impl Watch {
    /// Starts to look.
    pub fn start(group: u32) -> Self {
        let (stop, stopped) = mpsc::channel();
        let watching = thread::spawn(move || {
            let mut most = 0;
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                most = most.max(usage(group).resident);
            }
            most
        });
        Self { group, stop, watching }
    }

    /// The most that was resident since the high-water mark began anew.
    pub fn finish(self) -> Result<u64> {
        let high_water = usage(self.group).high_water;
        drop(self.stop);
        let seen = self.watching.join().map_err(|_| anyhow!("the thread that looks at the memory panicked"))?;
        Ok(seen.max(high_water))
    }
}
