//! The decoders against each other, and against streams that are no longer what an encoder made.
//!
//! `testdata` has one picture of 40 rows and 48 columns, 8 bits, in each form.

use std::io::Write;

use proptest::prelude::*;

use super::markers::Frame;
use super::*;
use crate::part10::Stretch;
use crate::pixels::samples::Samples;

const HEADER: Header =
    Header { rows: 40, columns: 48, pixels: 1920, bits_allocated: 8, bits_stored: 8, high_bit: 7, signed: false };
const RLE: &[u8] = include_bytes!("testdata/frame.rle");
const BASELINE: &[u8] = include_bytes!("testdata/baseline.jpg");
const STREAMS: [(Codec, &[u8]); 6] = [
    (Codec::Rle, RLE),
    (Codec::Jpeg, BASELINE),
    (Codec::Jpeg, include_bytes!("testdata/lossless.jpg")),
    (Codec::JpegLs, include_bytes!("testdata/lossless.jls")),
    (Codec::Jpeg2000, include_bytes!("testdata/lossless.j2k")),
    (Codec::JpegXl, include_bytes!("testdata/lossless.jxl")),
];

/// What a decoder gives of a stream: cells, and bits of a sample.
fn decoded(codec: Codec, stream: &[u8], header: &Header) -> Result<(Cells, u32), Broken> {
    let mut kept = Kept::new(header.pixels);
    let precision = codec.stream(stream, header, &mut kept)?;
    Ok((kept.cells(), precision))
}

/// Stored values.
fn values((cells, precision): (Cells, u32)) -> Vec<f32> {
    let mut values = Vec::new();
    let samples = Samples::of_stream(cells, precision, &HEADER);
    samples.for_each_row(|codes| values.extend(codes.iter().map(|code| f32::from(*code)))).unwrap();
    values
}

/// Items of encapsulated Pixel Data: an offset table, and these fragments.
fn items(offsets: &[u32], fragments: &[&[u8]]) -> Content {
    let table: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    let item = |octets: &[u8]| [&[0xfe, 0xff, 0x00, 0xe0], &(octets.len() as u32).to_le_bytes(), octets].concat();
    let octets: Vec<u8> = std::iter::once(&*table).chain(fragments.iter().copied()).flat_map(item).collect();
    content(&octets)
}

fn content(octets: &[u8]) -> Content {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(octets).unwrap();
    Content::within(file, Stretch { begin: 0, length: octets.len() as u64 }).unwrap()
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
    let expected = values(decoded(Codec::Rle, RLE, &HEADER).unwrap());
    for (codec, stream) in STREAMS {
        let values = values(decoded(codec, stream, &HEADER).unwrap());
        let worst = values.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let tolerance = if stream == BASELINE { 16.0 } else { 0.0 };
        assert!(values.len() == 1920 && worst <= tolerance, "{codec:?} is off by {worst}");
    }
}

#[test]
fn our_sequential_decoder_agrees_with_the_library_within_one() {
    let theirs = values(decoded(Codec::Jpeg, BASELINE, &HEADER).unwrap());
    let mut ours = Kept::new(HEADER.pixels);
    jpeg_extended::decode(BASELINE, &mut ours).unwrap();
    let ours = values((ours.cells(), 8));
    assert!(ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= 1.0));
}

#[test]
fn fragments_are_joined_whatever_the_offset_table_says() {
    for (codec, stream) in STREAMS {
        let (head, tail) = stream.split_at(100);
        let whole = decoded(codec, stream, &HEADER);
        for offsets in [&[][..], &[0], &[4_000_000, 7]] {
            let mut items = items(offsets, &[head, &[], tail]);
            let mut kept = Kept::new(HEADER.pixels);
            let precision = codec.decode(&mut items, stream.len() as u64, &HEADER, &mut kept);
            assert_eq!(precision.map(|precision| (kept.cells(), precision)), whole, "{codec:?}");
        }
    }
}

#[test]
fn items_that_are_none_or_too_much_are_told_apart() {
    let decode = |mut items: Content, longest| Codec::Rle.decode(&mut items, longest, &HEADER, &mut Kept::new(1920));
    let size = RLE.len() as u64;
    assert_eq!(decode(items(&[], &[RLE, RLE]), 2 * size - 1), Err(Broken::TooLong));
    assert_eq!(decode(content(b"no item at all"), size), Err(Broken::Fragments));
    assert_eq!(decode(content(b"\xfe\xff\x00\xe0\x09\0\0\0"), size), Err(Broken::Fragments));
    assert_eq!(decode(content(b""), size), Err(Broken::Segments));
    let native = Codec::Native.decode(&mut items(&[], &[RLE]), size, &HEADER, &mut Kept::new(1920));
    assert_eq!(native, Err(Broken::Encapsulated));
}

#[test]
fn streams_of_another_size_or_depth_are_refused() {
    let wider = Header { columns: 49, pixels: 1960, ..HEADER };
    let lower = Header { rows: 39, pixels: 1872, ..HEADER };
    let deeper = Header { bits_allocated: 16, bits_stored: 12, high_bit: 11, ..HEADER };
    for (codec, stream) in STREAMS {
        assert!(decoded(codec, stream, &wider).is_err(), "{codec:?}");
        assert!(codec == Codec::Rle || decoded(codec, stream, &lower).is_err(), "{codec:?}");
        assert!(decoded(codec, stream, &deeper).is_err(), "{codec:?}");
    }
}

#[test]
fn our_decoders_refuse_streams_that_end_early() {
    for (codec, stream) in STREAMS {
        for length in (0..stream.len() * 9 / 10).step_by(7) {
            let cut = stream.get(..length).unwrap_or_default();
            match codec {
                Codec::Jpeg2000 | Codec::JpegXl => drop(decoded(codec, cut, &HEADER)),
                _ if stream == BASELINE => {
                    assert!(jpeg_extended::decode(cut, &mut Kept::new(1920)).is_err(), "{length}");
                }
                _ => assert!(decoded(codec, cut, &HEADER).is_err(), "{codec:?} {length}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_our_decoders_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let jpeg = [&[0xff, 0xd8], &bytes[..]].concat();
        let mut rows = Kept::new(HEADER.pixels);
        let _ = rle::decode(&bytes, &HEADER, &mut rows);
        let _ = jpeg_ls::decode(&bytes, &HEADER, &mut rows);
        let _ = jpeg_extended::decode(&jpeg, &mut rows);
        let _ = jpeg_lossless::decode(&jpeg, &mut rows);
        let _ = jpeg2000::decode(&bytes, &HEADER, &mut rows);
        let _ = Codec::JpegXl.stream(&bytes, &HEADER, &mut rows);
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
        let mut rows = Kept::new(HEADER.pixels);
        if codec == Codec::Jpeg && Frame::of(&stream, &HEADER).is_ok() {
            let _ = jpeg_extended::decode(&stream, &mut rows);
            let _ = jpeg_lossless::decode(&stream, &mut Kept::new(HEADER.pixels));
        }
        let ended = decoded(codec, &stream, &HEADER);
        // A library may give up by panicking; ours never do.
        prop_assert!(ended != Err(Broken::GaveUp) || matches!(codec, Codec::Jpeg | Codec::Jpeg2000 | Codec::JpegXl));
    }
}
