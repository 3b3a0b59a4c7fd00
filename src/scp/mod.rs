//! The Storage, Storage Commitment and Verification SCP: admits associations, one task each, and answers no C-STORE
//! with success before the object is durable in the spool.
//!
//! A fault of a peer ends its own association and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use crate::config;
use crate::ids::AeTitle;
use crate::instance::{Instance, Urgency};
use crate::spool::Spool;
use crate::stop::stopped;

mod association;
mod commitment;
mod lifecycle;
mod link;
mod negotiation;
mod reporting;
mod store;

pub use commitment::{Commitment, Reported, Unreported};

use negotiation::Offer;

/// Connections that may wait for their association besides those that have one. They cost a descriptor each.
const MAX_WAITING: usize = 512;
/// Arguments of commands that are parsed at a time: a mebibyte may take a hundred of them while it is.
const PARSERS: usize = 2;
/// Pause after the operating system refuses a connection, mostly for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An instance that has just become durable.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// The instance, in the spool.
    pub instance: Instance,
    /// Who sent it.
    pub calling: AeTitle,
    /// When its last byte came.
    pub received: Instant,
    /// How soon it should be looked at.
    pub urgency: Urgency,
}

/// What the station has done since it started.
#[derive(Debug, Default)]
pub struct Stats {
    /// Associations accepted.
    pub associations_accepted: AtomicU64,
    /// Associations rejected.
    pub associations_rejected: AtomicU64,
    /// Associations and connections that did not end in an orderly way.
    pub associations_aborted: AtomicU64,
    /// Instances answered with success.
    pub instances_stored: AtomicU64,
    /// Instances answered with a failure.
    pub instances_refused: AtomicU64,
    /// Bytes of data sets received, refused ones included.
    pub data_set_bytes: AtomicU64,
}

impl Stats {
    /// Counts a fragment of a data set.
    fn count(&self, fragment: &[u8]) {
        let octets = u64::try_from(fragment.len()).unwrap_or(u64::MAX);
        self.data_set_bytes.fetch_add(octets, Ordering::Relaxed);
    }
}

/// What stands behind the station: where things go, and who answers for them.
#[derive(Debug)]
pub struct Backing {
    /// Keeps what is received.
    pub spool: Spool,
    /// Takes what has become durable.
    pub stored: mpsc::Sender<Arrived>,
    /// Storage Commitment; without it, it is not accepted.
    pub commitment: Option<Commitment>,
    /// What is counted.
    pub stats: Arc<Stats>,
}

/// What every association needs of its station.
#[derive(Debug)]
struct Station {
    settings: watch::Receiver<config::Scp>,
    spool: Spool,
    stored: mpsc::Sender<Arrived>,
    commitment: Option<Commitment>,
    stats: Arc<Stats>,
    seats: Arc<Semaphore>,
    parsers: Semaphore,
}

impl Station {
    /// What the administrator asks for now; an association keeps what it began with.
    fn settings(&self) -> config::Scp {
        self.settings.borrow().clone()
    }

    fn offer(&self) -> Offer {
        if self.commitment.is_some() { Offer::StorageAndCommitment } else { Offer::Storage }
    }

    fn silence(&self) -> Duration {
        Duration::from_secs(self.settings.borrow().silence_seconds)
    }
}

/// `settings` may change; connections that follow obey, but the number of associations is that of the start.
///
/// Serves until `stop` becomes true or its sender is dropped; then takes no further connection, lets every
/// association finish the message it is in, aborts it, and returns when the last has ended.
/// Dropping the future ends all associations at once: whoever drains sets the deadline.
pub async fn serve(
    listener: TcpListener,
    settings: watch::Receiver<config::Scp>,
    backing: Backing,
    mut stop: watch::Receiver<bool>,
) {
    let most = settings.borrow().max_associations;
    let Backing { spool, stored, commitment, stats } = backing;
    let seats = Arc::new(Semaphore::new(most));
    let station =
        Arc::new(Station { settings, spool, stored, commitment, stats, seats, parsers: Semaphore::new(PARSERS) });
    let mut associations = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(ended) = associations.join_next() => note_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok(connection) => admit(&station, &mut associations, connection, &stop),
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted for now; raise LimitNOFILE if this goes on");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = associations.join_next().await {
        note_panic(ended);
    }
}

fn admit(
    station: &Arc<Station>,
    associations: &mut JoinSet<()>,
    (stream, peer): (TcpStream, SocketAddr),
    stop: &watch::Receiver<bool>,
) {
    if associations.len() >= station.settings.borrow().max_associations.saturating_add(MAX_WAITING) {
        tracing::warn!(%peer, "connection closed: too many connections wait for an association");
        return;
    }
    associations.spawn(lifecycle::run(station.clone(), stream, peer, stop.clone()));
}

fn note_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("an association ended in an internal error; please report it");
    }
}
