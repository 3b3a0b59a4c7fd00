//! One destination's courier: takes reports from its queue, brings them, and knows what to do when it cannot.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::Bell;
use super::backoff;
use super::carrier::{Carrier, TryError};
use super::outbox::{Outbox, OutboxError};
use crate::config::{self, StorageCommitment};
use crate::ids::TransactionUid;
use crate::ledger::Pending;
use crate::spool::SpoolError;
use crate::stop::stopped;

/// How often a queue is looked at without news, and how long a queue that cannot be read rests.
const ROUND: Duration = Duration::from_secs(60);
/// How long an association stays open for the next report.
const IDLE: Duration = Duration::from_secs(3);

/// One destination's courier; [`Courier::run`] owns it.
pub(super) struct Courier {
    name: String,
    carrier: Carrier,
    outbox: Outbox,
    bell: Arc<Bell>,
    settings: config::Delivery,
    /// Rounds in a row that ended at an unreachable destination.
    unreachable: u32,
}

/// What a round of delivering ended with.
enum Round {
    /// Every report that was due has been tried.
    Done,
    /// The destination cannot be reached; the rest of the round was not tried.
    Unreachable(String),
}

/// How long to rest.
#[derive(Clone, Copy)]
enum Pause {
    /// Until there is news, at most this long.
    ForNews(Duration),
    /// This long, unless somebody is in a hurry: the destination needs the time.
    Full(Duration),
}

/// Why a pause ended.
#[derive(PartialEq, Eq)]
enum Woken {
    ByTime,
    ByBell,
}

impl Courier {
    pub(super) fn new(
        name: &str,
        carrier: Carrier,
        outbox: Outbox,
        bell: Arc<Bell>,
        settings: &config::Delivery,
    ) -> Self {
        Self { name: name.to_owned(), carrier, outbox, bell, settings: settings.clone(), unreachable: 0 }
    }

    /// Delivers until `stop` turns true.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let pause = match self.round(&stop).await {
                Ok(Round::Done) => {
                    if let Err(error) = self.hear(IDLE).await {
                        tracing::error!(destination = %self.name, %error, "an outcome could not be recorded");
                    }
                    if self.pause(Pause::ForNews(IDLE), &mut stop).await != Woken::ByTime {
                        continue;
                    }
                    self.carrier.close().await;
                    Pause::ForNews(self.until_next().await)
                }
                Ok(Round::Unreachable(why)) => {
                    self.unreachable = self.unreachable.saturating_add(1);
                    let wait = backoff::wait(&self.settings, self.unreachable, fastrand::f64());
                    tracing::warn!(destination = %self.name, %why, again_in_seconds = wait.as_secs(), "not delivered");
                    Pause::Full(wait)
                }
                Err(error) => {
                    tracing::error!(destination = %self.name, %error, "the queue cannot be used");
                    Pause::Full(ROUND.min(Duration::from_secs(self.settings.retry_first_seconds)))
                }
            };
            self.pause(pause, &mut stop).await;
        }
        self.carrier.close().await;
    }

    async fn pause(&self, pause: Pause, stop: &mut watch::Receiver<bool>) -> Woken {
        let (wait, listens) = match pause {
            Pause::ForNews(wait) => (wait, true),
            Pause::Full(wait) => (wait, false),
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => Woken::ByTime,
            () = self.bell.news.notified(), if listens => Woken::ByBell,
            () = self.bell.hurry.notified() => Woken::ByBell,
            () = stopped(stop) => Woken::ByTime,
        }
    }

    /// Tries every report that is due, in the queue's order.
    async fn round(&mut self, stop: &watch::Receiver<bool>) -> Result<Round, OutboxError> {
        loop {
            let due = self.at_outbox(|outbox| outbox.due(SystemTime::now())).await?;
            if due.is_empty() {
                return Ok(Round::Done);
            }
            for pending in due {
                if *stop.borrow() {
                    return Ok(Round::Done);
                }
                if let Some(why) = self.bring(pending).await? {
                    return Ok(Round::Unreachable(why));
                }
            }
        }
    }

    /// Tries one report; why the destination cannot be reached, where it cannot.
    async fn bring(&mut self, pending: Pending) -> Result<Option<String>, OutboxError> {
        if self.is_too_late(&pending) {
            let hours = self.settings.give_up_hours;
            let why = format!("not delivered within {hours} hours (delivery.give_up_hours)");
            return self.give_up(pending, why).await.map(|()| None);
        }
        match self.carrier.carry(&pending).await {
            Ok(said) => {
                self.unreachable = 0;
                self.carried(pending, said).await.map(|()| None)
            }
            Err(TryError::Unreachable(why)) => {
                let said = why.clone();
                self.at_outbox(move |outbox| outbox.postpone(&pending, &said, SystemTime::now())).await?;
                Ok(Some(why))
            }
            Err(TryError::NotNow(why)) => self.postpone(pending, why).await.map(|()| None),
            Err(TryError::Refused(why)) => self.give_up(pending, why).await.map(|()| None),
        }
    }

    /// The destination has a report; whether that is enough is the administrator's word.
    async fn carried(&mut self, pending: Pending, said: String) -> Result<(), OutboxError> {
        let (destination, study, report) = (&self.name, &pending.study, &pending.report.sop_instance);
        if self.carrier.commitment() == StorageCommitment::Off {
            tracing::info!(%destination, %study, %report, said, "delivered");
            return self.at_outbox(move |outbox| outbox.delivered(&pending, &said)).await;
        }
        tracing::info!(%destination, %study, %report, said, "sent; the destination is asked to commit to keep it");
        let ask_again = SystemTime::now() + Duration::from_secs(self.settings.commitment_wait_seconds);
        let (transaction, noted) = (TransactionUid::random(), pending.clone());
        let asked = transaction.clone();
        // The ledger knows the question before anybody can answer it.
        self.at_outbox(move |outbox| outbox.committing(&noted, &asked, ask_again)).await?;
        match self.carrier.ask(&pending, transaction).await {
            Ok(()) => self.hear(Duration::ZERO).await,
            Err(TryError::Unreachable(why) | TryError::NotNow(why) | TryError::Refused(why)) => {
                self.postpone(pending, why).await
            }
        }
    }

    /// Takes what the destination says within `wait` of its commitments.
    async fn hear(&mut self, wait: Duration) -> Result<(), OutboxError> {
        while let Some(outcome) = self.carrier.outcome(wait).await {
            let (committed, failed) = (outcome.committed.len(), outcome.failed.len());
            tracing::info!(destination = %self.name, committed, failed, "storage commitment");
            let next = SystemTime::now() + backoff::wait(&self.settings, 1, fastrand::f64());
            self.at_outbox(move |outbox| outbox.committed(&outcome, next)).await?;
        }
        Ok(())
    }

    fn is_too_late(&self, pending: &Pending) -> bool {
        let patience = Duration::from_secs(self.settings.give_up_hours * 3600);
        SystemTime::now().duration_since(pending.queued).unwrap_or_default() > patience
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

    /// How long until a report is due, at most a round.
    async fn until_next(&self) -> Duration {
        let next = self.at_outbox(|outbox| outbox.next_due()).await.ok().flatten();
        let until = next.map(|next| next.duration_since(SystemTime::now()).unwrap_or_default());
        until.map_or(ROUND, |until| until.min(ROUND))
    }

    /// Works at the queue off the async workers.
    async fn at_outbox<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Outbox) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let outbox = self.outbox.clone();
        let panicked = |_| SpoolError::Panic { doing: "working at a queue" };
        spawn_blocking(move || work(&outbox)).await.map_err(panicked)?
    }
}
