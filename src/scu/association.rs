//! One association as its requestor: C-ECHO, C-STORE, release (PS3.7 9.1.1, 9.1.5; PS3.8 7.2).

use std::collections::VecDeque;
use std::io::Read;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dicom_ul::pdu::PresentationContextResultReason;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;

use super::connect::{associate, connect, numbered, role_accepted};
use super::inbox::{Inbox, Received};
use super::object::Source;
use super::{Object, Peer, Proposal, Role, ScuError};
use crate::dimse::command::NormalizedRq;
use crate::dimse::pdu::{self, Ending};
use crate::dimse::{Abort, CommandSet, Message, Part, Pdu, Request, Status, Wire, WireError};
use crate::ids::{SopClassUid, TransferSyntaxUid};

/// Bytes of a data set in memory at a time.
const PIECE_BYTES: u64 = 256 * 1024;

/// An association that the peer has accepted. Dropped without release, it is closed.
#[derive(Debug)]
pub struct Association {
    wire: Wire<TcpStream>,
    patience: Duration,
    contexts: Vec<(u8, Proposal)>,
    largest: u32,
    last_message: u16,
    inbox: Box<Inbox>,
    /// Outcomes of Storage Commitment that have not been answered yet.
    pub(super) reports: VecDeque<(u8, NormalizedRq, Option<Bytes>)>,
}

impl Association {
    /// Connects and associates. At most [`super::MAX_CONTEXTS`] proposals are made; further ones are left out.
    pub async fn open(peer: &Peer, proposals: &[Proposal]) -> Result<Self, ScuError> {
        let mut wire = connect(peer).await?;
        let accept = associate(&mut wire, peer, proposals).await?;
        let Some(largest) = pdu::largest_to_send(&accept.user_variables) else {
            wire.abort(Abort::INVALID_PARAMETER).await;
            return Err(ScuError::Protocol("its maximum length holds no message".into()));
        };
        let accepted = |id: u8, proposal: &Proposal| {
            accept.presentation_contexts.iter().any(|result| {
                result.id == id
                    && result.reason == PresentationContextResultReason::Acceptance
                    && result.transfer_syntax.trim_end_matches(['\0', ' ']) == proposal.transfer_syntax.as_str()
            }) && role_accepted(&accept, proposal)
        };
        let contexts = numbered(proposals).filter(|(id, proposal)| accepted(*id, proposal));
        let contexts = contexts.map(|(id, proposal)| (id, proposal.clone())).collect();
        let (inbox, reports) = (Box::default(), VecDeque::new());
        Ok(Self { wire, patience: peer.response, contexts, largest, last_message: 0, inbox, reports })
    }

    /// C-ECHO.
    pub async fn echo(&mut self) -> Result<Status, ScuError> {
        let Some((context, _)) = self.accepted(crate::dimse::sop_class::VERIFICATION, Role::User) else {
            return Err(ScuError::Protocol("it does not accept Verification; enable C-ECHO there".into()));
        };
        let message_id = self.next_message();
        self.send_command(context, &Request::echo(message_id), "sending C-ECHO").await?;
        self.response(message_id, "waiting for the answer to C-ECHO").await
    }

    /// C-STORE of one object, in its own transfer syntax where the peer takes that.
    pub async fn store(&mut self, object: &Object) -> Result<Status, ScuError> {
        let (context, syntax) = self.context(object)?;
        let (mut source, mut left) = open_source(object.clone(), syntax).await?;
        let message_id = self.next_message();
        let doing = "sending an object";
        let command = Request::store(message_id, &object.sop_class, &object.sop_instance);
        self.send_command(context, &command, doing).await?;
        let mut pdus = Vec::new();
        loop {
            let (after, piece) = match read_piece(source, left.min(PIECE_BYTES)).await {
                Ok(read) => read,
                Err(cause) => return Err(self.give_up(object, cause).await),
            };
            source = after;
            left = left.saturating_sub(PIECE_BYTES);
            let ending = if left == 0 { Ending::Last } else { Ending::More };
            pdus.clear();
            pdu::put_data(&mut pdus, context, Part::DataSet, &piece, ending, self.largest);
            let sent = self.wire.write(&pdus).await;
            self.or_abort(sent, doing).await?;
            if ending == Ending::Last {
                return self.response(message_id, "waiting for the answer to C-STORE").await;
            }
        }
    }

    /// Releases the association (PS3.8 7.2).
    pub async fn release(mut self) -> Result<(), ScuError> {
        let doing = "releasing";
        let on_wire = |error| ScuError::from_wire(error, doing);
        self.wire.send(&Pdu::ReleaseRq).await.map_err(on_wire)?;
        loop {
            match self.wire.read().await.map_err(on_wire)? {
                Pdu::ReleaseRp => break,
                Pdu::ReleaseRq => self.wire.send(&Pdu::ReleaseRp).await.map_err(on_wire)?,
                Pdu::Data(_) => {}
                Pdu::Abort(abort) => return Err(ScuError::Aborted(abort)),
                _ => return Err(ScuError::Protocol("unexpected PDU while releasing".into())),
            }
        }
        self.wire.close().await;
        Ok(())
    }

    /// Aborts the association (PS3.8 7.3).
    pub async fn abort(self) {
        self.wire.abort(Abort::BY_USER).await;
    }

    fn context(&self, object: &Object) -> Result<(u8, TransferSyntaxUid), ScuError> {
        let accepted = |class: &SopClassUid, syntax: &TransferSyntaxUid| {
            self.contexts.iter().find(|(_, p)| p.abstract_syntax == *class && p.transfer_syntax == *syntax)
        };
        let found = object.offers().into_iter().find_map(|syntax| accepted(&object.sop_class, &syntax));
        found.map(|(id, proposal)| (*id, proposal.transfer_syntax.clone())).ok_or_else(|| ScuError::NoContext {
            sop_class: object.sop_class.clone(),
            transfer_syntax: object.transfer_syntax.clone(),
        })
    }

    pub(super) fn next_message(&mut self) -> u16 {
        self.last_message = self.last_message.checked_add(1).unwrap_or(1);
        self.last_message
    }

    /// Reads the response to a message. An outcome of Storage Commitment may come before it.
    pub(super) async fn response(&mut self, message_id: u16, doing: &'static str) -> Result<Status, ScuError> {
        loop {
            let Received { context, message, data_set } = self.receive(doing).await?;
            match message {
                Message::Response(response) if response.responding_to == message_id => return Ok(response.status),
                Message::Response(_) => return Err(ScuError::Protocol("it answered another message".into())),
                Message::Request(Request::EventReport(report)) => self.keep_report(context, report, data_set)?,
                Message::Request(_) => return Err(ScuError::Protocol(format!("a request while {doing}"))),
            }
        }
    }

    async fn receive(&mut self, doing: &'static str) -> Result<Received, ScuError> {
        loop {
            if let Some(received) = self.inbox.next()? {
                return Ok(received);
            }
            let read = self.wire.read().await.map_err(|error| ScuError::from_wire(error, doing))?;
            self.take(read, doing).await?;
        }
    }

    /// The next message; `None` when none is whole by the deadline. What came of it is kept.
    pub(super) async fn receive_until(
        &mut self,
        deadline: Instant,
        doing: &'static str,
    ) -> Result<Option<Received>, ScuError> {
        loop {
            if let Some(received) = self.inbox.next()? {
                return Ok(Some(received));
            }
            self.wire.set_patience(deadline.saturating_duration_since(Instant::now()));
            let read = self.wire.read().await;
            self.wire.set_patience(self.patience);
            match read {
                Err(WireError::Silence(_)) => return Ok(None),
                read => self.take(read.map_err(|error| ScuError::from_wire(error, doing))?, doing).await?,
            }
        }
    }

    async fn take(&mut self, read: Pdu, doing: &'static str) -> Result<(), ScuError> {
        match read {
            Pdu::Data(values) => {
                self.inbox.put(values);
                Ok(())
            }
            Pdu::Abort(abort) => Err(ScuError::Aborted(abort)),
            Pdu::ReleaseRq => {
                let _ = self.wire.send(&Pdu::ReleaseRp).await;
                Err(ScuError::Closed { doing })
            }
            _ => Err(ScuError::Protocol(format!("unexpected PDU while {doing}"))),
        }
    }

    pub(super) async fn send_command(
        &mut self,
        context: u8,
        command: &CommandSet,
        doing: &'static str,
    ) -> Result<(), ScuError> {
        let sent = self.wire.send_command(context, command, self.largest).await;
        self.or_abort(sent, doing).await
    }

    /// Sends a command and the data set that follows it.
    pub(super) async fn send_message(
        &mut self,
        context: u8,
        command: &CommandSet,
        data_set: &[u8],
        doing: &'static str,
    ) -> Result<(), ScuError> {
        let mut pdus = Vec::new();
        pdu::put_data(&mut pdus, context, Part::Command, &command.encode(), Ending::Last, self.largest);
        pdu::put_data(&mut pdus, context, Part::DataSet, data_set, Ending::Last, self.largest);
        let sent = self.wire.write(&pdus).await;
        self.or_abort(sent, doing).await
    }

    /// The context in which a class was accepted in a role, and its transfer syntax.
    pub(super) fn accepted(&self, class: &str, role: Role) -> Option<(u8, TransferSyntaxUid)> {
        let found = self.contexts.iter().find(|(_, p)| p.abstract_syntax.as_str() == class && p.role == role);
        found.map(|(id, proposal)| (*id, proposal.transfer_syntax.clone()))
    }

    pub(super) fn transfer_syntax(&self, context: u8) -> Option<&TransferSyntaxUid> {
        self.contexts.iter().find(|(id, _)| *id == context).map(|(_, proposal)| &proposal.transfer_syntax)
    }

    /// When sending fails, the peer may have said why before it closed.
    async fn or_abort(&mut self, sent: Result<(), WireError>, doing: &'static str) -> Result<(), ScuError> {
        let Err(error) = sent else { return Ok(()) };
        if matches!(error, WireError::Io(_))
            && let Ok(Pdu::Abort(abort)) = self.wire.read().await
        {
            return Err(ScuError::Aborted(abort));
        }
        Err(ScuError::from_wire(error, doing))
    }

    /// The object cannot be read to its end: the message cannot be completed, so the association ends.
    async fn give_up(&mut self, object: &Object, cause: String) -> ScuError {
        let _ = self.wire.send(&Pdu::Abort(Abort::BY_USER)).await;
        ScuError::Unfinished { path: object.place(), cause }
    }
}

async fn open_source(object: Object, syntax: TransferSyntaxUid) -> Result<(Source, u64), ScuError> {
    let place = object.place();
    let panicked = |_| ScuError::Object { path: place, cause: "the parser failed on it".into() };
    spawn_blocking(move || object.read_in(&syntax)).await.map_err(panicked)?
}

async fn read_piece(mut source: Source, length: u64) -> Result<(Source, Vec<u8>), String> {
    let read = spawn_blocking(move || {
        let mut piece = Vec::new();
        source.by_ref().take(length).read_to_end(&mut piece)?;
        match u64::try_from(piece.len()) {
            Ok(count) if count == length => Ok((source, piece)),
            _ => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
        }
    });
    read.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}
