//! What the bench is asked to do.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;

use crate::servers::Kind;
use crate::workload::{WORKLOADS, Workload};

/// Throughput of the DICOM intake beside DCMTK, Orthanc and the raw limits of this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench intake --")]
pub struct Options {
    /// Workloads to run, by the start of their names, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Servers to run, by the start of their names, separated by commas [default: all that are installed]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    servers: Vec<String>,
    /// Length of each measurement
    #[arg(long, default_value_t = 4.0, value_name = "N")]
    seconds: f64,
    /// Measurements of each server; their median counts
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// Directory under which every server stores; it says which disk is measured
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"), value_name = "DIR")]
    pub state: PathBuf,
    /// Executable to measure as Auscult: another build than this one
    #[arg(long, default_value = env!("CARGO_BIN_EXE_auscult"), value_name = "FILE")]
    pub auscult: PathBuf,
    /// Writes every measurement to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Names the workloads and servers, and ends
    #[arg(long)]
    pub list: bool,
    /// Cargo's own
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Length of each measurement.
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.clamp(0.1, 600.0))
    }

    /// Measurements of each server.
    pub fn rounds(&self) -> usize {
        self.rounds.clamp(1, 100)
    }

    /// The workloads asked for.
    pub fn workloads(&self) -> Result<Vec<&'static Workload>> {
        let asked: Vec<_> = WORKLOADS.iter().filter(|workload| chosen(&self.only, workload.name)).collect();
        ensure!(!asked.is_empty(), "no workload begins with {:?}; --list names them", self.only);
        Ok(asked)
    }

    /// The servers asked for.
    pub fn kinds(&self) -> Result<Vec<Kind>> {
        let asked: Vec<_> = Kind::ALL.into_iter().filter(|kind| chosen(&self.servers, kind.name())).collect();
        ensure!(!asked.is_empty(), "no server begins with {:?}; --list names them", self.servers);
        Ok(asked)
    }
}

fn chosen(asked: &[String], name: &str) -> bool {
    asked.is_empty() || asked.iter().any(|start| name.starts_with(start.as_str()))
}
