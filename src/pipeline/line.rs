//! From arrivals to finished studies: looks at each image as it arrives, assembles, reports a few studies at a time,
//! tries again what failed for a passing reason, and sets aside what cannot succeed.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};

use super::turn::Turns;
use super::{Foreknowledge, Foreseen, Pipeline, PipelineError};
use crate::assemble::{Assembler, Key};
use crate::background;
use crate::instance::{Instance, Study, Urgency};
use crate::ledger::Waiting;
use crate::scp::Arrived;
use crate::stop::stopped;

/// Studies that are reported at the same time.
const STUDIES_AT_ONCE: usize = 4;
/// How long a study that failed for a passing reason waits for its next try; doubled for each further one.
const RETRY: Duration = Duration::from_secs(5);
/// The longest such wait.
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// How often the ledger is asked for studies that were revived from outside.
const REVIVAL: Duration = Duration::from_secs(2);

/// The line's state; [`Line::run`] owns it.
pub struct Line {
    /// The pipeline in force; a reload replaces it for what follows.
    pipeline: watch::Receiver<Pipeline>,
    assembler: Assembler,
    urgent: HashSet<Key>,
    /// Images of arriving studies that are still to be looked at.
    images: Turns<Instance>,
    /// How many images of a study are being looked at or wait for it.
    pending: HashMap<Key, usize>,
    foreseen: Foreknowledge,
    complete: Turns<Study>,
    examining: JoinSet<(Instance, Option<Foreseen>)>,
    reporting: JoinSet<(Study, Result<(), PipelineError>)>,
    /// What is being reported: never twice at the same time, so that each report knows the one before it.
    in_hand: HashSet<Key>,
    /// How often a study failed in a row for passing reasons.
    failures: HashMap<Key, u32>,
}

impl Line {
    /// A line that starts with what an earlier run left; studies wait for `routine_wait` at most while urgent ones
    /// pass.
    pub fn new(
        pipeline: watch::Receiver<Pipeline>,
        assembler: Assembler,
        routine_wait: Duration,
        left: Vec<Waiting>,
    ) -> Self {
        let mut line = Self {
            pipeline,
            assembler,
            urgent: HashSet::new(),
            images: Turns::new(routine_wait),
            pending: HashMap::new(),
            foreseen: Foreknowledge::new(),
            complete: Turns::new(routine_wait),
            examining: JoinSet::new(),
            reporting: JoinSet::new(),
            in_hand: HashSet::new(),
            failures: HashMap::new(),
        };
        left.into_iter().for_each(|waiting| line.take(waiting));
        line
    }

    /// Runs until `stop` turns true, then finishes the studies in hand. The others are in the spool.
    pub async fn run(mut self, mut arrived: mpsc::Receiver<Arrived>, mut stop: watch::Receiver<bool>) {
        let mut revival = tokio::time::interval(REVIVAL);
        loop {
            self.start_images();
            self.start_studies();
            let due = self.assembler.next_due();
            tokio::select! {
                Some(arrival) = arrived.recv() => self.arrived(arrival),
                () = until(due), if due.is_some() => self.completed(),
                Some(ended) = self.examining.join_next() => self.examined(ended.ok()),
                Some(ended) = self.reporting.join_next() => self.reported(ended.ok()).await,
                _ = revival.tick() => self.revive().await,
                () = stopped(&mut stop) => break,
            }
        }
        self.examining.abort_all();
        while let Some(ended) = self.reporting.join_next().await {
            self.reported(ended.ok()).await;
        }
    }

    fn arrived(&mut self, Arrived { instance, calling, received, urgency }: Arrived) {
        if self.assembler.mixes_patients(&instance) {
            tracing::warn!(
                study = %instance.study, instance = %instance.sop_instance, calling = calling.as_str(),
                "two patients under one Study Instance UID; each gets a report of his own; have the sender mend it"
            );
        }
        self.add(instance, urgency, received);
    }

    fn take(&mut self, Waiting { instance, urgency, .. }: Waiting) {
        self.add(instance, urgency, Instant::now());
    }

    fn add(&mut self, instance: Instance, urgency: Urgency, received: Instant) {
        let key = Key::of(&instance);
        if urgency == Urgency::Urgent && self.urgent.insert(key.clone()) {
            self.images.hasten(|waiting| Key::of(waiting) == key);
            self.complete.hasten(|study| Key::from(study) == key);
        }
        let urgency = self.urgency(&key);
        if self.assembler.add(instance.clone(), received) {
            *self.pending.entry(key).or_default() += 1;
            self.images.push(instance, urgency, received);
        }
    }

    fn urgency(&self, key: &Key) -> Urgency {
        if self.urgent.contains(key) { Urgency::Urgent } else { Urgency::Routine }
    }

    fn completed(&mut self) {
        let now = Instant::now();
        for study in self.assembler.take_complete(now) {
            let urgency = self.urgency(&Key::from(&study));
            self.complete.push(study, urgency, now);
        }
    }

    /// Takes up what somebody asked to be tried again.
    async fn revive(&mut self) {
        let ledger = self.pipeline.borrow().ledger.clone();
        match spawn_blocking(move || ledger.revived()).await {
            Ok(Ok(revived)) => revived.into_iter().for_each(|waiting| self.take(waiting)),
            Ok(Err(error)) => tracing::warn!(%error, "revived studies wait"),
            Err(_) => tracing::error!("a fault of Auscult's own in the ledger; please report it"),
        }
    }

    fn start_images(&mut self) {
        let at_once = self.pipeline.borrow().examiner.inference().at_once();
        while self.examining.len() < at_once
            && let Some(instance) = self.images.next()
        {
            let examiner = self.pipeline.borrow().examiner.clone();
            self.examining.spawn(async move {
                let inner = instance.clone();
                let foreseen = tokio::spawn(async move { examiner.foresee(&inner).await }).await;
                forget_pixels(&instance).await;
                // Whatever went wrong goes wrong again, and is told of, when its study is examined.
                (instance, foreseen.ok().and_then(Result::ok).flatten())
            });
        }
    }

    fn examined(&mut self, ended: Option<(Instance, Option<Foreseen>)>) {
        let Some((instance, foreseen)) = ended else { return };
        let key = Key::of(&instance);
        if let Some(pending) = self.pending.get_mut(&key) {
            *pending -= 1;
            if *pending == 0 {
                self.pending.remove(&key);
            }
        }
        self.foreseen.extend(foreseen.map(|foreseen| (instance.location, foreseen)));
    }

    /// Reports the studies whose turn it is, whose images have all been looked at, and of which nothing is in hand.
    fn start_studies(&mut self) {
        let (pending, in_hand) = (&self.pending, &mut self.in_hand);
        while self.reporting.len() < STUDIES_AT_ONCE
            && let Some(study) = self.complete.next_where(|study| {
                let key = Key::from(study);
                !pending.contains_key(&key) && !in_hand.contains(&key)
            })
        {
            in_hand.insert(Key::from(&study));
            self.urgent.remove(&Key::from(&study));
            let locations = study.instances.iter().map(|instance| &instance.location);
            let foreseen: Foreknowledge =
                locations.filter_map(|location| self.foreseen.remove_entry(location)).collect();
            let (pipeline, inner) = (self.pipeline.borrow().clone(), study.clone());
            self.reporting.spawn(async move {
                let processed = tokio::spawn(async move { pipeline.process(&inner, foreseen).await }).await;
                (study, processed.unwrap_or(Err(PipelineError::Panic("a study"))))
            });
        }
    }

    async fn reported(&mut self, ended: Option<(Study, Result<(), PipelineError>)>) {
        let Some((study, result)) = ended else { return };
        let key = Key::from(&study);
        self.in_hand.remove(&key);
        let failures = self.failures.remove(&key).unwrap_or_default();
        match result {
            Ok(()) => {}
            Err(error) if error.is_transient() => {
                let wait = RETRY.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_RETRY);
                tracing::error!(study = %study.uid, %error, again_in_seconds = wait.as_secs(), "study kept");
                self.failures.insert(key, failures.saturating_add(1));
                for instance in study.instances {
                    self.assembler.add(instance, Instant::now() + wait);
                }
            }
            Err(error) => {
                tracing::error!(study = %study.uid, %error, "study failed; see auscult queue");
                self.set_aside(study, error.to_string()).await;
            }
        }
    }

    async fn set_aside(&self, study: Study, why: String) {
        let (ledger, uid) = (self.pipeline.borrow().ledger.clone(), study.uid.clone());
        let failed = spawn_blocking(move || ledger.fail(&study, &why, SystemTime::now())).await;
        if let Ok(Err(error)) = failed {
            tracing::error!(study = %uid, %error, "the failure could not be recorded; the next start tries the study again");
        }
    }
}

async fn until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
}

/// An image that was looked at takes no memory from those that come: of a stream of them, each would otherwise go to
/// memory that was never used before.
async fn forget_pixels(instance: &Instance) {
    let (location, uid) = (instance.location.clone(), &instance.sop_instance);
    if let Ok(Err(error)) = background::run(move || location.forget_pixels()).await {
        tracing::debug!(%error, instance = %uid, "the system keeps an image in memory");
    }
}
