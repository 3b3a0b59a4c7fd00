//! Storage Commitment on an association that we requested (PS3.4 annex J): we ask as its SCU, and hear the outcome
//! there; or we report one as its SCP, under role selection.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::inbox::Received;
use super::{Association, Peer, Proposal, Role, ScuError};
use crate::commitment::{ALL_COMMITTED_EVENT, FAILURES_EXIST_EVENT, Outcome, REQUEST_ACTION, Request};
use crate::dimse::command::NormalizedRq;
use crate::dimse::{Message, Request as Command, Response, Status, sop_class, transfer_syntax};
use crate::ids::{IdError, TransferSyntaxUid};

/// Outcomes that wait for [`Association::outcome`]; a peer has one unanswered at a time (PS3.7 D.3.3.3).
const MOST_WAITING: usize = 8;

impl Proposal {
    /// What Storage Commitment needs, in every transfer syntax that it is written in.
    pub fn commitment(role: Role) -> Result<Vec<Self>, ScuError> {
        let known = |_: IdError| ScuError::Protocol("internal: a constant is no UID".into());
        let propose = |syntax: &str| {
            let abstract_syntax = sop_class::STORAGE_COMMITMENT.parse().map_err(known)?;
            Ok(Self { abstract_syntax, transfer_syntax: syntax.parse().map_err(known)?, role })
        };
        [transfer_syntax::EXPLICIT_VR_LITTLE_ENDIAN, transfer_syntax::IMPLICIT_VR_LITTLE_ENDIAN]
            .map(propose)
            .into_iter()
            .collect()
    }
}

impl Association {
    /// N-ACTION: asks for custody of objects (PS3.4 J.3.2). Success says that an outcome will come, here or on an
    /// association of the peer's.
    pub async fn request_commitment(&mut self, request: &Request) -> Result<Status, ScuError> {
        let (context, syntax) = self.commitment_context(Role::User)?;
        let data_set = request.encode(&syntax).ok_or_else(unwritten)?;
        let message_id = self.next_message();
        let command = Command::commitment_action(message_id, REQUEST_ACTION);
        self.send_message(context, &command, &data_set, "asking for storage commitment").await?;
        self.response(message_id, "waiting for the answer to N-ACTION").await
    }

    /// Waits for an outcome on this association and answers it (PS3.4 J.3.3). `None` when none came in time; it may
    /// still come here, or on an association of the peer's.
    pub async fn outcome(&mut self, wait: Duration) -> Result<Option<Outcome>, ScuError> {
        let deadline = Instant::now() + wait;
        let (context, report, data_set) = match self.reports.pop_front() {
            Some(waiting) => waiting,
            None => match self.receive_until(deadline, "waiting for an outcome").await? {
                None => return Ok(None),
                Some(Received { context, message: Message::Request(Command::EventReport(report)), data_set }) => {
                    (context, report, data_set)
                }
                Some(_) => return Err(ScuError::Protocol("it sends something else than an outcome".into())),
            },
        };
        let understood = self.understand(context, &report, data_set);
        let status = understood.as_ref().err().map_or(Status::SUCCESS, |(status, _)| *status);
        let answer = Response::to_event_report(&report, status).command_set();
        self.send_command(context, &answer, "answering an outcome").await?;
        understood.map(Some).map_err(|(_, error)| error)
    }

    fn understand(
        &self,
        context: u8,
        report: &NormalizedRq,
        data_set: Option<Bytes>,
    ) -> Result<Outcome, (Status, ScuError)> {
        let refused = |status, what: &str| (status, ScuError::Protocol(format!("it reports {what}")));
        report.of_commitment().map_err(|status| refused(status, "an event of no Storage Commitment instance"))?;
        if !matches!(report.type_id, Some(ALL_COMMITTED_EVENT | FAILURES_EXIST_EVENT)) {
            return Err(refused(Status::NO_SUCH_EVENT, "an unknown event"));
        }
        let syntax = self
            .transfer_syntax(context)
            .ok_or_else(|| refused(Status::INVALID_ARGUMENT, "in a context that was not accepted"))?;
        let data_set = data_set.ok_or_else(|| refused(Status::INVALID_ARGUMENT, "an outcome without a data set"))?;
        Outcome::decode(data_set, syntax)
            .map_err(|error| refused(Status::INVALID_ARGUMENT, &format!("an outcome that cannot be read: {error}")))
    }

    /// Keeps an outcome that comes while something else is waited for.
    pub(super) fn keep_report(
        &mut self,
        context: u8,
        report: NormalizedRq,
        data_set: Option<Bytes>,
    ) -> Result<(), ScuError> {
        if self.reports.len() >= MOST_WAITING {
            return Err(ScuError::Protocol("it reports outcome after outcome without waiting for the answers".into()));
        }
        self.reports.push_back((context, report, data_set));
        Ok(())
    }

    async fn report(&mut self, outcome: &Outcome) -> Result<Status, ScuError> {
        let (context, syntax) = self.commitment_context(Role::Provider)?;
        let data_set = outcome.encode(&syntax).ok_or_else(unwritten)?;
        let message_id = self.next_message();
        let command = Command::commitment_event(message_id, outcome.event_type());
        self.send_message(context, &command, &data_set, "reporting an outcome").await?;
        self.response(message_id, "waiting for the answer to N-EVENT-REPORT").await
    }

    fn commitment_context(&self, role: Role) -> Result<(u8, TransferSyntaxUid), ScuError> {
        self.accepted(sop_class::STORAGE_COMMITMENT, role).ok_or_else(|| {
            ScuError::Protocol(match role {
                Role::User => "it does not accept Storage Commitment; enable it there".into(),
                Role::Provider => "it does not take reports of Storage Commitment; enable that role there".into(),
            })
        })
    }
}

/// N-EVENT-REPORT on an association of its own, in which the peer is the SCU (PS3.4 J.3.3, PS3.7 D.3.3.4).
pub async fn report_outcome(peer: &Peer, outcome: &Outcome) -> Result<Status, ScuError> {
    let mut association = Association::open(peer, &Proposal::commitment(Role::Provider)?).await?;
    let status = match association.report(outcome).await {
        Ok(status) => status,
        Err(error) => {
            association.abort().await;
            return Err(error);
        }
    };
    if let Err(error) = association.release().await {
        tracing::debug!(%error, "release");
    }
    Ok(status)
}

fn unwritten() -> ScuError {
    ScuError::Protocol("internal: the data set was not written".into())
}
