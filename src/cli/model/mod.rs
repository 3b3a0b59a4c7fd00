//! `auscult model`: what is done with model packages. One file per command.

mod gate;
mod quantize;

use anyhow::Result;

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
