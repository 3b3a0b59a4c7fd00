//! `auscult model`: what is done with model packages. One file per command.

mod diff;
mod export;
mod gate;
mod import;
mod quantize;
mod show;
mod verify;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::model::{Manifest, Package};

#[derive(clap::Subcommand)]
pub(super) enum Model {
    /// Show what a package says of itself
    Show(show::Show),
    /// Verify that a package is whole and answers as it promises
    Verify(verify::Verify),
    /// Show what differs between two packages
    Diff(diff::Diff),
    /// Make a package of other software's weights
    Import(import::Import),
    /// Write a package's weights for other software
    Export(export::Export),
    /// Fit a package's plausibility gate to chest radiographs
    Gate(gate::Gate),
    /// Prepare a package to be computed in eight bits, bf16 or f16
    Quantize(quantize::Quantize),
}

impl Model {
    /// Whether it computes on a device.
    pub(super) fn wants_device(&self) -> bool {
        matches!(self, Self::Quantize(quantize) if quantize.wants_device())
    }

    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Show(show) => show.run(),
            Self::Verify(verify) => verify.run(),
            Self::Diff(diff) => diff.run(),
            Self::Import(import) => import.run(),
            Self::Export(export) => export.run(),
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

/// A manifest as it is written, with the values that it leaves out.
fn table(manifest: &Manifest) -> Result<toml::Table> {
    // By way of the text, where a number in f32 has no more figures than it needs.
    Ok(toml::from_str(&toml::to_string(manifest)?)?)
}
