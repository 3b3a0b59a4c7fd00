//! Requests and outcomes as data sets (PS3.4 tables J.3-1 and J.3-2). A peer's is bounded in bytes and references, and
//! walked over before it is parsed.

use bytes::Bytes;
use dicom::core::value::DataSetSequence;
use dicom::core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom::dictionary_std::tags;
use dicom::encoding::TransferSyntaxIndex;
use dicom::object::InMemDicomObject;
use dicom::object::mem::InMemElement;
use dicom::transfer_syntax::TransferSyntaxRegistry;

use super::{FailureReason, Outcome, Reference, Request};
use crate::ids::{TransactionUid, TransferSyntaxUid};
use crate::part10::{self, WalkError, attribute};

/// Longest data set that is read.
pub const MOST_BYTES: usize = 1024 * 1024;
/// Most references of one request or outcome that are read.
pub const MOST_REFERENCES: usize = 10_000;

/// Why a data set is no request and no outcome. The message has no value of the data set.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// More bytes or references than are read.
    #[error("more than {MOST_BYTES} bytes or {MOST_REFERENCES} references")]
    TooMuch,
    /// No sound data set.
    #[error(transparent)]
    Unsound(#[from] WalkError),
    /// What must be there is not, or is no UID.
    #[error("{0} is missing or not well-formed")]
    Missing(&'static str),
    /// A transfer syntax in which no such data set is written.
    #[error("transfer syntax {0} is not one for commands")]
    TransferSyntax(TransferSyntaxUid),
}

impl Request {
    /// Reads the data set of an N-ACTION-RQ.
    pub fn decode(data_set: Bytes, transfer_syntax: &TransferSyntaxUid) -> Result<Self, Undecodable> {
        let object = read(data_set, transfer_syntax)?;
        let references = sequence(&object, tags::REFERENCED_SOP_SEQUENCE)?;
        if references.is_empty() {
            return Err(Undecodable::Missing("Referenced SOP Sequence (0008,1199)"));
        }
        let references = references.iter().map(reference).collect::<Result<_, _>>()?;
        Ok(Self { transaction: transaction(&object)?, references })
    }

    /// Writes it; `None` in a transfer syntax that is compressed or unknown.
    pub fn encode(&self, transfer_syntax: &TransferSyntaxUid) -> Option<Vec<u8>> {
        let references = self.references.iter().map(item).collect();
        let elements = [uid(tags::TRANSACTION_UID, self.transaction.as_str())];
        write(elements.into_iter().chain([items(tags::REFERENCED_SOP_SEQUENCE, references)]), transfer_syntax)
    }
}

impl Outcome {
    /// Reads the data set of an N-EVENT-REPORT-RQ. What it contains counts, not the event's type.
    pub fn decode(data_set: Bytes, transfer_syntax: &TransferSyntaxUid) -> Result<Self, Undecodable> {
        let object = read(data_set, transfer_syntax)?;
        let committed = sequence(&object, tags::REFERENCED_SOP_SEQUENCE)?;
        let failed = sequence(&object, tags::FAILED_SOP_SEQUENCE)?;
        if committed.len() + failed.len() > MOST_REFERENCES {
            return Err(Undecodable::TooMuch);
        }
        if committed.is_empty() && failed.is_empty() {
            return Err(Undecodable::Missing("Referenced SOP Sequence (0008,1199) or Failed SOP Sequence (0008,1198)"));
        }
        Ok(Self {
            transaction: transaction(&object)?,
            committed: committed.iter().map(reference).collect::<Result<_, _>>()?,
            failed: failed.iter().map(failure).collect::<Result<_, _>>()?,
        })
    }

    /// Writes it; `None` in a transfer syntax that is compressed or unknown.
    pub fn encode(&self, transfer_syntax: &TransferSyntaxUid) -> Option<Vec<u8>> {
        let committed: Vec<_> = self.committed.iter().map(item).collect();
        let failed: Vec<_> = self.failed.iter().map(failed_item).collect();
        let transaction = uid(tags::TRANSACTION_UID, self.transaction.as_str());
        let sequences = [(tags::FAILED_SOP_SEQUENCE, failed), (tags::REFERENCED_SOP_SEQUENCE, committed)];
        // Neither sequence may be there without items.
        let present = sequences.into_iter().filter(|(_, items)| !items.is_empty()).map(|(tag, list)| items(tag, list));
        write([transaction].into_iter().chain(present), transfer_syntax)
    }
}

fn read(data_set: Bytes, transfer_syntax: &TransferSyntaxUid) -> Result<InMemDicomObject, Undecodable> {
    if data_set.len() > MOST_BYTES {
        return Err(Undecodable::TooMuch);
    }
    match plain(transfer_syntax) {
        true => Ok(part10::read_received(data_set, transfer_syntax.as_str())?),
        false => Err(Undecodable::TransferSyntax(transfer_syntax.clone())),
    }
}

/// Whether data sets are written as they are, in one of the three encodings of PS3.5 annex A.
fn plain(transfer_syntax: &TransferSyntaxUid) -> bool {
    let encodings = [part10::IMPLICIT_LITTLE_ENDIAN, part10::EXPLICIT_LITTLE_ENDIAN, part10::EXPLICIT_BIG_ENDIAN];
    encodings.contains(&transfer_syntax.as_str())
}

fn transaction(object: &InMemDicomObject) -> Result<TransactionUid, Undecodable> {
    let text = attribute::text(object, tags::TRANSACTION_UID);
    text.and_then(|text| text.parse().ok()).ok_or(Undecodable::Missing("Transaction UID (0008,1195)"))
}

/// The items of a sequence, none where it is absent.
fn sequence(object: &InMemDicomObject, tag: Tag) -> Result<&[InMemDicomObject], Undecodable> {
    let items = object.get(tag).and_then(|element| element.value().items()).unwrap_or_default();
    if items.len() > MOST_REFERENCES { Err(Undecodable::TooMuch) } else { Ok(items) }
}

fn reference(item: &InMemDicomObject) -> Result<Reference, Undecodable> {
    let sop_class = attribute::text(item, tags::REFERENCED_SOP_CLASS_UID).and_then(|text| text.parse().ok());
    let sop_instance = attribute::text(item, tags::REFERENCED_SOP_INSTANCE_UID).and_then(|text| text.parse().ok());
    Ok(Reference {
        sop_class: sop_class.ok_or(Undecodable::Missing("a Referenced SOP Class UID (0008,1150)"))?,
        sop_instance: sop_instance.ok_or(Undecodable::Missing("a Referenced SOP Instance UID (0008,1155)"))?,
    })
}

/// A failure without a reason is a failure all the same.
fn failure(item: &InMemDicomObject) -> Result<(Reference, FailureReason), Undecodable> {
    let reason = attribute::integer(item, tags::FAILURE_REASON).flatten().and_then(|code| u16::try_from(code).ok());
    Ok((reference(item)?, reason.map_or(FailureReason::PROCESSING_FAILURE, FailureReason::new)))
}

fn uid(tag: Tag, uid: &str) -> InMemElement {
    DataElement::new(tag, VR::UI, PrimitiveValue::from(uid))
}

fn item(reference: &Reference) -> InMemDicomObject {
    InMemDicomObject::from_element_iter([
        uid(tags::REFERENCED_SOP_CLASS_UID, reference.sop_class.as_str()),
        uid(tags::REFERENCED_SOP_INSTANCE_UID, reference.sop_instance.as_str()),
    ])
}

fn failed_item((reference, reason): &(Reference, FailureReason)) -> InMemDicomObject {
    let mut item = item(reference);
    item.put(DataElement::new(tags::FAILURE_REASON, VR::US, PrimitiveValue::from(reason.code())));
    item
}

fn items(tag: Tag, items: Vec<InMemDicomObject>) -> InMemElement {
    DataElement::new(tag, VR::SQ, DataSetSequence::new(items, Length::UNDEFINED))
}

fn write(elements: impl Iterator<Item = InMemElement>, transfer_syntax: &TransferSyntaxUid) -> Option<Vec<u8>> {
    let encoding = TransferSyntaxRegistry.get(transfer_syntax.as_str()).filter(|_| plain(transfer_syntax))?;
    let mut bytes = Vec::new();
    InMemDicomObject::from_element_iter(elements).write_dataset_with_ts(&mut bytes, encoding).ok()?;
    Some(bytes)
}
