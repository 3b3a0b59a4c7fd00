//! What commands that compute the model let one say otherwise than the configuration does.

use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError, ModelDevice, ModelPrecision};

/// The configuration file, and what of its `[model]` holds for one command only.
#[derive(clap::Args)]
pub(super) struct Overrides {
    /// Directory of the model package, instead of the configured one
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    #[command(flatten)]
    computing: Computing,
}

/// The configuration file, and how a model is computed for one command only.
#[derive(clap::Args)]
pub(super) struct Computing {
    /// Numbers to compute with: f32, bf16, int8 or auto [default: `model.precision` of the configuration]
    #[arg(long, value_name = "PRECISION")]
    precision: Option<ModelPrecision>,
    /// What to compute on: cpu, cuda or auto [default: `model.device` of the configuration]
    #[arg(long, value_name = "DEVICE")]
    device: Option<ModelDevice>,
    /// Configuration file; without one the documented defaults hold
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Threads that a model is computed with, for one command only.
#[derive(clap::Args)]
pub(super) struct Threads {
    /// Threads; 0 for one a processor [default: `model.threads` of the configuration]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl Threads {
    /// The configuration with them.
    pub(super) fn set_in(&self, mut config: Config) -> Result<Config, ConfigError> {
        config.model.threads = self.threads.unwrap_or(config.model.threads);
        config.checked()
    }
}

impl Overrides {
    /// The configuration with them.
    pub(super) fn configuration(&self) -> Result<Config, ConfigError> {
        self.computing.configuration(self.model.as_deref())
    }
}

impl Computing {
    /// The configuration with them, for a package where it is not the configured one.
    pub(super) fn configuration(&self, package: Option<&Path>) -> Result<Config, ConfigError> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(package) = package {
            config.model.package = package.to_owned();
        }
        config.model.precision = self.precision.unwrap_or(config.model.precision);
        config.model.device = self.device.unwrap_or(config.model.device);
        config.checked()
    }
}
