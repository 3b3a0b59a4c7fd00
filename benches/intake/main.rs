//! Throughput and memory of the DICOM intake, black box, side by side with DCMTK's `storescp`, Orthanc and the raw
//! limits of the machine. `benches/README.md` says how to run it and how to read it.
#![allow(clippy::print_stdout, reason = "the table is what it is for")]

mod association;
mod limits;
mod load;
mod machine;
mod object;
mod options;
mod outcome;
mod processes;
mod rounds;
mod servers;
mod stream;
mod table;
mod workload;

use std::fs;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;

use options::Options;
use servers::Kind;
use workload::WORKLOADS;

fn main() -> Result<()> {
    let options = Options::parse();
    if options.list {
        WORKLOADS.iter().for_each(|workload| println!("{:<10} {}", workload.name, workload.title));
        Kind::ALL.iter().for_each(|kind| println!("{}", kind.name()));
        return Ok(());
    }
    let (workloads, kinds) = (options.workloads()?, options.kinds()?);
    fs::create_dir_all(&options.state).with_context(|| options.state.display().to_string())?;
    let (installed, missing): (Vec<_>, Vec<_>) =
        kinds.into_iter().partition(|kind| kind.program(&options.auscult).is_some());
    missing.iter().for_each(|kind| println!("skipped: {} is not installed", kind.name()));
    let machine = machine::describe(&options.state);
    for (key, value) in machine.as_object().into_iter().flatten() {
        println!("{key}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    println!("rounds: {}, {} s each", options.rounds(), options.length().as_secs_f64());
    let mut all = Vec::new();
    for workload in workloads {
        let measured = rounds::measure(workload, &installed, &options)?;
        println!("{}", table::text(&measured));
        all.push(table::json(&measured));
    }
    if let Some(path) = &options.json {
        let whole = serde_json::to_string_pretty(&json!({ "machine": machine, "workloads": all }))?;
        fs::write(path, whole + "\n").with_context(|| path.display().to_string())?;
    }
    Ok(())
}
