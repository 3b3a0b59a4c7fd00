//! Housekeeping while the service runs: deletes what need not be kept, and notices what `auscult queue` changed.

use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::pipeline::Pipeline;
use crate::spool::{Keeping, Spool};
use crate::stop::stopped;

/// How often the ledger is asked whether another process wrote to it.
const GLANCE: Duration = Duration::from_secs(2);
/// Glances from one tidying to the next.
const TIDYING: u32 = 5;

/// Keeps house until `stop` turns true.
pub(super) async fn run(
    spool: Spool,
    keeping: Keeping,
    pipeline: watch::Receiver<Pipeline>,
    mut stop: watch::Receiver<bool>,
) {
    let mut glance = tokio::time::interval(GLANCE);
    let mut glances = 0_u32;
    loop {
        tokio::select! {
            _ = glance.tick() => {}
            () = stopped(&mut stop) => return,
        }
        look_around(&spool, &pipeline).await;
        if glances.is_multiple_of(TIDYING) {
            tidy(&spool, keeping).await;
        }
        glances = glances.wrapping_add(1);
    }
}

/// Somebody who tries again or discards wants to see it now.
async fn look_around(spool: &Spool, pipeline: &watch::Receiver<Pipeline>) {
    let ledger = spool.ledger().clone();
    match spawn_blocking(move || ledger.changed_elsewhere()).await {
        Ok(Ok(true)) => pipeline.borrow().delivery.hurry(),
        Ok(Ok(false)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the ledger could not be asked for changes"),
        Err(_) => tracing::error!("a fault of Auscult's own in the ledger; please report it"),
    }
}

async fn tidy(spool: &Spool, keeping: Keeping) {
    let inner = spool.clone();
    match spawn_blocking(move || inner.tidy(&keeping, SystemTime::now())).await {
        Ok(Ok(freed)) if freed.files > 0 => {
            tracing::debug!(files = freed.files, bytes = freed.bytes, "tidied");
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "what need not be kept could not all be deleted"),
        Err(_) => tracing::error!("a fault of Auscult's own in housekeeping; please report it"),
    }
}
