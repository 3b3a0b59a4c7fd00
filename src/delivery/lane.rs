//! One association's worth of delivering: takes reports from a batch, brings them, and knows what to do when it cannot.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::backoff;
use super::batch::Batch;
use super::carrier::{Carrier, TryError};
use super::outbox::{Outbox, OutboxError};
use crate::config::{self, StorageCommitment};
use crate::ids::TransactionUid;
use crate::ledger::Pending;
use crate::spool::SpoolError;

/// One destination's queue, and the administrator's times.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) name: String,
    pub(super) outbox: Outbox,
    pub(super) settings: config::Delivery,
}

/// What brings one report after the other.
pub(super) struct Lane {
    desk: Arc<Desk>,
    carrier: Carrier,
}

/// What a lane's part in a batch ended with.
pub(super) enum Ended {
    /// There is nothing left to take.
    Done,
    /// The destination cannot be reached.
    Unreachable(String),
}

/// What became of one report.
enum Brought {
    /// The ledger knows.
    Settled,
    /// It was not tried: the destination cannot be reached.
    Unreachable(Box<Pending>, String),
}

impl Desk {
    /// Works at the queue off the async workers.
    pub(super) async fn at_outbox<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Outbox) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let outbox = self.outbox.clone();
        let panicked = |_| SpoolError::Panic { doing: "working at a queue" };
        spawn_blocking(move || work(&outbox)).await.map_err(panicked)?
    }

    async fn postpone(&self, pending: Pending, why: String) -> Result<(), OutboxError> {
        let wait = backoff::wait(&self.settings, pending.attempts.saturating_add(1), fastrand::f64());
        tracing::warn!(
            destination = %self.name, report = %pending.report.sop_instance, %why, again_in_seconds = wait.as_secs(),
            "not taken now"
        );
        self.at_outbox(move |outbox| outbox.postpone(&pending, &why, SystemTime::now() + wait)).await
    }

    async fn give_up(&self, pending: Pending, why: String) -> Result<(), OutboxError> {
        tracing::error!(
            destination = %self.name, study = %pending.study, report = %pending.report.sop_instance, %why,
            "given up; see failed/, and auscult queue"
        );
        self.at_outbox(move |outbox| outbox.give_up(&pending, &why)).await
    }

    fn is_too_late(&self, pending: &Pending) -> bool {
        let patience = Duration::from_secs(self.settings.give_up_hours * 3600);
        SystemTime::now().duration_since(pending.queued).unwrap_or_default() > patience
    }
}

impl Lane {
    pub(super) fn new(desk: Arc<Desk>, carrier: Carrier) -> Self {
        Self { desk, carrier }
    }

    /// Brings what a batch has, until `stop` turns true. A destination that it cannot reach is unreachable for all.
    pub(super) async fn lead(&mut self, batch: &Batch, stop: &watch::Receiver<bool>) -> Result<Ended, OutboxError> {
        let ended = self.bring_all(batch, stop).await;
        if *stop.borrow() || !matches!(ended, Ok(Ended::Done)) {
            batch.abandon();
        }
        ended
    }

    async fn bring_all(&mut self, batch: &Batch, stop: &watch::Receiver<bool>) -> Result<Ended, OutboxError> {
        while !*stop.borrow()
            && let Some(pending) = batch.take()
        {
            let study = pending.study.clone();
            let brought = self.bring(pending).await;
            batch.settled(&study);
            if let Brought::Unreachable(pending, why) = brought? {
                let said = why.clone();
                self.desk.at_outbox(move |outbox| outbox.postpone(&pending, &said, SystemTime::now())).await?;
                return Ok(Ended::Unreachable(why));
            }
        }
        Ok(Ended::Done)
    }

    /// Brings a part of what a batch has over an association of its own, once the destination has accepted one: a
    /// destination that does not leaves everything to the lane that leads, and nothing waits for it.
    pub(super) async fn help(&mut self, batch: &Batch, stop: &watch::Receiver<bool>) -> Result<Ended, OutboxError> {
        while !*stop.borrow()
            && let Some(next) = batch.next()
        {
            tokio::select! {
                ready = self.carrier.get_ready(&next) => if let Err(why) = ready {
                    return Ok(Ended::Unreachable(why));
                },
                () = batch.exhausted() => break,
            }
            let Some(pending) = batch.take() else { break };
            let study = pending.study.clone();
            match self.bring(pending).await {
                Ok(Brought::Unreachable(pending, why)) => {
                    batch.put_back(*pending);
                    return Ok(Ended::Unreachable(why));
                }
                brought => {
                    batch.settled(&study);
                    brought?;
                }
            }
        }
        Ok(Ended::Done)
    }

    async fn bring(&mut self, pending: Pending) -> Result<Brought, OutboxError> {
        if self.desk.is_too_late(&pending) {
            let hours = self.desk.settings.give_up_hours;
            let why = format!("not delivered within {hours} hours (delivery.give_up_hours)");
            return self.desk.give_up(pending, why).await.map(|()| Brought::Settled);
        }
        match self.carrier.carry(&pending).await {
            Ok(said) => self.carried(pending, said).await?,
            Err(TryError::Unreachable(why)) => return Ok(Brought::Unreachable(Box::new(pending), why)),
            Err(TryError::NotNow(why)) => self.desk.postpone(pending, why).await?,
            Err(TryError::Refused(why)) => self.desk.give_up(pending, why).await?,
        }
        Ok(Brought::Settled)
    }

    /// The destination has a report; whether that is enough is the administrator's word.
    async fn carried(&mut self, pending: Pending, said: String) -> Result<(), OutboxError> {
        let (destination, study, report) = (&self.desk.name, &pending.study, &pending.report.sop_instance);
        if self.carrier.commitment() == StorageCommitment::Off {
            tracing::info!(%destination, %study, %report, said, "delivered");
            return self.desk.at_outbox(move |outbox| outbox.delivered(&pending, &said)).await;
        }
        tracing::info!(%destination, %study, %report, said, "sent; the destination is asked to commit to keep it");
        let ask_again = SystemTime::now() + Duration::from_secs(self.desk.settings.commitment_wait_seconds);
        let (transaction, noted) = (TransactionUid::random(), pending.clone());
        let asked = transaction.clone();
        // The ledger knows the question before anybody can answer it.
        self.desk.at_outbox(move |outbox| outbox.committing(&noted, &asked, ask_again)).await?;
        match self.carrier.ask(&pending, transaction).await {
            Ok(()) => self.hear(Duration::ZERO).await,
            Err(TryError::Unreachable(why) | TryError::NotNow(why) | TryError::Refused(why)) => {
                self.desk.postpone(pending, why).await
            }
        }
    }

    /// Takes what the destination says within `wait` of its commitments.
    pub(super) async fn hear(&mut self, wait: Duration) -> Result<(), OutboxError> {
        while let Some(outcome) = self.carrier.outcome(wait).await {
            let (committed, failed) = (outcome.committed.len(), outcome.failed.len());
            tracing::info!(destination = %self.desk.name, committed, failed, "storage commitment");
            let next = SystemTime::now() + backoff::wait(&self.desk.settings, 1, fastrand::f64());
            self.desk.at_outbox(move |outbox| outbox.committed(&outcome, next)).await?;
        }
        Ok(())
    }

    /// Ends the association, if there is one.
    pub(super) async fn close(&mut self) {
        self.carrier.close().await;
    }
}
