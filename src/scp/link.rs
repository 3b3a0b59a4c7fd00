//! The wire of an established association, seen as presentation data values and releases (PS3.8 9.2, state 6).

use std::ops::ControlFlow;

use tokio::net::TcpStream;

use super::association::Fault;
use crate::dimse::pdu::{self, Ending, Pdvs};
use crate::dimse::{CommandSet, Part, Pdu, Pdv, Rush, Wire, WireError};

/// What a peer does next.
pub(super) enum Event {
    Value(Pdv),
    Release,
}

/// A wire, and what is left of the P-DATA-TF received last.
#[derive(Debug)]
pub(super) struct Link {
    wire: Wire<TcpStream>,
    values: Pdvs,
    /// Longest P-DATA-TF that the peer takes.
    largest: u32,
}

impl Link {
    pub(super) fn new(wire: Wire<TcpStream>, largest: u32) -> Self {
        Self { wire, values: Pdvs::default(), largest }
    }

    pub(super) fn into_wire(self) -> Wire<TcpStream> {
        self.wire
    }

    /// The next value or release. Dropping the future loses nothing.
    pub(super) async fn next_event(&mut self) -> Result<Event, Fault> {
        loop {
            if let Some(value) = self.values.next().transpose()? {
                return Ok(Event::Value(value));
            }
            match self.wire.read().await? {
                Pdu::Data(values) => self.values = values,
                Pdu::ReleaseRq => return Ok(Event::Release),
                Pdu::Abort(abort) => return Err(Fault::Aborted(abort)),
                Pdu::AssociateRq(_) | Pdu::AssociateAc(_) | Pdu::AssociateRj(_) | Pdu::ReleaseRp => {
                    return Err(Fault::UnexpectedPdu);
                }
            }
        }
    }

    /// Hands on what comes of a data set as long as it keeps coming; see [`Wire::rush`].
    pub(super) fn rush(&mut self, context: u8, take: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<Rush, Fault> {
        match self.values.is_empty() {
            true => Ok(self.wire.rush(context, take).map_err(WireError::Io)?),
            false => Ok(Rush::Over),
        }
    }

    pub(super) async fn send_command(&mut self, context: u8, command: &CommandSet) -> Result<(), Fault> {
        Ok(self.wire.send_command(context, command, self.largest).await?)
    }

    /// Sends a command and the data set that follows it.
    pub(super) async fn send_message(
        &mut self,
        context: u8,
        command: &CommandSet,
        data_set: &[u8],
    ) -> Result<(), Fault> {
        let mut pdus = Vec::new();
        pdu::put_data(&mut pdus, context, Part::Command, &command.encode(), Ending::Last, self.largest);
        pdu::put_data(&mut pdus, context, Part::DataSet, data_set, Ending::Last, self.largest);
        Ok(self.wire.write(&pdus).await?)
    }

    pub(super) async fn release(&mut self) -> Result<(), Fault> {
        Ok(self.wire.send(&Pdu::ReleaseRp).await?)
    }
}
