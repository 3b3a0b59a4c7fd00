//! Looks at the service's health while it runs: systemd and the log hear of every change.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::health::{Colour, Health};
use crate::ledger::Ledger;
use crate::stop::stopped;

/// From one look to the next.
const ROUND: Duration = Duration::from_secs(10);

/// Where to look.
#[derive(Clone)]
pub(super) struct Sight {
    pub(super) ledger: Ledger,
    pub(super) state: PathBuf,
    pub(super) min_free_mib: u64,
}

/// Watches until `stop` turns true.
pub(super) async fn run(sight: Sight, mut stop: watch::Receiver<bool>) {
    let mut round = tokio::time::interval(ROUND);
    let mut known = Health::default();
    loop {
        tokio::select! {
            _ = round.tick() => {}
            () = stopped(&mut stop) => return,
        }
        let Sight { ledger, state, min_free_mib } = sight.clone();
        let looked = spawn_blocking(move || Health::of(&ledger, &state, min_free_mib, SystemTime::now())).await;
        match looked {
            Ok(Ok(health)) => {
                tell(&health, known.colour());
                known = health;
            }
            Ok(Err(error)) => tracing::warn!(%error, "health could not be found out"),
            Err(_) => tracing::error!("a fault of Auscult's own in watching its health; please report it"),
        }
    }
}

fn tell(health: &Health, before: Colour) {
    let status = health.to_string();
    if let Err(error) = sd_notify::notify(&[NotifyState::Status(&status)]) {
        tracing::debug!(%error, "systemd could not be told");
    }
    match health.colour() {
        colour if colour == before => {}
        Colour::Green => tracing::info!("health is green again"),
        _ => tracing::warn!("{status}"),
    }
}
