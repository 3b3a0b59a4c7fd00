//! A report as an unsolicited observation result, ORU^R01 (HL7 v2.5.1 chapter 7.3.1).

use std::borrow::Cow;

use chrono::{DateTime, FixedOffset};
use dicom::core::Tag;
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use super::encoding::{components, escaped, person, segment};
use crate::finding::Presence;
use crate::ids::{SopInstanceUid, StudyInstanceUid};

/// What a site calls the two ends (MSH-3 to MSH-6, type HD).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parties {
    /// Sending Application.
    pub sending_application: String,
    /// Sending Facility.
    pub sending_facility: String,
    /// Receiving Application.
    pub receiving_application: String,
    /// Receiving Facility.
    pub receiving_facility: String,
}

/// One value for an OBX segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A line to be read (type TX).
    Text {
        /// Code, meaning and coding scheme of what it is.
        concept: [String; 3],
        /// The line.
        text: String,
    },
    /// A number of percent (type NM, unit `%` of UCUM).
    Percent {
        /// Code, meaning and coding scheme of what it is.
        concept: [String; 3],
        /// Decimal.
        number: String,
    },
    /// A coded answer (type CE).
    Code {
        /// Code, meaning and coding scheme of the question.
        concept: [String; 3],
        /// Code, meaning and coding scheme of the answer.
        answer: [String; 3],
    },
}

/// Everything that a message says.
#[derive(Debug)]
pub struct Reported<'a> {
    /// The header of the report's first image: whose it is, and what was asked for. Its values are the octets of UTF-8;
    /// one that is not is left out, because no name is better than a wrong one.
    pub image: &'a InMemDicomObject,
    /// The study.
    pub study: &'a StudyInstanceUid,
    /// The report that the message speaks of.
    pub report: &'a SopInstanceUid,
    /// What was found, the line that matters first.
    pub observations: &'a [Observation],
    /// The answer; `None` when no image was analysed.
    pub presence: Option<Presence>,
    /// When.
    pub at: DateTime<FixedOffset>,
}

/// A message, as it goes and as it lies in the outbox: segments in UTF-8, each ended by a carriage return. The same
/// report has the same control ID whenever it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    control_id: String,
    octets: Vec<u8>,
}

impl Message {
    /// The message of a report to one receiver.
    pub fn new(parties: &Parties, result: &Reported) -> Self {
        let control_id = control_id(result.report, parties);
        let study = Observation::Text {
            concept: ["110180", "Study Instance UID", "DCM"].map(str::to_owned),
            text: result.study.to_string(),
        };
        let segments = [header(parties, &control_id, result.at), patient(result.image), order(result), request(result)];
        let observations = result.observations.iter().chain([&study]).zip(1_usize..);
        let observed = observations.map(|(observation, number)| observed(observation, number, result));
        let text: String = segments.into_iter().chain(observed).collect();
        Self { control_id, octets: text.into_bytes() }
    }

    /// A message that was written down; `None` where the octets are none.
    pub fn restored(octets: Vec<u8>) -> Option<Self> {
        let text = std::str::from_utf8(&octets).ok()?;
        let header = text.split('\r').next().filter(|header| header.starts_with("MSH|"))?;
        let control_id = header.split('|').nth(9).filter(|id| !id.is_empty())?.to_owned();
        Some(Self { control_id, octets })
    }

    /// Message Control ID (MSH-10).
    pub fn control_id(&self) -> &str {
        &self.control_id
    }

    /// The segments.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// Twenty characters, the most that version 2.5.1 allows, the same for the same report and receiver.
fn control_id(report: &SopInstanceUid, parties: &Parties) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [report.as_str(), &parties.receiving_application, &parties.receiving_facility] {
        hasher.update(part.as_bytes()).update(&[0x1F]);
    }
    let hex = hasher.finalize().to_hex();
    format!("A{}", hex.chars().take(19).collect::<String>())
}

fn header(parties: &Parties, control_id: &str, at: DateTime<FixedOffset>) -> String {
    let Parties { sending_application, sending_facility, receiving_application, receiving_facility } = parties;
    // Fields are counted from MSH-3 here: the delimiters are MSH-1 and MSH-2.
    segment(
        "MSH|^~\\&",
        &[
            (1, escaped(sending_application)),
            (2, escaped(sending_facility)),
            (3, escaped(receiving_application)),
            (4, escaped(receiving_facility)),
            (5, at.format("%Y%m%d%H%M%S%z").to_string()),
            (7, "ORU^R01^ORU_R01".into()),
            (8, control_id.into()),
            (9, "P".into()),
            (10, "2.5.1".into()),
            (16, "UNICODE UTF-8".into()),
        ],
    )
}

fn patient(image: &InMemDicomObject) -> String {
    let text = |tag| text(image, tag);
    let issuer = text(tags::ISSUER_OF_PATIENT_ID);
    segment(
        "PID",
        &[
            (1, "1".into()),
            (3, components(&[&text(tags::PATIENT_ID), "", "", &issuer])),
            (5, person(&text(tags::PATIENT_NAME))),
            (7, digits(&text(tags::PATIENT_BIRTH_DATE))),
            (8, sex(&text(tags::PATIENT_SEX)).into()),
        ],
    )
}

/// Administrative Sex (table 0001).
fn sex(dicom: &str) -> &'static str {
    match dicom {
        "F" => "F",
        "M" => "M",
        "O" => "O",
        _ => "",
    }
}

fn order(result: &Reported) -> String {
    let (placer, filler) = order_numbers(result.image);
    segment("ORC", &[(1, "RE".into()), (2, placer), (3, filler)])
}

fn request(result: &Reported) -> String {
    let image = result.image;
    let text = |tag| text(image, tag);
    let (placer, filler) = order_numbers(image);
    let observed = format!("{}{}", digits(&text(tags::STUDY_DATE)), clock(&text(tags::STUDY_TIME)));
    let observed = if text(tags::STUDY_DATE).is_empty() { String::new() } else { observed };
    let orderer = person(&text(tags::REFERRING_PHYSICIAN_NAME));
    let orderer = if orderer.is_empty() { orderer } else { format!("^{orderer}") };
    segment(
        "OBR",
        &[
            (1, "1".into()),
            (2, placer),
            (3, filler),
            (4, procedure(image)),
            (7, observed),
            (16, orderer),
            (18, escaped(&text(tags::ACCESSION_NUMBER))),
            (22, result.at.format("%Y%m%d%H%M%S%z").to_string()),
            (24, "RAD".into()),
            (25, "P".into()),
        ],
    )
}

/// Placer and filler order number; the accession number where the image names no filler.
fn order_numbers(image: &InMemDicomObject) -> (String, String) {
    let requested = first_item(image, tags::REQUEST_ATTRIBUTES_SEQUENCE);
    let number = |tag: Tag| {
        let in_request = requested.map(|item| text(item, tag)).filter(|text| !text.is_empty());
        in_request.unwrap_or_else(|| text(image, tag))
    };
    let placer = number(tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST);
    let filler = number(tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST);
    let filler = if filler.is_empty() { number(tags::ACCESSION_NUMBER) } else { filler };
    (escaped(&placer), escaped(&filler))
}

/// What was done: the image's own code, else what every radiograph of the chest is.
fn procedure(image: &InMemDicomObject) -> String {
    let coded = |item: &InMemDicomObject| {
        let part = |tag| Some(text(item, tag)).filter(|text| !text.is_empty());
        Some([part(tags::CODE_VALUE)?, part(tags::CODE_MEANING)?, part(tags::CODING_SCHEME_DESIGNATOR)?])
    };
    let own = first_item(image, tags::PROCEDURE_CODE_SEQUENCE).and_then(coded);
    concept(&own.unwrap_or_else(|| ["399208008", "Plain chest X-ray", "SCT"].map(str::to_owned)))
}

fn first_item(object: &InMemDicomObject, tag: Tag) -> Option<&InMemDicomObject> {
    object.get(tag)?.items()?.first()
}

/// The first value of an attribute whose octets are UTF-8, without padding; nothing where they are not, or have a
/// control character (ISO 2022 escapes among them).
fn text(object: &InMemDicomObject, tag: Tag) -> String {
    let octets = object.get(tag).and_then(|element| element.value().primitive()?.to_bytes().into());
    let text = octets.and_then(|octets: Cow<[u8]>| String::from_utf8(octets.into_owned()).ok()).unwrap_or_default();
    let first = text.split('\\').next().unwrap_or_default().trim_matches([' ', '\0']);
    if first.chars().any(char::is_control) { String::new() } else { first.to_owned() }
}

fn concept(code: &[String; 3]) -> String {
    let [value, meaning, scheme] = code;
    components(&[value, meaning, scheme])
}

fn observed(observation: &Observation, number: usize, result: &Reported) -> String {
    let (kind, what, value, unit) = match observation {
        Observation::Text { concept, text } => ("TX", concept, escaped(text), String::new()),
        Observation::Percent { concept, number } => {
            ("NM", concept, escaped(number), components(&["%", "Percent", "UCUM"]))
        }
        Observation::Code { concept, answer } => ("CE", concept, self::concept(answer), String::new()),
    };
    // Table 0078; only the coded answer is normal or not.
    let flag = match (observation, result.presence) {
        (Observation::Code { .. }, Some(Presence::Present)) => "A",
        (Observation::Code { .. }, Some(Presence::Absent)) => "N",
        _ => "",
    };
    segment(
        "OBX",
        &[
            (1, number.to_string()),
            (2, kind.into()),
            (3, concept(what)),
            (4, "1".into()),
            (5, value),
            (6, unit),
            (8, flag.into()),
            (11, "P".into()),
            (14, result.at.format("%Y%m%d%H%M%S%z").to_string()),
        ],
    )
}

/// The digits of a date; the retired form with dots has the same.
fn digits(date: &str) -> String {
    date.chars().filter(char::is_ascii_digit).take(8).collect()
}

/// Hours, minutes and seconds of a time.
fn clock(time: &str) -> String {
    let whole = time.split('.').next().unwrap_or_default();
    whole.chars().filter(char::is_ascii_digit).take(6).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use dicom::core::{DataElement, PrimitiveValue, VR};

    use super::*;

    fn image() -> InMemDicomObject {
        let element = |(tag, vr, value): (Tag, VR, &[u8])| DataElement::new(tag, vr, PrimitiveValue::U8(value.into()));
        let attributes = [
            (tags::STUDY_DATE, VR::DA, b"20260301".as_slice()),
            (tags::STUDY_TIME, VR::TM, b"081500.25"),
            (tags::ACCESSION_NUMBER, VR::SH, b"A&1 "),
            (tags::PATIENT_NAME, VR::PN, "M\u{fc}ller|X^Eva".as_bytes()),
            (tags::PATIENT_ID, VR::LO, b"P^7"),
            (tags::ISSUER_OF_PATIENT_ID, VR::LO, b"HOSP"),
            (tags::PATIENT_BIRTH_DATE, VR::DA, b"19700102"),
            (tags::PATIENT_SEX, VR::CS, b"F "),
            (tags::REFERRING_PHYSICIAN_NAME, VR::PN, b"\x1b$B;3ED\x1b(B"),
        ];
        InMemDicomObject::from_element_iter(attributes.map(element))
    }

    fn message(receiver: &str) -> Message {
        let observations = [
            Observation::Text {
                concept: ["121077", "Conclusion", "DCM"].map(str::to_owned),
                text: "Possible pneumonia. Score 93.1 % (threshold 50.0 %).".into(),
            },
            Observation::Percent {
                concept: ["111012", "Certainty of Finding", "DCM"].map(str::to_owned),
                number: "93.1".into(),
            },
            Observation::Code {
                concept: ["233604007", "Pneumonia", "SCT"].map(str::to_owned),
                answer: ["52101004", "Present", "SCT"].map(str::to_owned),
            },
        ];
        let parties = Parties {
            sending_application: "AUSCULT".into(),
            receiving_application: receiver.into(),
            ..Parties::default()
        };
        let at = FixedOffset::east_opt(3600).unwrap().with_ymd_and_hms(2026, 3, 1, 8, 20, 0).unwrap();
        Message::new(
            &parties,
            &Reported {
                image: &image(),
                study: &"1.2.3".parse().unwrap(),
                report: &"2.25.99".parse().unwrap(),
                observations: &observations,
                presence: Some(Presence::Present),
                at,
            },
        )
    }

    #[test]
    fn a_message_says_whose_result_it_is_and_what_was_found() {
        let message = message("RIS");
        let text = std::str::from_utf8(message.octets()).unwrap().replace('\r', "\n");
        let id = message.control_id();
        let expected = format!(
            "MSH|^~\\&|AUSCULT||RIS||20260301082000+0100||ORU^R01^ORU_R01|{id}|P|2.5.1||||||UNICODE UTF-8
PID|1||P\\S\\7^^^HOSP||M\u{fc}ller\\F\\X^Eva||19700102|F
ORC|RE||A\\T\\1
OBR|1||A\\T\\1|399208008^Plain chest X-ray^SCT|||20260301081500|||||||||||A\\T\\1||||20260301082000+0100||RAD|P
OBX|1|TX|121077^Conclusion^DCM|1|Possible pneumonia. Score 93.1 % (threshold 50.0 %).||||||P|||20260301082000+0100
OBX|2|NM|111012^Certainty of Finding^DCM|1|93.1|%^Percent^UCUM|||||P|||20260301082000+0100
OBX|3|CE|233604007^Pneumonia^SCT|1|52101004^Present^SCT|||A|||P|||20260301082000+0100
OBX|4|TX|110180^Study Instance UID^DCM|1|1.2.3||||||P|||20260301082000+0100
"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn the_control_id_is_that_of_report_and_receiver() {
        assert_eq!(message("RIS"), message("RIS"));
        assert_eq!(message("RIS").control_id().len(), 20);
        assert_ne!(message("RIS").control_id(), message("HIS").control_id());
        let again = Message::restored(message("RIS").octets().to_vec()).unwrap();
        assert_eq!(again, message("RIS"));
        assert_eq!(Message::restored(b"hello".to_vec()), None);
    }
}
