//! Whose report it is: the Patient, General Study and Patient Study modules (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2) and
//! the request (table C.17-2), taken over from the image octet for octet with its character set.
//!
//! What names the patient, the study or the order goes over as it is, even where it breaks its value
//! representation: an archive files the report by these octets, and another spelling would be another patient.
//! Every other attribute goes over when it is legal, and otherwise is left out (type 3) or empty (type 2).

use dicom::core::{Tag, VR};
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;
use dicom::object::mem::InMemElement;

use super::attribute::{codes, element, is_blank, items, legal, plain, verbatim};
use super::codes::Code;
use super::content::{code_item, sequence};
use crate::ids::StudyInstanceUid;

/// How an attribute goes over.
enum Rule {
    /// Names patient, study or order; type 2.
    Name(VR),
    /// Names patient, study or order; type 3, which may be empty.
    OptionalName(VR),
    /// Describes; type 2.
    Fact(VR),
    /// Describes; type 3, which may be empty.
    OptionalFact(VR),
    /// A sequence of coded entries; type 3.
    Codes,
    /// A sequence of items with these attributes, of which the first must have a value; type 3.
    Items(&'static [(Tag, Rule)]),
}

use Rule::{Codes, Fact, Items, Name, OptionalFact, OptionalName};

/// HL7v2 Hierarchic Designator Macro (PS3.3 table 10-17).
const ISSUER: &[(Tag, Rule)] = &[
    (tags::LOCAL_NAMESPACE_ENTITY_ID, OptionalName(VR::UT)),
    (tags::UNIVERSAL_ENTITY_ID, OptionalName(VR::UT)),
    (tags::UNIVERSAL_ENTITY_ID_TYPE, OptionalFact(VR::CS)),
];

/// Issuer of Patient ID Macro (PS3.3 table 10-18), without the assigning facility.
const ISSUER_QUALIFIERS: &[(Tag, Rule)] = &[
    (tags::UNIVERSAL_ENTITY_ID, OptionalName(VR::UT)),
    (tags::UNIVERSAL_ENTITY_ID_TYPE, OptionalFact(VR::CS)),
    (tags::IDENTIFIER_TYPE_CODE, OptionalFact(VR::CS)),
];

const OTHER_PATIENT_ID: &[(Tag, Rule)] = &[
    (tags::PATIENT_ID, Name(VR::LO)),
    (tags::TYPE_OF_PATIENT_ID, Fact(VR::CS)),
    (tags::ISSUER_OF_PATIENT_ID, OptionalName(VR::LO)),
    (tags::ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE, Items(ISSUER_QUALIFIERS)),
];

/// Ethnic Group, retired in favour of a code sequence, and still in every image.
const ETHNIC_GROUP: Tag = Tag(0x0010, 0x2160);

const TAKEN_OVER: &[(Tag, Rule)] = &[
    // Patient
    (tags::PATIENT_NAME, Name(VR::PN)),
    (tags::PATIENT_ID, Name(VR::LO)),
    (tags::ISSUER_OF_PATIENT_ID, OptionalName(VR::LO)),
    (tags::ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE, Items(ISSUER_QUALIFIERS)),
    (tags::OTHER_PATIENT_I_DS_SEQUENCE, Items(OTHER_PATIENT_ID)),
    (tags::PATIENT_BIRTH_DATE, Fact(VR::DA)),
    (tags::PATIENT_BIRTH_TIME, OptionalFact(VR::TM)),
    (tags::PATIENT_SEX, Fact(VR::CS)),
    (tags::OTHER_PATIENT_NAMES, OptionalFact(VR::PN)),
    (ETHNIC_GROUP, OptionalFact(VR::SH)),
    (tags::PATIENT_COMMENTS, OptionalFact(VR::LT)),
    (tags::PATIENT_IDENTITY_REMOVED, OptionalFact(VR::CS)),
    (tags::DEIDENTIFICATION_METHOD, OptionalFact(VR::LO)),
    (tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE, Codes),
    // General Study
    (tags::STUDY_DATE, Fact(VR::DA)),
    (tags::STUDY_TIME, Fact(VR::TM)),
    (tags::REFERRING_PHYSICIAN_NAME, Name(VR::PN)),
    (tags::STUDY_ID, Name(VR::SH)),
    (tags::ACCESSION_NUMBER, Name(VR::SH)),
    (tags::ISSUER_OF_ACCESSION_NUMBER_SEQUENCE, Items(ISSUER)),
    (tags::STUDY_DESCRIPTION, OptionalFact(VR::LO)),
    (tags::PROCEDURE_CODE_SEQUENCE, Codes),
    (tags::PHYSICIANS_OF_RECORD, OptionalFact(VR::PN)),
    (tags::NAME_OF_PHYSICIANS_READING_STUDY, OptionalFact(VR::PN)),
    (tags::REQUESTING_SERVICE, OptionalFact(VR::LO)),
    // Patient Study
    (tags::PATIENT_AGE, OptionalFact(VR::AS)),
    (tags::PATIENT_SIZE, OptionalFact(VR::DS)),
    (tags::PATIENT_WEIGHT, OptionalFact(VR::DS)),
    (tags::ADMITTING_DIAGNOSES_DESCRIPTION, OptionalFact(VR::LO)),
    (tags::OCCUPATION, OptionalFact(VR::SH)),
    (tags::ADDITIONAL_PATIENT_HISTORY, OptionalFact(VR::LT)),
    (tags::ADMISSION_ID, OptionalName(VR::LO)),
];

/// Further texts that a report quotes from an image.
const QUOTED: [Tag; 8] = [
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::REQUEST_ATTRIBUTES_SEQUENCE,
    tags::REQUESTED_PROCEDURE_CODE_SEQUENCE,
    tags::REQUESTED_PROCEDURE_ID,
    tags::REQUESTED_PROCEDURE_DESCRIPTION,
    tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
    tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
    tags::VIEW_CODE_SEQUENCE,
];

/// Does a report quote this attribute of an image?
pub(super) fn is_quoted(tag: Tag) -> bool {
    is_taken_over(tag) || QUOTED.contains(&tag)
}

/// Do report and image share this attribute?
pub(super) fn is_taken_over(tag: Tag) -> bool {
    TAKEN_OVER.iter().any(|(taken, _)| *taken == tag)
}

/// What names patient, study or order in a data set: the tags of one value that go over as they are.
pub(super) fn names() -> impl Iterator<Item = Tag> {
    let named = TAKEN_OVER.iter().filter(|(_, rule)| matches!(rule, Name(_) | OptionalName(_)));
    named.map(|(tag, _)| *tag)
}

/// The attributes that report and image share.
pub(super) fn taken_over(image: &InMemDicomObject) -> Vec<InMemElement> {
    let shared = TAKEN_OVER.iter().filter_map(|(tag, rule)| take_over(image, *tag, rule));
    shared.chain(how_to_read(image)).collect()
}

/// What every text and every time of the report is read by (SOP Common, C.12.1): never empty, never invented.
fn how_to_read(image: &InMemDicomObject) -> impl Iterator<Item = InMemElement> {
    let character_set = verbatim(image, tags::SPECIFIC_CHARACTER_SET);
    let zone = plain(image, tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH).filter(|_| time_zone(image).is_some());
    let character_set = character_set.map(|value| element(tags::SPECIFIC_CHARACTER_SET, VR::CS, value));
    character_set.into_iter().chain(zone.map(|value| element(tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, value)))
}

fn take_over(image: &InMemDicomObject, tag: Tag, rule: &Rule) -> Option<InMemElement> {
    let blank = || is_blank(image, tag).then(Vec::new);
    match rule {
        Name(vr) => Some(element(tag, *vr, verbatim(image, tag).unwrap_or_default())),
        OptionalName(vr) => Some(element(tag, *vr, verbatim(image, tag).or_else(blank)?)),
        Fact(vr) => Some(element(tag, *vr, legal(image, tag, *vr).unwrap_or_default())),
        OptionalFact(vr) => Some(element(tag, *vr, legal(image, tag, *vr).or_else(blank)?)),
        Codes => coded(tag, codes(image, tag)),
        Items(rules) => {
            let items: Vec<_> = items(image, tag).iter().filter_map(|item| take_over_item(item, rules)).collect();
            (!items.is_empty()).then(|| sequence(tag, items))
        }
    }
}

fn take_over_item(item: &InMemDicomObject, rules: &[(Tag, Rule)]) -> Option<InMemDicomObject> {
    let (first, _) = rules.first()?;
    verbatim(item, *first)?;
    Some(InMemDicomObject::from_element_iter(rules.iter().filter_map(|(tag, rule)| take_over(item, *tag, rule))))
}

fn coded(tag: Tag, codes: Vec<Code>) -> Option<InMemElement> {
    (!codes.is_empty()).then(|| sequence(tag, codes.iter().map(code_item).collect()))
}

/// Referenced Request Sequence (0040,A370): one item when the image names an order.
pub(super) fn request(image: &InMemDicomObject, study: &StudyInstanceUid) -> Option<InMemDicomObject> {
    let attributes = items(image, tags::REQUEST_ATTRIBUTES_SEQUENCE).first();
    if attributes.is_none() && verbatim(image, tags::ACCESSION_NUMBER).is_none() {
        return None;
    }
    let either = |tag| verbatim(image, tag).or_else(|| verbatim(attributes?, tag));
    let described = |tag| attributes.and_then(|a| legal(a, tag, VR::LO)).or_else(|| legal(image, tag, VR::LO));
    let named = |tag| attributes.and_then(|a| verbatim(a, tag)).or_else(|| verbatim(image, tag)).unwrap_or_default();
    let code = attributes.map(|a| codes(a, tags::REQUESTED_PROCEDURE_CODE_SEQUENCE)).unwrap_or_default();
    let code = code.into_iter().chain(codes(image, tags::REQUESTED_PROCEDURE_CODE_SEQUENCE)).next();
    let description = described(tags::REQUESTED_PROCEDURE_DESCRIPTION).unwrap_or_default();
    Some(InMemDicomObject::from_element_iter([
        element(tags::STUDY_INSTANCE_UID, VR::UI, study.as_str()),
        sequence(tags::REFERENCED_STUDY_SEQUENCE, Vec::new()),
        element(tags::ACCESSION_NUMBER, VR::SH, either(tags::ACCESSION_NUMBER).unwrap_or_default()),
        element(
            tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
            VR::LO,
            named(tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST),
        ),
        element(
            tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
            VR::LO,
            named(tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST),
        ),
        element(tags::REQUESTED_PROCEDURE_ID, VR::SH, named(tags::REQUESTED_PROCEDURE_ID)),
        element(tags::REQUESTED_PROCEDURE_DESCRIPTION, VR::LO, description),
        sequence(tags::REQUESTED_PROCEDURE_CODE_SEQUENCE, code.iter().map(code_item).collect()),
    ]))
}

/// Performed Procedure Code Sequence (0040,A372): what was done, as the image says it.
pub(super) fn performed_procedure(image: &InMemDicomObject) -> InMemElement {
    let codes = codes(image, tags::PROCEDURE_CODE_SEQUENCE);
    sequence(tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, codes.iter().map(code_item).collect())
}

/// The image's Timezone Offset From UTC (0008,0201) in seconds, `+HHMM` or `-HHMM`.
pub(super) fn time_zone(image: &InMemDicomObject) -> Option<i32> {
    let text = plain(image, tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH)?;
    let (sign, figures) = text.split_at_checked(1)?;
    let (hours, minutes) = figures.split_at_checked(2)?;
    let figures_only = figures.len() == 4 && figures.bytes().all(|figure| figure.is_ascii_digit());
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = (hours * 60 + minutes) * 60;
    match sign {
        _ if !figures_only || hours > 14 || minutes > 59 => None,
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use dicom::object::OpenFileOptions;
    use dicom::parser::stateful::decode::CharacterSetOverride;

    use super::*;
    use crate::sr::document;
    use crate::sr::testimony::{device, finding, reported, scored, source, text};

    /// The octets that a report carries for `tag`, when its image has these for its name and its character set.
    fn name_octets(charset: &str, name: &[u8]) -> Vec<u8> {
        let mut image = vec![element(tags::PATIENT_NAME, VR::PN, name)];
        if !charset.is_empty() {
            image.push(element(tags::SPECIFIC_CHARACTER_SET, VR::CS, charset));
        }
        let now = chrono::DateTime::parse_from_rfc3339("2026-03-01T10:15:00Z").unwrap();
        let bytes = document(&finding(vec![scored(0.7)]), &[source(image)], None, &device(), now).unwrap().bytes;
        let header = [0x10, 0, 0x10, 0, b'P', b'N'];
        let at = bytes.windows(header.len()).position(|window| window == header).unwrap() + header.len();
        let length = usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let read = OpenFileOptions::new().charset_override(CharacterSetOverride::None).from_reader(bytes.as_slice());
        assert_eq!(read.unwrap().get(tags::SPECIFIC_CHARACTER_SET).is_some(), !charset.is_empty());
        bytes[at + 2..at + 2 + length].to_vec()
    }

    #[test]
    fn a_name_goes_over_octet_for_octet_whatever_its_character_set() {
        let kanji = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B";
        for (charset, name) in [
            ("ISO_IR 100", b"M\xfcller^J\xf6rg ".as_slice()),
            ("", b"M\xfcller^J\xf6rg "),
            ("ISO_IR 192", "Yamada^Tarou=\u{5c71}\u{7530}^\u{592a}\u{90ce}".as_bytes()),
            ("ISO_IR 192", b"M\xfcller^J\xf6rg "),
            ("\\ISO 2022 IR 87", kanji),
            ("ISO 2022 IR 87", b"\x1b$B;3ED\x1b(J^x"),
            ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab"),
            ("ISO_IR 148", b"\xddnce^\xdeule"),
            ("ISO_IR 999", b"A\xe4\xe4^B"),
        ] {
            let mut padded = name.to_vec();
            padded.resize(name.len().next_multiple_of(2), b' ');
            assert_eq!(name_octets(charset, name), padded, "{charset}");
        }
    }

    #[test]
    fn what_the_image_lacks_is_empty_or_absent() {
        let report = reported(scored(0.7), Vec::new());
        for tag in [tags::PATIENT_NAME, tags::PATIENT_ID, tags::PATIENT_SEX, tags::STUDY_ID, tags::ACCESSION_NUMBER] {
            assert_eq!(text(&report, tag), "");
        }
        for tag in [tags::STUDY_DESCRIPTION, tags::TIMEZONE_OFFSET_FROM_UTC, tags::REFERENCED_REQUEST_SEQUENCE] {
            assert!(report.get(tag).is_none(), "{tag}");
        }
    }

    #[test]
    fn what_is_malformed_stays_out_but_for_names() {
        let long = "X".repeat(70);
        let report = reported(
            scored(0.7),
            vec![
                element(tags::PATIENT_ID, VR::LO, &long),
                element(tags::STUDY_DESCRIPTION, VR::LO, &long),
                element(tags::PATIENT_BIRTH_DATE, VR::DA, "1960-02-29"),
                element(tags::PATIENT_AGE, VR::AS, "63"),
                element(tags::PATIENT_WEIGHT, VR::DS, "heavy"),
                element(tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, "+0900"),
            ],
        );
        assert_eq!(text(&report, tags::PATIENT_ID), long);
        assert_eq!(text(&report, tags::PATIENT_BIRTH_DATE), "");
        assert_eq!(text(&report, tags::CONTENT_TIME), "181500");
        for tag in [tags::STUDY_DESCRIPTION, tags::PATIENT_AGE, tags::PATIENT_WEIGHT] {
            assert!(report.get(tag).is_none(), "{tag}");
        }
    }

    #[test]
    fn dates_and_times_of_the_old_form_go_over_in_todays() {
        let report = reported(
            scored(0.7),
            vec![
                element(tags::PATIENT_BIRTH_DATE, VR::DA, "1960.02.29"),
                element(tags::STUDY_DATE, VR::DA, "2024.01.02"),
                element(tags::STUDY_TIME, VR::TM, "09:30:59.5"),
            ],
        );
        assert_eq!(text(&report, tags::PATIENT_BIRTH_DATE), "19600229");
        assert_eq!(text(&report, tags::STUDY_DATE), "20240102");
        assert_eq!(text(&report, tags::STUDY_TIME), "093059.5");
    }

    #[test]
    fn only_what_belongs_into_a_coded_entry_goes_over() {
        let item = InMemDicomObject::from_element_iter([
            element(tags::CODE_VALUE, VR::SH, "RPID1"),
            element(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "99LOCAL"),
            element(tags::CODE_MEANING, VR::LO, "Thorax"),
            element(Tag(0x0009, 0x0010), VR::LO, "VENDOR"),
            sequence(Tag(0x0009, 0x1001), Vec::new()),
        ]);
        let incomplete = InMemDicomObject::from_element_iter([element(tags::CODE_VALUE, VR::SH, "X")]);
        let report = reported(scored(0.7), vec![sequence(tags::PROCEDURE_CODE_SEQUENCE, vec![incomplete, item])]);
        let codes = report.element(tags::PROCEDURE_CODE_SEQUENCE).unwrap().items().unwrap();
        assert_eq!(codes.len(), 1);
        assert_eq!(codes[0].iter().count(), 3);
        assert_eq!(text(&codes[0], tags::CODE_MEANING), "Thorax");
    }

    #[test]
    fn the_order_is_named_once() {
        let attributes = InMemDicomObject::from_element_iter([
            element(tags::REQUESTED_PROCEDURE_ID, VR::SH, "RP1"),
            element(tags::ACCESSION_NUMBER, VR::SH, "OTHER"),
        ]);
        let report = reported(
            scored(0.7),
            vec![
                element(tags::ACCESSION_NUMBER, VR::SH, "ACC1"),
                sequence(tags::REQUEST_ATTRIBUTES_SEQUENCE, vec![attributes]),
            ],
        );
        let requests = report.element(tags::REFERENCED_REQUEST_SEQUENCE).unwrap().items().unwrap();
        assert_eq!(requests.len(), 1);
        assert_eq!(text(&requests[0], tags::ACCESSION_NUMBER), "ACC1");
        assert_eq!(text(&requests[0], tags::REQUESTED_PROCEDURE_ID), "RP1");
        assert_eq!(text(&requests[0], tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST), "");
    }
}
