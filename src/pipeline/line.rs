//! From arrivals to finished studies: assembles, processes a few studies at a time, tries again what failed for a
//! passing reason, and sets aside what cannot succeed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{Pipeline, PipelineError};
use crate::assemble::Assembler;
use crate::instance::{Instance, Study};
use crate::scp::Arrived;
use crate::stop::stopped;

/// Studies that are decoded at the same time.
const STUDIES_AT_ONCE: usize = 4;

/// How long a study that failed for a passing reason waits for its next try.
const RETRY: Duration = Duration::from_secs(30);

/// The line's state; [`Line::run`] owns it.
pub struct Line {
    /// The pipeline in force; a reload replaces it for the studies that follow.
    pipeline: watch::Receiver<Pipeline>,
    assembler: Assembler,
    complete: VecDeque<Study>,
    running: JoinSet<(Study, Result<(), PipelineError>)>,
}

impl Line {
    /// A line that starts with what an earlier run left in the spool.
    pub fn new(pipeline: watch::Receiver<Pipeline>, mut assembler: Assembler, recovered: Vec<Instance>) -> Self {
        let now = Instant::now();
        recovered.into_iter().for_each(|instance| assembler.add(instance, now));
        Self { pipeline, assembler, complete: VecDeque::new(), running: JoinSet::new() }
    }

    /// Runs until `stop` turns true, then finishes the studies in hand. The others are in the spool.
    pub async fn run(mut self, mut arrived: mpsc::Receiver<Arrived>, mut stop: watch::Receiver<bool>) {
        loop {
            self.start_complete();
            let due = self.assembler.next_due();
            tokio::select! {
                Some(arrival) = arrived.recv() => self.arrived(arrival),
                () = until(due), if due.is_some() => self.complete.extend(self.assembler.take_complete(Instant::now())),
                Some(ended) = self.running.join_next() => self.ended(ended.ok()).await,
                () = stopped(&mut stop) => break,
            }
        }
        while let Some(ended) = self.running.join_next().await {
            self.ended(ended.ok()).await;
        }
    }

    fn arrived(&mut self, Arrived { instance, calling, received, .. }: Arrived) {
        if self.assembler.mixes_patients(&instance) {
            tracing::warn!(
                study = %instance.study, instance = %instance.sop_instance, calling = calling.as_str(),
                "two patients under one Study Instance UID; each gets a report of his own; have the sender mend it"
            );
        }
        self.assembler.add(instance, received);
    }

    fn start_complete(&mut self) {
        while self.running.len() < STUDIES_AT_ONCE
            && let Some(study) = self.complete.pop_front()
        {
            let (pipeline, inner) = (self.pipeline.borrow().clone(), study.clone());
            self.running.spawn(async move {
                let processed = tokio::spawn(async move { pipeline.process(&inner).await }).await;
                (study, processed.unwrap_or(Err(PipelineError::Panic("a study"))))
            });
        }
    }

    async fn ended(&mut self, ended: Option<(Study, Result<(), PipelineError>)>) {
        match ended {
            Some((_, Ok(()))) | None => {}
            Some((study, Err(error))) if error.is_transient() => {
                tracing::error!(study = %study.uid, %error, again_in_seconds = RETRY.as_secs(), "study kept");
                let later = Instant::now() + RETRY;
                study.instances.into_iter().for_each(|instance| self.assembler.add(instance, later));
            }
            Some((study, Err(error))) => {
                tracing::error!(study = %study.uid, %error, "study set aside in failed/");
                let spool = self.pipeline.borrow().spool.clone();
                if let Err(error) = spool.fail(&study).await {
                    tracing::error!(study = %study.uid, %error, "study could not be set aside; it is tried at the next start");
                }
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
}
