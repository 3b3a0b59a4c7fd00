//! The station that brings reports to their destinations: one durable queue and one courier for each, so that a
//! destination that is down, slow or refusing delays nobody else.

mod backoff;
mod batch;
mod carrier;
mod courier;
mod lane;
mod messenger;
mod outbox;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub use outbox::{Format, OutboxError};

use crate::config::{self, Destination};
use crate::ids::{AeTitle, SopInstanceUid};
use crate::ledger::Ledger;
use crate::scu::Peer;
use courier::Courier;
use outbox::{Files, Outbox};

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

/// What wakes a courier.
#[derive(Debug, Default)]
struct Bell {
    /// A report was queued.
    news: Notify,
    /// Somebody changed the queue and wants to see what comes of it, even at a destination that has to be waited for.
    hurry: Notify,
}

/// The door of delivery: what is put in, and concluded in the ledger, arrives at every destination or in `failed/`.
#[derive(Clone)]
pub struct Delivery {
    settings: Arc<Settings>,
    ledger: Ledger,
    files: Files,
    bells: Arc<Vec<Arc<Bell>>>,
}

impl Delivery {
    /// Opens the queues of all destinations, and warns of reports that wait for none of them.
    pub fn open(settings: Settings, ledger: &Ledger) -> Result<Self, OutboxError> {
        let names: Vec<&str> = settings.destinations.iter().map(Destination::name).collect();
        for (destination, waiting) in ledger.orphaned(&names)? {
            tracing::warn!(%destination, waiting, "reports wait for a destination that is not configured");
        }
        for name in names {
            ledger.hurry(name)?;
        }
        let bells = settings.destinations.iter().map(|_| Arc::default()).collect();
        let files = Files::new(&settings.state);
        Ok(Self { settings: Arc::new(settings), ledger: ledger.clone(), files, bells: Arc::new(bells) })
    }

    /// Auscult's AE title.
    pub fn calling(&self) -> &AeTitle {
        &self.settings.calling
    }

    /// Where reports go, and what goes there with them.
    pub fn destinations(&self) -> &[Destination] {
        &self.settings.destinations
    }

    /// Makes a document durable, and says where its file is. It is sent once the ledger has concluded its study.
    pub fn put(&self, uid: &SopInstanceUid, format: Format, octets: &[u8]) -> Result<PathBuf, OutboxError> {
        self.files.put(uid, format, octets)
    }

    /// How long a destination is given before something is tried a second time.
    pub fn first_retry(&self) -> Duration {
        Duration::from_secs(self.settings.delivery.retry_first_seconds)
    }

    /// The destination of an AE title, if there is one.
    pub fn peer(&self, called: &AeTitle) -> Option<Peer> {
        self.settings.destinations.iter().find_map(|destination| match destination {
            Destination::Dicom { host, port, ae_title, .. } if ae_title == called => {
                Some(carrier::peer(host, *port, ae_title, &self.settings))
            }
            Destination::Dicom { .. } | Destination::Folder { .. } | Destination::Hl7 { .. } => None,
        })
    }

    /// Tells the couriers that reports were queued.
    pub fn ring(&self) {
        self.bells.iter().for_each(|bell| bell.news.notify_one());
    }

    /// Tells the couriers that somebody changed the queue, and wants to see what comes of it.
    pub fn hurry(&self) {
        self.bells.iter().for_each(|bell| bell.hurry.notify_one());
    }

    /// Delivers until `stop` turns true; a report on its way is finished, the rest stays queued.
    pub async fn run(&self, stop: watch::Receiver<bool>) {
        let mut couriers = JoinSet::new();
        for (destination, bell) in self.settings.destinations.iter().zip(self.bells.iter()) {
            let outbox = Outbox::new(&self.ledger, &self.files, destination.name());
            let courier = Courier::new(destination, outbox, bell.clone(), &self.settings);
            couriers.spawn(courier.run(stop.clone()));
        }
        while let Some(ended) = couriers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a courier ended; its reports stay queued until the next start");
            }
        }
    }
}
