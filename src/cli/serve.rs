//! `auscult serve`: the service.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::log;
use crate::config::{self, Config, ConfigError};
use crate::daemon::Daemon;

/// Run the service.
#[derive(clap::Args)]
pub(super) struct Serve {
    /// Configuration file; without one the documented defaults hold
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(super) fn configuration(&self) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref())
    }

    pub(super) fn run(self) -> Result<()> {
        let config = self.configuration()?;
        log::start(&config.log);
        for name in config::suspicious_variables(std::env::vars().map(|(name, _)| name)) {
            tracing::warn!(name, "environment variable ignored; overrides have two underscores: AUSCULT__SECTION__KEY");
        }
        let runtime = super::runtime()?;
        let result = runtime.block_on(serve(&config, self.config.as_deref()));
        runtime.shutdown_background();
        result
    }
}

async fn serve(config: &Config, file: Option<&Path>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut daemon = Daemon::start(config).await?;
    notify(&[NotifyState::Ready]);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(&mut daemon, file).await,
        }
    }
    notify(&[NotifyState::Stopping]);
    tracing::info!("stopping");
    daemon.stop().await;
    Ok(())
}

/// Reads the configuration again; one that cannot be used changes nothing.
async fn reload(daemon: &mut Daemon, file: Option<&Path>) {
    notify(&[NotifyState::Reloading]);
    let refused = match Config::load(file) {
        Ok(config) => daemon.reload(&config).await.err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(error) = refused {
        tracing::error!(%error, "reload refused; the service goes on as it was");
    }
    notify(&[NotifyState::Ready]);
}

/// Tells systemd, where it listens.
fn notify(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
