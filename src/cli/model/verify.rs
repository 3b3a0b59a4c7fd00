//! `auscult model verify`: whether a package is whole and answers as it promises.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;

use crate::cli::log;
use crate::config::{Log, LogLevel};
use crate::model::{Compute, Manifest, Model, Package, PackageError, Precision};
use crate::resource;

/// Verify a model package: manifest, digests, values, model card, self-tests.
///
/// Ends at the first fault, and with 78: the package has to be mended.
#[derive(clap::Args)]
pub(in crate::cli) struct Verify {
    /// Directory of the model package
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
}

impl Verify {
    pub(super) fn run(self) -> Result<()> {
        log::start(&Log { level: LogLevel::Warn, ..Log::default() });
        let directory = resource::find(&self.model)?;
        let package = Package::open(&directory)?;
        let Manifest { name, version, plausibility, int8, bf16, f16, .. } = package.manifest();
        passed("manifest", &format!("{name} {version}"))?;
        passed("digest", Package::WEIGHTS)?;
        if plausibility.is_some() {
            passed("digest", Package::GATE)?;
        }
        let inventory = package.inventory()?;
        let damaged: Vec<&str> =
            inventory.tensors().filter(|tensor| tensor.not_finite > 0).map(|tensor| tensor.name).collect();
        if let Some(first) = damaged.first() {
            let (path, count) = (directory.join(Package::WEIGHTS), damaged.len());
            return Err(PackageError::NotFinite { path, count, tensor: (*first).to_owned() }.into());
        }
        let values: usize = inventory.tensors().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
        passed("values", &format!("{} tensors, {values} numbers, all finite", inventory.tensors().count()))?;
        package.verify_card()?;
        passed("card", &format!("{} speaks of this model", Package::CARD))?;
        Model::load(&directory)?;
        passed("self-test", "f32")?;
        if bf16.is_some() {
            Model::load_with(&directory, Compute::Kernels { threads: 0, precision: Precision::Bf16 })?;
            passed("self-test", "bf16")?;
        }
        if int8.is_some() {
            Model::load_with(&directory, Compute::Kernels { threads: 0, precision: Precision::Int8 })?;
            passed("digest", Package::INT8)?;
            passed("self-test", "int8")?;
        }
        if f16.is_some() {
            writeln!(
                io::stdout(),
                "-     self-test: f16 is for NVIDIA devices, where auscult bench --precision f16 tries it"
            )?;
        }
        Ok(writeln!(io::stdout(), "{name} {version} is whole and answers as it promises")?)
    }
}

fn passed(what: &str, said: &str) -> io::Result<()> {
    writeln!(io::stdout(), "ok    {what}: {said}")
}
