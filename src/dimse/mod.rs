//! The DICOM network's values: commands and their statuses (PS3.7), PDUs and their framing (PS3.8), and the SOP
//! classes and transfer syntaxes that Auscult speaks. No policy: the stations decide, these words carry it.

pub mod command;
pub mod pdu;
mod rush;
pub mod sop_class;
pub mod status;
pub mod transfer_syntax;
pub mod wire;

pub use command::{CommandSet, DataSet, Message, Priority, Request, Response};
pub use pdu::{Abort, Part, Pdu, Pdv};
pub use rush::Rush;
pub use status::{Class, Status};
pub use wire::{Wire, WireError};

/// DICOM Application Context Name (PS3.7 A.2.1).
pub const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
