//! From a DICOM file to a radiograph: here, or with its code stream decoded by a worker.

use std::io;
use std::path::Path;

use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use super::codec::{Broken, Codec, Decoded, Kept};
use super::geometry::Geometry;
use super::grain::{Grain, Step};
use super::grey::Grey;
use super::header::Header;
use super::samples::{Samples, Source};
use super::stored::Stored;
use super::workers::{Request, WorkerError, Workers};
use super::{Bounds, Format, PixelError, Radiograph, picture};
use crate::ids::SopInstanceUid;
use crate::part10::{self, Image, Location, Pixels, ReadError, Stretch, attribute};

/// Reads DICOM files. Its clones share their workers.
#[derive(Debug, Clone)]
pub struct Decoder {
    bounds: Bounds,
    place: Place,
}

/// Where code streams are decoded.
#[derive(Debug, Clone)]
enum Place {
    Here,
    Workers(Workers),
}

/// Encapsulated pixel data of one image.
struct CodeStream<'a> {
    location: &'a Location,
    items: Stretch,
    codec: Codec,
    coarsest: Step,
    data_set: &'a InMemDicomObject,
}

impl Decoder {
    /// Decodes code streams in this process, which a decoder that fails may take with it: for tests, and files that one
    /// made oneself.
    pub fn in_process(bounds: Bounds) -> Self {
        Self { bounds, place: Place::Here }
    }

    /// Decodes code streams in workers: confined processes of an executable of Auscult's. The first is started at once.
    ///
    /// # Errors
    /// Where the operating system does not let it be started or confined.
    pub fn in_workers(executable: &Path, bounds: Bounds) -> io::Result<Self> {
        Ok(Self { bounds, place: Place::Workers(Workers::start(executable, bounds)?) })
    }

    /// What one image may cost.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Reads a DICOM file, or a JPEG or PNG picture, by what its first octets are.
    ///
    /// # Errors
    /// Every variant of [`PixelError`].
    pub fn read(&self, path: &Path) -> Result<Radiograph, PixelError> {
        match Format::of(path) {
            Ok(Format::Dicom) => self.decode(path),
            Ok(Format::Picture) => picture(path, &self.bounds),
            Ok(Format::Other) => Err(PixelError::NotDecodable("neither DICOM nor a JPEG or PNG picture".into())),
            Err(source) => Err(PixelError::Io { location: path.into(), source }),
        }
    }

    /// Reads a DICOM Part 10 file (PS3.10) with one MONOCHROME1 or MONOCHROME2 frame.
    ///
    /// Modality LUT or rescale, the first VOI LUT or else the first window or else minimum to maximum, Presentation
    /// LUT Shape and MONOCHROME1 inversion are applied; Pixel Padding is black. Overlays are not drawn. What is not
    /// compressed stays in the file and is read when its luminance is asked for.
    ///
    /// # Errors
    /// Every variant of [`PixelError`].
    pub fn decode(&self, location: impl Into<Location>) -> Result<Radiograph, PixelError> {
        self.decode_at_least(location, usize::MAX)
    }

    /// The same for somebody who needs no more than `side` samples down and across: fewer than all where the code stream
    /// is lossy, is decoded to fewer the faster, and where a mean of stored values has the mean luminance
    /// (`docs/decoders.md`).
    ///
    /// # Errors
    /// The same.
    pub fn decode_at_least(&self, location: impl Into<Location>, side: usize) -> Result<Radiograph, PixelError> {
        let location = location.into();
        let image = part10::read_image(&location, self.bounds.inflated()).map_err(|error| match error {
            ReadError::Io(source) => PixelError::Io { location: location.clone(), source },
            ReadError::NotDicom(_) => PixelError::NotDecodable(error.to_string()),
        })?;
        let pixels = image.pixels.ok_or(PixelError::NoPixelData)?;
        let header = Header::of(&image.header, &self.bounds)?;
        let grey = Grey::of(&image.header, header.signed)?;
        let geometry = Geometry::of(&image.header, (header.rows, header.columns));
        let coarsest = if grey.keeps_means(&header) { Step::leaving(side, &header) } else { Step::One };
        let (samples, grain) = self.samples(&location, &image, pixels, (&header, coarsest))?;
        Ok(grey.radiograph(samples)?.of_grain(grain, &header).lying(geometry))
    }

    /// The samples of the image; what needs no decoding stays where it is.
    fn samples(
        &self,
        location: &Location,
        image: &Image,
        pixels: Pixels,
        (header, coarsest): (&Header, Step),
    ) -> Result<(Samples, Grain), PixelError> {
        let codec = Codec::of(&image.transfer_syntax)
            .ok_or_else(|| PixelError::NotDecodable("its transfer syntax has no decoder here".into()))?;
        let broken = |broken| Err(not_decodable(codec, broken));
        match pixels {
            Pixels::Fragments(items) => {
                let data_set = &image.header;
                self.code_stream(&CodeStream { location, items, codec, coarsest, data_set }, header)
            }
            Pixels::Native(..) if codec != Codec::Native => broken(Broken::NotEncapsulated),
            Pixels::Native(stretch, order) => {
                let stored = match &image.inflated {
                    Some(octets) => Stored::inflated(location, octets, stretch, header),
                    None => Stored::in_file(location, stretch, order, header),
                };
                let all = |cells| Ok((Samples::as_in_header(cells, header), Grain::default()));
                stored.map_or_else(|| broken(Broken::TooFewCells), all)
            }
            Pixels::Foreign => broken(Broken::NeitherBytesNorWords),
        }
    }

    fn code_stream(&self, image: &CodeStream<'_>, header: &Header) -> Result<(Samples, Grain), PixelError> {
        let CodeStream { location, items, codec, coarsest, data_set } = *image;
        let broken = |broken| not_decodable(codec, broken);
        if codec == Codec::Native {
            return Err(broken(Broken::Encapsulated));
        }
        let open = || location.open().map_err(|source| PixelError::Io { location: location.clone(), source });
        let longest = self.bounds.inflated();
        let samples = |cells: Source, Decoded { precision, grain }: Decoded| {
            Ok((Samples::of_stream(cells, precision, &grain.header(header)), grain))
        };
        match &self.place {
            Place::Here => {
                let mut items = open()?.part(items).map_err(|_| broken(Broken::Unreadable))?;
                let mut kept = Kept::new(header.pixels);
                let decoded = codec.decode(&mut items, longest, header, coarsest, &mut kept).map_err(broken)?;
                samples(kept.cells().into(), decoded)
            }
            Place::Workers(workers) => {
                let file = open()?.part(items).map_err(|_| broken(Broken::Unreadable))?;
                let request = Request { codec, header: *header, items: file.stretch(), longest, coarsest };
                let painted = workers.decode(&request, &file, &name(data_set)).map_err(|error| match error {
                    WorkerError::NotStarted(source) => PixelError::NoDecoder(source),
                    WorkerError::Broken(_) | WorkerError::Ended(_) => not_decodable(codec, error),
                })?;
                let header = painted.decoded.grain.header(header);
                let cells = Stored::on_canvas(location, painted.canvas, painted.cell_bytes, &header);
                samples(cells.into(), painted.decoded)
            }
        }
    }
}

fn not_decodable(codec: Codec, cause: impl std::fmt::Display) -> PixelError {
    PixelError::NotDecodable(format!("{}: {cause}", codec.name()))
}

/// The SOP Instance UID of an image, if it is one.
fn name(data_set: &InMemDicomObject) -> String {
    let uid = attribute::text(data_set, tags::SOP_INSTANCE_UID).and_then(|text| text.parse::<SopInstanceUid>().ok());
    uid.map_or_else(|| "without a valid UID".into(), |uid| uid.to_string())
}

#[cfg(test)]
mod tests {
    use dicom::core::value::PixelFragmentSequence;
    use dicom::core::{DataElement, PrimitiveValue, VR};
    use dicom::object::FileMetaTableBuilder;
    use dicom::object::mem::InMemElement;

    use super::*;

    const RLE: &[u8] = include_bytes!("codec/testdata/frame.rle");

    /// What becomes of an image of 40 rows and 48 columns, 8 bits, in this transfer syntax.
    fn decoded(transfer_syntax: &str, pixel_data: InMemElement) -> Result<Vec<f32>, String> {
        let us = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
        let object = InMemDicomObject::from_element_iter([
            DataElement::new(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.1"),
            DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, "2.25.1"),
            us(tags::SAMPLES_PER_PIXEL, 1),
            DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            us(tags::ROWS, 40),
            us(tags::COLUMNS, 48),
            us(tags::BITS_ALLOCATED, 8),
            us(tags::BITS_STORED, 8),
            us(tags::HIGH_BIT, 7),
            us(tags::PIXEL_REPRESENTATION, 0),
            pixel_data,
        ]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image.dcm");
        let meta = FileMetaTableBuilder::new().transfer_syntax(transfer_syntax);
        object.with_meta(meta).unwrap().write_to_file(&path).unwrap();
        let decoder = Decoder::in_process(Bounds { max_pixels: 40 * 48 });
        let radiograph = decoder.decode(&path).map_err(|error| error.to_string())?;
        radiograph.luminance().map_err(|error| error.to_string())
    }

    fn encapsulated(fragments: &[&[u8]]) -> InMemElement {
        let fragments = fragments.iter().map(|fragment| fragment.to_vec()).collect::<Vec<_>>();
        DataElement::new(tags::PIXEL_DATA, VR::OB, PixelFragmentSequence::new(vec![], fragments))
    }

    #[test]
    fn fragments_and_their_transfer_syntax_make_an_image() {
        let whole = decoded("1.2.840.10008.1.2.5", encapsulated(&[RLE])).unwrap();
        assert_eq!(whole.len(), 40 * 48);
        assert_eq!(decoded("1.2.840.10008.1.2.5", encapsulated(&[&RLE[..70], &RLE[70..]])), Ok(whole));
    }

    #[test]
    fn form_and_transfer_syntax_must_fit() {
        let native = DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(vec![0; 40 * 48].into()));
        for (transfer_syntax, pixel_data, told) in [
            ("1.2.840.10008.1.2.1", encapsulated(&[RLE]), "native: the pixel data is encapsulated"),
            ("1.2.840.10008.1.2.5", native, "RLE: the pixel data is not encapsulated"),
            ("1.2.840.10008.1.2.5", encapsulated(&[]), "RLE: the number of segments does not fit Bits Allocated"),
            ("1.2.840.10008.1.2.4.100", encapsulated(&[RLE]), "its transfer syntax has no decoder here"),
        ] {
            let message = decoded(transfer_syntax, pixel_data).unwrap_err();
            assert!(message.starts_with(told), "{message}");
        }
    }
}
