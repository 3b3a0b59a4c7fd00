//! Third storey: the rows of the templates (PS3.16), in their order: TID 1500 Measurement Report, with conclusion and
//! comment before the template's own rows. Its title is Chest CAD Report (the extensible CID 7021), or Imaging
//! Measurement Report for software that looks for measurements.

use dicom::core::VR;
use dicom::dictionary_std::tags;

use super::attribute::{codes as coded, plain, values};
use super::codes::{self, Code, Concept};
use super::content::Content;
use super::content::Relationship::{Contains, HasAcqContext, HasConceptMod, HasObsContext};
use super::device::Device;
use super::scribe::{Quoted, Scribe};
use super::wording;
use crate::finding::{Algorithm, Finding, OperatingPoint, Outcome, Presence, Probability, SopReference};
use crate::heat::{Point, Region};
use crate::ids::Uid;

/// What a content tree is made of.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub finding: &'a Finding,
    /// The finding's images, in its order.
    pub images: &'a [Quoted<'a>],
    pub device: &'a Device,
    pub scribe: &'a Scribe,
}

/// How an analysed image is pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grouping {
    /// TID 1501: by a reference.
    Image,
    /// TID 1410: by a region, which is the whole of it.
    Region,
}

/// TID 1500 Measurement Report.
pub(super) fn measurement_report(subject: &Subject, grouping: Grouping) -> Content {
    let scribe = subject.scribe;
    let mut rows = heading(subject).to_vec();
    rows.push(image_library(subject).related(Contains));
    rows.extend(imaging_measurements(subject, grouping).map(|container| container.related(Contains)));
    rows.push(qualitative_evaluations(subject).related(Contains));
    let title = match grouping {
        Grouping::Image => Concept::ChestCadReport,
        Grouping::Region => Concept::ImagingMeasurementReport,
    };
    scribe.container(title, rows).following("1500")
}

/// What every report begins with: conclusion and comment, language (TID 1204), observer, procedure.
pub(super) fn heading(subject: &Subject) -> [Content; 10] {
    let Subject { finding, images, device, scribe } = *subject;
    let conclusion = wording::conclusion_in(finding, scribe.language);
    let comment = wording::comment(device.content_qualification, scribe.language);
    let [kind, uid, name, manufacturer, model, serial] = device_observer(device, scribe);
    [
        scribe.text(Concept::Conclusion, &conclusion).related(Contains),
        scribe.text(Concept::Comment, &comment).related(Contains),
        scribe.coded(Concept::Language, &scribe.language_code()).related(HasConceptMod),
        kind,
        uid,
        name,
        manufacturer,
        model,
        serial,
        scribe.coded(Concept::ProcedureReported, &procedure(images, scribe)).related(HasConceptMod),
    ]
}

/// TID 1002 Observer Context, with TID 1004 Device Observer Identifying Attributes.
pub(super) fn device_observer(device: &Device, scribe: &Scribe) -> [Content; 6] {
    [
        scribe.code_item(Concept::ObserverType, Concept::Device),
        scribe.uid_ref(Concept::DeviceObserverUid, device.uid.as_str()),
        scribe.text(Concept::DeviceObserverName, &device.observer_name),
        scribe.text(Concept::DeviceObserverManufacturer, &device.manufacturer),
        scribe.text(Concept::DeviceObserverModelName, &device.model_name),
        scribe.text(Concept::DeviceObserverSerialNumber, &device.serial_number),
    ]
    .map(|row| row.related(HasObsContext))
}

/// What the image says was done, unless it says so in a scheme that is retired.
fn procedure(images: &[Quoted], scribe: &Scribe) -> Code {
    let image = images.first().map(|image| image.octets.as_ref());
    let said = image.and_then(|image| coded(image, tags::PROCEDURE_CODE_SEQUENCE).into_iter().next());
    said.filter(|code| !code.is_retired()).unwrap_or_else(|| scribe.code(Concept::PlainChestXray))
}

/// TID 1600 Image Library, with one TID 1601 entry for each image offered to the model.
fn image_library(subject: &Subject) -> Content {
    let scribe = subject.scribe;
    let entries = subject.images.iter().map(|image| {
        scribe.image(Concept::Source, image.reference).containing(image_descriptors(image, scribe)).related(Contains)
    });
    let group = scribe.container(Concept::ImageLibraryGroup, entries.collect());
    scribe.container(Concept::ImageLibrary, vec![group.related(Contains)])
}

/// TID 1602 and 1603: descriptors of a projection radiograph; what the image does not say is left out.
fn image_descriptors(source: &Quoted, scribe: &Scribe) -> Vec<Content> {
    let (header, octets) = (source.header, source.octets.as_ref());
    let date = |concept, tag| plain(octets, tag, VR::DA).map(|date| scribe.date(concept, &date));
    let time = |concept, tag| plain(octets, tag, VR::TM).map(|time| scribe.time(concept, whole_seconds(&time)));
    let pixels =
        |concept, tag| header.number(tag).map(|count| scribe.num(concept, &count.to_string(), Concept::Pixels));
    let [vertical, horizontal] = pixel_spacing(source);
    let millimetres =
        |concept, spacing: Option<String>| spacing.map(|mm| scribe.num(concept, &mm, Concept::Millimetres));
    let [row, column] = patient_orientation(source);
    let rows = [
        modality(source).map(|modality| scribe.code_item(Concept::Modality, modality)),
        date(Concept::StudyDate, tags::STUDY_DATE),
        time(Concept::StudyTime, tags::STUDY_TIME),
        date(Concept::AcquisitionDate, tags::ACQUISITION_DATE),
        time(Concept::AcquisitionTime, tags::ACQUISITION_TIME),
        pixels(Concept::PixelDataRows, tags::ROWS),
        pixels(Concept::PixelDataColumns, tags::COLUMNS),
        view(source, scribe).map(|view| scribe.coded(Concept::ImageView, &view)),
        row.map(|text| scribe.text(Concept::PatientOrientationRow, &text)),
        column.map(|text| scribe.text(Concept::PatientOrientationColumn, &text)),
        millimetres(Concept::HorizontalPixelSpacing, horizontal),
        millimetres(Concept::VerticalPixelSpacing, vertical),
    ];
    rows.into_iter().flatten().map(|row| row.related(HasAcqContext)).collect()
}

/// A time without the fraction of a second that some readers of content items lose.
fn whole_seconds(time: &str) -> &str {
    time.split_once('.').map_or(time, |(whole, _)| whole)
}

fn modality(source: &Quoted) -> Option<Concept> {
    codes::modality(&plain(source.octets.as_ref(), tags::MODALITY, VR::CS)?)
}

fn view(source: &Quoted, scribe: &Scribe) -> Option<Code> {
    let said = coded(source.octets.as_ref(), tags::VIEW_CODE_SEQUENCE).into_iter().next()?;
    if said.is_retired() { codes::current_view(&said).map(|view| scribe.code(view)) } else { Some(said) }
}

/// Directions of the rows and of the columns; neither when one is missing.
fn patient_orientation(source: &Quoted) -> [Option<String>; 2] {
    match values(source.octets.as_ref(), tags::PATIENT_ORIENTATION, VR::CS).as_slice() {
        [row, column] if !row.is_empty() && !column.is_empty() => [Some(row.clone()), Some(column.clone())],
        _ => [None, None],
    }
}

/// Distances of the rows and of the columns: at the detector, else in the patient.
fn pixel_spacing(source: &Quoted) -> [Option<String>; 2] {
    let positive = |value: &String| value.parse().is_ok_and(|mm: f64| mm > 0.0);
    let spacings = [tags::IMAGER_PIXEL_SPACING, tags::PIXEL_SPACING];
    let pairs = spacings.map(|tag| values(source.octets.as_ref(), tag, VR::DS));
    match pairs.iter().find(|pair| pair.len() == 2 && pair.iter().all(positive)).map(Vec::as_slice) {
        Some([vertical, horizontal]) => [Some(vertical.clone()), Some(horizontal.clone())],
        _ => [None, None],
    }
}

/// Imaging Measurements: one group for each analysed image, left out when there is none.
fn imaging_measurements(subject: &Subject, grouping: Grouping) -> Option<Content> {
    let outcomes = subject.finding.images.iter().map(|image| image.outcome);
    let groups: Vec<_> = (1..)
        .zip(subject.images.iter().zip(outcomes))
        .filter_map(|(number, (image, outcome))| match outcome {
            Outcome::Analysed(score) => Some(measurement_group(number, image, score, subject, grouping)),
            Outcome::NotAnalysed(_) => None,
        })
        .map(|group| group.related(Contains))
        .collect();
    (!groups.is_empty()).then(|| subject.scribe.container(Concept::ImagingMeasurements, groups))
}

/// TID 1501 Measurement and Qualitative Evaluation Group, or TID 1410 Planar ROI Measurements.
fn measurement_group(
    number: usize,
    image: &Quoted,
    score: Probability,
    subject: &Subject,
    grouping: Grouping,
) -> Content {
    let Subject { finding, scribe, .. } = *subject;
    let point = &finding.operating_point;
    let presence = point.presence(score);
    let tracking = tracking_uid(image.reference);
    let mut rows = vec![
        scribe.text(Concept::TrackingIdentifier, &format!("CXR pneumonia {number}")).related(HasObsContext),
        scribe.uid_ref(Concept::TrackingUniqueIdentifier, tracking.as_str()).related(HasObsContext),
    ];
    // Only when present: viewers print "Finding: Pneumonia" on a line of its own.
    if presence == Presence::Present {
        rows.push(scribe.code_item(Concept::Finding, Concept::Pneumonia).related(Contains));
    }
    rows.push(scribe.code_item(Concept::FindingSite, Concept::Lung).related(HasConceptMod));
    rows.extend(algorithm_identification(&finding.algorithm, point, scribe));
    let certainty = wording::score_number(score, point);
    let answer = [
        scribe.num(Concept::CertaintyOfFinding, &certainty, Concept::Percent).related(Contains),
        scribe.code_item(Concept::Pneumonia, presence_code(presence)).related(Contains),
    ];
    match grouping {
        Grouping::Image => {
            rows.extend(answer);
            rows.push(scribe.image(Concept::SourceOfMeasurement, image.reference).related(Contains));
            scribe.container(Concept::MeasurementGroup, rows).following("1501")
        }
        Grouping::Region => {
            rows.extend(region(image, scribe).map(|row| row.related(Contains)));
            rows.extend(answer);
            scribe.container(Concept::MeasurementGroup, rows).following("1410")
        }
    }
}

/// Where the finding, if any, lies: in the model's focus, where that is asked for, else within the image, which is true of
/// it and all that is known.
fn region(image: &Quoted, scribe: &Scribe) -> [Content; 2] {
    let original = scribe.image(Concept::OriginalSource, image.reference);
    let points = image.focus.map_or_else(|| whole(image), Region::polyline);
    [
        scribe.code_item(Concept::GeometricPurposeOfRegion, Concept::BoundedBy),
        scribe.polyline(Concept::ImageRegion, &points, original),
    ]
}

/// The border of an image.
fn whole(image: &Quoted) -> Vec<Point> {
    // Exact: Rows and Columns are 16 bits, and f32 has 24.
    #[allow(clippy::cast_precision_loss, reason = "see above")]
    let side = |tag| image.header.number(tag).unwrap_or_default() as f32;
    let (width, height) = (side(tags::COLUMNS), side(tags::ROWS));
    let corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height), (0.0, 0.0)];
    corners.map(|(column, row)| Point { column, row }).to_vec()
}

/// The same for the same image, whatever model looks at it.
fn tracking_uid(image: &SopReference) -> Uid {
    Uid::derived(&[image.sop_instance.as_str(), "pneumonia"])
}

fn presence_code(presence: Presence) -> Concept {
    match presence {
        Presence::Present => Concept::Present,
        Presence::Absent => Concept::Absent,
        Presence::Undetermined => Concept::Undetermined,
    }
}

/// TID 4019 Algorithm Identification.
pub(super) fn algorithm_identification(algorithm: &Algorithm, point: &OperatingPoint, scribe: &Scribe) -> Vec<Content> {
    const LONGEST: usize = 1024;
    let text = |concept, text: &str| scribe.text(concept, &wording::line(text, LONGEST));
    let threshold = format!("threshold={}%", wording::exact_percent(point.threshold()));
    let zone = point.undetermined_from().map(|p| format!("undetermined_from={}%", wording::exact_percent(p)));
    let others = algorithm.parameters.iter().filter(|parameter| !parameter.starts_with("threshold=")).cloned();
    let parameters = std::iter::once(threshold).chain(zone).chain(others);
    let mut rows = vec![
        text(Concept::AlgorithmName, &algorithm.name),
        text(Concept::AlgorithmVersion, &algorithm.version_with_digest()),
    ];
    rows.extend(parameters.map(|parameter| text(Concept::AlgorithmParameters, &parameter)));
    rows.push(scribe.code_item(Concept::AlgorithmFamily, Concept::ArtificialIntelligence));
    rows.into_iter().map(|row| row.related(HasConceptMod)).collect()
}

/// Qualitative Evaluations of the study: the processing summary (CID 6047).
fn qualitative_evaluations(subject: &Subject) -> Content {
    let scribe = subject.scribe;
    let summary = scribe.code_item(Concept::CadSummary, processing_summary(subject.finding)).related(Contains);
    scribe.container(Concept::QualitativeEvaluations, vec![summary])
}

/// Undetermined counts as a finding, so that a worklist sorted by this code shows it to somebody.
fn processing_summary(finding: &Finding) -> Concept {
    let complete = finding.declined().next().is_none();
    match finding.presence() {
        None => Concept::NoneSucceeded,
        Some(Presence::Absent) if complete => Concept::AllSucceededWithoutFindings,
        Some(Presence::Absent) => Concept::SomeSucceededWithoutFindings,
        Some(_) if complete => Concept::AllSucceededWithFindings,
        Some(_) => Concept::SomeSucceededWithFindings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Reason;
    use crate::sr::attribute::element;
    use crate::sr::content::code_sequence;
    use crate::sr::testimony::{failed, outline, reported, scored};

    #[test]
    fn a_positive_report_reads_like_the_template() {
        let image = vec![
            element(tags::MODALITY, VR::CS, "DX"),
            element(tags::STUDY_DATE, VR::DA, "20260228"),
            element(tags::STUDY_TIME, VR::TM, "093431.70"),
            element(tags::PATIENT_ORIENTATION, VR::CS, "L\\F"),
            element(tags::IMAGER_PIXEL_SPACING, VR::DS, "0.2\\0.1"),
        ];
        let lines = outline(&reported(scored(0.931_187), image), 0);
        let known: Vec<&str> =
            lines.iter().map(String::as_str).filter(|line| !line.contains("UID") && !line.contains("Serial")).collect();
        let expected = "\
Conclusion = Possible pneumonia. Score 93.1 % (threshold 50.0 %).
Comment = Computer-generated result, not verified by a physician. Does not replace the interpretation of the images. \
For research use only.
Language of Content Item and Descendants = English (United States)
Observer Type = Device
Device Observer Name = AUSCULT
Device Observer Manufacturer = Auscult
Device Observer Model Name = Auscult
Procedure reported = Plain chest X-ray
Image Library
  Image Library Group
    Source
      Modality = Digital Radiography
      Study Date = 20260228
      Study Time = 093431
      Patient Orientation Row = L
      Patient Orientation Column = F
      Horizontal Pixel Spacing = 0.1 mm
      Vertical Pixel Spacing = 0.2 mm
Imaging Measurements
  Measurement Group
    Tracking Identifier = CXR pneumonia 1
    Tracking Unique Identifier = 2.25.38617522478511366380740933602807112241
    Finding = Pneumonia
    Finding Site = Lung
    Algorithm Name = cxr-pneumonia-reference
    Algorithm Version = 1.0.0+sha256:0123456789abcdef
    Algorithm Parameters = threshold=50.0%
    Algorithm Parameters = input=224x224x3
    Algorithm Family = Artificial Intelligence
    Certainty of Finding = 93.1187 Percent
    Pneumonia = Present
    Source of Measurement
Qualitative Evaluations
  CAD Processing and Findings Summary = All algorithms succeeded; with findings";
        assert_eq!(known, expected.lines().collect::<Vec<_>>());
    }

    #[test]
    fn a_negative_report_names_no_finding() {
        let lines = outline(&reported(scored(0.0725), Vec::new()), 0);
        assert!(!lines.iter().any(|line| line.trim().starts_with("Finding =")), "{lines:#?}");
        assert!(lines.contains(&"    Pneumonia = Absent".to_owned()));
        assert!(lines.contains(&"    Certainty of Finding = 7.25 Percent".to_owned()));
        assert!(lines.last().unwrap().ends_with("All algorithms succeeded; without findings"));
    }

    #[test]
    fn what_was_not_analysed_has_no_measurements() {
        let lines = outline(&reported(failed(Reason::LateralView), Vec::new()), 0);
        assert!(lines[0].ends_with("Reason: lateral view is not supported"), "{}", lines[0]);
        assert!(!lines.iter().any(|line| line == "Imaging Measurements"));
        assert!(lines.last().unwrap().ends_with("No algorithms succeeded; without findings"));
    }

    #[test]
    fn a_view_in_a_retired_scheme_is_translated_and_what_is_malformed_left_out() {
        let retired = Code {
            value: b"R-10206".as_slice().into(),
            scheme: b"SNM3".as_slice().into(),
            version: None,
            meaning: b"antero-posterior".as_slice().into(),
        };
        let lines = outline(
            &reported(
                scored(0.1),
                vec![
                    code_sequence(tags::VIEW_CODE_SEQUENCE, &retired),
                    code_sequence(tags::PROCEDURE_CODE_SEQUENCE, &retired),
                    element(tags::MODALITY, VR::CS, "??"),
                    element(tags::STUDY_TIME, VR::TM, "25:99"),
                    element(tags::PIXEL_SPACING, VR::DS, "0.1"),
                    element(tags::PATIENT_ORIENTATION, VR::CS, "L"),
                ],
            ),
            0,
        );
        let library: Vec<_> = lines.iter().filter(|line| line.starts_with("      ")).map(|line| line.trim()).collect();
        assert_eq!(library, ["Image View = antero-posterior"]);
        assert!(lines.contains(&"Procedure reported = Plain chest X-ray".to_owned()));
    }
}
