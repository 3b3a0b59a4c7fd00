//! Protocol data units (PS3.8 9.3). Association PDUs are read and written with dicom-ul; P-DATA is cut into
//! slices of the received buffer.

use std::fmt;

use bytes::{Buf, Bytes};
use dicom_ul::pdu::{self as ul, AssociationAC, AssociationRJ, AssociationRQ};

/// Octets of a PDU before its variable field: type, reserved, length.
pub const HEADER_BYTES: usize = 6;
/// Octets of a presentation data value before its fragment: length, context ID, message control header.
const PDV_HEADER_BYTES: usize = 6;
/// Longest variable field of an association PDU that is read. 128 contexts of 12 transfer syntaxes are 44 KiB.
const ASSOCIATION_BOUND: u32 = 256 * 1024;
/// The same for a PDU whose variable field has four octets.
const FIXED_BOUND: u32 = 64;
/// P-DATA length assumed of a peer that announces none, and the largest that is sent to any.
pub const OUR_LARGEST: u32 = 131_072;

/// Why bytes are no PDU.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PduError {
    /// No PDU has this type.
    #[error("PDU type {0:02X} does not exist{hint}", hint = hint(*.0))]
    Unrecognized(u8),
    /// The declared length is over what is taken.
    #[error("a PDU of type {kind:02X} declares {length} bytes; at most {bound} are taken")]
    TooLong {
        /// PDU type.
        kind: u8,
        /// Declared length.
        length: u32,
        /// What is taken.
        bound: u32,
    },
    /// A field of the PDU is wrong.
    #[error("a PDU of type {kind:02X} is malformed: {cause}")]
    Malformed {
        /// PDU type.
        kind: u8,
        /// What is wrong.
        cause: String,
    },
}

fn hint(kind: u8) -> &'static str {
    match kind {
        0x16 => " (this looks like TLS: the peer is set to a secure connection, Auscult's port is not)",
        b'G' | b'P' | b'H' => " (this looks like HTTP: the port speaks DICOM)",
        _ => "",
    }
}

impl PduError {
    /// How to end an association in which it happens (PS3.8 9.3.8).
    pub fn abort(&self) -> Abort {
        match self {
            Self::Unrecognized(_) => Abort::UNRECOGNIZED_PDU,
            Self::TooLong { .. } | Self::Malformed { .. } => Abort::INVALID_PARAMETER,
        }
    }
}

/// Source and reason of an A-ABORT (PS3.8 9.3.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort {
    source: u8,
    reason: u8,
}

impl Abort {
    /// The DIMSE service user gives up: a broken message, silence, shutdown.
    pub const BY_USER: Self = Self { source: 0, reason: 0 };
    /// A PDU type that does not exist.
    pub const UNRECOGNIZED_PDU: Self = Self { source: 2, reason: 1 };
    /// A PDU that has no place in this state (PS3.8 9.2).
    pub const UNEXPECTED_PDU: Self = Self { source: 2, reason: 2 };
    /// A field of a PDU holds what it must not.
    pub const INVALID_PARAMETER: Self = Self { source: 2, reason: 6 };
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.source, self.reason) {
            (0, _) => "by the application",
            (2, 1) => "by the protocol: unrecognized PDU",
            (2, 2) => "by the protocol: unexpected PDU",
            (2, 4) => "by the protocol: unrecognized PDU parameter",
            (2, 5) => "by the protocol: unexpected PDU parameter",
            (2, 6) => "by the protocol: invalid PDU parameter",
            _ => "by the protocol, no reason given",
        })
    }
}

/// One PDU.
#[derive(Debug, Clone, PartialEq)]
pub enum Pdu {
    /// A-ASSOCIATE-RQ (PS3.8 9.3.2).
    AssociateRq(AssociationRQ),
    /// A-ASSOCIATE-AC (PS3.8 9.3.3).
    AssociateAc(AssociationAC),
    /// A-ASSOCIATE-RJ (PS3.8 9.3.4).
    AssociateRj(AssociationRJ),
    /// P-DATA-TF (PS3.8 9.3.5).
    Data(Pdvs),
    /// A-RELEASE-RQ (PS3.8 9.3.6).
    ReleaseRq,
    /// A-RELEASE-RP (PS3.8 9.3.7).
    ReleaseRp,
    /// A-ABORT (PS3.8 9.3.8).
    Abort(Abort),
}

/// Whether a fragment belongs to a command or to a data set (PS3.8 E.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Command set.
    Command,
    /// Data set.
    DataSet,
}

/// One presentation data value (PS3.8 9.3.5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdv {
    /// Presentation context ID.
    pub context: u8,
    /// What the fragment belongs to.
    pub part: Part,
    /// Whether it is the last fragment of its command or data set.
    pub last: bool,
    /// The fragment, in the buffer it was received in.
    pub fragment: Bytes,
}

/// The presentation data values of one P-DATA-TF, not yet cut apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pdvs(Bytes);

impl Pdvs {
    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn cut(&mut self) -> Result<Pdv, &'static str> {
        let Label { context, part, last, length } = Label::read(&self.0)?;
        self.0.advance(PDV_HEADER_BYTES);
        Ok(Pdv { context, part, last, fragment: self.0.split_to(length) })
    }
}

/// What stands before the fragment of a presentation data value (PS3.8 9.3.5.1).
struct Label {
    context: u8,
    part: Part,
    last: bool,
    /// Octets of the fragment, which are there.
    length: usize,
}

impl Label {
    fn read(values: &[u8]) -> Result<Self, &'static str> {
        let [l0, l1, l2, l3, context, control] =
            *values.first_chunk::<PDV_HEADER_BYTES>().ok_or("bytes after the last value")?;
        let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if length < 2 || length > values.len() - 4 {
            return Err("the length of a value is wrong");
        }
        let part = if control & 1 == 1 { Part::Command } else { Part::DataSet };
        Ok(Self { context, part, last: control & 2 == 2, length: length - 2 })
    }
}

/// The fragments in the values of a P-DATA-TF, where all are well-formed and belong to the data set of one context, and
/// none but the last ends it; and whether that does.
pub fn data_set_fragments(values: &[u8], context: u8) -> Option<(impl Iterator<Item = &[u8]>, bool)> {
    let (mut rest, mut ended) = (values, false);
    while !rest.is_empty() {
        let label = Label::read(rest).ok()?;
        if ended || label.context != context || label.part != Part::DataSet {
            return None;
        }
        ended = label.last;
        rest = rest.get(PDV_HEADER_BYTES + label.length..)?;
    }
    let mut rest = values;
    let fragments = std::iter::from_fn(move || {
        let length = Label::read(rest).ok()?.length;
        let (fragment, behind) = rest.get(PDV_HEADER_BYTES..)?.split_at_checked(length)?;
        rest = behind;
        Some(fragment)
    });
    Some((fragments, ended))
}

impl Iterator for Pdvs {
    type Item = Result<Pdv, PduError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let cut = self.cut();
        if cut.is_err() {
            self.0.clear();
        }
        Some(cut.map_err(|cause| PduError::Malformed { kind: 4, cause: cause.into() }))
    }
}

/// Type and length of the PDU that starts with these octets, the length within what is taken of its type.
pub fn header(octets: [u8; HEADER_BYTES], data_bound: u32) -> Result<(u8, usize), PduError> {
    let [kind, _, l0, l1, l2, l3] = octets;
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    let bound = match kind {
        1 | 2 => ASSOCIATION_BOUND,
        4 => data_bound,
        3 | 5 | 6 | 7 => FIXED_BOUND,
        _ => return Err(PduError::Unrecognized(kind)),
    };
    match usize::try_from(length) {
        Ok(octets) if length <= bound => Ok((kind, octets)),
        _ => Err(PduError::TooLong { kind, length, bound }),
    }
}

/// Reads a whole PDU, header included.
pub fn decode(pdu: Bytes) -> Result<Pdu, PduError> {
    let kind = pdu.first().copied().unwrap_or_default();
    let malformed = |cause: String| PduError::Malformed { kind, cause };
    let mut body = pdu.clone();
    body.advance(HEADER_BYTES.min(pdu.len()));
    match kind {
        4 => return Ok(Pdu::Data(Pdvs(body))),
        5 => return Ok(Pdu::ReleaseRq),
        6 => return Ok(Pdu::ReleaseRp),
        7 => {
            let [_, _, source, reason] = body.first_chunk().copied().unwrap_or_default();
            return Ok(Pdu::Abort(Abort { source, reason }));
        }
        _ => {}
    }
    let tolerant = tolerant(&pdu, kind);
    match ul::read_pdu(tolerant.as_slice(), ul::MAXIMUM_PDU_SIZE, false) {
        Ok(Some(ul::Pdu::AssociationRQ(request))) => Ok(Pdu::AssociateRq(request)),
        Ok(Some(ul::Pdu::AssociationAC(accept))) => Ok(Pdu::AssociateAc(accept)),
        Ok(Some(ul::Pdu::AssociationRJ(reject))) => Ok(Pdu::AssociateRj(reject)),
        Ok(_) => Err(malformed("its length is wrong".into())),
        // dicom-ul's own words would repeat the peer's.
        Err(ul::ReadError::InvalidPduVariable { .. }) => Err(malformed("an item does not belong in it".into())),
        Err(error) => Err(malformed(error.to_string())),
    }
}

/// Octets of an association PDU before its items.
const BEFORE_ITEMS: usize = HEADER_BYTES + 68;

/// An association PDU as dicom-ul takes it. Items of unknown type are to be skipped (PS3.8 9.3.1), and a refused
/// context needs no transfer syntax (PS3.8 9.3.3.2); dicom-ul fails on both.
fn tolerant(pdu: &[u8], kind: u8) -> Vec<u8> {
    let (true, Some((start, mut items))) = (kind < 3, pdu.split_at_checked(BEFORE_ITEMS)) else {
        return pdu.to_vec();
    };
    let mut kept = start.to_vec();
    while let Some((&[item, _, l0, l1], rest)) = items.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let Some((value, rest)) = rest.split_at_checked(length) else { break };
        match (item, value) {
            (0x21, &[id, _, result, _, ..]) if result > 0 => {
                kept.extend([0x21, 0, 0, 8, id, 0, result.min(4), 0, 0x40, 0, 0, 0]);
            }
            (0x10 | 0x20 | 0x21 | 0x50, _) => {
                kept.extend([item, 0, l0, l1]);
                kept.extend(value);
            }
            _ => {}
        }
        items = rest;
    }
    kept.extend(items);
    let length = u32::try_from(kept.len() - HEADER_BYTES).unwrap_or(u32::MAX);
    if let Some(field) = kept.get_mut(2..HEADER_BYTES) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    kept
}

/// Writes a PDU.
pub fn encode(pdu: &Pdu) -> Result<Vec<u8>, PduError> {
    let ours = match pdu {
        Pdu::AssociateRq(request) => ul::Pdu::AssociationRQ(request.clone()),
        Pdu::AssociateAc(accept) => ul::Pdu::AssociationAC(accept.clone()),
        Pdu::AssociateRj(reject) => ul::Pdu::AssociationRJ(reject.clone()),
        Pdu::Data(Pdvs(values)) => return Ok(framed(4, values)),
        Pdu::ReleaseRq => return Ok(framed(5, &[0; 4])),
        Pdu::ReleaseRp => return Ok(framed(6, &[0; 4])),
        Pdu::Abort(abort) => return Ok(framed(7, &[0, 0, abort.source, abort.reason])),
    };
    let mut bytes = Vec::new();
    let cause = |error: ul::WriteError| PduError::Malformed { kind: 1, cause: error.to_string() };
    ul::write_pdu(&mut bytes, &ours).map_err(cause)?;
    Ok(bytes)
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&[kind, 0][..], &length.to_be_bytes(), body].concat()
}

/// Whether more fragments of the same command or data set follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// They do.
    More,
    /// These bytes are the end.
    Last,
}

/// Appends bytes of a command or data set as P-DATA-TF PDUs of at most `largest` octets each (PS3.8 9.3.5, E.2).
pub fn put_data(out: &mut Vec<u8>, context: u8, part: Part, bytes: &[u8], ending: Ending, largest: u32) {
    let room = usize::try_from(largest).unwrap_or(usize::MAX).saturating_sub(PDV_HEADER_BYTES).max(1);
    let count = bytes.len().div_ceil(room).max(1);
    for number in 1..=count {
        let fragment = bytes.get((number - 1) * room..bytes.len().min(number * room)).unwrap_or_default();
        let last = number == count && ending == Ending::Last;
        let control = u8::from(part == Part::Command) | (u8::from(last) << 1);
        let value = u32::try_from(fragment.len() + 2).unwrap_or(u32::MAX);
        out.extend([4, 0]);
        out.extend((value.saturating_add(4)).to_be_bytes());
        out.extend(value.to_be_bytes());
        out.extend([context, control]);
        out.extend(fragment);
    }
}

/// What a peer's Maximum Length (PS3.8 D.1) allows us to send; `None` when no fragment fits into it.
pub fn largest_to_send(user_variables: &[ul::UserVariableItem]) -> Option<u32> {
    let announced = user_variables.iter().find_map(|item| match item {
        ul::UserVariableItem::MaxLength(length) => Some(*length),
        _ => None,
    });
    match announced {
        None => Some(16_384),
        Some(0) => Some(OUR_LARGEST),
        Some(length) if length < 16 => None,
        Some(length) => Some(length.min(OUR_LARGEST)),
    }
}

#[cfg(test)]
mod tests;
