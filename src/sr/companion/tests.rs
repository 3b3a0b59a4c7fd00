//! What companions say, read back.

use dicom::core::{Tag, VR};
use dicom::dictionary_std::{tags, uids};
use dicom::object::InMemDicomObject;

use super::*;
use crate::finding::Outcome;
use crate::heat::Axis;
use crate::pixels::{PixelShape, Polarity, VoiFunction, VoiStep};
use crate::sr::document;
use crate::sr::testimony::{device, finding, read_back, scored, source, text};

/// An image of 40 rows and 80 columns that is hot in its lower left quarter.
struct Case {
    finding: Finding,
    source: Source,
    report: Report,
    device: Device,
    radiograph: Radiograph,
    heat: HeatMap,
}

impl Case {
    fn new(outcome: Outcome, image: Vec<InMemElement>) -> Self {
        let (finding, source, device) = (finding(vec![outcome]), source(image), device());
        let report = document(&finding, std::slice::from_ref(&source), None, &device, noon()).unwrap();
        let mut radiograph = Radiograph::of_bytes(80, vec![128; 3200]);
        radiograph.rendering.voi = VoiStep::Window { function: VoiFunction::Sigmoid, centre: 2048.0, width: 4096.0 };
        radiograph.rendering.polarity = Polarity::HighIsBlack;
        let axis = Axis::new(2, 0.25, 0.5);
        Self {
            finding,
            source,
            report,
            device,
            radiograph,
            heat: HeatMap::new(axis.clone(), axis, &[0.0, 0.0, 1.0, 0.0]).unwrap(),
        }
    }

    fn occasion(&self) -> Occasion<'_> {
        Occasion { finding: &self.finding, report: &self.report, device: &self.device, now: noon() }
    }

    fn explained(&self) -> Explained<'_> {
        Explained { source: &self.source, radiograph: &self.radiograph, heat: &self.heat }
    }
}

fn noon() -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339("2026-03-01T12:00:00Z").unwrap()
}

fn item(object: &InMemDicomObject, tag: Tag) -> &InMemDicomObject {
    &object.element(tag).unwrap().items().unwrap()[0]
}

fn numbers(object: &InMemDicomObject, tag: Tag) -> Vec<f32> {
    object.element(tag).unwrap().to_multi_float32().unwrap()
}

#[test]
fn companions_share_patient_and_study_and_are_the_same_for_the_same_report() {
    let identity = || vec![element(tags::PATIENT_ID, VR::LO, "P1"), element(tags::ACCESSION_NUMBER, VR::SH, "A1")];
    let case = Case::new(scored(0.9), identity());
    let make = |case: &Case| {
        [
            secondary_capture(&case.occasion(), &case.explained()).unwrap(),
            presentation_state(&case.occasion(), &case.explained()).unwrap(),
            key_objects(&case.occasion(), std::slice::from_ref(&case.source)).unwrap().unwrap(),
        ]
    };
    let made = make(&case);
    assert_eq!(made, make(&case));
    let numbers = ["9902", "9903", "9904"];
    for ((companion, modality), number) in made.iter().zip(["OT", "PR", "KO"]).zip(numbers) {
        let object = read_back(companion);
        assert_eq!(text(&object, tags::PATIENT_ID), "P1");
        assert_eq!(text(&object, tags::ACCESSION_NUMBER), "A1");
        assert_eq!(text(&object, tags::STUDY_INSTANCE_UID), "1.2.3");
        assert_eq!(
            (text(&object, tags::MODALITY), text(&object, tags::SERIES_NUMBER)),
            (modality.into(), number.into())
        );
        assert_eq!(text(&object, tags::CONTENT_QUALIFICATION), "RESEARCH");
    }
    let other = make(&Case::new(scored(0.8), identity()));
    for (a, b) in made.iter().zip(&other) {
        assert_ne!((&a.series, &a.sop_instance), (&b.series, &b.sop_instance));
    }
}

#[test]
fn the_picture_says_what_it_is_and_where_it_comes_from() {
    let image = vec![
        element(tags::PATIENT_ORIENTATION, VR::CS, "L\\F"),
        element(tags::IMAGE_LATERALITY, VR::CS, "U"),
        element(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01"),
        element(tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, "12.5"),
    ];
    let case = Case::new(scored(0.9), image);
    let object = read_back(&secondary_capture(&case.occasion(), &case.explained()).unwrap());
    for (tag, expected) in [
        (tags::SOP_CLASS_UID, uids::SECONDARY_CAPTURE_IMAGE_STORAGE),
        (tags::IMAGE_TYPE, "DERIVED\\SECONDARY"),
        (tags::BURNED_IN_ANNOTATION, "YES"),
        (tags::PATIENT_ORIENTATION, "L\\F"),
        (tags::IMAGE_LATERALITY, "U"),
        (tags::LOSSY_IMAGE_COMPRESSION, "01"),
        (tags::LOSSY_IMAGE_COMPRESSION_RATIO, "12.5"),
        (tags::PHOTOMETRIC_INTERPRETATION, "RGB"),
    ] {
        assert_eq!(text(&object, tag), expected);
    }
    let origin = item(&object, tags::SOURCE_IMAGE_SEQUENCE);
    assert_eq!(text(origin, tags::REFERENCED_SOP_INSTANCE_UID), "1.2.3.4.1");
    assert_eq!(text(item(origin, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE), tags::CODE_VALUE), "121322");
    let side = |tag| object.element(tag).unwrap().to_int::<usize>().unwrap();
    assert_eq!(side(tags::COLUMNS), 512);
    let pixels = object.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap();
    assert_eq!(pixels.len(), side(tags::ROWS) * side(tags::COLUMNS) * 3);
}

#[test]
fn the_overlay_lies_around_the_hot_place_and_shows_the_image_as_the_model_saw_it() {
    let mut case = Case::new(scored(0.9), Vec::new());
    case.radiograph.geometry.shape = PixelShape::Ratio { vertical: 4, horizontal: 3 };
    let object = read_back(&presentation_state(&case.occasion(), &case.explained()).unwrap());
    let annotation = item(&object, tags::GRAPHIC_ANNOTATION_SEQUENCE);
    let graphic = item(annotation, tags::GRAPHIC_OBJECT_SEQUENCE);
    let points = numbers(graphic, tags::GRAPHIC_DATA);
    assert_eq!(points.len(), graphic.element(tags::NUMBER_OF_GRAPHIC_POINTS).unwrap().to_int::<usize>().unwrap() * 2);
    assert_eq!(points[..2], points[points.len() - 2..]);
    // The quarter's centre is at column 20, row 30; half of its heat is left at column 42.6 and row 18.7.
    for point in points.chunks(2) {
        assert!((0.0..=43.0).contains(&point[0]) && (18.0..=40.0).contains(&point[1]), "{point:?}");
    }
    let words = text(item(annotation, tags::TEXT_OBJECT_SEQUENCE), tags::UNFORMATTED_TEXT_VALUE);
    assert!(words.starts_with("Possible pneumonia. Score 90.0 %") && words.contains("AI, research use"), "{words}");
    let window = item(&object, tags::SOFTCOPY_VOILUT_SEQUENCE);
    assert_eq!(text(window, tags::WINDOW_CENTER), "2048");
    assert_eq!(text(window, tags::VOILUT_FUNCTION), "SIGMOID");
    assert_eq!(text(&object, tags::PRESENTATION_LUT_SHAPE), "INVERSE");
    let area = item(&object, tags::DISPLAYED_AREA_SELECTION_SEQUENCE);
    assert_eq!(text(area, tags::PRESENTATION_PIXEL_ASPECT_RATIO), "4\\3");
    let corner = area.element(tags::DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER).unwrap();
    assert_eq!(corner.to_multi_int::<i32>().unwrap(), [80, 40]);
}

#[test]
fn a_cold_map_has_an_overlay_without_a_region() {
    let mut case = Case::new(scored(0.1), Vec::new());
    let axis = Axis::new(1, 0.5, 1.0);
    case.heat = HeatMap::new(axis.clone(), axis, &[0.0]).unwrap();
    let object = read_back(&presentation_state(&case.occasion(), &case.explained()).unwrap());
    let annotation = item(&object, tags::GRAPHIC_ANNOTATION_SEQUENCE);
    assert!(annotation.get(tags::GRAPHIC_OBJECT_SEQUENCE).is_none());
    assert!(annotation.get(tags::TEXT_OBJECT_SEQUENCE).is_some());
}

#[test]
fn only_flagged_images_are_key_objects() {
    let case = Case::new(scored(0.49), Vec::new());
    assert!(key_objects(&case.occasion(), std::slice::from_ref(&case.source)).unwrap().is_none());
    let mut case = Case::new(scored(0.5), Vec::new());
    case.finding = finding(vec![scored(0.5), scored(0.2)]);
    let object = read_back(&key_objects(&case.occasion(), std::slice::from_ref(&case.source)).unwrap().unwrap());
    assert_eq!(text(item(&object, tags::CONCEPT_NAME_CODE_SEQUENCE), tags::CODE_MEANING), "Of Interest");
    let items = object.element(tags::CONTENT_SEQUENCE).unwrap().items().unwrap();
    let images: Vec<_> = items.iter().filter(|item| text(item, tags::VALUE_TYPE) == "IMAGE").collect();
    assert_eq!(images.len(), 1);
    let named = item(images[0], tags::REFERENCED_SOP_SEQUENCE);
    assert_eq!(text(named, tags::REFERENCED_SOP_INSTANCE_UID), "1.2.3.4.1");
    let evidence =
        item(item(&object, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE), tags::REFERENCED_SERIES_SEQUENCE);
    assert_eq!(evidence.element(tags::REFERENCED_SOP_SEQUENCE).unwrap().items().unwrap().len(), 1);
}

#[test]
fn an_image_of_another_finding_has_no_companion() {
    let mut case = Case::new(scored(0.9), Vec::new());
    case.source.reference = crate::sr::testimony::reference(7);
    assert!(matches!(secondary_capture(&case.occasion(), &case.explained()), Err(SrError::Sources)));
    assert!(matches!(key_objects(&case.occasion(), &[]), Err(SrError::Sources)));
}

#[test]
fn a_look_up_table_goes_into_the_overlay_with_results_of_sixteen_bits() {
    let table = InMemDicomObject::from_element_iter([
        DataElement::new(tags::LUT_DESCRIPTOR, VR::US, PrimitiveValue::U16([3, 7, 12].as_slice().into())),
        DataElement::new(tags::LUT_DATA, VR::OW, PrimitiveValue::U16([0, 2048, 4095].as_slice().into())),
    ]);
    let image = vec![crate::sr::content::sequence(tags::VOILUT_SEQUENCE, vec![table])];
    let mut case = Case::new(scored(0.9), image);
    case.radiograph.rendering.voi = VoiStep::Table;
    let object = read_back(&presentation_state(&case.occasion(), &case.explained()).unwrap());
    let table = item(item(&object, tags::SOFTCOPY_VOILUT_SEQUENCE), tags::VOILUT_SEQUENCE);
    let words = |tag| table.element(tag).unwrap().to_multi_int::<u16>().unwrap();
    assert_eq!(words(tags::LUT_DESCRIPTOR), [3, 7, 16]);
    assert_eq!(words(tags::LUT_DATA), [0, 32_775, 65_535]);
}
