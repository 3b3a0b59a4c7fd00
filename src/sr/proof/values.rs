//! The report's own values, against PS3.5 table 6.2-1. What it quotes from an image stands as the image has it.

use dicom::core::{Tag, VR};
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;
use dicom::object::mem::InMemElement;

use super::Fault;
use crate::ids::Uid;
use crate::sr::attribute::{legal, verbatim};
use crate::sr::identity;
use crate::sr::scribe::Scribe;

/// Finds the first value of the report's own that is not legal.
pub(super) fn legal_ones(object: &InMemDicomObject, scribe: &Scribe) -> Result<(), Fault> {
    const QUOTATIONS: [Tag; 3] =
        [tags::SPECIFIC_CHARACTER_SET, tags::REFERENCED_REQUEST_SEQUENCE, tags::PERFORMED_PROCEDURE_CODE_SEQUENCE];
    let own = |element: &&InMemElement| {
        let tag = element.header().tag;
        !identity::is_quoted(tag) && !QUOTATIONS.contains(&tag)
    };
    object.iter().filter(own).try_for_each(|element| check(object, element, scribe))
}

fn check(object: &InMemDicomObject, element: &InMemElement, scribe: &Scribe) -> Result<(), Fault> {
    let header = element.header();
    if let Some(items) = element.items() {
        let mut elements = items.iter().flat_map(|item| item.iter().map(move |element| (item, element)));
        return elements.try_for_each(|(item, element)| check(item, element, scribe));
    }
    // Empty is legal wherever the report leaves something empty.
    let Some(octets) = verbatim(object, header.tag) else { return Ok(()) };
    let within = |longest| octets.split(|octet| *octet == b'\\').all(|value| characters(value, scribe) <= longest);
    let sound = match header.vr {
        VR::CS | VR::DA | VR::TM | VR::DS => legal(object, header.tag, header.vr).is_some(),
        VR::UI => std::str::from_utf8(&octets).is_ok_and(|uid| uid.parse::<Uid>().is_ok()),
        VR::IS => std::str::from_utf8(&octets).is_ok_and(|number| number.trim().parse::<i32>().is_ok()),
        VR::SH => within(16),
        VR::LO => within(64),
        _ => true,
    };
    if sound { Ok(()) } else { Err(Fault::Value(header.tag)) }
}

/// How many characters octets stand for; a quoted meaning in a set that is not read counts as its octets would at four
/// to a character.
fn characters(octets: &[u8], scribe: &Scribe) -> usize {
    const MOST_OCTETS: usize = 4;
    match scribe.read(octets) {
        Some(text) => text.trim_end().chars().count(),
        None => octets.trim_ascii_end().len().div_ceil(MOST_OCTETS),
    }
}
