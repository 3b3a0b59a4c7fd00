//! Synthetic radiographs, and what became of each when it was sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use dicom::core::{DataElement, PrimitiveValue, VR};
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;
use dicom::transfer_syntax::entries::EXPLICIT_VR_LITTLE_ENDIAN;

/// Computed Radiography Image Storage.
pub const CR: &str = "1.2.840.10008.5.1.4.1.1.1";

/// One frontal chest radiograph of eight bits a pixel; analysed from 200 pixels a side on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// SOP Instance UID.
    pub sop_instance: String,
    /// Study Instance UID.
    pub study: String,
    /// Patient ID.
    pub patient: String,
    /// Rows and columns.
    pub size: (u16, u16),
}

/// Rows and columns of an image that is declined as too small, and so costs next to nothing.
pub const SMALL: (u16, u16) = (128, 128);
/// Rows and columns of an image that the model sees.
pub const ANALYSED: (u16, u16) = (224, 224);

impl Image {
    /// A new study of images of these sizes.
    pub fn study(random: &mut fastrand::Rng, sizes: &[(u16, u16)]) -> Vec<Self> {
        let mut uid = || format!("2.25.{}", random.u128(1..));
        let study = uid();
        let patient = format!("P{}", &study[study.len() - 12..]);
        let image = |size: &(u16, u16)| Self {
            sop_instance: uid(),
            study: study.clone(),
            patient: patient.clone(),
            size: *size,
        };
        sizes.iter().map(image).collect()
    }

    /// Its data set in Explicit VR Little Endian.
    pub fn data_set(&self) -> Vec<u8> {
        let (rows, columns) = self.size;
        let mut object = InMemDicomObject::new_empty();
        for (tag, vr, value) in [
            (tags::SOP_CLASS_UID, VR::UI, CR),
            (tags::SOP_INSTANCE_UID, VR::UI, &self.sop_instance),
            (tags::STUDY_INSTANCE_UID, VR::UI, &self.study),
            (tags::SERIES_INSTANCE_UID, VR::UI, &format!("{}.1", self.study)),
            (tags::STUDY_DATE, VR::DA, "20260102"),
            (tags::STUDY_TIME, VR::TM, "030405"),
            (tags::MODALITY, VR::CS, "CR"),
            (tags::PATIENT_NAME, VR::PN, "SYNTHETIC"),
            (tags::PATIENT_ID, VR::LO, &self.patient),
            (tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
            (tags::VIEW_POSITION, VR::CS, "PA"),
            (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        ] {
            object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
        }
        for (tag, value) in [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::ROWS, rows),
            (tags::COLUMNS, columns),
            (tags::BITS_ALLOCATED, 8),
            (tags::BITS_STORED, 8),
            (tags::HIGH_BIT, 7),
            (tags::PIXEL_REPRESENTATION, 0),
        ] {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
        }
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(self.pixels().into())));
        let mut bytes = Vec::new();
        object.write_dataset_with_ts(&mut bytes, &EXPLICIT_VR_LITTLE_ENDIAN.erased()).unwrap();
        bytes
    }

    /// A gradient with noise, the same for the same image.
    fn pixels(&self) -> Vec<u8> {
        let seed = self.sop_instance.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
        let mut random = fastrand::Rng::with_seed(seed);
        let (rows, columns) = (usize::from(self.size.0), usize::from(self.size.1));
        (0..rows * columns).map(|i| (i % columns * 200 / columns) as u8 + random.u8(0..50)).collect()
    }
}

/// What became of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was not sent to its end.
    Unsent,
    /// It was sent to its end; no answer came.
    Unknown,
    /// It was answered with this failure.
    Refused(u16),
    /// It was answered 0x0000.
    Acknowledged,
}

/// What became of every image, by SOP Instance UID.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<String, (Image, Fate)>>>);

impl Ledger {
    /// Notes an image's fate. What was acknowledged once stays so, and what may have arrived is never unsent again.
    pub fn note(&self, image: &Image, fate: Fate) {
        let mut images = self.0.lock().unwrap();
        let (_, noted) = images.entry(image.sop_instance.clone()).or_insert_with(|| (image.clone(), Fate::Unsent));
        if *noted != Fate::Acknowledged && fate != Fate::Unsent {
            *noted = fate;
        }
    }

    /// Every image and its fate.
    pub fn images(&self) -> BTreeMap<String, (Image, Fate)> {
        self.0.lock().unwrap().clone()
    }

    /// How many have a fate.
    pub fn count(&self, fate: impl Fn(Fate) -> bool) -> usize {
        self.0.lock().unwrap().values().filter(|(_, noted)| fate(*noted)).count()
    }

    /// How many were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.count(|fate| fate == Fate::Acknowledged)
    }
}
