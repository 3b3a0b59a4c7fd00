//! Headers as devices write them, and what selection must say of each.

use dicom::core::value::DataSetSequence;
use dicom::core::{DataElement, PrimitiveValue, VR};
use dicom::dictionary_std::{tags, uids};
use dicom::object::{FileMetaTableBuilder, InMemDicomObject};

use super::*;

type Attribute<'a> = (Tag, VR, &'a str);

/// A frontal chest radiograph by its header, changed by `changes`; an empty value removes the attribute.
fn header(changes: &[Attribute]) -> Header {
    coded(changes, None)
}

/// The same with one code: the sequence that it is in, its value and its meaning.
fn coded(changes: &[Attribute], code: Option<(Tag, &str, &str)>) -> Header {
    let mut object = InMemDicomObject::new_empty();
    object.put(DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"));
    if let Some((sequence, value, meaning)) = code {
        let item = InMemDicomObject::from_element_iter([
            DataElement::new(tags::CODE_VALUE, VR::SH, PrimitiveValue::from(value)),
            DataElement::new(tags::CODE_MEANING, VR::LO, PrimitiveValue::from(meaning)),
        ]);
        object.put(DataElement::new(sequence, VR::SQ, DataSetSequence::from(vec![item])));
    }
    let mut put = |(tag, vr, value): Attribute| {
        object.remove_element(tag);
        if !value.is_empty() {
            object.put(DataElement::new(tag, vr, value));
        }
    };
    [
        (tags::SOP_CLASS_UID, VR::UI, uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION),
        (tags::SOP_INSTANCE_UID, VR::UI, "2.25.1"),
        (tags::MODALITY, VR::CS, "DX"),
        (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY"),
        (tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
        (tags::VIEW_POSITION, VR::CS, "PA"),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
    ]
    .into_iter()
    .chain(changes.iter().copied())
    .for_each(&mut put);
    for tag in [tags::ROWS, tags::COLUMNS] {
        if object.get(tag).is_none() {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(2000_u16)));
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("header.dcm");
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    object.with_meta(meta).unwrap().write_to_file(&path).unwrap();
    Header::open(&path).unwrap()
}

fn reason(changes: &[Attribute]) -> Option<Reason> {
    match judge(&header(changes), &Select::default(), None) {
        Verdict::Accepted(_) => None,
        Verdict::Declined(reason, _) => Some(reason),
    }
}

#[test]
fn frontal_chest_radiographs_are_accepted_with_their_grounds() {
    assert_eq!(
        judge(&header(&[]), &Select::default(), None),
        Verdict::Accepted(Grounds {
            rule: "frontal chest radiograph",
            values: "Body Part Examined (0018,0015) = CHEST".into()
        })
    );
    for accepted in [
        &[(tags::VIEW_POSITION, VR::CS, "AP")][..],
        &[(tags::VIEW_POSITION, VR::CS, "")],
        &[(tags::BODY_PART_EXAMINED, VR::CS, ""), (tags::SERIES_DESCRIPTION, VR::LO, "R\u{f6}ntgen Thorax p.a.")],
        &[(tags::MODALITY, VR::CS, "CR"), (tags::SOP_CLASS_UID, VR::UI, uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE)],
        &[(tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY")],
        &[(tags::VIEW_POSITION, VR::CS, ""), (tags::PATIENT_ORIENTATION, VR::CS, "L\\F")],
        &[(tags::STUDY_DESCRIPTION, VR::LO, "Chest 2 views PA LAT")],
    ] {
        assert_eq!(reason(accepted), None, "{accepted:?}");
    }
}

#[test]
fn everything_else_is_declined_with_a_reason() {
    for (changes, expected) in [
        (&[(tags::VIEW_POSITION, VR::CS, "LL")][..], Reason::LateralView),
        (&[(tags::VIEW_POSITION, VR::CS, "LAO")], Reason::ViewNotSupported),
        (
            &[(tags::VIEW_POSITION, VR::CS, ""), (tags::SERIES_DESCRIPTION, VR::LO, "Thorax seitlich")],
            Reason::LateralView,
        ),
        (&[(tags::VIEW_POSITION, VR::CS, ""), (tags::PATIENT_ORIENTATION, VR::CS, "A\\F")], Reason::LateralView),
        (&[(tags::BODY_PART_EXAMINED, VR::CS, "ABDOMEN")], Reason::NotAChestImage),
        (&[(tags::BODY_PART_EXAMINED, VR::CS, "")], Reason::NotAChestImage),
        (
            &[(tags::MODALITY, VR::CS, "CT"), (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE)],
            Reason::NotARadiograph,
        ),
        (&[(tags::PRESENTATION_INTENT_TYPE, VR::CS, "FOR PROCESSING")], Reason::ForProcessing),
        (&[(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB")], Reason::PhotometricInterpretation),
        (&[(tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY")], Reason::NotAnOriginalImage),
    ] {
        assert_eq!(reason(changes), Some(expected), "{changes:?}");
    }
}

#[test]
fn grounds_show_matched_words_and_no_free_text() {
    let changes = [(tags::VIEW_POSITION, VR::CS, ""), (tags::SERIES_DESCRIPTION, VR::LO, "M\u{fc}ller Erika lateral")];
    let Verdict::Declined(_, grounds) = judge(&header(&changes), &Select::default(), None) else { panic!("accepted") };
    assert_eq!(grounds.to_string(), "view: Series Description (0008,103E) = LATERAL");
}

#[test]
fn sizes_are_bounded_on_both_sides() {
    let verdict = |min, max| {
        let settings = Select { min_pixels_per_side: min, max_megapixels: max, ..Select::default() };
        match judge(&header(&[]), &settings, None) {
            Verdict::Declined(reason, _) => Some(reason),
            Verdict::Accepted(_) => None,
        }
    };
    assert_eq!(verdict(2001, 100), Some(Reason::ImageTooSmall));
    assert_eq!(verdict(200, 3), Some(Reason::ImageTooLarge));
    assert_eq!(verdict(2000, 4), None);
}

#[test]
fn processing_images_are_analysed_on_request() {
    let settings = Select { for_processing: ForProcessing::Analyse, ..Select::default() };
    let changes = [(tags::PRESENTATION_INTENT_TYPE, VR::CS, "FOR PROCESSING")];
    assert!(matches!(judge(&header(&changes), &settings, None), Verdict::Accepted(_)));
}

#[test]
fn the_age_must_be_one_that_the_model_is_made_for_or_unknown() {
    let adults = AgeRange::try_from([18, 90]).unwrap();
    let verdict = |changes: &[Attribute]| judge(&header(changes), &Select::default(), Some(adults));
    let age = |value| [(tags::PATIENT_AGE, VR::AS, value)];
    let born = |birth, study| [(tags::PATIENT_BIRTH_DATE, VR::DA, birth), (tags::STUDY_DATE, VR::DA, study)];
    for accepted in [
        &[][..],
        &age("018Y"),
        &age("090Y"),
        &age("216M"),
        &age("063"),
        &born("20080301", "20260301"),
        &born("20080301", ""),
        &born("", "20260301"),
        &born("18580101", "20260301"),
        &born("20270101", "20260301"),
        &[(tags::PATIENT_AGE, VR::AS, "030Y"), (tags::PATIENT_BIRTH_DATE, VR::DA, "20260101")],
        &[(tags::PATIENT_AGE, VR::AS, "30Y"), (tags::PATIENT_BIRTH_DATE, VR::DA, "20260101")],
    ] {
        assert!(matches!(verdict(accepted), Verdict::Accepted(_)), "{accepted:?}");
    }
    for (declined, words) in [
        (&age("017Y")[..], "younger than 18 years"),
        (&age("215M"), "younger than 18 years"),
        (&age("010D"), "younger than 18 years"),
        (&age("100W"), "younger than 18 years"),
        (&age("091Y"), "older than 90 years"),
        (&born("20080302", "20260301"), "younger than 18 years"),
        (&born("19350228", "20260301"), "older than 90 years"),
    ] {
        let expected = Grounds { rule: "patient age", values: words.into() };
        assert_eq!(verdict(declined), Verdict::Declined(Reason::AgeOutsideIntendedRange, expected), "{declined:?}");
        assert!(matches!(judge(&header(declined), &Select::default(), None), Verdict::Accepted(_)));
    }
    let lateral = [(tags::PATIENT_AGE, VR::AS, "005Y"), (tags::VIEW_POSITION, VR::CS, "LL")];
    assert!(matches!(verdict(&lateral), Verdict::Declined(Reason::LateralView, _)));
}

#[test]
fn a_hearing_names_every_rule_asked_and_ends_with_the_verdict() {
    let asked = |changes: &[Attribute]| hear(&header(changes), &Select::default(), None);
    let accepted = asked(&[]);
    let rules: Vec<_> = accepted.iter().map(|asked| asked.grounds.to_string()).collect();
    assert_eq!(
        rules,
        [
            "modality: Modality (0008,0060) = DX",
            "presentation intent: Presentation Intent Type (0008,0068) is absent",
            "photometric interpretation: Photometric Interpretation (0028,0004) = MONOCHROME2",
            "size: 2000 rows x 2000 columns",
            "image type: Image Type (0008,0008) = ORIGINAL\\PRIMARY",
            "body part: Body Part Examined (0018,0015) = CHEST",
            "view: View Position (0018,5101) = PA",
            "patient age: within what the model is made for, or not said",
            "frontal chest radiograph: Body Part Examined (0018,0015) = CHEST",
        ]
    );
    let lateral = asked(&[(tags::VIEW_POSITION, VR::CS, "LL")]);
    assert_eq!(lateral.len(), 7);
    assert!(lateral[..6].iter().all(|asked| asked.verdict.is_none()));
    assert!(matches!(lateral[6].verdict, Some(Verdict::Declined(Reason::LateralView, _))));
    let secret = asked(&[(tags::IMAGE_TYPE, VR::CS, "DOE^JANE")]);
    assert!(!secret.iter().any(|asked| asked.grounds.to_string().contains("DOE")));
}

#[test]
fn descriptions_are_understood_in_many_languages() {
    let by = |tag, text| {
        let nothing_else = [(tags::BODY_PART_EXAMINED, VR::CS, ""), (tags::VIEW_POSITION, VR::CS, "")];
        reason(&[&nothing_else[..], &[(tag, VR::LO, text)]].concat())
    };
    for chest in [
        "T\u{f3}rax",
        "Poitrine face",
        "Klatka piersiowa",
        "RTG p\u{142}uc",
        "G\u{f6}\u{11f}\u{fc}s",
        "\u{80f8}\u{90e8}\u{6b63}\u{9762}",
        "Radiografia do t\u{f3}rax",
        "\u{413}\u{440}\u{443}\u{434}\u{43d}\u{430}\u{44f} \u{43a}\u{43b}\u{435}\u{442}\u{43a}\u{430}",
    ] {
        assert_eq!(by(tags::SERIES_DESCRIPTION, chest), None, "{chest}");
    }
    for lateral in [
        "Thorax de profil",
        "Torace profilo",
        "T\u{f3}rax perfil",
        "Thorax dwars",
        "\u{80f8}\u{90e8}\u{5074}\u{9762}",
        "Klatka piersiowa boczne",
        "Hrudn\u{ed}k bo\u{10d}n\u{ed}",
    ] {
        assert_eq!(by(tags::SERIES_DESCRIPTION, lateral), Some(Reason::LateralView), "{lateral}");
    }
    for other in ["Thorax schr\u{e4}g", "Chest lordotic", "Chest LAO oblique"] {
        assert_eq!(by(tags::SERIES_DESCRIPTION, other), Some(Reason::ViewNotSupported), "{other}");
    }
    for elsewhere in ["Genou gauche", "H\u{fc}fte", "\u{8179}\u{90e8}"] {
        assert_eq!(by(tags::STUDY_DESCRIPTION, elsewhere), Some(Reason::NotAChestImage), "{elsewhere}");
    }
}

#[test]
fn codes_are_read_by_value_and_those_of_others_by_their_meaning() {
    let said = |sequence, value, meaning, changes: &[Attribute]| match judge(
        &coded(changes, Some((sequence, value, meaning))),
        &Select::default(),
        None,
    ) {
        Verdict::Accepted(_) => None,
        Verdict::Declined(reason, _) => Some(reason),
    };
    let no_view = [(tags::VIEW_POSITION, VR::CS, "")];
    for (value, meaning, expected) in [
        ("399067008", "lateral", Some(Reason::LateralView)),
        ("272479007", "postero-anterior", None),
        ("399182000", "oblique", Some(Reason::ViewNotSupported)),
        ("THX2", "Thorax seitlich", Some(Reason::LateralView)),
        ("THX1", "Thorax PA", None),
        ("THX3", "Standard", None),
    ] {
        assert_eq!(said(tags::VIEW_CODE_SEQUENCE, value, meaning, &no_view), expected, "{value} {meaning}");
    }
    let no_part = [(tags::BODY_PART_EXAMINED, VR::CS, "")];
    for sequence in [tags::ANATOMIC_REGION_SEQUENCE, tags::PRIMARY_ANATOMIC_STRUCTURE_SEQUENCE] {
        assert_eq!(said(sequence, "51185008", "Chest", &no_part), None);
        assert_eq!(said(sequence, "85562004", "Hand", &no_part), Some(Reason::NotAChestImage));
    }
}

#[test]
fn a_view_position_in_words_may_be_oblique() {
    assert_eq!(reason(&[(tags::VIEW_POSITION, VR::CS, "AP OBLIQUE")]), Some(Reason::ViewNotSupported));
}
