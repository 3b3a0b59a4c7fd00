//! Fourth storey: the document, which is the modules around the content tree, and its bytes.

use chrono::{DateTime, FixedOffset, NaiveDateTime};
use dicom::core::VR;
use dicom::dictionary_std::{tags, uids};
use dicom::object::{FileMetaTableBuilder, InMemDicomObject};
use dicom::transfer_syntax::entries;
use sha2::{Digest, Sha256};

use super::attribute::element;
use super::content::{Content, sequence};
use super::dates::{dates, moment};
use super::device::Device;
use super::identity;
use super::modules::{general_equipment, hierarchy, sop_common, sr_document_general, sr_document_series};
use super::plain_text::plain_text;
use super::proof::{self, Fault};
use super::scribe::Scribe;
use super::template::{Grouping, Subject, measurement_report};
use super::wording;
use crate::config::{BasicText, ReportForm};
use crate::finding::{Finding, Outcome, SopReference};
use crate::heat::Region;
use crate::ids::{
    IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, SeriesInstanceUid, SopClassUid, SopInstanceUid,
    StudyInstanceUid,
};
use crate::instance::Header;

/// One image offered to the model.
#[derive(Debug, Clone)]
pub struct Source {
    /// Which it is.
    pub reference: SopReference,
    /// What it says of the patient, the study and itself.
    pub header: Header,
    /// Where in it the model sees what it reports, where the report is to say so ([`Device::wants_focus`]).
    pub focus: Option<Region>,
}

/// Why there is no document. The message names no patient.
#[derive(Debug, thiserror::Error)]
pub enum SrError {
    /// The finding names no image.
    #[error("a finding without an image cannot be reported")]
    NoImage,
    /// The images are not those of the finding, or not in its order.
    #[error("the source images are not the images of the finding")]
    Sources,
    /// The document could not be encoded.
    #[error("the report could not be encoded: {0}")]
    Encoding(String),
    /// The document was read back and does not say what it should.
    #[error("the report failed its self-check: {0}; please report this as a fault of Auscult")]
    SelfCheck(#[from] Fault),
}

/// A finished report: a DICOM Part 10 file (PS3.10) in Explicit VR Little Endian, and what it takes to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The study it belongs to.
    pub study: StudyInstanceUid,
    /// Its series, in which it is alone.
    pub series: SeriesInstanceUid,
    /// Its SOP class.
    pub sop_class: SopClassUid,
    /// Its instance; the same for the same images, model and outcome.
    pub sop_instance: SopInstanceUid,
    /// RFC 5646 tag of the language it is written in. Another one than [`Device::language`] where the images' texts could
    /// not be brought into a character set that has the words of that language.
    pub language: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
}

impl Report {
    /// How other objects refer to it.
    pub fn reference(&self) -> SopReference {
        SopReference {
            series: self.series.clone(),
            sop_class: self.sop_class.clone(),
            sop_instance: self.sop_instance.clone(),
        }
    }
}

/// What a document looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// TID 1500 to be read.
    Reading,
    /// TID 1500 for software that looks for measurements.
    Measurement,
    /// Basic Text SR.
    PlainText,
}

impl Form {
    /// The documents that a finding is reported in, the one that matters most first. What was not analysed has no
    /// measurements, and is there to be read.
    fn of(finding: &Finding, device: &Device) -> Vec<Self> {
        let main = match device.form {
            ReportForm::Measurement if finding.presence().is_some() => Self::Measurement,
            _ => Self::Reading,
        };
        match device.basic_text {
            BasicText::No => vec![main],
            BasicText::Extra => vec![main, Self::PlainText],
            BasicText::Instead => vec![Self::PlainText],
        }
    }

    /// Its name among the parts of a UID.
    fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Measurement => "measurement",
            Self::PlainText => "plain text",
        }
    }

    fn sop_class(self, device: &Device) -> &SopClassUid {
        match self {
            Self::Reading | Self::Measurement => &device.sop_class,
            Self::PlainText => &device.basic_text_class,
        }
    }

    fn tree(self, subject: &Subject) -> Content {
        match self {
            Self::Reading => measurement_report(subject, Grouping::Image),
            Self::Measurement => measurement_report(subject, Grouping::Region),
            Self::PlainText => plain_text(subject),
        }
    }
}

/// The main report of a finding: the first of [`documents`].
pub fn document(
    finding: &Finding,
    sources: &[Source],
    earlier: Option<&SopReference>,
    device: &Device,
    now: DateTime<FixedOffset>,
) -> Result<Report, SrError> {
    documents(finding, sources, earlier, device, now)?.into_iter().next().ok_or(SrError::NoImage)
}

/// Reports a finding in every document that the device is set to make, the main one first. `sources` are its images in
/// its order; the first one says whose report it is. `earlier` is the main report of the same study that this one
/// follows. Every document was read back and found to say what it should.
///
/// The same arguments give the same bytes, but for the dates that come from `now`.
pub fn documents(
    finding: &Finding,
    sources: &[Source],
    earlier: Option<&SopReference>,
    device: &Device,
    now: DateTime<FixedOffset>,
) -> Result<Vec<Report>, SrError> {
    let first = sources.first().ok_or(SrError::NoImage)?;
    if !finding.images.iter().map(|image| &image.image).eq(sources.iter().map(|source| &source.reference)) {
        return Err(SrError::Sources);
    }
    let (scribe, images) = Scribe::for_images(device.language, sources);
    let subject = Subject { finding, images: &images, device, scribe: &scribe };
    let draft = Draft { subject, moment: moment(sources, now), earlier };
    let forms = Form::of(finding, device);
    // The companions' series stand between the two.
    const PLAIN_TEXT: u32 = 4;
    let numbers = [device.series_number, device.series_number.saturating_add(PLAIN_TEXT)];
    let numbered = numbers.into_iter().zip(forms);
    numbered
        .map(|(series_number, form)| {
            let report = draft.finish(form, series_number)?;
            proof::read(&report, &subject, form, first)?;
            Ok(report)
        })
        .collect()
}

/// What all documents of a finding share.
struct Draft<'a> {
    subject: Subject<'a>,
    moment: NaiveDateTime,
    earlier: Option<&'a SopReference>,
}

impl Draft<'_> {
    fn finish(&self, form: Form, series_number: u32) -> Result<Report, SrError> {
        let Subject { finding, images, device, scribe } = self.subject;
        let image = images.first().ok_or(SrError::NoImage)?.octets.as_ref();
        let mut object = InMemDicomObject::from_element_iter(identity::taken_over(image));
        let (series, sop_instance) = self.instance_uids(form, &fingerprint(&object)?);
        let sop_class = form.sop_class(device);
        let modules = [
            sop_common(device, sop_class, &sop_instance),
            sr_document_series(&self.subject, &series, series_number),
            general_equipment(finding, device),
            sr_document_general(&self.subject, image),
            dates(self.moment),
            form.tree(&self.subject).into_elements().collect(),
        ];
        modules.into_iter().flatten().for_each(|element| {
            object.put(element);
        });
        object.put(element(tags::STUDY_INSTANCE_UID, VR::UI, finding.study.as_str()));
        if let Some(earlier) = self.earlier.filter(|earlier| earlier.sop_instance != sop_instance) {
            let predecessor = hierarchy(&finding.study, [earlier]);
            object.put(sequence(tags::PREDECESSOR_DOCUMENTS_SEQUENCE, vec![predecessor]));
        }
        Ok(Report {
            study: finding.study.clone(),
            series,
            sop_class: sop_class.clone(),
            sop_instance,
            language: scribe.language.tag,
            bytes: part10(object)?,
        })
    }

    /// The report's series and instance: the same as long as everything it says is the same.
    fn instance_uids(&self, form: Form, identity: &str) -> (SeriesInstanceUid, SopInstanceUid) {
        let Subject { finding, device, scribe, images: quoted } = self.subject;
        let uid = |reference: &SopReference| reference.sop_instance.as_str().to_owned();
        let mut images: Vec<String> = finding
            .images
            .iter()
            .map(|image| format!("{}={}", uid(&image.image), outcome(finding, image.outcome)))
            .collect();
        images.sort_unstable();
        let mut evidence: Vec<String> = finding.evidence.iter().map(uid).collect();
        evidence.sort_unstable();
        evidence.dedup();
        let point = &finding.operating_point;
        let images_have_focus = form == Form::Measurement && quoted.iter().any(|image| image.focus.is_some());
        let said = [
            finding.study.as_str(),
            identity,
            &images.join("\\"),
            &evidence.join("\\"),
            &finding.algorithm.name,
            &finding.algorithm.version_with_digest(),
            form.sop_class(device).as_str(),
            if images_have_focus { "measurement of the focus" } else { form.name() },
            scribe.language.tag,
            &wording::exact_percent(point.threshold()),
            &point.undetermined_from().map(wording::exact_percent).unwrap_or_default(),
        ];
        let derived = |what: &'static str| said.iter().copied().chain([what]).collect::<Vec<_>>();
        (SeriesInstanceUid::derived(&derived("series")), SopInstanceUid::derived(&derived("instance")))
    }
}

/// What the images say of patient, study and request, as a digest: another patient is another report.
fn fingerprint(identity: &InMemDicomObject) -> Result<String, SrError> {
    let mut bytes = Vec::new();
    identity
        .write_dataset_with_ts(&mut bytes, &entries::EXPLICIT_VR_LITTLE_ENDIAN.erased())
        .map_err(|error| SrError::Encoding(error.to_string()))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The score as it is printed: another processor's last digit is no other report.
fn outcome(finding: &Finding, outcome: Outcome) -> String {
    match outcome {
        Outcome::Analysed(score) => wording::score_text(score, &finding.operating_point),
        Outcome::NotAnalysed(reason) => format!("{reason:?}"),
    }
}

pub(super) fn part10(object: InMemDicomObject) -> Result<Vec<u8>, SrError> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
        .implementation_version_name(IMPLEMENTATION_VERSION_NAME);
    let file = object.with_meta(meta).map_err(|error| SrError::Encoding(error.to_string()))?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|error| SrError::Encoding(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
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
}
