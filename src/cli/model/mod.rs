//! `auscult model`: what is done with model packages. One file per command.

mod gate;
mod quantize;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::model::Package;

#[derive(clap::Subcommand)]
pub(super) enum Model {
    /// Fit a package's plausibility gate to chest radiographs
    Gate(gate::Gate),
    /// Prepare a package to be computed in eight bits
    Quantize(quantize::Quantize),
}

impl Model {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Gate(gate) => gate.run(),
            Self::Quantize(quantize) => quantize.run(),
        }
    }
}

/// Adds a text to the end of a package's card.
fn add_to_card(directory: &Path, text: &str) -> Result<()> {
    let card = directory.join(Package::CARD);
    let written = OpenOptions::new().append(true).create(true).open(&card);
    written.and_then(|mut card| card.write_all(text.as_bytes())).with_context(|| card.display().to_string())
}
