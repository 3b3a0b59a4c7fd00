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
const STREAMS: [(Codec, &[u8]); 5] = [
    (Codec::Rle, RLE),
    (Codec::Jpeg, BASELINE),
    (Codec::Jpeg, include_bytes!("testdata/lossless.jpg")),
    (Codec::JpegLs, include_bytes!("testdata/lossless.jls")),
    (Codec::Jpeg2000, include_bytes!("testdata/lossless.j2k")),
];

/// Stored values.
fn values(decoded: Decoded) -> Vec<f32> {
    let mut values = Vec::new();
    let samples = Samples::of_stream(decoded.cells, decoded.precision, &HEADER);
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
    let expected = values(Codec::Rle.stream(RLE, &HEADER).unwrap());
    for (codec, stream) in STREAMS {
        let decoded = values(codec.stream(stream, &HEADER).unwrap());
        let worst = decoded.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let tolerance = if stream == BASELINE { 16.0 } else { 0.0 };
        assert!(decoded.len() == 1920 && worst <= tolerance, "{codec:?} is off by {worst}");
    }
}

#[test]
fn our_sequential_decoder_agrees_with_the_library_within_one() {
    let theirs = values(Codec::Jpeg.stream(BASELINE, &HEADER).unwrap());
    let ours = jpeg_extended::decode(BASELINE).unwrap();
    assert!(ours.iter().zip(&theirs).all(|(a, b)| (f32::from(*a) - b).abs() <= 1.0));
}

#[test]
fn fragments_are_joined_whatever_the_offset_table_says() {
    for (codec, stream) in STREAMS {
        let (head, tail) = stream.split_at(100);
        let whole = codec.stream(stream, &HEADER);
        for offsets in [&[][..], &[0], &[4_000_000, 7]] {
            let mut items = items(offsets, &[head, &[], tail]);
            assert_eq!(codec.decode(&mut items, stream.len() as u64, &HEADER), whole, "{codec:?}");
        }
    }
}

#[test]
fn items_that_are_none_or_too_much_are_told_apart() {
    let decode = |mut items: Content, longest| Codec::Rle.decode(&mut items, longest, &HEADER);
    let size = RLE.len() as u64;
    assert_eq!(decode(items(&[], &[RLE, RLE]), 2 * size - 1), Err(Broken::TooLong));
    assert_eq!(decode(content(b"no item at all"), size), Err(Broken::Fragments));
    assert_eq!(decode(content(b"\xfe\xff\x00\xe0\x09\0\0\0"), size), Err(Broken::Fragments));
    assert_eq!(decode(content(b""), size), Err(Broken::Segments));
    assert_eq!(Codec::Native.decode(&mut items(&[], &[RLE]), size, &HEADER), Err(Broken::Encapsulated));
}

#[test]
fn streams_of_another_size_or_depth_are_refused() {
    let wider = Header { columns: 49, pixels: 1960, ..HEADER };
    let lower = Header { rows: 39, pixels: 1872, ..HEADER };
    let deeper = Header { bits_allocated: 16, bits_stored: 12, high_bit: 11, ..HEADER };
    for (codec, stream) in STREAMS {
        assert!(codec.stream(stream, &wider).is_err(), "{codec:?}");
        assert!(codec == Codec::Rle || codec.stream(stream, &lower).is_err(), "{codec:?}");
        assert!(codec.stream(stream, &deeper).is_err(), "{codec:?}");
    }
}

#[test]
fn our_decoders_refuse_streams_that_end_early() {
    for (codec, stream) in STREAMS {
        for length in (0..stream.len() * 9 / 10).step_by(7) {
            let cut = stream.get(..length).unwrap_or_default();
            match codec {
                Codec::Rle | Codec::JpegLs => assert!(codec.stream(cut, &HEADER).is_err(), "{codec:?} {length}"),
                _ if stream == BASELINE => assert!(jpeg_extended::decode(cut).is_err(), "{length}"),
                _ => drop(codec.stream(cut, &HEADER)),
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
            Codec::Jpeg2000 => drop(codec.stream(&stream, &HEADER)),
            _ => assert_ne!(codec.stream(&stream, &HEADER), Err(Broken::GaveUp)),
        }
    }
}
