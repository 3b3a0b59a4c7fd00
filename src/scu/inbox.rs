//! What a peer sends on an association that we requested, put together to messages (PS3.7 6.3, PS3.8 E.1).

use bytes::Bytes;

use super::ScuError;
use crate::commitment::MOST_BYTES;
use crate::dimse::command::{CommandError, MAX_COMMAND_BYTES};
use crate::dimse::pdu::Pdvs;
use crate::dimse::{CommandSet, DataSet, Message, Part, Pdv, Request};

/// A message with the data set that came with it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) context: u8,
    pub(super) message: Message,
    pub(super) data_set: Option<Bytes>,
}

/// Fragments that are no whole message yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// What is left of the P-DATA-TF received last.
    values: Pdvs,
    command: Vec<u8>,
    /// The command whose data set is under way.
    begun: Option<(u8, Message)>,
    data_set: Vec<u8>,
}

impl Inbox {
    /// Takes the values of a P-DATA-TF, when those before are used up.
    pub(super) fn put(&mut self, values: Pdvs) {
        self.values = values;
    }

    /// The next whole message; `None` when more has to come.
    pub(super) fn next(&mut self) -> Result<Option<Received>, ScuError> {
        while let Some(value) = self.values.next() {
            let whole = self.add(value?)?;
            if whole.is_some() {
                return Ok(whole);
            }
        }
        Ok(None)
    }

    fn add(&mut self, value: Pdv) -> Result<Option<Received>, ScuError> {
        match (value.part, self.begun.take()) {
            (Part::Command, None) => self.add_to_command(&value),
            (Part::DataSet, Some((context, message))) if context == value.context => {
                if self.data_set.len() + value.fragment.len() > MOST_BYTES {
                    return Err(ScuError::Protocol(format!("it sends a data set of more than {MOST_BYTES} bytes")));
                }
                self.data_set.extend_from_slice(&value.fragment);
                if value.last {
                    let data_set = Some(std::mem::take(&mut self.data_set).into());
                    return Ok(Some(Received { context, message, data_set }));
                }
                self.begun = Some((context, message));
                Ok(None)
            }
            _ => Err(ScuError::Protocol("it sends commands and data sets out of sequence".into())),
        }
    }

    fn add_to_command(&mut self, value: &Pdv) -> Result<Option<Received>, ScuError> {
        if self.command.len() + value.fragment.len() > MAX_COMMAND_BYTES {
            return Err(CommandError::TooLong.into());
        }
        self.command.extend_from_slice(&value.fragment);
        if !value.last {
            return Ok(None);
        }
        let message = Message::decode(&CommandSet::decode(&std::mem::take(&mut self.command))?)?;
        match announced(&message) {
            DataSet::Absent => Ok(Some(Received { context: value.context, message, data_set: None })),
            DataSet::Follows => {
                self.begun = Some((value.context, message));
                Ok(None)
            }
        }
    }
}

fn announced(message: &Message) -> DataSet {
    match message {
        Message::Response(response) => response.data_set,
        Message::Request(Request::Cancel) => DataSet::Absent,
        Message::Request(Request::Echo(_, data_set) | Request::Other { data_set, .. }) => *data_set,
        Message::Request(Request::Store(request)) => request.data_set,
        Message::Request(Request::Action(request) | Request::EventReport(request)) => request.data_set,
    }
}
