//! What a peer asked on its association, on the way to an outcome: judged one after the other, reported there while
//! the association lasts (PS3.4 J.3.3), handed over when it does not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};

use super::association::Fault;
use super::commitment::{Commitment, Unreported};
use super::link::Link;
use super::negotiation::Context;
use crate::commitment::{FailureReason, MOST_REFERENCES, Outcome, Request};
use crate::dimse::{Request as Command, Response};
use crate::ids::AeTitle;

/// References of one association that may wait for their outcome.
const MOST_WAITING: usize = 2 * MOST_REFERENCES;

/// The requests of one association that still want their outcome reported.
#[derive(Debug)]
pub(super) struct Reporting {
    /// Without it nothing is ever asked.
    commitment: Option<Commitment>,
    calling: AeTitle,
    patience: Duration,
    waiting: VecDeque<Asked>,
    stage: Stage,
    last_message: u16,
    hearing: Hearing,
}

#[derive(Debug, Clone)]
struct Asked {
    context: Context,
    request: Arc<Request>,
}

/// What is done about the first request; those behind it wait.
#[derive(Debug)]
enum Stage {
    Idle,
    Judging { asked: Asked, judging: JoinHandle<Outcome> },
    Reported { message_id: u16, outcome: Outcome, until: Instant },
}

/// Whether the peer answers reports on this association.
#[derive(Debug, PartialEq, Eq)]
enum Hearing {
    Answers,
    Silent,
}

/// What is to be done now.
#[derive(Debug)]
pub(super) enum Due {
    /// An outcome is known.
    Report(Context, Outcome),
    /// The peer has not answered a report in time.
    Overdue(Outcome),
}

impl Reporting {
    pub(super) fn new(commitment: Option<Commitment>, calling: AeTitle, patience: Duration) -> Self {
        Self {
            commitment,
            calling,
            patience,
            waiting: VecDeque::new(),
            stage: Stage::Idle,
            last_message: 0,
            hearing: Hearing::Answers,
        }
    }

    /// Whether another request may wait.
    pub(super) fn has_room_for(&self, request: &Request) -> bool {
        let first = match &self.stage {
            Stage::Idle => 0,
            Stage::Judging { asked, .. } => asked.request.references.len(),
            Stage::Reported { outcome, .. } => outcome.committed.len() + outcome.failed.len(),
        };
        let others: usize = self.waiting.iter().map(|asked| asked.request.references.len()).sum();
        first + others + request.references.len() <= MOST_WAITING
    }

    /// Puts a request in line.
    pub(super) fn ask(&mut self, context: &Context, request: Request) {
        tracing::info!(
            calling = self.calling.as_str(),
            transaction = request.transaction.as_str(),
            references = request.references.len(),
            "commitment requested"
        );
        self.waiting.push_back(Asked { context: context.clone(), request: Arc::new(request) });
    }

    /// Waits for the next thing to do. Dropping the future loses nothing.
    pub(super) async fn due(&mut self) -> Due {
        loop {
            match &mut self.stage {
                Stage::Idle => self.stage = self.judge_next().await,
                Stage::Judging { asked, judging } => {
                    let outcome = judged(judging.await, &asked.request);
                    let context = asked.context.clone();
                    self.stage = Stage::Idle;
                    return Due::Report(context, outcome);
                }
                Stage::Reported { until, .. } => {
                    sleep_until(*until).await;
                    if let Stage::Reported { outcome, .. } = std::mem::replace(&mut self.stage, Stage::Idle) {
                        return Due::Overdue(outcome);
                    }
                }
            }
        }
    }

    /// Begins with the next request; waits for ever where there is none, as only the peer can bring one.
    async fn judge_next(&mut self) -> Stage {
        match (self.waiting.pop_front(), &self.commitment) {
            (Some(asked), Some(commitment)) => Stage::Judging { judging: judge(commitment, &asked), asked },
            _ => std::future::pending().await,
        }
    }

    /// Does it.
    pub(super) async fn perform(&mut self, due: Due, link: &mut Link) -> Result<(), Fault> {
        match due {
            Due::Report(context, outcome) if self.hearing == Hearing::Answers => {
                self.report(&context, outcome, link).await
            }
            Due::Report(_, outcome) => {
                self.hand_over(outcome).await;
                Ok(())
            }
            Due::Overdue(outcome) => {
                self.hearing = Hearing::Silent;
                self.hand_over(outcome).await;
                Ok(())
            }
        }
    }

    /// N-EVENT-REPORT on the association that asked.
    async fn report(&mut self, context: &Context, outcome: Outcome, link: &mut Link) -> Result<(), Fault> {
        let Some(data_set) = outcome.encode(&context.transfer_syntax) else {
            self.hand_over(outcome).await;
            return Ok(());
        };
        self.last_message = self.last_message.checked_add(1).unwrap_or(1);
        let command = Command::commitment_event(self.last_message, outcome.event_type());
        // Before it is sent: where sending fails, the association ends and the outcome is handed over.
        let until = Instant::now() + self.patience;
        self.stage = Stage::Reported { message_id: self.last_message, outcome, until };
        link.send_message(context.id, &command, &data_set).await
    }

    /// Takes the answer to a report.
    pub(super) async fn answered(&mut self, response: &Response) -> Result<(), Fault> {
        let answers = |message_id: u16| response.is_to_event_report() && response.responding_to == message_id;
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Reported { message_id, outcome, .. } if answers(message_id) => {
                if response.status.is_stored() {
                    tracing::info!(
                        calling = self.calling.as_str(),
                        transaction = outcome.transaction.as_str(),
                        committed = outcome.committed.len(),
                        failed = outcome.failed.len(),
                        "commitment reported"
                    );
                } else {
                    tracing::warn!(
                        calling = self.calling.as_str(), transaction = outcome.transaction.as_str(),
                        status = %response.status, "the peer refused a commitment outcome"
                    );
                    self.hand_over(outcome).await;
                }
                Ok(())
            }
            stage => {
                self.stage = stage;
                let late = self.hearing == Hearing::Silent && (1..=self.last_message).any(answers);
                if late { Ok(()) } else { Err(Fault::Sequence("a response to nothing that was asked")) }
            }
        }
    }

    /// After the association: what it did not live to hear.
    pub(super) async fn finish(mut self) {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle => {}
            Stage::Judging { asked, judging } => {
                let outcome = judged(judging.await, &asked.request);
                self.hand_over(outcome).await;
            }
            Stage::Reported { outcome, .. } => self.hand_over(outcome).await,
        }
        while let (Some(asked), Some(commitment)) = (self.waiting.pop_front(), &self.commitment) {
            let outcome = judged(judge(commitment, &asked).await, &asked.request);
            self.hand_over(outcome).await;
        }
    }

    /// Gives an outcome to whoever opens an association for it.
    async fn hand_over(&self, outcome: Outcome) {
        let Some(commitment) = &self.commitment else { return };
        let transaction = outcome.transaction.clone();
        let unreported = Unreported { calling: self.calling.clone(), outcome };
        match timeout(self.patience, commitment.unreported.send(unreported)).await {
            Ok(Ok(())) => tracing::info!(
                calling = self.calling.as_str(),
                transaction = transaction.as_str(),
                "commitment outcome to be reported on an association of its own"
            ),
            Ok(Err(_)) | Err(_) => tracing::warn!(
                calling = self.calling.as_str(),
                transaction = transaction.as_str(),
                "commitment outcome not reported: the service stops or has too many; the peer must ask again"
            ),
        }
    }
}

fn judge(commitment: &Commitment, asked: &Asked) -> JoinHandle<Outcome> {
    let (custody, request) = (commitment.custody.clone(), asked.request.clone());
    spawn_blocking(move || custody.outcome(&request))
}

/// A judge that fails commits nothing.
fn judged(judged: Result<Outcome, JoinError>, request: &Request) -> Outcome {
    judged.unwrap_or_else(|_| {
        tracing::error!(
            transaction = request.transaction.as_str(),
            "commitment judged by an internal error; please report it"
        );
        Outcome::judged(request, |_| Err(FailureReason::PROCESSING_FAILURE))
    })
}
