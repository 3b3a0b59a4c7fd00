//! Storage commitment between stations: outcomes that destinations report reach the ledger, and outcomes of ours that
//! could not be told on the association that asked are told on one of their own.

use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};

use crate::ledger::Ledger;
use crate::pipeline::Pipeline;
use crate::scp::{Reported, Unreported};
use crate::scu;
use crate::stop::stopped;

/// Outcomes that are on their way at the same time; further ones wait, and their associations with them.
const AT_ONCE: usize = 16;
/// When an outcome is told, and told again to a peer that did not take it.
const TRIES: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(30), Duration::from_secs(5 * 60), Duration::from_secs(30 * 60)];

/// What other stations hand over.
pub(super) struct Mail {
    /// What destinations report.
    pub(super) outcomes: mpsc::Receiver<Reported>,
    /// What is still to be told.
    pub(super) unreported: mpsc::Receiver<Unreported>,
}

/// Carries outcomes until `stop` turns true. A peer whose outcome is then untold asks again.
pub(super) async fn run(mut mail: Mail, pipeline: watch::Receiver<Pipeline>, mut stop: watch::Receiver<bool>) {
    let mut telling = JoinSet::new();
    loop {
        tokio::select! {
            Some(reported) = mail.outcomes.recv() => take(reported, &pipeline).await,
            Some(unreported) = mail.unreported.recv(), if telling.len() < AT_ONCE => {
                telling.spawn(tell(unreported, pipeline.clone()));
            }
            Some(_) = telling.join_next() => {}
            () = stopped(&mut stop) => return,
        }
    }
}

/// Makes an outcome durable; only then does the peer that reported it hear of success.
async fn take(Reported { calling, outcome, accepted }: Reported, pipeline: &watch::Receiver<Pipeline>) {
    let (ledger, delivery) = { (pipeline.borrow().ledger.clone(), pipeline.borrow().delivery.clone()) };
    let next = SystemTime::now() + delivery.first_retry();
    match note(ledger, outcome, next).await {
        Some(0) => {
            tracing::info!(calling = calling.as_str(), "a commitment to nothing that was asked for");
            let _ = accepted.send(());
        }
        Some(_) => {
            // A peer that is gone reports again.
            let _ = accepted.send(());
            delivery.ring();
        }
        None => {}
    }
}

async fn note(ledger: Ledger, outcome: crate::commitment::Outcome, next: SystemTime) -> Option<usize> {
    match spawn_blocking(move || ledger.committed(&outcome, next, SystemTime::now())).await {
        Ok(Ok(meant)) => Some(meant),
        Ok(Err(error)) => {
            tracing::error!(%error, "an outcome of storage commitment could not be recorded; the peer may report again");
            None
        }
        Err(_) => None,
    }
}

/// Tells an outcome to whoever asked, if a destination of that AE title says where it is.
async fn tell(Unreported { calling, outcome }: Unreported, pipeline: watch::Receiver<Pipeline>) {
    for (number, wait) in TRIES.into_iter().enumerate() {
        tokio::time::sleep(wait).await;
        let Some(peer) = pipeline.borrow().delivery.peer(&calling) else {
            tracing::warn!(
                calling = calling.as_str(),
                "it asked for storage commitment and left before the outcome; name it as a [[destination]] to be told"
            );
            return;
        };
        match scu::report_outcome(&peer, &outcome).await {
            Ok(status) if status.is_stored() => {
                tracing::info!(calling = calling.as_str(), %status, "outcome of storage commitment reported");
                return;
            }
            Ok(status) => tracing::warn!(calling = calling.as_str(), %status, number, "outcome not taken"),
            Err(error) => tracing::warn!(calling = calling.as_str(), %error, number, "outcome not reported"),
        }
    }
}
