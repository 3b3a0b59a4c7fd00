//! HL7 v2 for the RIS: a report as an ORU^R01 message, and its way there by MLLP.
//!
//! [`message`] follows HL7 v2.5.1 chapters 2 (encoding) and 7 (observation reporting), [`mllp`] the Minimal Lower Layer
//! Protocol of its transport specification, [`acknowledgement`] chapter 2.9.

mod acknowledgement;
mod encoding;
mod message;
mod mllp;

pub use acknowledgement::{Acknowledgement, Verdict};
pub use message::{Message, Observation, Parties, Reported};
pub use mllp::{Connection, MllpError};
