//! One destination's courier: takes reports from its queue, brings them, and knows what to do when it cannot.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, watch};

use super::backoff::Backoff;
use super::carrier::{Carrier, TryError};
use super::outbox::{Entry, Outbox, OutboxError};
use crate::config;
use crate::ids::SopInstanceUid;
use crate::stop::stopped;

/// How often a queue is looked at without news, and how long a queue that cannot be read rests.
const ROUND: Duration = Duration::from_secs(60);

/// A report that its destination could not take lately.
struct Held {
    backoff: Backoff,
    until: Instant,
}

/// One destination's courier; [`Courier::run`] owns it.
pub(super) struct Courier {
    name: String,
    carrier: Carrier,
    outbox: Outbox,
    news: Arc<Notify>,
    settings: config::Delivery,
    backoff: Backoff,
    held: HashMap<SopInstanceUid, Held>,
}

/// What a round of delivering ended with.
enum Round {
    /// Every report that was due has been tried.
    Done,
    /// The destination cannot be reached; the rest of the round was not tried.
    Unreachable(String),
}

impl Courier {
    pub(super) fn new(
        name: &str,
        carrier: Carrier,
        outbox: Outbox,
        news: Arc<Notify>,
        settings: &config::Delivery,
    ) -> Self {
        Self {
            name: name.to_owned(),
            carrier,
            outbox,
            news,
            settings: settings.clone(),
            backoff: Backoff::new(settings),
            held: HashMap::new(),
        }
    }

    /// Delivers until `stop` turns true.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let pause = match self.round(&stop).await {
                Ok(Round::Done) => Pause::ForNews(self.next_held().unwrap_or(ROUND)),
                Ok(Round::Unreachable(why)) => {
                    let wait = self.backoff.after_failure(fastrand::f64());
                    tracing::warn!(destination = %self.name, %why, again_in_seconds = wait.as_secs(), "not delivered");
                    Pause::Full(wait)
                }
                Err(error) => {
                    tracing::error!(destination = %self.name, %error, "the queue cannot be used");
                    Pause::Full(ROUND)
                }
            };
            self.pause(pause, &mut stop).await;
        }
        self.carrier.close().await;
    }

    async fn pause(&self, pause: Pause, stop: &mut watch::Receiver<bool>) {
        let (wait, listens) = match pause {
            Pause::ForNews(wait) => (wait, true),
            Pause::Full(wait) => (wait, false),
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.news.notified(), if listens => {}
            () = stopped(stop) => {}
        }
    }

    /// Tries every report that is due, oldest first.
    async fn round(&mut self, stop: &watch::Receiver<bool>) -> Result<Round, OutboxError> {
        for entry in self.due()? {
            if *stop.borrow() {
                break;
            }
            match self.carrier.carry(&entry.path).await {
                Ok(said) => {
                    self.backoff.reset();
                    self.held.remove(&entry.sop_instance);
                    self.outbox.delivered(&entry)?;
                    tracing::info!(destination = %self.name, report = %entry.sop_instance, said, "delivered");
                }
                Err(TryError::Unreachable(why)) => return Ok(Round::Unreachable(why)),
                Err(TryError::NotNow(why)) => self.hold(&entry, &why),
                Err(TryError::Refused(why)) => self.give_up(&entry, &why)?,
            }
        }
        self.carrier.close().await;
        Ok(Round::Done)
    }

    /// The reports to be tried now. Those that waited too long are given up here.
    fn due(&mut self) -> Result<Vec<Entry>, OutboxError> {
        let patience = Duration::from_secs(self.settings.give_up_hours * 3600);
        let (now, wall_clock) = (Instant::now(), SystemTime::now());
        let mut due = Vec::new();
        for entry in self.outbox.pending()? {
            let age = wall_clock.duration_since(entry.queued).unwrap_or_default();
            if age > patience {
                let hours = self.settings.give_up_hours;
                self.give_up(&entry, &format!("not delivered within {hours} hours (delivery.give_up_hours)"))?;
            } else if self.held.get(&entry.sop_instance).is_none_or(|held| held.until <= now) {
                due.push(entry);
            }
        }
        Ok(due)
    }

    fn hold(&mut self, entry: &Entry, why: &str) {
        let fresh = || Held { backoff: Backoff::new(&self.settings), until: Instant::now() };
        let held = self.held.entry(entry.sop_instance.clone()).or_insert_with(fresh);
        let wait = held.backoff.after_failure(fastrand::f64());
        held.until = Instant::now() + wait;
        let seconds = wait.as_secs();
        tracing::warn!(
            destination = %self.name, report = %entry.sop_instance, %why, again_in_seconds = seconds, "not taken now"
        );
    }

    fn give_up(&mut self, entry: &Entry, why: &str) -> Result<(), OutboxError> {
        self.held.remove(&entry.sop_instance);
        tracing::error!(destination = %self.name, report = %entry.sop_instance, %why, "given up; see failed/");
        self.outbox.give_up(entry, why)
    }

    fn next_held(&self) -> Option<Duration> {
        let first = self.held.values().map(|held| held.until).min()?;
        Some(first.saturating_duration_since(Instant::now()).min(ROUND))
    }
}

/// How long to rest.
enum Pause {
    /// Until there is news, at most this long.
    ForNews(Duration),
    /// This long, whatever comes: the destination needs the time.
    Full(Duration),
}
