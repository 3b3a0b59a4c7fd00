//! `auscult model export`: the weights for other software.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::model::Package;
use crate::replace;
use crate::resource;

/// Write a package's weights as a safetensors file in f32, with torchvision's names for ResNet-50.
///
/// The Dense layers are fc.0 and fc.2, as of an fc that is Sequential(Linear, ReLU, Linear).
#[derive(clap::Args)]
pub(in crate::cli) struct Export {
    /// Directory of the model package
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    out: PathBuf,
}

impl Export {
    pub(super) fn run(self) -> Result<()> {
        let package = Package::open(&resource::find(&self.model)?)?;
        if self.out.exists() {
            bail!("{} exists; name another file", self.out.display());
        }
        let inventory = package.inventory()?;
        let octets = inventory.safetensors().context("the weights cannot be stored")?;
        replace::file(&self.out, &octets).with_context(|| self.out.display().to_string())?;
        Ok(writeln!(io::stdout(), "{}: {} tensors", self.out.display(), inventory.tensors().count())?)
    }
}
