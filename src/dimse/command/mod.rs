//! Command sets (PS3.7 6.3.1, annex E): group 0000 in implicit VR little endian, read and written by ourselves
//! with every length checked against the bytes that are there.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::dimse::sop_class::VERIFICATION;
use crate::dimse::status::Status;
use crate::ids::{IdError, SopClassUid, SopInstanceUid};

mod message;
mod normalized;

pub use message::{Message, Request, Response, StoreRq};
pub use normalized::NormalizedRq;

/// Longest command set that is read; real ones have a few hundred bytes.
pub const MAX_COMMAND_BYTES: usize = 16 * 1024;

const GROUP_LENGTH: u16 = 0x0000;
const AFFECTED_SOP_CLASS: u16 = 0x0002;
const REQUESTED_SOP_CLASS: u16 = 0x0003;
const COMMAND_FIELD: u16 = 0x0100;
const MESSAGE_ID: u16 = 0x0110;
const RESPONDING_TO: u16 = 0x0120;
const PRIORITY: u16 = 0x0700;
const DATA_SET_TYPE: u16 = 0x0800;
const STATUS: u16 = 0x0900;
const ERROR_COMMENT: u16 = 0x0902;
const AFFECTED_SOP_INSTANCE: u16 = 0x1000;
const REQUESTED_SOP_INSTANCE: u16 = 0x1001;
const EVENT_TYPE: u16 = 0x1002;
const ACTION_TYPE: u16 = 0x1008;

const NO_DATA_SET: u16 = 0x0101;
const A_DATA_SET: u16 = 0x0001;

/// Command Field (0000,0100) of C-STORE-RQ.
const C_STORE_RQ: u16 = 0x0001;
/// Command Field (0000,0100) of C-ECHO-RQ.
const C_ECHO_RQ: u16 = 0x0030;
/// Command Field (0000,0100) of N-EVENT-REPORT-RQ.
const N_EVENT_REPORT_RQ: u16 = 0x0100;
/// Command Field (0000,0100) of N-ACTION-RQ.
const N_ACTION_RQ: u16 = 0x0130;
/// Command Field (0000,0100) of C-CANCEL-RQ.
const C_CANCEL_RQ: u16 = 0x0FFF;
/// What a response's Command Field has more than its request's.
const RESPONSE: u16 = 0x8000;

/// Why bytes are no command set that can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Longer than [`MAX_COMMAND_BYTES`].
    #[error("the command set is longer than {MAX_COMMAND_BYTES} bytes")]
    TooLong,
    /// The bytes end inside an element.
    #[error("the command set ends inside an element")]
    Cut,
    /// An element of another group: a data set, or explicit VR.
    #[error("the command set has an element of group {0:04X}")]
    Group(u16),
    /// An element that every message must have is missing or has no value.
    #[error("the command set lacks {0}")]
    Missing(&'static str),
    /// A response where a request is due, or the other way round.
    #[error("unexpected command field {0:04X}")]
    Unexpected(u16),
}

/// Whether a data set follows the command (Command Data Set Type (0000,0800)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataSet {
    /// None does.
    Absent,
    /// One does, on the same presentation context.
    Follows,
}

/// Priority (0000,0700) of a C-STORE-RQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Priority {
    /// 0002
    Low,
    /// 0000, and whatever else a peer writes
    #[default]
    Medium,
    /// 0001
    High,
}

impl Priority {
    fn from_code(code: u16) -> Self {
        match code {
            1 => Self::High,
            2 => Self::Low,
            _ => Self::Medium,
        }
    }

    fn code(self) -> u16 {
        match self {
            Self::Medium => 0,
            Self::High => 1,
            Self::Low => 2,
        }
    }
}

/// The elements of group 0000, by element number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandSet(BTreeMap<u16, Vec<u8>>);

impl CommandSet {
    /// Reads a command set. The group length is not trusted and not kept.
    pub fn decode(bytes: &[u8]) -> Result<Self, CommandError> {
        if bytes.len() > MAX_COMMAND_BYTES {
            return Err(CommandError::TooLong);
        }
        let mut elements = BTreeMap::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (head, after) = rest.split_first_chunk::<8>().ok_or(CommandError::Cut)?;
            let [g0, g1, e0, e1, length @ ..] = *head;
            let group = u16::from_le_bytes([g0, g1]);
            if group != 0 {
                return Err(CommandError::Group(group));
            }
            let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| CommandError::Cut)?;
            let (value, after) = after.split_at_checked(length).ok_or(CommandError::Cut)?;
            elements.insert(u16::from_le_bytes([e0, e1]), value.to_vec());
            rest = after;
        }
        elements.remove(&GROUP_LENGTH);
        Ok(Self(elements))
    }

    /// Writes it, group length first.
    pub fn encode(&self) -> Vec<u8> {
        let mut elements = Vec::new();
        for (element, value) in &self.0 {
            put(&mut elements, *element, value);
        }
        let mut bytes = Vec::with_capacity(elements.len() + 12);
        let length = u32::try_from(elements.len()).unwrap_or(u32::MAX);
        put(&mut bytes, GROUP_LENGTH, &length.to_le_bytes());
        bytes.extend(elements);
        bytes
    }

    fn with_number(mut self, element: u16, value: u16) -> Self {
        self.0.insert(element, value.to_le_bytes().to_vec());
        self
    }

    fn with_uid(mut self, element: u16, uid: Option<&str>) -> Self {
        if let Some(uid) = uid {
            self.0.insert(element, padded(uid, 0));
        }
        self
    }

    fn with_text(mut self, element: u16, text: Option<&str>) -> Self {
        if let Some(text) = text {
            self.0.insert(element, padded(text, b' '));
        }
        self
    }

    fn number(&self, element: u16) -> Option<u16> {
        self.0.get(&element)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
    }

    fn required(&self, element: u16, name: &'static str) -> Result<u16, CommandError> {
        self.number(element).ok_or(CommandError::Missing(name))
    }

    fn uid<T: FromStr<Err = IdError>>(&self, element: u16) -> Option<T> {
        self.text(element)?.parse().ok()
    }

    fn text(&self, element: u16) -> Option<&str> {
        std::str::from_utf8(self.0.get(&element)?).ok()
    }

    fn data_set(&self) -> Result<DataSet, CommandError> {
        match self.required(DATA_SET_TYPE, "Command Data Set Type (0000,0800)")? {
            NO_DATA_SET => Ok(DataSet::Absent),
            _ => Ok(DataSet::Follows),
        }
    }
}

fn padded(text: &str, pad: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(pad);
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, element: u16, value: &[u8]) {
    bytes.extend([0, 0]);
    bytes.extend(element.to_le_bytes());
    bytes.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wrong_group_length_is_of_no_account() {
        let mut bytes = Request::echo(7).encode();
        bytes[8..12].copy_from_slice(&[0xFF; 4]);
        assert_eq!(Request::decode(&CommandSet::decode(&bytes).unwrap()), Ok(Request::Echo(7, DataSet::Absent)));
    }

    #[test]
    fn hostile_lengths_and_groups_are_refused() {
        let element =
            |group: u16, length: u32| [&group.to_le_bytes()[..], &[0, 1], &length.to_le_bytes(), &[1, 2]].concat();
        assert_eq!(CommandSet::decode(&element(0, u32::MAX)), Err(CommandError::Cut));
        assert_eq!(CommandSet::decode(&element(8, 2)), Err(CommandError::Group(8)));
        assert_eq!(CommandSet::decode(&[0; 7]), Err(CommandError::Cut));
        assert_eq!(CommandSet::decode(&vec![0; MAX_COMMAND_BYTES + 1]), Err(CommandError::TooLong));
        let empty = CommandSet::decode(&[]).unwrap();
        assert_eq!(Request::decode(&empty), Err(CommandError::Missing("Command Field (0000,0100)")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(set) = CommandSet::decode(&bytes) {
                let (request, response) = (Request::decode(&set), Response::decode(&set));
                prop_assert!(request.is_err() || response.is_err());
                prop_assert_eq!(Message::decode(&set).is_ok(), request.is_ok() || response.is_ok());
                prop_assert_eq!(CommandSet::decode(&set.encode()), Ok(set));
            }
        }

        #[test]
        fn elements_go_and_come_back(
            elements in proptest::collection::btree_map(1_u16.., proptest::collection::vec(any::<u8>(), 0..60), 0..20),
        ) {
            let set = CommandSet(elements);
            prop_assert_eq!(CommandSet::decode(&set.encode()), Ok(set));
        }
    }
}
