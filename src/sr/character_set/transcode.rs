//! The texts that a report copies, from the character set of their image to Unicode.

use dicom::core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom::core::{DataElement, PrimitiveValue, Tag, VR};
use dicom::dictionary_std::{StandardDataDictionary, tags};
use dicom::object::InMemDicomObject;
use dicom::object::mem::InMemElement;

use super::CharacterSet;
use crate::sr::attribute::verbatim;
use crate::sr::content::sequence;

/// What becomes of a text that cannot be decoded faithfully.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Nothing is transcoded.
    Refuses,
    /// The others are.
    LeavesOut,
}

/// The same data set in ISO_IR 192, with those texts and sequences only that are `wanted` of it; `None` when one of them
/// cannot be decoded faithfully. The values are octets, before and after.
pub(in crate::sr) fn in_unicode(image: &InMemDicomObject, wanted: fn(Tag) -> bool) -> Option<InMemDicomObject> {
    let set = CharacterSet::parse(verbatim(image, tags::SPECIFIC_CHARACTER_SET).as_deref())?;
    let mut object = data_set(image, &set, wanted, Doubt::Refuses)?;
    object.put(octets(tags::SPECIFIC_CHARACTER_SET, VR::CS, b"ISO_IR 192".to_vec()));
    Some(object)
}

/// The same without the texts that cannot be decoded faithfully; of a set that is unknown, ASCII is left.
pub(in crate::sr) fn readable_in_unicode(image: &InMemDicomObject, wanted: fn(Tag) -> bool) -> InMemDicomObject {
    let set = CharacterSet::parse(verbatim(image, tags::SPECIFIC_CHARACTER_SET).as_deref());
    let set = set.unwrap_or(CharacterSet::ASCII);
    data_set(image, &set, wanted, Doubt::LeavesOut).unwrap_or_else(InMemDicomObject::new_empty)
}

/// The same data set without the texts that are not ASCII, which every set has.
pub(in crate::sr) fn in_ascii(image: &InMemDicomObject, wanted: fn(Tag) -> bool) -> InMemDicomObject {
    data_set(image, &CharacterSet::ASCII, wanted, Doubt::LeavesOut).unwrap_or_else(InMemDicomObject::new_empty)
}

fn data_set(
    object: &InMemDicomObject,
    set: &CharacterSet,
    wanted: fn(Tag) -> bool,
    doubt: Doubt,
) -> Option<InMemDicomObject> {
    let mut transcoded = InMemDicomObject::new_empty();
    for element in object.iter() {
        let tag = element.header().tag;
        let vr = vr(element);
        let plain = !is_text(vr) && vr != VR::SQ;
        if tag == tags::SPECIFIC_CHARACTER_SET || !(plain || wanted(tag)) {
            continue;
        }
        let read = if plain { Some(element.clone()) } else { self::element(element, vr, set, doubt) };
        match read {
            Some(read) => drop(transcoded.put(read)),
            None if doubt == Doubt::LeavesOut => {}
            None => return None,
        }
    }
    Some(transcoded)
}

fn element(element: &InMemElement, vr: VR, set: &CharacterSet, doubt: Doubt) -> Option<InMemElement> {
    let tag = element.header().tag;
    if let Some(items) = element.items() {
        let items: Option<Vec<_>> = items.iter().map(|item| self::item(item, set, doubt)).collect();
        return Some(sequence(tag, items?));
    }
    let PrimitiveValue::U8(value) = element.value().primitive()? else { return Some(element.clone()) };
    let end = value.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    let text = set.decode(value.get(..end)?, delimiters(vr))?;
    Some(octets(tag, vr, text.into_bytes()))
}

/// An item, which may have a character set of its own.
fn item(item: &InMemDicomObject, outer: &CharacterSet, doubt: Doubt) -> Option<InMemDicomObject> {
    match verbatim(item, tags::SPECIFIC_CHARACTER_SET) {
        Some(own) => data_set(item, &CharacterSet::parse(Some(&own))?, |_| true, doubt),
        None => data_set(item, outer, |_| true, doubt),
    }
}

/// The value representation, also where a sender lost it and wrote UN.
fn vr(element: &InMemElement) -> VR {
    match element.header().vr {
        VR::UN => StandardDataDictionary.by_tag(element.header().tag).map_or(VR::UN, |entry| entry.vr().relaxed()),
        known => known,
    }
}

/// The value representations that Specific Character Set is about (PS3.5 6.1.2.2).
fn is_text(vr: VR) -> bool {
    matches!(vr, VR::LO | VR::LT | VR::PN | VR::SH | VR::ST | VR::UC | VR::UT)
}

/// What ends the reach of an escape sequence, beside control characters.
fn delimiters(vr: VR) -> &'static [u8] {
    match vr {
        VR::PN => b"^=\\",
        VR::LO | VR::SH | VR::UC => b"\\",
        _ => b"",
    }
}

fn octets(tag: Tag, vr: VR, mut value: Vec<u8>) -> InMemElement {
    if value.len() % 2 == 1 {
        value.push(b' ');
    }
    DataElement::new(tag, vr, PrimitiveValue::U8(value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sr::attribute::{codes, verbatim};

    fn image(elements: Vec<InMemElement>) -> InMemDicomObject {
        InMemDicomObject::from_element_iter(elements)
    }

    fn raw(tag: Tag, vr: VR, value: &[u8]) -> InMemElement {
        octets(tag, vr, value.to_vec())
    }

    #[test]
    fn copied_texts_change_their_set_and_others_stay_away() {
        let code = image(vec![
            raw(tags::SPECIFIC_CHARACTER_SET, VR::CS, b"ISO_IR 144"),
            raw(tags::CODE_VALUE, VR::SH, b"1"),
            raw(tags::CODING_SCHEME_DESIGNATOR, VR::SH, b"99X"),
            raw(tags::CODE_MEANING, VR::LO, b"\xbb\xee\xda"),
        ]);
        let source = image(vec![
            raw(tags::SPECIFIC_CHARACTER_SET, VR::CS, b"ISO_IR 100"),
            raw(tags::PATIENT_NAME, VR::UN, b"M\xfcller^J\xf6rg"),
            raw(tags::PATIENT_COMMENTS, VR::LT, b"\x80"),
            raw(tags::MODALITY, VR::CS, b"DX"),
            sequence(tags::PROCEDURE_CODE_SEQUENCE, vec![code]),
        ]);
        let wanted: fn(Tag) -> bool = |tag| tag == tags::PATIENT_NAME || tag == tags::PROCEDURE_CODE_SEQUENCE;
        let unicode = in_unicode(&source, wanted).unwrap();
        assert_eq!(verbatim(&unicode, tags::PATIENT_NAME).unwrap(), "Müller^Jörg ".as_bytes());
        assert_eq!(verbatim(&unicode, tags::SPECIFIC_CHARACTER_SET).unwrap(), b"ISO_IR 192");
        assert_eq!(verbatim(&unicode, tags::MODALITY).unwrap(), b"DX");
        assert!(unicode.get(tags::PATIENT_COMMENTS).is_none());
        assert_eq!(codes(&unicode, tags::PROCEDURE_CODE_SEQUENCE)[0].meaning.as_ref(), "Люк".as_bytes());
        assert!(in_unicode(&source, |_| true).is_none(), "a text that is no text of its set");
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_nothing_is_read_as_another_set() {
        let order =
            || image(vec![raw(tags::REQUESTED_PROCEDURE_ID, VR::SH, b"RP1"), raw(tags::CODE_MEANING, VR::LO, b"\x80")]);
        let of = |set: &[u8]| {
            readable_in_unicode(
                &image(vec![
                    raw(tags::SPECIFIC_CHARACTER_SET, VR::CS, set),
                    // In GB18030 a Chinese name; as UTF-8 it would be a Russian letter.
                    raw(tags::PATIENT_NAME, VR::PN, b"\xd0\xa1"),
                    raw(tags::REFERRING_PHYSICIAN_NAME, VR::PN, b"\xff"),
                    raw(tags::PATIENT_ID, VR::LO, b"4711"),
                    sequence(tags::REQUEST_ATTRIBUTES_SEQUENCE, vec![order()]),
                ]),
                |_| true,
            )
        };
        let chinese = of(b"GB18030");
        assert_eq!(verbatim(&chinese, tags::PATIENT_NAME).unwrap(), "\u{5c0f} ".as_bytes());
        for read in [&chinese, &of(b"ISO_IR 999")] {
            assert_eq!(verbatim(read, tags::PATIENT_ID).unwrap(), b"4711");
            assert!(read.get(tags::REFERRING_PHYSICIAN_NAME).is_none());
            let order = &read.get(tags::REQUEST_ATTRIBUTES_SEQUENCE).unwrap().items().unwrap()[0];
            assert_eq!(
                (order.iter().count(), verbatim(order, tags::REQUESTED_PROCEDURE_ID).unwrap()),
                (1, b"RP1 ".to_vec())
            );
        }
        assert!(of(b"ISO_IR 999").get(tags::PATIENT_NAME).is_none());
    }
}
