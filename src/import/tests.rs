//! What an imported object says when it is read again.

use std::path::Path;

use chrono::NaiveDate;
use dicom::core::Tag;
use dicom::dictionary_std::tags;
use dicom::object::{FileDicomObject, InMemDicomObject};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, GrayImage, ImageBuffer, Luma, RgbImage};

use super::*;

fn radiography(modality: Modality) -> Radiography {
    Radiography {
        modality,
        view: View::Pa,
        body_part: "CHEST".into(),
        laterality: Laterality::Unpaired,
        patient: Patient {
            id: "DEMO-1".into(),
            name: "M\u{fc}ller^J\u{fc}rgen".into(),
            sex: Some(Sex::Male),
            age: Some(4),
        },
        study: Study {
            accession: "A1".into(),
            id: "S1".into(),
            description: "Chest".into(),
            started: NaiveDate::from_ymd_opt(2024, 5, 6).unwrap().and_hms_opt(7, 8, 9).unwrap(),
        },
        series_number: 2,
        series_description: "PA".into(),
        instance_number: 3,
    }
}

/// A file in a directory that lives as long as the test.
struct Pictures(tempfile::TempDir);

impl Pictures {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, octets: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, octets).unwrap();
        path
    }

    fn png16(&self, samples: [u16; 6]) -> PathBuf {
        let path = self.0.path().join("deep.png");
        ImageBuffer::<Luma<u16>, _>::from_raw(3, 2, samples.to_vec()).unwrap().save(&path).unwrap();
        path
    }
}

fn grey_jpeg() -> Vec<u8> {
    let picture = GrayImage::from_fn(40, 24, |x, y| Luma([(x * 5 + y) as u8]));
    let mut octets = Vec::new();
    JpegEncoder::new(&mut octets).encode(picture.as_raw(), 40, 24, ExtendedColorType::L8).unwrap();
    octets
}

fn written(path: &Path, encoding: Encoding, radiography: &Radiography) -> Vec<u8> {
    let mut octets = Vec::new();
    object(&Picture::open(path, encoding).unwrap(), radiography).unwrap().write_all(&mut octets).unwrap();
    octets
}

fn read_back(path: &Path, encoding: Encoding, radiography: &Radiography) -> FileDicomObject<InMemDicomObject> {
    dicom::object::from_reader(written(path, encoding, radiography).as_slice()).unwrap()
}

fn text(object: &InMemDicomObject, tag: Tag) -> String {
    object.get(tag).unwrap().to_str().unwrap().into_owned()
}

#[test]
fn a_user_sees_what_was_described() {
    let pictures = Pictures::new();
    let object = read_back(&pictures.file("a.jpg", &grey_jpeg()), Encoding::AsIs, &radiography(Modality::Dx));
    for (tag, expected) in [
        (tags::SOP_CLASS_UID, "1.2.840.10008.5.1.4.1.1.1.1"),
        (tags::PATIENT_NAME, "M\u{fc}ller^J\u{fc}rgen"),
        (tags::PATIENT_AGE, "004Y"),
        (tags::STUDY_DATE, "20240506"),
        (tags::STUDY_TIME, "070809"),
        (tags::ACCESSION_NUMBER, "A1"),
        (tags::VIEW_POSITION, "PA"),
        (tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME2"),
        (tags::COLUMNS, "40"),
        (tags::ROWS, "24"),
        (tags::LOSSY_IMAGE_COMPRESSION, "01"),
    ] {
        assert_eq!(text(&object, tag), expected, "{tag}");
    }
    let view = &object.get(tags::VIEW_CODE_SEQUENCE).unwrap().items().unwrap()[0];
    assert_eq!(text(view, tags::CODE_VALUE), "272479007");
}

#[test]
fn a_grey_baseline_jpeg_is_taken_over_byte_for_byte() {
    let (pictures, jpeg) = (Pictures::new(), grey_jpeg());
    let path = pictures.file("a.jpg", &[jpeg.as_slice(), b"trailing junk"].concat());
    let object = read_back(&path, Encoding::AsIs, &radiography(Modality::Cr));
    assert_eq!(object.meta().transfer_syntax(), "1.2.840.10008.1.2.4.50");
    let fragments = object.get(tags::PIXEL_DATA).unwrap().fragments().unwrap();
    assert_eq!(fragments.len(), 1);
    assert_eq!(fragments[0][..jpeg.len()], jpeg);
    assert!(fragments[0].len() - jpeg.len() <= 1);

    let decoded = read_back(&path, Encoding::Uncompressed, &radiography(Modality::Cr));
    assert_eq!(decoded.meta().transfer_syntax(), "1.2.840.10008.1.2.1");
    assert_eq!(decoded.get(tags::PIXEL_DATA).unwrap().to_bytes().unwrap().len(), 40 * 24);
    assert_eq!(text(&decoded, tags::LOSSY_IMAGE_COMPRESSION), "01", "what was lost stays lost");
}

#[test]
fn sixteen_bits_stay_sixteen_bits() {
    let samples = [0, 1, 257, 4_095, 40_000, 65_535];
    let pictures = Pictures::new();
    let object = read_back(&pictures.png16(samples), Encoding::AsIs, &radiography(Modality::Dx));
    assert_eq!(object.get(tags::PIXEL_DATA).unwrap().to_multi_int::<u16>().unwrap(), samples);
    assert_eq!(text(&object, tags::BITS_STORED), "16");
    assert_eq!(text(&object, tags::WINDOW_WIDTH), "65536");
    assert_eq!(text(&object, tags::LOSSY_IMAGE_COMPRESSION), "00");
}

#[test]
fn colour_becomes_luma() {
    let pictures = Pictures::new();
    let path = pictures.0.path().join("colour.png");
    RgbImage::from_raw(2, 1, vec![255, 0, 0, 7, 7, 7]).unwrap().save(&path).unwrap();
    let picture = Picture::open(&path, Encoding::AsIs).unwrap();
    assert_eq!(picture.samples, Samples::Grey8(vec![76, 7]));
}

#[test]
fn the_same_call_gives_the_same_bytes_and_another_call_another_instance() {
    let pictures = Pictures::new();
    let path = pictures.file("a.jpg", &grey_jpeg());
    let dx = radiography(Modality::Dx);
    assert!(written(&path, Encoding::AsIs, &dx) == written(&path, Encoding::AsIs, &dx));
    let first = read_back(&path, Encoding::AsIs, &dx);
    let lateral = Radiography { view: View::Ll, series_number: 5, ..radiography(Modality::Dx) };
    let second = read_back(&path, Encoding::AsIs, &lateral);
    assert_eq!(text(&first, tags::STUDY_INSTANCE_UID), text(&second, tags::STUDY_INSTANCE_UID));
    for tag in [tags::SERIES_INSTANCE_UID, tags::SOP_INSTANCE_UID] {
        assert_ne!(text(&first, tag), text(&second, tag));
    }
}

#[test]
fn faults_are_one_clear_line() {
    let pictures = Pictures::new();
    let jpeg = grey_jpeg();
    for (path, expected) in [
        (pictures.file("text.png", b"hello"), "not a readable JPEG or PNG picture"),
        (pictures.file("cut.jpg", &jpeg[..jpeg.len() - 20]), "not a readable JPEG or PNG picture"),
        (pictures.0.path().join("none.png"), "No such file"),
    ] {
        let message = Picture::open(&path, Encoding::AsIs).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains('\n'), "{message}");
    }
    let mut long = radiography(Modality::Cr);
    long.study.accession = "12345678901234567".into();
    let picture = Picture::grey8(1, 1, vec![0]).unwrap();
    let message = object(&picture, &long).unwrap_err().to_string();
    assert!(message.starts_with("Accession Number \"12345678901234567\" does not fit: at most 16"), "{message}");
}
