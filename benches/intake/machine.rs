//! Which machine the figures are from.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

/// Processor, disk and system, as far as they say.
pub fn describe(state: &Path) -> Value {
    json!({
        "cpu": cpu().unwrap_or_else(|| "unknown".to_owned()),
        "cores": thread::available_parallelism().map_or(0, usize::from),
        "memory_gib": memory_gib().unwrap_or_default(),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "filesystem": filesystem(state).unwrap_or_else(|| "unknown".to_owned()),
        "date": chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string(),
        "auscult": env!("CARGO_PKG_VERSION"),
        "storescp": version("storescp"),
        "orthanc": version("/usr/sbin/Orthanc"),
    })
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_gib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.div_ceil(1 << 20))
}

/// Type, device and options of the mount that a directory is on: the longest mount point above it.
fn filesystem(state: &Path) -> Option<String> {
    let state = state.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let fields = |line: &str| -> Option<(String, String)> {
        let fields: Vec<&str> = line.split(' ').collect();
        let [device, point, kind, options, ..] = fields.as_slice() else { return None };
        Some(((*point).to_owned(), format!("{kind} on {device} ({options})")))
    };
    let above = mounts.lines().filter_map(fields).filter(|(point, _)| state.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map(|(_, what)| what)
}

fn version(program: &str) -> String {
    let printed = Command::new(program).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&printed);
    text.lines().next().map_or_else(|| "not installed".to_owned(), |line| line.trim_matches(['$', ' ']).to_owned())
}
