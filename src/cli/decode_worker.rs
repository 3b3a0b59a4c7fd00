//! `auscult decode-worker`: what the service and other commands start to decode images; of no use by hand.

use anyhow::{Context, Result};

use crate::pixels::{self, Bounds};

/// Decode images for another process of Auscult.
#[derive(clap::Args)]
pub(super) struct DecodeWorker {
    /// Rows times columns of the largest image
    max_pixels: u64,
}

impl DecodeWorker {
    pub(super) fn run(self) -> Result<()> {
        let bounds = Bounds { max_pixels: self.max_pixels };
        pixels::work(&bounds).context("Auscult starts this by itself; it is of no use by hand")
    }
}
