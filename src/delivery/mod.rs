//! The station that brings reports to their destinations: one durable queue and one courier for each, so that a
//! destination that is down, slow or refusing delays nobody else.

mod backoff;
mod carrier;
mod courier;
mod outbox;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub use outbox::{Entry, Outbox, OutboxError};

use crate::config::{self, Destination};
use crate::ids::AeTitle;
use crate::sr::Report;
use carrier::Carrier;
use courier::Courier;

/// Everything that couriers are told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where reports go.
    pub destinations: Vec<Destination>,
    /// Times of trying and giving up.
    pub delivery: config::Delivery,
    /// Auscult's AE title.
    pub calling: AeTitle,
    /// The state directory.
    pub state: PathBuf,
}

/// The door of delivery: what is put in arrives at every destination, or in `failed/`.
#[derive(Clone)]
pub struct Delivery {
    settings: Arc<Settings>,
    queues: Arc<Vec<(Outbox, Arc<Notify>)>>,
}

impl Delivery {
    /// Opens the queues of all destinations and warns of queues that belong to none.
    pub fn open(settings: Settings) -> Result<Self, OutboxError> {
        let open = |d: &Destination| Ok((Outbox::open(&settings.state, d.name())?, Arc::new(Notify::new())));
        let queues = settings.destinations.iter().map(open).collect::<Result<Vec<_>, OutboxError>>()?;
        warn_of_orphans(&settings);
        Ok(Self { settings: Arc::new(settings), queues: Arc::new(queues) })
    }

    /// Queues a report for every destination. When this returns, it survives a power failure.
    pub fn enqueue(&self, report: &Report) -> Result<(), OutboxError> {
        for (outbox, news) in self.queues.iter() {
            outbox.enqueue(&report.sop_instance, &report.bytes, SystemTime::now())?;
            news.notify_one();
        }
        Ok(())
    }

    /// Delivers until `stop` turns true; a report on its way is finished, the rest stays queued.
    pub async fn run(&self, stop: watch::Receiver<bool>) {
        let mut couriers = JoinSet::new();
        for (destination, (outbox, news)) in self.settings.destinations.iter().zip(self.queues.iter()) {
            let (settings, carrier) = (&self.settings, Carrier::new(destination, &self.settings));
            let courier = Courier::new(destination.name(), carrier, outbox.clone(), news.clone(), &settings.delivery);
            couriers.spawn(courier.run(stop.clone()));
        }
        while let Some(ended) = couriers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a courier ended; its reports stay queued until the next start");
            }
        }
    }
}

fn warn_of_orphans(settings: &Settings) {
    let configured = |path: &Path| settings.destinations.iter().any(|d| path.file_name() == Some(d.name().as_ref()));
    let Ok(queues) = std::fs::read_dir(settings.state.join("outbox")) else { return };
    for path in queues.flatten().map(|queue| queue.path()).filter(|path| !configured(path)) {
        let waiting = std::fs::read_dir(&path).map(Iterator::count).unwrap_or_default();
        if waiting > 0 {
            tracing::warn!(queue = %path.display(), waiting, "reports wait for a destination that is not configured");
        }
    }
}
