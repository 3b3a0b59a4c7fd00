//! One established association: messages read from fragments, and answered one after the other (PS3.7 9, PS3.8 E).

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Station;
use super::link::{Event, Link};
use super::negotiation::{Agreement, Context};
use super::reporting::{Due, Reporting};
use crate::dimse::command::{CommandError, MAX_COMMAND_BYTES};
use crate::dimse::pdu::PduError;
use crate::dimse::{Abort, CommandSet, DataSet, Message, Part, Pdv, Request, Response, Status, Wire, WireError};
use crate::spool::Expected;
use crate::stop::stopped;

/// Why an association ended without a release.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Command(#[from] CommandError),
    #[error("aborted by the peer ({0})")]
    Aborted(Abort),
    #[error("released by the peer in the middle of a message")]
    ReleasedInside,
    #[error("the peer sent a PDU that has no place in an association")]
    UnexpectedPdu,
    #[error("the peer used presentation context {0}, which was not accepted")]
    Context(u8),
    #[error("message out of sequence: {0}")]
    Sequence(&'static str),
    #[error("aborted here: the service stops")]
    Stopped,
}

impl Fault {
    /// The A-ABORT due (PS3.8 9.2, PS3.7 annex C); `None` where nobody is left to read it.
    pub(super) fn abort(&self) -> Option<Abort> {
        match self {
            Self::Wire(WireError::Closed | WireError::Cut | WireError::Io(_)) => None,
            Self::Aborted(_) | Self::ReleasedInside => None,
            Self::Wire(WireError::Pdu(error)) => Some(error.abort()),
            Self::UnexpectedPdu => Some(Abort::UNEXPECTED_PDU),
            Self::Context(_) => Some(Abort::INVALID_PARAMETER),
            Self::Wire(WireError::Silence(_)) | Self::Command(_) | Self::Sequence(_) | Self::Stopped => {
                Some(Abort::BY_USER)
            }
        }
    }
}

impl From<PduError> for Fault {
    fn from(error: PduError) -> Self {
        Self::Wire(error.into())
    }
}

/// What an association did, for its line in the log.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) stored: u64,
    pub(super) refused: u64,
}

/// An association in state 6, ready for data transfer (PS3.8 9.2).
#[derive(Debug)]
pub(super) struct Association {
    pub(super) station: Arc<Station>,
    pub(super) agreement: Agreement,
    pub(super) tally: Tally,
    /// Of the next data set.
    pub(super) expected: Expected,
    pub(super) reporting: Reporting,
    pub(super) link: Link,
}

/// What happens between two messages.
enum Turn {
    Peer(Event),
    Ours(Due),
}

impl Association {
    pub(super) fn new(station: Arc<Station>, wire: Wire<TcpStream>, agreement: Agreement) -> Self {
        let (calling, silence) = (agreement.calling.clone(), station.silence());
        let reporting = Reporting::new(station.commitment.clone(), calling, silence);
        let link = Link::new(wire, agreement.largest);
        Self { station, agreement, tally: Tally::default(), expected: Expected::default(), reporting, link }
    }

    pub(super) fn into_parts(self) -> (Wire<TcpStream>, Tally, Reporting) {
        (self.link.into_wire(), self.tally, self.reporting)
    }

    /// Answers message after message, and reports between them, until the peer releases.
    pub(super) async fn converse(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), Fault> {
        loop {
            let turn = tokio::select! {
                biased;
                () = stopped(stop) => return Err(Fault::Stopped),
                due = self.reporting.due() => Turn::Ours(due),
                event = self.link.next_event() => Turn::Peer(event?),
            };
            match turn {
                Turn::Ours(due) => self.reporting.perform(due, &mut self.link).await?,
                Turn::Peer(Event::Value(first)) => self.answer(first).await?,
                Turn::Peer(Event::Release) => return self.link.release().await,
            }
        }
    }

    async fn answer(&mut self, first: Pdv) -> Result<(), Fault> {
        let context = self.context(first.context)?;
        let command = self.read_command(first).await?;
        let request = match Message::decode(&CommandSet::decode(&command)?)? {
            Message::Request(request) => request,
            Message::Response(response) => {
                self.skip_data_set(&context, response.data_set).await?;
                return self.reporting.answered(&response).await;
            }
        };
        match request {
            Request::Cancel => Ok(()),
            Request::Echo(message_id, data_set) => {
                self.skip_data_set(&context, data_set).await?;
                self.respond(&context, &Response::to_echo(message_id)).await
            }
            Request::Store(request) => {
                let status = self.store(&context, &request).await?;
                self.respond(&context, &Response::to_store(&request, status)).await
            }
            Request::Action(request) if context.may_ask_commitment() => self.act(&context, &request).await,
            Request::EventReport(request) if context.is_commitment() => self.take_report(&context, &request).await,
            Request::Action(request) => {
                self.skip_data_set(&context, request.data_set).await?;
                self.respond(&context, &Response::to_action(&request, Status::UNRECOGNIZED_OPERATION)).await
            }
            Request::EventReport(request) => {
                self.skip_data_set(&context, request.data_set).await?;
                self.respond(&context, &Response::to_event_report(&request, Status::UNRECOGNIZED_OPERATION)).await
            }
            Request::Other { field, message_id, sop_class, data_set } => {
                self.skip_data_set(&context, data_set).await?;
                self.respond(&context, &Response::unrecognized(field, message_id, sop_class)).await
            }
        }
    }

    fn context(&self, id: u8) -> Result<Context, Fault> {
        self.agreement.contexts.iter().find(|context| context.id == id).cloned().ok_or(Fault::Context(id))
    }

    async fn read_command(&mut self, first: Pdv) -> Result<Vec<u8>, Fault> {
        if first.part != Part::Command {
            return Err(Fault::Sequence("a data set without a command"));
        }
        let mut command = first.fragment.to_vec();
        let mut last = first.last;
        while !last {
            let next = self.next_fragment(first.context, Part::Command).await?;
            last = next.last;
            if command.len() + next.fragment.len() > MAX_COMMAND_BYTES {
                return Err(CommandError::TooLong.into());
            }
            command.extend_from_slice(&next.fragment);
        }
        Ok(command)
    }

    /// The next fragment of the message that is under way.
    pub(super) async fn next_fragment(&mut self, context: u8, part: Part) -> Result<Pdv, Fault> {
        match self.link.next_event().await? {
            Event::Value(value) if value.context == context && value.part == part => Ok(value),
            Event::Value(value) if value.context != context => {
                self.context(value.context)?;
                Err(Fault::Sequence("a fragment of another presentation context inside a message"))
            }
            Event::Value(_) if part == Part::Command => Err(Fault::Sequence("a data set inside a command")),
            Event::Value(_) => Err(Fault::Sequence("a command where a data set is due")),
            Event::Release => {
                self.link.release().await?;
                Err(Fault::ReleasedInside)
            }
        }
    }

    async fn skip_data_set(&mut self, context: &Context, data_set: DataSet) -> Result<(), Fault> {
        let mut ended = data_set == DataSet::Absent;
        while !ended {
            ended = self.next_fragment(context.id, Part::DataSet).await?.last;
        }
        Ok(())
    }

    pub(super) async fn respond(&mut self, context: &Context, response: &Response) -> Result<(), Fault> {
        self.link.send_command(context.id, &response.command_set()).await
    }
}
