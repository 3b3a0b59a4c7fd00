//! The decoders against each other, and against streams that are no longer what an encoder made.
//!
//! `testdata` has one picture of 40 rows and 48 columns, 8 bits, in each form.

use dicom::core::value::PixelFragmentSequence;
use dicom::core::{DataElement, PrimitiveValue, VR};
use dicom::object::InMemDicomObject;
use proptest::prelude::*;

use super::markers::Frame;
use super::*;

const HEADER: Header =
    Header { rows: 40, columns: 48, pixels: 1920, bits_allocated: 8, bits_stored: 8, high_bit: 7, signed: false };
const RLE: &[u8] = include_bytes!("testdata/frame.rle");
const BASELINE: &[u8] = include_bytes!("testdata/baseline.jpg");
const STREAMS: [(Codec, &[u8]); 5] = [
    (Codec::Rle, RLE),
    (Codec::Jpeg, BASELINE),
    (Codec::Jpeg, include_bytes!("testdata/lossless.jpg")),
    (Codec::JpegLs, include_bytes!("testdata/lossless.jls")),
    (Codec::Jpeg2000, include_bytes!("testdata/lossless.j2k")),
];

/// Stored values.
fn values(samples: &Samples) -> Vec<f32> {
    let mut values = Vec::new();
    samples.for_each_row(|codes| values.extend(codes.iter().map(|code| f32::from(*code)))).unwrap();
    values
}

fn object(transfer_syntax: &str, fragments: Vec<Vec<u8>>, offsets: Vec<u32>) -> Object {
    let sequence = PixelFragmentSequence::new(offsets, fragments);
    let pixel_data = DataElement::new(tags::PIXEL_DATA, VR::OB, sequence);
    let data_set = InMemDicomObject::from_element_iter([pixel_data]);
    Object { transfer_syntax: transfer_syntax.into(), data_set, native_pixels: None }
}

/// The samples of an object whose pixel data is in memory.
fn samples(object: &mut Object) -> Result<Samples, PixelError> {
    super::samples(&"/nowhere".into(), object, &HEADER)
}

#[test]
fn every_decodable_syntax_has_a_codec_and_no_other_has() {
    assert!(DECODABLE.iter().all(|uid| Codec::of(uid).is_some()));
    for uid in ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.53", "1.2.840.10008.1.20", "", "2.25.1"] {
        assert_eq!(Codec::of(uid), None, "{uid}");
    }
}

#[test]
fn all_lossless_forms_hold_the_same_picture() {
    let expected = values(&Codec::Rle.decode(RLE, &HEADER).unwrap());
    for (codec, stream) in STREAMS {
        let decoded = values(&codec.decode(stream, &HEADER).unwrap());
        let worst = decoded.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let tolerance = if stream == BASELINE { 16.0 } else { 0.0 };
        assert!(decoded.len() == 1920 && worst <= tolerance, "{codec:?} is off by {worst}");
    }
}

#[test]
fn our_sequential_decoder_agrees_with_the_library_within_one() {
    let theirs = values(&Codec::Jpeg.decode(BASELINE, &HEADER).unwrap());
    let ours = jpeg_extended::decode(BASELINE).unwrap();
    assert!(ours.iter().zip(&theirs).all(|(a, b)| (f32::from(*a) - b).abs() <= 1.0));
}

#[test]
fn fragments_are_joined_whatever_the_offset_table_says() {
    for (uid, (_, stream)) in [
        "1.2.840.10008.1.2.5",
        "1.2.840.10008.1.2.4.50",
        "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.80",
        "1.2.840.10008.1.2.4.90",
    ]
    .iter()
    .zip(STREAMS)
    {
        let (head, tail) = stream.split_at(100);
        for offsets in [vec![], vec![0], vec![4_000_000, 7]] {
            let fragments = vec![head.to_vec(), tail.to_vec()];
            assert!(samples(&mut object(uid, fragments, offsets)).is_ok(), "{uid}");
        }
    }
}

#[test]
fn form_and_transfer_syntax_must_fit() {
    let encapsulated = samples(&mut object("1.2.840.10008.1.2.1", vec![RLE.to_vec()], vec![]));
    assert!(matches!(encapsulated, Err(PixelError::NotDecodable(_))));
    let mut native = object("1.2.840.10008.1.2.5", vec![], vec![]);
    native.data_set.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(RLE.into())));
    assert!(matches!(samples(&mut native), Err(PixelError::NotDecodable(_))));
    assert!(samples(&mut object("1.2.840.10008.1.2.5", vec![], vec![])).is_err());
}

#[test]
fn streams_of_another_size_or_depth_are_refused() {
    let wider = Header { columns: 49, pixels: 1960, ..HEADER };
    let lower = Header { rows: 39, pixels: 1872, ..HEADER };
    let deeper = Header { bits_allocated: 16, bits_stored: 12, high_bit: 11, ..HEADER };
    for (codec, stream) in STREAMS {
        assert!(codec.decode(stream, &wider).is_err(), "{codec:?}");
        assert!(codec == Codec::Rle || codec.decode(stream, &lower).is_err(), "{codec:?}");
        assert!(codec.decode(stream, &deeper).is_err(), "{codec:?}");
    }
}

#[test]
fn our_decoders_refuse_streams_that_end_early() {
    for (codec, stream) in STREAMS {
        for length in (0..stream.len() * 9 / 10).step_by(7) {
            let cut = stream.get(..length).unwrap_or_default();
            match codec {
                Codec::Rle | Codec::JpegLs => assert!(codec.decode(cut, &HEADER).is_err(), "{codec:?} {length}"),
                _ if stream == BASELINE => assert!(jpeg_extended::decode(cut).is_err(), "{length}"),
                _ => drop(guarded(|| codec.decode(cut, &HEADER))),
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_our_decoders_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = rle::decode(&bytes, &HEADER);
        let _ = jpeg_ls::decode(&bytes, &HEADER);
        let _ = jpeg_extended::decode(&[&[0xff, 0xd8], &bytes[..]].concat());
        let _ = jpeg2000::decode(&bytes, &HEADER);
    }

    #[test]
    fn no_changed_stream_makes_our_decoders_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        which in 0..STREAMS.len(),
    ) {
        let (codec, stream) = STREAMS[which];
        let mut stream = stream.to_vec();
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        match codec {
            Codec::Jpeg => drop(Frame::of(&stream, &HEADER).and_then(|_| jpeg_extended::decode(&stream))),
            Codec::Jpeg2000 => drop(guarded(|| codec.decode(&stream, &HEADER))),
            _ => drop(codec.decode(&stream, &HEADER)),
        }
    }
}
