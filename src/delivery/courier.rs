//! One destination's courier: lets everything that is due be brought, over as many associations as the queue's length
//! asks for and the destination accepts, and rests until there is more.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::backoff;
use super::batch::Batch;
use super::carrier::Carrier;
use super::lane::{Desk, Ended, Lane};
use super::outbox::{Outbox, OutboxError};
use super::{Bell, Settings};
use crate::config::Destination;
use crate::ledger::Pending;
use crate::stop::stopped;

/// How often a queue is looked at without news, and how long a queue that cannot be read rests.
const ROUND: Duration = Duration::from_secs(60);
/// How long an association stays open for the next report.
const IDLE: Duration = Duration::from_secs(3);
/// Waiting reports for which a further association is worth its while.
const PER_ASSOCIATION: usize = 8;

/// One destination's courier; [`Courier::run`] owns it.
pub(super) struct Courier {
    desk: Arc<Desk>,
    destination: Destination,
    settings: Arc<Settings>,
    bell: Arc<Bell>,
    /// The first one leads; the others help where there is much to do.
    lanes: Vec<Lane>,
    /// How many associations the destination accepts, as far as is known.
    accepted: usize,
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
    pub(super) fn new(destination: &Destination, outbox: Outbox, bell: Arc<Bell>, settings: &Arc<Settings>) -> Self {
        let desk = Desk { name: destination.name().to_owned(), outbox, settings: settings.delivery.clone() };
        Self {
            desk: Arc::new(desk),
            destination: destination.clone(),
            settings: settings.clone(),
            bell,
            lanes: Vec::new(),
            accepted: destination.associations(),
            unreachable: 0,
        }
    }

    /// Delivers until `stop` turns true.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let pause = match self.round(&stop).await {
                Ok(Round::Done) => {
                    self.hear().await;
                    if self.pause(Pause::ForNews(IDLE), &mut stop).await != Woken::ByTime {
                        continue;
                    }
                    self.close().await;
                    Pause::ForNews(self.until_next().await)
                }
                Ok(Round::Unreachable(why)) => {
                    self.close().await;
                    self.unreachable = self.unreachable.saturating_add(1);
                    let wait = backoff::wait(&self.settings.delivery, self.unreachable, fastrand::f64());
                    tracing::warn!(
                        destination = %self.desk.name, %why, again_in_seconds = wait.as_secs(), "not delivered"
                    );
                    Pause::Full(wait)
                }
                Err(error) => {
                    tracing::error!(destination = %self.desk.name, %error, "the queue cannot be used");
                    Pause::Full(ROUND.min(Duration::from_secs(self.settings.delivery.retry_first_seconds)))
                }
            };
            self.pause(pause, &mut stop).await;
        }
        self.close().await;
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
        while !*stop.borrow() {
            let due = self.desk.at_outbox(|outbox| outbox.due(SystemTime::now())).await?;
            if due.is_empty() {
                break;
            }
            if let Ended::Unreachable(why) = self.deliver(due, stop).await? {
                return Ok(Round::Unreachable(why));
            }
            self.unreachable = 0;
        }
        Ok(Round::Done)
    }

    /// Tries what is due; what the leading lane ended with.
    async fn deliver(&mut self, due: Vec<Pending>, stop: &watch::Receiver<bool>) -> Result<Ended, OutboxError> {
        let hands = self.accepted.min(1 + due.len() / PER_ASSOCIATION);
        while self.lanes.len() < hands {
            self.lanes.push(Lane::new(self.desk.clone(), Carrier::new(&self.destination, &self.settings)));
        }
        let resting = self.lanes.split_off(hands);
        let batch = Arc::new(Batch::new(due));
        let mut lanes = std::mem::take(&mut self.lanes).into_iter();
        let mut helpers = JoinSet::new();
        let leader = lanes.next();
        for mut lane in lanes {
            let (batch, stop) = (batch.clone(), stop.clone());
            helpers.spawn(async move {
                let ended = lane.help(&batch, &stop).await;
                (lane, ended)
            });
        }
        let mut ended = Ok(Ended::Done);
        if let Some(mut lane) = leader {
            ended = lane.lead(&batch, stop).await;
            self.lanes.push(lane);
        }
        while let Some(helped) = helpers.join_next().await {
            match helped {
                Ok((lane, Ok(Ended::Done))) => self.lanes.push(lane),
                Ok((_, Ok(Ended::Unreachable(why)))) => {
                    self.accepted = self.lanes.len().max(1);
                    let (destination, accepted) = (&self.desk.name, self.accepted);
                    tracing::debug!(%destination, %why, accepted, "no further association");
                }
                Ok((_, Err(error))) => ended = ended.and(Err(error)),
                Err(error) => tracing::error!(destination = %self.desk.name, %error, "a delivery ended; tried again"),
            }
        }
        self.lanes.extend(resting);
        ended
    }

    /// Takes what the destination says while the associations are open.
    async fn hear(&mut self) {
        let mut listeners = JoinSet::new();
        for mut lane in self.lanes.drain(..) {
            listeners.spawn(async move {
                let heard = lane.hear(IDLE).await;
                (lane, heard)
            });
        }
        while let Some(listened) = listeners.join_next().await {
            let Ok((lane, heard)) = listened else { continue };
            if let Err(error) = heard {
                tracing::error!(destination = %self.desk.name, %error, "an outcome could not be recorded");
            }
            self.lanes.push(lane);
        }
    }

    /// Ends all associations; the next ones find out anew how many the destination accepts.
    async fn close(&mut self) {
        for mut lane in self.lanes.drain(..) {
            lane.close().await;
        }
        self.accepted = self.destination.associations();
    }

    /// How long until a report is due, at most a round.
    async fn until_next(&self) -> Duration {
        let next = self.desk.at_outbox(|outbox| outbox.next_due()).await.ok().flatten();
        let until = next.map(|next| next.duration_since(SystemTime::now()).unwrap_or_default());
        until.map_or(ROUND, |until| until.min(ROUND))
    }
}
