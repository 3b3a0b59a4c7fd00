//! The images that are sent: a bundled study's header around pixels of the size wanted.

use anyhow::{Context, Result, ensure};
use dicom::core::value::PixelFragmentSequence;
use dicom::core::{DataElement, PrimitiveValue, VR};
use dicom::dictionary_std::{tags, uids};
use dicom::object::InMemDicomObject;
use dicom::transfer_syntax::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use image::codecs::jpeg::JpegEncoder;

/// Bytes of every UID that differs from object to object; even, so that no value is padded.
pub const UID_BYTES: usize = 44;
/// SOP class of every object.
pub const SOP_CLASS: &str = uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION;

/// What an image shows according to its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shows {
    /// A hand: declined by its header.
    Hand,
    /// A chest, PA: decoded and classified.
    Chest,
}

/// Pixels of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pixels {
    /// 16 bits each, not compressed.
    Native {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// JPEG baseline of about this many bytes, 1024 x 1024.
    Jpeg {
        /// Length of the code stream.
        bytes: usize,
    },
}

/// UIDs that every object has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uid {
    /// Study Instance UID.
    Study,
    /// Series Instance UID.
    Series,
    /// SOP Instance UID.
    Instance,
}

impl Uid {
    const ALL: [Self; 3] = [Self::Study, Self::Series, Self::Instance];

    /// What stands in a data set where the UID of each object goes.
    pub fn blank(self) -> String {
        self.numbered(0, 0)
    }

    /// The UID of one object of one run.
    pub fn numbered(self, run: u64, object: u64) -> String {
        let kind = match self {
            Self::Study => 1,
            Self::Series => 2,
            Self::Instance => 3,
        };
        format!("2.25.1{kind}{run:020}{object:017}")
    }
}

/// A data set with blanks for its UIDs.
#[derive(Debug)]
pub struct Object {
    /// Transfer Syntax UID.
    pub transfer_syntax: &'static str,
    /// The encoded data set.
    pub data_set: Vec<u8>,
    /// Where which UID goes.
    pub blanks: Vec<(usize, Uid)>,
}

impl Object {
    /// Composes an image.
    pub fn compose(shows: Shows, pixels: Pixels) -> Result<Self> {
        let file = match shows {
            Shows::Hand => "testdata/hand/dx-hand-phantom.dcm",
            Shows::Chest => "testdata/normal-dx/dx-pa.dcm",
        };
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let opened = dicom::object::open_file(&path).with_context(|| path.display().to_string())?;
        let mut object = opened.into_inner();
        for (tag, uid) in [
            (tags::STUDY_INSTANCE_UID, Uid::Study),
            (tags::SERIES_INSTANCE_UID, Uid::Series),
            (tags::SOP_INSTANCE_UID, Uid::Instance),
        ] {
            object.put(DataElement::new(tag, VR::UI, PrimitiveValue::from(uid.blank())));
        }
        object.put(DataElement::new(tags::SOP_CLASS_UID, VR::UI, PrimitiveValue::from(SOP_CLASS)));
        object.put(DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, PrimitiveValue::from("MONOCHROME2")));
        let transfer_syntax = match pixels {
            Pixels::Native { rows, columns } => native(&mut object, rows, columns),
            Pixels::Jpeg { bytes } => jpeg(&mut object, bytes)?,
        };
        // An encapsulated data set is explicit VR little endian but for its Pixel Data, which is written as it is.
        let mut data_set = Vec::new();
        object.write_dataset_with_ts(&mut data_set, &EXPLICIT_VR_LITTLE_ENDIAN.erased())?;
        let blanks = blanks(&data_set);
        ensure!(blanks.len() == Uid::ALL.len(), "{file}: {} blanks for UIDs", blanks.len());
        Ok(Self { transfer_syntax, data_set, blanks })
    }
}

/// The UIDs stand in the header, before the pixels.
fn blanks(data_set: &[u8]) -> Vec<(usize, Uid)> {
    let header = data_set.get(..data_set.len().min(16 * 1024)).unwrap_or_default();
    let windows = || header.windows(UID_BYTES).enumerate();
    let places = |uid: Uid| {
        let blank = uid.blank();
        windows().filter(move |(_, bytes)| *bytes == blank.as_bytes()).map(move |(at, _)| (at, uid)).collect::<Vec<_>>()
    };
    Uid::ALL.into_iter().flat_map(places).collect()
}

fn describe(object: &mut InMemDicomObject, rows: u16, columns: u16, allocated: u16, stored: u16) {
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, rows),
        (tags::COLUMNS, columns),
        (tags::BITS_ALLOCATED, allocated),
        (tags::BITS_STORED, stored),
        (tags::HIGH_BIT, stored - 1),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    for (tag, value) in [(tags::WINDOW_CENTER, 1_u32 << (stored - 1)), (tags::WINDOW_WIDTH, 1 << stored)] {
        object.put(DataElement::new(tag, VR::DS, PrimitiveValue::from(value.to_string())));
    }
}

fn native(object: &mut InMemDicomObject, rows: u16, columns: u16) -> &'static str {
    describe(object, rows, columns, 16, 14);
    let samples: Vec<u16> = grain(rows, columns, 16).map(|grey| (grey * 16383.0) as u16).collect();
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(samples.into())));
    uids::EXPLICIT_VR_LITTLE_ENDIAN
}

fn jpeg(object: &mut InMemDicomObject, bytes: usize) -> Result<&'static str> {
    const SIDE: u16 = 1024;
    describe(object, SIDE, SIDE, 8, 8);
    let samples: Vec<u8> = grain(SIDE, SIDE, 48).map(|grey| (grey * 255.0) as u8).collect();
    let encoded = |quality| {
        let mut stream = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut stream, quality);
        encoder.encode(&samples, SIDE.into(), SIDE.into(), image::ExtendedColorType::L8).map(|()| stream)
    };
    let mut stream = encoded(1)?;
    for quality in 2..=100 {
        let finer = encoded(quality)?;
        if finer.len() > bytes {
            break;
        }
        stream = finer;
    }
    // The rest is filled up behind the end of the image, as padding.
    stream.resize(bytes.next_multiple_of(2), 0);
    object.put(DataElement::new(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, PrimitiveValue::from("01")));
    let fragments = PixelFragmentSequence::new_fragments(vec![stream]);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
    Ok(uids::JPEG_BASELINE8_BIT)
}

/// Luminance of a bright field with two dark ones in it and film grain over it, 0 to 1: enough to keep a codec busy.
fn grain(rows: u16, columns: u16, strength: u32) -> impl Iterator<Item = f32> {
    let mut state = 0x9E37_79B9_u32;
    (0..rows).flat_map(move |y| (0..columns).map(move |x| (x, y))).map(move |(x, y)| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f32::from((state >> 16) as u16) / 65536.0 * strength as f32 / 1024.0;
        let (x, y) = (f32::from(x) / f32::from(columns), f32::from(y) / f32::from(rows));
        let lung = |centre: f32| 1.0 - ((x - centre).powi(2) * 30.0 + (y - 0.45).powi(2) * 9.0).min(1.0);
        (0.75 - 0.5 * lung(0.3).max(lung(0.7)) + noise).clamp(0.0, 1.0)
    })
}
