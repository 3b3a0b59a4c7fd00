//! An object as the octets of a C-STORE: P-DATA-TF PDUs encoded once, of which each sending changes only the UIDs.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::object::{Object, SOP_CLASS, UID_BYTES, Uid};

/// Presentation context of every data set.
pub const STORAGE_CONTEXT: u8 = 1;
/// Presentation context of C-ECHO.
pub const VERIFICATION_CONTEXT: u8 = 3;

const COMMAND: u8 = 1;
const LAST: u8 = 2;

/// A C-STORE-RQ and its data set, in PDUs as long as the receiver takes them.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Command and first fragment of the data set, with the blanks for UIDs.
    head: Vec<u8>,
    /// The rest, which is the same for every object and shared by all associations.
    body: Arc<Vec<u8>>,
    blanks: Vec<(usize, Uid)>,
}

impl Stream {
    /// Cuts an object into PDUs of at most `largest` octets.
    pub fn encode(object: &Object, largest: usize) -> Result<Self> {
        let fragment = largest - 6;
        let first = object.data_set.get(..fragment.min(object.data_set.len())).unwrap_or_default();
        let mut head = Vec::new();
        put_pdu(&mut head, STORAGE_CONTEXT, COMMAND | LAST, &store_request());
        let mut blanks = Vec::new();
        blanks.extend(find(&head, &Uid::Instance.blank()).map(|at| (at, Uid::Instance)));
        let begin = head.len() + 12;
        put_pdu(&mut head, STORAGE_CONTEXT, if first.len() == object.data_set.len() { LAST } else { 0 }, first);
        blanks.extend(object.blanks.iter().map(|(at, uid)| (begin + at, *uid)));
        let end = blanks.iter().map(|(at, _)| at + UID_BYTES).max().unwrap_or_default();
        ensure!(end <= head.len(), "PDUs of {largest} octets are too short for the header of the object");
        let mut body = Vec::with_capacity(object.data_set.len() + object.data_set.len() / fragment * 12);
        let mut rest = object.data_set.get(first.len()..).unwrap_or_default();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fragment.min(rest.len()));
            put_pdu(&mut body, STORAGE_CONTEXT, if later.is_empty() { LAST } else { 0 }, now);
            rest = later;
        }
        Ok(Self { head, body: Arc::new(body), blanks })
    }

    /// Fills in the UIDs of one object; what is to be sent then is both slices.
    pub fn numbered(&mut self, run: u64, object: u64) -> [&[u8]; 2] {
        for (at, uid) in &self.blanks {
            if let Some(place) = self.head.get_mut(*at..*at + UID_BYTES) {
                place.copy_from_slice(uid.numbered(run, object).as_bytes());
            }
        }
        [&self.head, &self.body]
    }
}

/// A C-ECHO-RQ (PS3.7 9.3.5.1).
pub fn echo() -> Vec<u8> {
    let mut elements = Vec::new();
    put_element(&mut elements, 0x0002, &padded("1.2.840.10008.1.1"));
    put_element(&mut elements, 0x0100, &0x0030_u16.to_le_bytes());
    put_element(&mut elements, 0x0110, &1_u16.to_le_bytes());
    put_element(&mut elements, 0x0800, &0x0101_u16.to_le_bytes());
    let mut pdu = Vec::new();
    put_pdu(&mut pdu, VERIFICATION_CONTEXT, COMMAND | LAST, &with_length(&elements));
    pdu
}

/// The status (0000,0900) of a command set.
pub fn status(mut command: &[u8]) -> Option<u16> {
    while let Some((head, rest)) = command.split_first_chunk::<8>() {
        let [_, _, e0, e1, l0, l1, l2, l3] = *head;
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        if [e0, e1] == 0x0900_u16.to_le_bytes() {
            return value.first_chunk().map(|octets| u16::from_le_bytes(*octets));
        }
        command = rest;
    }
    None
}

/// A C-STORE-RQ (PS3.7 9.3.1.1).
fn store_request() -> Vec<u8> {
    let mut elements = Vec::new();
    put_element(&mut elements, 0x0002, &padded(SOP_CLASS));
    put_element(&mut elements, 0x0100, &0x0001_u16.to_le_bytes());
    put_element(&mut elements, 0x0110, &1_u16.to_le_bytes());
    put_element(&mut elements, 0x0700, &0_u16.to_le_bytes());
    put_element(&mut elements, 0x0800, &0_u16.to_le_bytes());
    put_element(&mut elements, 0x1000, &padded(&Uid::Instance.blank()));
    with_length(&elements)
}

fn with_length(elements: &[u8]) -> Vec<u8> {
    let mut command = Vec::new();
    put_element(&mut command, 0x0000, &length(elements.len()).to_le_bytes());
    command.extend(elements);
    command
}

/// An element of group 0000, implicit VR little endian.
fn put_element(to: &mut Vec<u8>, element: u16, value: &[u8]) {
    to.extend([0, 0]);
    to.extend(element.to_le_bytes());
    to.extend(length(value.len()).to_le_bytes());
    to.extend(value);
}

fn padded(uid: &str) -> Vec<u8> {
    let mut value = uid.as_bytes().to_vec();
    value.resize(value.len().next_multiple_of(2), 0);
    value
}

/// A P-DATA-TF with one value (PS3.8 9.3.5).
fn put_pdu(to: &mut Vec<u8>, context: u8, control: u8, fragment: &[u8]) {
    to.extend([4, 0]);
    to.extend(length(fragment.len() + 6).to_be_bytes());
    to.extend(length(fragment.len() + 2).to_be_bytes());
    to.extend([context, control]);
    to.extend(fragment);
}

fn find(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text.as_bytes())
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
