//! Faults planted into finished reports, and the self-check that must find each.

use super::*;
use crate::config::{BasicText, Language as Configured, Report as Settings, ReportForm};
use crate::finding::{Outcome, Reason};
use crate::sr::attribute::element;
use crate::sr::scribe::Scribe;
use crate::sr::testimony::{failed, finding, scored, source};
use crate::sr::{Device, Installation, documents};

const NAME: &[u8] = b"M\xfcller^J\xf6rg";

/// What the check says of a report whose bytes were changed by `plant`.
fn verdict(settings: &Settings, outcome: Outcome, plant: impl FnOnce(&mut Vec<u8>)) -> Result<(), Fault> {
    let device = Device::new(settings, &"AUSCULT".parse().unwrap(), &Installation::of_this_machine());
    let sources = [source(vec![
        element(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
        element(tags::PATIENT_NAME, VR::PN, NAME),
        element(tags::PATIENT_ID, VR::LO, "4711"),
        element(tags::PATIENT_BIRTH_DATE, VR::DA, "19600229"),
        element(tags::ACCESSION_NUMBER, VR::SH, "ACC1"),
    ])];
    let finding = finding(vec![outcome]);
    let now = chrono::DateTime::parse_from_rfc3339("2026-03-01T10:15:00Z").unwrap();
    let mut report = documents(&finding, &sources, None, &device, now).unwrap().pop().unwrap();
    plant(&mut report.bytes);
    let (scribe, images) = Scribe::for_images(settings.language, &sources);
    let subject = Subject { finding: &finding, images: &images, device: &device, scribe: &scribe };
    let form = match (settings.basic_text, settings.form) {
        (BasicText::No, ReportForm::Measurement) => Form::Measurement,
        (BasicText::No, ReportForm::Reading) => Form::Reading,
        _ => Form::PlainText,
    };
    read(&report, &subject, form, &sources[0])
}

/// Puts `to` in the place of the `which`th `from`, which is as long.
fn swap(bytes: &mut [u8], which: usize, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let at = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).nth(which).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
}

fn last(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let count = bytes.windows(from.len()).filter(|window| *window == from).count();
    swap(bytes, count - 1, from, to);
}

fn planted(from: &[u8], to: &[u8]) -> Result<(), Fault> {
    verdict(&Settings::default(), scored(0.0725), |bytes| last(bytes, from, to))
}

#[test]
fn sound_reports_pass_in_every_language_form_and_outcome() {
    for language in Configured::ALL {
        for (form, basic_text) in [
            (ReportForm::Reading, BasicText::No),
            (ReportForm::Measurement, BasicText::No),
            (ReportForm::Reading, BasicText::Instead),
        ] {
            let settings = Settings { language, form, basic_text, ..Settings::default() };
            for outcome in [scored(0.0725), scored(0.931_187)] {
                assert_eq!(verdict(&settings, outcome, |_| ()), Ok(()), "{language:?} {form:?}");
            }
        }
        for reason in Reason::ALL {
            let settings = Settings { language, ..Settings::default() };
            assert_eq!(verdict(&settings, failed(reason), |_| ()), Ok(()), "{language:?} {reason:?}");
        }
    }
}

#[test]
fn a_report_that_names_itself_wrongly_is_found() {
    let plant = |which| verdict(&Settings::default(), scored(0.0725), |bytes| swap(bytes, which, b"88.33", b"88.34"));
    assert_eq!((plant(0), plant(1)), (Err(Fault::Name), Err(Fault::Name)));
    let cut = verdict(&Settings::default(), scored(0.0725), |bytes| bytes.truncate(bytes.len() - 3));
    assert!(matches!(cut, Err(Fault::Unreadable(_))), "{cut:?}");
}

#[test]
fn another_patient_or_order_is_found() {
    assert_eq!(planted(NAME, b"M\xe4ller^J\xf6rg"), Err(Fault::Identity(tags::PATIENT_NAME)));
    assert_eq!(planted(b"4711", b"4712"), Err(Fault::Identity(tags::PATIENT_ID)));
    assert_eq!(planted(b"19600229", b"19600228"), Err(Fault::Identity(tags::PATIENT_BIRTH_DATE)));
    let first = |bytes: &mut Vec<u8>| swap(bytes, 0, b"ACC1", b"ACC2");
    assert_eq!(verdict(&Settings::default(), scored(0.0725), first), Err(Fault::Identity(tags::ACCESSION_NUMBER)));
    assert_eq!(planted(b"ISO_IR 100", b"ISO_IR 101"), Err(Fault::Identity(tags::SPECIFIC_CHARACTER_SET)));
    let japanese = Settings { language: Configured::Ja, ..Settings::default() };
    let damaged = verdict(&japanese, scored(0.0725), |bytes| last(bytes, "ü".as_bytes(), "ä".as_bytes()));
    assert_eq!(damaged, Err(Fault::Identity(tags::PATIENT_NAME)));
}

#[test]
fn a_reference_that_leads_nowhere_is_found() {
    assert_eq!(planted(b"1.2.3.4.1", b"1.2.3.4.2"), Err(Fault::Evidence));
    assert_eq!(planted(b"1.1.1.1\0", b"1.1.1.2\0"), Err(Fault::Evidence));
}

#[test]
fn codes_without_meaning_or_with_another_are_found() {
    assert_eq!(planted(b"Percent ", b"        "), Err(Fault::IncompleteCode));
    assert_eq!(planted(b"Percent ", b"Permill "), Err(Fault::ForeignCode));
    assert_eq!(planted(b"272519000", b"373068000"), Err(Fault::ForeignCode));
    let german = Settings { language: Configured::De, ..Settings::default() };
    let english = verdict(&german, scored(0.0725), |bytes| last(bytes, b"Nicht vorhanden ", b"Vorhanden       "));
    assert_eq!(english, Err(Fault::ForeignCode));
}

#[test]
fn an_answer_that_its_score_contradicts_is_found() {
    assert_eq!(planted(b"7.25", b"72.5"), Err(Fault::Answer));
    assert_eq!(planted(b"threshold=50.0%", b"threshold=05.0%"), Err(Fault::Answer));
    assert_eq!(planted(b"not detected", b"was detected"), Err(Fault::Conclusion));
    let summary = |bytes: &mut Vec<u8>| {
        last(bytes, b"111241", b"111245");
        last(bytes, b"All algorithms succeeded; without findings", b"No algorithms succeeded; without findings ");
    };
    assert_eq!(verdict(&Settings::default(), scored(0.0725), summary), Err(Fault::Answer));
}

#[test]
fn a_value_that_breaks_its_representation_is_found() {
    assert_eq!(planted(b"SEPARATE", b"separate"), Err(Fault::Value(tags::CONTINUITY_OF_CONTENT)));
    let long = |bytes: &mut Vec<u8>| {
        let at = bytes.windows(12).position(|window| window == b"\x08\0\x3e\x10LO\x14\0AI: ").unwrap();
        bytes[at + 6] = 80;
        bytes.splice(at + 8..at + 28, vec![b'x'; 80]);
    };
    assert_eq!(verdict(&Settings::default(), scored(0.0725), long), Err(Fault::Value(tags::SERIES_DESCRIPTION)));
}
