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
mod tests;
