//! Third storey: the rows of the templates, in the order of PS3.16: TID 1500 Measurement Report with Chest CAD
//! Report as its title (the extensible CID 7021), conclusion and comment before the template's own rows.

use dicom::core::VR;
use dicom::dictionary_std::tags;

use super::attribute::{codes as coded, plain, values};
use super::codes::{self, Code};
use super::content::Content;
use super::content::Relationship::{Contains, HasAcqContext, HasConceptMod, HasObsContext};
use super::device::Device;
use super::document::Source;
use super::wording;
use crate::finding::{Algorithm, Finding, OperatingPoint, Outcome, Presence, Probability, SopReference};
use crate::ids::Uid;

/// TID 1500 Measurement Report.
pub(super) fn measurement_report(finding: &Finding, sources: &[Source], device: &Device) -> Content {
    let mut rows = vec![
        Content::text(&codes::CONCLUSION, &wording::conclusion(finding)).related(Contains),
        Content::text(&codes::COMMENT, &wording::comment(device.content_qualification)).related(Contains),
        Content::code(&codes::LANGUAGE, &codes::ENGLISH).related(HasConceptMod), // TID 1204
    ];
    rows.extend(device_observer(device));
    rows.push(Content::code(&codes::PROCEDURE_REPORTED, &procedure(sources)).related(HasConceptMod));
    rows.push(image_library(sources).related(Contains));
    rows.extend(imaging_measurements(finding).map(|container| container.related(Contains)));
    rows.push(qualitative_evaluations(finding).related(Contains));
    Content::container(&codes::CHEST_CAD_REPORT, rows).following("1500")
}

/// TID 1002 Observer Context, with TID 1004 Device Observer Identifying Attributes.
pub(super) fn device_observer(device: &Device) -> [Content; 6] {
    [
        Content::code(&codes::OBSERVER_TYPE, &codes::DEVICE),
        Content::uid_ref(&codes::DEVICE_OBSERVER_UID, device.uid.as_str()),
        Content::text(&codes::DEVICE_OBSERVER_NAME, &device.observer_name),
        Content::text(&codes::DEVICE_OBSERVER_MANUFACTURER, &device.manufacturer),
        Content::text(&codes::DEVICE_OBSERVER_MODEL_NAME, &device.model_name),
        Content::text(&codes::DEVICE_OBSERVER_SERIAL_NUMBER, &device.serial_number),
    ]
    .map(|row| row.related(HasObsContext))
}

/// What the image says was done, unless it says so in a scheme that is retired.
fn procedure(sources: &[Source]) -> Code {
    let image = sources.first().map(|source| source.header.octets());
    let said = image.and_then(|image| coded(image, tags::PROCEDURE_CODE_SEQUENCE).into_iter().next());
    said.filter(|code| !code.is_retired()).unwrap_or_else(|| codes::PLAIN_CHEST_XRAY.clone())
}

/// TID 1600 Image Library, with one TID 1601 entry for each image offered to the model.
fn image_library(sources: &[Source]) -> Content {
    let entries = sources.iter().map(|source| {
        Content::image(&codes::SOURCE, &source.reference).containing(image_descriptors(source)).related(Contains)
    });
    let group = Content::container(&codes::IMAGE_LIBRARY_GROUP, entries.collect());
    Content::container(&codes::IMAGE_LIBRARY, vec![group.related(Contains)])
}

/// TID 1602 and 1603: descriptors of a projection radiograph; what the image does not say is left out.
fn image_descriptors(source: &Source) -> Vec<Content> {
    let (header, octets) = (&source.header, source.header.octets());
    let date = |concept, tag| plain(octets, tag, VR::DA).map(|date| Content::date(concept, &date));
    let time = |concept, tag| plain(octets, tag, VR::TM).map(|time| Content::time(concept, whole_seconds(&time)));
    let pixels =
        |concept, tag| header.number(tag).map(|count| Content::num(concept, &count.to_string(), &codes::PIXELS));
    let [vertical, horizontal] = pixel_spacing(source);
    let millimetres =
        |concept, spacing: Option<String>| spacing.map(|mm| Content::num(concept, &mm, &codes::MILLIMETRES));
    let [row, column] = patient_orientation(source);
    let rows = [
        modality(source).map(|modality| Content::code(&codes::MODALITY, modality)),
        date(&codes::STUDY_DATE, tags::STUDY_DATE),
        time(&codes::STUDY_TIME, tags::STUDY_TIME),
        date(&codes::ACQUISITION_DATE, tags::ACQUISITION_DATE),
        time(&codes::ACQUISITION_TIME, tags::ACQUISITION_TIME),
        pixels(&codes::PIXEL_DATA_ROWS, tags::ROWS),
        pixels(&codes::PIXEL_DATA_COLUMNS, tags::COLUMNS),
        view(source).map(|view| Content::code(&codes::IMAGE_VIEW, &view)),
        row.map(|text| Content::text(&codes::PATIENT_ORIENTATION_ROW, &text)),
        column.map(|text| Content::text(&codes::PATIENT_ORIENTATION_COLUMN, &text)),
        millimetres(&codes::HORIZONTAL_PIXEL_SPACING, horizontal),
        millimetres(&codes::VERTICAL_PIXEL_SPACING, vertical),
    ];
    rows.into_iter().flatten().map(|row| row.related(HasAcqContext)).collect()
}

/// A time without the fraction of a second that some readers of content items lose.
fn whole_seconds(time: &str) -> &str {
    time.split_once('.').map_or(time, |(whole, _)| whole)
}

fn modality(source: &Source) -> Option<&'static Code> {
    codes::modality(&plain(source.header.octets(), tags::MODALITY, VR::CS)?)
}

fn view(source: &Source) -> Option<Code> {
    let said = coded(source.header.octets(), tags::VIEW_CODE_SEQUENCE).into_iter().next()?;
    if said.is_retired() { codes::current_view(&said) } else { Some(said) }
}

/// Directions of the rows and of the columns; neither when one is missing.
fn patient_orientation(source: &Source) -> [Option<String>; 2] {
    match values(source.header.octets(), tags::PATIENT_ORIENTATION, VR::CS).as_slice() {
        [row, column] if !row.is_empty() && !column.is_empty() => [Some(row.clone()), Some(column.clone())],
        _ => [None, None],
    }
}

/// Distances of the rows and of the columns: at the detector, else in the patient.
fn pixel_spacing(source: &Source) -> [Option<String>; 2] {
    let positive = |value: &String| value.parse().is_ok_and(|mm: f64| mm > 0.0);
    let spacings = [tags::IMAGER_PIXEL_SPACING, tags::PIXEL_SPACING];
    let pairs = spacings.map(|tag| values(source.header.octets(), tag, VR::DS));
    match pairs.iter().find(|pair| pair.len() == 2 && pair.iter().all(positive)).map(Vec::as_slice) {
        Some([vertical, horizontal]) => [Some(vertical.clone()), Some(horizontal.clone())],
        _ => [None, None],
    }
}

/// Imaging Measurements: one group for each analysed image, left out when there is none.
fn imaging_measurements(finding: &Finding) -> Option<Content> {
    let groups: Vec<_> = (1..)
        .zip(&finding.images)
        .filter_map(|(number, image)| match image.outcome {
            Outcome::Analysed(score) => Some(measurement_group(number, &image.image, score, finding)),
            Outcome::NotAnalysed(_) => None,
        })
        .map(|group| group.related(Contains))
        .collect();
    (!groups.is_empty()).then(|| Content::container(&codes::IMAGING_MEASUREMENTS, groups))
}

/// TID 1501 Measurement and Qualitative Evaluation Group.
fn measurement_group(number: usize, image: &SopReference, score: Probability, finding: &Finding) -> Content {
    let point = &finding.operating_point;
    let presence = point.presence(score);
    let mut rows = vec![
        Content::text(&codes::TRACKING_IDENTIFIER, &format!("CXR pneumonia {number}")).related(HasObsContext),
        Content::uid_ref(&codes::TRACKING_UNIQUE_IDENTIFIER, tracking_uid(image).as_str()).related(HasObsContext),
    ];
    // Only when present: viewers print "Finding: Pneumonia" on a line of its own.
    if presence == Presence::Present {
        rows.push(Content::code(&codes::FINDING, &codes::PNEUMONIA).related(Contains));
    }
    rows.push(Content::code(&codes::FINDING_SITE, &codes::LUNG).related(HasConceptMod));
    rows.extend(algorithm_identification(&finding.algorithm, point));
    let certainty = wording::score_number(score, point);
    rows.extend([
        Content::num(&codes::CERTAINTY_OF_FINDING, &certainty, &codes::PERCENT).related(Contains),
        Content::code(&codes::PNEUMONIA, presence_code(presence)).related(Contains),
        Content::image(&codes::SOURCE_OF_MEASUREMENT, image).related(Contains),
    ]);
    Content::container(&codes::MEASUREMENT_GROUP, rows).following("1501")
}

/// The same for the same image, whatever model looks at it.
fn tracking_uid(image: &SopReference) -> Uid {
    Uid::derived(&[image.sop_instance.as_str(), "pneumonia"])
}

fn presence_code(presence: Presence) -> &'static Code {
    match presence {
        Presence::Present => &codes::PRESENT,
        Presence::Absent => &codes::ABSENT,
        Presence::Undetermined => &codes::UNDETERMINED,
    }
}

/// TID 4019 Algorithm Identification.
fn algorithm_identification(algorithm: &Algorithm, point: &OperatingPoint) -> Vec<Content> {
    const LONGEST: usize = 1024;
    let text = |concept, text: &str| Content::text(concept, &wording::line(text, LONGEST));
    let threshold = format!("threshold={}%", wording::exact_percent(point.threshold()));
    let zone = point.undetermined_from().map(|p| format!("undetermined_from={}%", wording::exact_percent(p)));
    let others = algorithm.parameters.iter().filter(|parameter| !parameter.starts_with("threshold=")).cloned();
    let parameters = std::iter::once(threshold).chain(zone).chain(others);
    let mut rows = vec![
        text(&codes::ALGORITHM_NAME, &algorithm.name),
        text(&codes::ALGORITHM_VERSION, &algorithm.version_with_digest()),
    ];
    rows.extend(parameters.map(|parameter| text(&codes::ALGORITHM_PARAMETERS, &parameter)));
    rows.push(Content::code(&codes::ALGORITHM_FAMILY, &codes::ARTIFICIAL_INTELLIGENCE));
    rows.into_iter().map(|row| row.related(HasConceptMod)).collect()
}

/// Qualitative Evaluations of the study: the processing summary (CID 6047).
fn qualitative_evaluations(finding: &Finding) -> Content {
    let summary = Content::code(&codes::CAD_SUMMARY, processing_summary(finding)).related(Contains);
    Content::container(&codes::QUALITATIVE_EVALUATIONS, vec![summary])
}

/// Undetermined counts as a finding, so that a worklist sorted by this code shows it to somebody.
fn processing_summary(finding: &Finding) -> &'static Code {
    let complete = finding.declined().next().is_none();
    match finding.presence() {
        None => &codes::NONE_SUCCEEDED,
        Some(Presence::Absent) if complete => &codes::ALL_SUCCEEDED_WITHOUT_FINDINGS,
        Some(Presence::Absent) => &codes::SOME_SUCCEEDED_WITHOUT_FINDINGS,
        Some(_) if complete => &codes::ALL_SUCCEEDED_WITH_FINDINGS,
        Some(_) => &codes::SOME_SUCCEEDED_WITH_FINDINGS,
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
                    element(tags::STUDY_TIME, VR::TM, "10:11:12"),
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
