//! Storage Commitment on an association (PS3.4 annex J): N-ACTION asks for our custody, N-EVENT-REPORT tells what
//! became of what we asked elsewhere.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::association::{Association, Fault};
use super::negotiation::Context;
use super::store::Refused;
use crate::commitment::{
    ALL_COMMITTED_EVENT, Custody, FAILURES_EXIST_EVENT, MOST_BYTES, Outcome, REQUEST_ACTION, Request, Undecodable,
};
use crate::dimse::command::NormalizedRq;
use crate::dimse::{DataSet, Part, Response, Status};
use crate::ids::AeTitle;

/// Who answers for Storage Commitment, and who takes what cannot be answered on an association.
#[derive(Clone)]
pub struct Commitment {
    /// Judges what peers ask about.
    pub custody: Arc<dyn Custody>,
    /// Takes outcomes that the association that asked did not live to hear.
    pub unreported: mpsc::Sender<Unreported>,
    /// Takes outcomes that peers report of what we asked.
    pub outcomes: mpsc::Sender<Reported>,
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commitment").finish_non_exhaustive()
    }
}

/// An outcome to be reported on an association of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreported {
    /// Who asked.
    pub calling: AeTitle,
    /// What became of it.
    pub outcome: Outcome,
}

/// An outcome that a peer reports.
#[derive(Debug)]
pub struct Reported {
    /// Who reports.
    pub calling: AeTitle,
    /// What became of what we asked.
    pub outcome: Outcome,
    /// To be sent once the outcome is safe: only then does the peer hear of success. Dropped, it hears of failure and
    /// may report again.
    pub accepted: oneshot::Sender<()>,
}

impl From<Undecodable> for Refused {
    fn from(error: Undecodable) -> Self {
        let status = match &error {
            Undecodable::TooMuch => Status::RESOURCE_LIMITATION,
            Undecodable::Unsound(_) | Undecodable::Missing(_) | Undecodable::TransferSyntax(_) => {
                Status::INVALID_ARGUMENT
            }
        };
        Self { status, why: error.to_string() }
    }
}

impl Association {
    /// N-ACTION (PS3.4 J.3.2): answered as soon as it is understood, judged afterwards.
    pub(super) async fn act(&mut self, context: &Context, request: &NormalizedRq) -> Result<(), Fault> {
        let arguments = self.receive_arguments(context, request.data_set).await?;
        match self.understand(context, request, arguments).await {
            Ok(asked) => {
                self.respond(context, &Response::to_action(request, Status::SUCCESS)).await?;
                self.reporting.ask(context, asked);
                Ok(())
            }
            Err(refused) => {
                self.note(&refused, "commitment request refused");
                self.respond(context, &Response::to_action(request, refused.status)).await
            }
        }
    }

    async fn understand(
        &self,
        context: &Context,
        request: &NormalizedRq,
        arguments: Result<Bytes, Refused>,
    ) -> Result<Request, Refused> {
        let misplaced = |status| Refused::new(status, "it concerns no Storage Commitment instance");
        request.of_commitment().map_err(misplaced)?;
        if request.type_id != Some(REQUEST_ACTION) {
            return Err(Refused::new(Status::NO_SUCH_ACTION, "it asks for an unknown action"));
        }
        let syntax = context.transfer_syntax.clone();
        let arguments = arguments?;
        let asked = self.decode(move || Request::decode(arguments, &syntax)).await?;
        if !self.reporting.has_room_for(&asked) {
            return Err(Refused::new(Status::RESOURCE_LIMITATION, "too many requests wait for their outcome"));
        }
        Ok(asked)
    }

    /// N-EVENT-REPORT (PS3.4 J.3.3), answered with success only once somebody has made it safe.
    pub(super) async fn take_report(&mut self, context: &Context, request: &NormalizedRq) -> Result<(), Fault> {
        let arguments = self.receive_arguments(context, request.data_set).await?;
        let status = match self.pass_on(context, request, arguments).await {
            Ok(()) => Status::SUCCESS,
            Err(refused) => {
                self.note(&refused, "commitment outcome refused");
                refused.status
            }
        };
        self.respond(context, &Response::to_event_report(request, status)).await
    }

    async fn pass_on(
        &self,
        context: &Context,
        request: &NormalizedRq,
        arguments: Result<Bytes, Refused>,
    ) -> Result<(), Refused> {
        let misplaced = |status| Refused::new(status, "it concerns no Storage Commitment instance");
        request.of_commitment().map_err(misplaced)?;
        if !matches!(request.type_id, Some(ALL_COMMITTED_EVENT | FAILURES_EXIST_EVENT)) {
            return Err(Refused::new(Status::NO_SUCH_EVENT, "it reports an unknown event"));
        }
        let syntax = context.transfer_syntax.clone();
        let arguments = arguments?;
        let outcome = self.decode(move || Outcome::decode(arguments, &syntax)).await?;
        let Some(commitment) = &self.station.commitment else {
            return Err(Refused::new(Status::PROCESSING_FAILURE, "Storage Commitment is off"));
        };
        tracing::info!(
            calling = self.agreement.calling.as_str(),
            transaction = outcome.transaction.as_str(),
            committed = outcome.committed.len(),
            failed = outcome.failed.len(),
            "commitment outcome received"
        );
        let (accepted, safe) = oneshot::channel();
        let reported = Reported { calling: self.agreement.calling.clone(), outcome, accepted };
        let passed = timeout(self.station.silence(), async {
            commitment.outcomes.send(reported).await.ok()?;
            safe.await.ok()
        });
        let failed = || Refused::new(Status::PROCESSING_FAILURE, "nobody could take the outcome; it may come again");
        passed.await.ok().flatten().ok_or_else(failed)
    }

    /// Reads the data set of a command to its end, but keeps no more of it than is read.
    async fn receive_arguments(
        &mut self,
        context: &Context,
        data_set: DataSet,
    ) -> Result<Result<Bytes, Refused>, Fault> {
        if data_set == DataSet::Absent {
            return Ok(Err(Refused::new(Status::INVALID_ARGUMENT, "it comes without a data set")));
        }
        let mut kept = Ok(BytesMut::new());
        loop {
            let value = self.next_fragment(context.id, Part::DataSet).await?;
            match &mut kept {
                Ok(bytes) if bytes.len() + value.fragment.len() > MOST_BYTES => kept = Err(Undecodable::TooMuch.into()),
                Ok(bytes) => bytes.extend_from_slice(&value.fragment),
                Err(_) => {}
            }
            if value.last {
                return Ok(kept.map(BytesMut::freeze));
            }
        }
    }

    /// Decodes away from the network's threads.
    async fn decode<T: Send + 'static>(
        &self,
        decode: impl FnOnce() -> Result<T, Undecodable> + Send + 'static,
    ) -> Result<T, Refused> {
        let _turn = self.station.parsers.acquire().await;
        let failed = |_| Refused::new(Status::PROCESSING_FAILURE, "the parser failed on it");
        Ok(spawn_blocking(decode).await.map_err(failed)??)
    }

    fn note(&self, refused: &Refused, what: &'static str) {
        let Refused { status, why } = refused;
        tracing::warn!(calling = self.agreement.calling.as_str(), %status, why, "{what}");
    }
}
