//! Reports read back, whatever the images say.

use proptest::prelude::*;

use super::*;
use crate::finding::Reason;
use crate::sr::testimony::{device, failed, finding, read_back, reference, reported, scored, source, text};

fn at(time: &str) -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339(time).unwrap()
}

fn one(outcome: Outcome, time: &str) -> Report {
    document(&finding(vec![outcome]), &[source(Vec::new())], None, &device(), at(time)).unwrap()
}

#[test]
fn the_same_work_done_twice_is_the_same_report() {
    const NOON: &str = "2026-03-01T12:00:00Z";
    assert_eq!(one(scored(0.7), NOON), one(scored(0.7), NOON));
    let later = one(scored(0.7), "2026-03-02T13:00:00Z");
    assert_eq!(later.sop_instance, one(scored(0.7), NOON).sop_instance);
    assert_eq!(later.series, one(scored(0.700_000_1), NOON).series);
    for other in [scored(0.2), failed(Reason::ImageTooSmall), failed(Reason::InternalError)] {
        assert_ne!(one(other, NOON).sop_instance, later.sop_instance);
        assert_ne!(one(other, NOON).series, later.series);
    }
}

#[test]
fn a_report_is_never_older_than_its_image() {
    let clamped = reported(
        scored(0.7),
        vec![
            element(tags::CONTENT_DATE, VR::DA, "20310101"),
            element(tags::CONTENT_TIME, VR::TM, "235959.5"),
            element(tags::STUDY_DATE, VR::DA, "20260101"),
        ],
    );
    assert_eq!(text(&clamped, tags::CONTENT_DATE), "20310102");
    assert_eq!(text(&clamped, tags::CONTENT_TIME), "000000");
    assert_eq!(text(&clamped, tags::STUDY_DATE), "20260101");
    let today = reported(scored(0.7), vec![element(tags::STUDY_DATE, VR::DA, "20260228")]);
    assert_eq!(
        (text(&today, tags::CONTENT_DATE), text(&today, tags::CONTENT_TIME)),
        ("20260301".into(), "101500".into())
    );
}

#[test]
fn flags_and_label_say_what_became_of_the_study() {
    let partial = reported(failed(Reason::PixelsNotDecodable), Vec::new());
    let said = |tag| text(&partial, tag);
    assert_eq!(said(tags::SERIES_DESCRIPTION), "AI: not analysed");
    assert_eq!(said(tags::COMPLETION_FLAG), "PARTIAL");
    assert_eq!(said(tags::COMPLETION_FLAG_DESCRIPTION), "Not analysed: pixel data could not be decoded");
    assert_eq!(
        (said(tags::VERIFICATION_FLAG), said(tags::PRELIMINARY_FLAG)),
        ("UNVERIFIED".into(), "PRELIMINARY".into())
    );
    let complete = reported(scored(0.7), Vec::new());
    assert_eq!(text(&complete, tags::COMPLETION_FLAG), "COMPLETE");
    assert_eq!(text(&complete, tags::SERIES_DESCRIPTION), "AI: possible pneumonia");
}

#[test]
fn every_received_instance_is_evidence_once() {
    let mut study = finding(vec![scored(0.7)]);
    study.evidence = vec![reference(9), reference(1), reference(9)];
    let report = document(&study, &[source(Vec::new())], None, &device(), at("2026-03-01T12:00:00Z")).unwrap();
    let object = read_back(&report);
    let studies = object.element(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE).unwrap().items().unwrap();
    let series = studies[0].element(tags::REFERENCED_SERIES_SEQUENCE).unwrap().items().unwrap();
    let instances = series[0].element(tags::REFERENCED_SOP_SEQUENCE).unwrap().items().unwrap();
    let uids: Vec<_> = instances.iter().map(|item| text(item, tags::REFERENCED_SOP_INSTANCE_UID)).collect();
    assert_eq!((studies.len(), series.len(), uids), (1, 1, vec!["1.2.3.4.1".into(), "1.2.3.4.9".into()]));
}

#[test]
fn images_that_are_not_the_findings_are_refused() {
    let now = at("2026-03-01T12:00:00Z");
    let two = finding(vec![scored(0.7), scored(0.2)]);
    assert!(matches!(document(&two, &[source(Vec::new())], None, &device(), now), Err(SrError::Sources)));
    assert!(matches!(document(&finding(Vec::new()), &[], None, &device(), now), Err(SrError::NoImage)));
}

/// A device that is set by `change`.
fn device_with(change: impl FnOnce(&mut crate::config::Report)) -> Device {
    let mut settings = crate::config::Report::default();
    change(&mut settings);
    Device::new(&settings, &"AUSCULT".parse().unwrap(), &crate::sr::Installation::of_this_machine())
}

fn all(outcome: Outcome, device: &Device) -> Vec<Report> {
    let image = vec![element(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100")];
    documents(&finding(vec![outcome]), &[source(image)], None, device, at("2026-03-01T12:00:00Z")).unwrap()
}

#[test]
fn a_plain_text_comes_beside_the_report_or_instead_of_it() {
    let class = |report: &Report| report.sop_class.as_str().rsplit('.').next().unwrap().to_owned();
    let extra = all(scored(0.7), &device_with(|report| report.basic_text = BasicText::Extra));
    assert_eq!(extra.iter().map(class).collect::<Vec<_>>(), ["33", "11"]);
    assert_ne!(extra[0].series, extra[1].series);
    let numbers = extra.iter().map(|report| text(&read_back(report), tags::SERIES_NUMBER));
    assert_eq!(numbers.collect::<Vec<_>>(), ["9901", "9905"]);
    let instead = all(scored(0.7), &device_with(|report| report.basic_text = BasicText::Instead));
    assert_eq!((instead.len(), &instead[0].sop_instance), (1, &extra[1].sop_instance));
    assert_eq!(extra[0], all(scored(0.7), &device())[0]);
}

#[test]
fn what_was_not_analysed_is_to_be_read_whatever_the_form() {
    let measurement = device_with(|report| report.form = ReportForm::Measurement);
    let title = |outcome| {
        let object = read_back(&all(outcome, &measurement)[0]);
        let names = object.element(tags::CONCEPT_NAME_CODE_SEQUENCE).unwrap().items().unwrap();
        text(&names[0], tags::CODE_VALUE)
    };
    assert_eq!(title(scored(0.2)), "126000");
    assert_eq!(title(failed(Reason::LateralView)), "112000");
}

#[test]
fn every_language_and_form_is_a_report_of_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for language in crate::config::Language::ALL {
        for form in [ReportForm::Reading, ReportForm::Measurement] {
            let device = device_with(|report| {
                (report.language, report.form, report.basic_text) = (language, form, BasicText::Extra);
            });
            for outcome in [scored(0.7), scored(0.2), failed(Reason::AgeOutsideIntendedRange)] {
                for report in all(outcome, &device) {
                    assert_eq!(report.language, device.language());
                    seen.insert(report.sop_instance);
                }
            }
        }
    }
    // Two outcomes in three looks, one outcome in two, in nine languages.
    assert_eq!(seen.len(), (2 * 3 + 2) * 9);
}

#[test]
fn a_character_set_that_is_padded_with_a_nul_is_no_other_set() {
    let image = vec![
        element(tags::SPECIFIC_CHARACTER_SET, VR::CS, b"GB18030\0"),
        element(tags::PATIENT_NAME, VR::PN, b"\xcd\xf5^\xd0\xa1\xb6\xab "),
    ];
    assert_eq!(text(&reported(scored(0.7), image), tags::SPECIFIC_CHARACTER_SET), "GB18030");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever an image says of itself, there is a report that can be read.
    #[test]
    fn odd_images_give_readable_reports(
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 16),
    ) {
        let attributes = [
            (tags::SPECIFIC_CHARACTER_SET, VR::CS), (tags::STUDY_DATE, VR::DA), (tags::STUDY_TIME, VR::TM),
            (tags::CONTENT_DATE, VR::DA), (tags::CONTENT_TIME, VR::TM), (tags::ACCESSION_NUMBER, VR::SH),
            (tags::MODALITY, VR::CS), (tags::PATIENT_NAME, VR::UN), (tags::PATIENT_ID, VR::LO),
            (tags::PATIENT_BIRTH_DATE, VR::LT), (tags::PATIENT_AGE, VR::OB), (tags::STUDY_DESCRIPTION, VR::LO),
            (tags::PATIENT_ORIENTATION, VR::CS), (tags::IMAGER_PIXEL_SPACING, VR::LO), (tags::ROWS, VR::US),
            (tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH),
        ];
        let image = attributes.iter().zip(&values).map(|((tag, vr), value)| element(*tag, *vr, value)).collect();
        let report = reported(scored(0.7), image);
        prop_assert_eq!(text(&report, tags::MODALITY), "SR");
        prop_assert!(report.iter().all(|element| element.header().tag.0 % 2 == 0 && element.header().tag.1 != 0));
    }
}
