//! The decoders against each other, and against streams that are no longer what an encoder made.
//!
//! `testdata` has one picture of 40 rows and 48 columns, 8 bits, in each form.

use std::io::Write;

use proptest::prelude::*;

use super::markers::Frame;
use super::*;
use crate::part10::Stretch;
use crate::pixels::grain::Place;
use crate::pixels::samples::Samples;

const HEADER: Header =
    Header { rows: 40, columns: 48, pixels: 1920, bits_allocated: 8, bits_stored: 8, high_bit: 7, signed: false };
const RLE: &[u8] = include_bytes!("testdata/frame.rle");
const BASELINE: &[u8] = include_bytes!("testdata/baseline.jpg");
const LOSSY: &[u8] = include_bytes!("testdata/lossy.j2k");
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
    let decoded = codec.stream(stream, header, Step::One, &mut kept)?;
    assert_eq!(decoded.grain, Grain::default());
    Ok((kept.cells(), decoded.precision))
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
    jpeg_extended::decode(BASELINE, 8, Step::One, &mut ours).unwrap();
    let ours = values((ours.cells(), 8));
    assert!(ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= 1.0));
}

/// The samples of `step` x `step` pixels, and what the decoder says of them.
fn coarse(codec: Codec, stream: &[u8], step: Step) -> (Vec<f32>, Grain) {
    let mut kept = Kept::new(HEADER.pixels);
    let decoded = codec.stream(stream, &HEADER, step, &mut kept).unwrap();
    let mut values = Vec::new();
    let samples = Samples::of_stream(kept.cells(), decoded.precision, &decoded.grain.header(&HEADER));
    samples.for_each_row(|codes| values.extend(codes.iter().map(|code| f32::from(*code)))).unwrap();
    (values, decoded.grain)
}

/// The means of the squares of `step` pixels of a picture.
fn means(values: &[f32], step: usize) -> Vec<f32> {
    let columns = HEADER.columns;
    let mean = |row: usize, column: usize| {
        let square = values.chunks(columns).skip(row).take(step).flat_map(|line| line.iter().skip(column).take(step));
        square.sum::<f32>() / (step * step) as f32
    };
    let rows = (0..HEADER.rows).step_by(step);
    rows.flat_map(|row| (0..columns).step_by(step).map(move |column| mean(row, column))).collect()
}

#[test]
fn coarse_samples_of_a_jpeg_are_means_of_its_pixels() {
    let mut full = Kept::new(HEADER.pixels);
    jpeg_extended::decode(BASELINE, 8, Step::One, &mut full).unwrap();
    let full = values((full.cells(), 8));
    for step in [Step::Two, Step::Four, Step::Eight] {
        let (found, grain) = coarse(Codec::Jpeg, BASELINE, step);
        let expected = means(&full, step.pixels());
        assert_eq!((grain.step, grain.place), (step, Place::Middle));
        assert_eq!(found.len(), expected.len());
        // Where a pixel is black or white, it was cut off there before its mean was taken.
        let is_cut = |value: &f32| if (1.0..=254.0).contains(value) { 0.0 } else { 1.0 };
        let cut = means(&full.iter().map(is_cut).collect::<Vec<_>>(), step.pixels());
        let pairs = found.iter().zip(&expected).zip(&cut).filter(|(_, cut)| **cut == 0.0).map(|(pair, _)| pair);
        let off: Vec<f32> = pairs.map(|(a, b)| (a - b).abs()).collect();
        // Both are rounded.
        assert!(!off.is_empty() && off.iter().all(|off| *off <= 1.0), "{step:?} is off by {off:?}");
    }
}

#[test]
fn resolution_levels_stand_for_an_irreversible_jpeg_2000() {
    let full = values(decoded(Codec::Jpeg2000, LOSSY, &HEADER).unwrap());
    let (found, grain) = coarse(Codec::Jpeg2000, LOSSY, Step::Two);
    assert_eq!((grain.step, grain.place), (Step::Two, Place::First));
    let expected = means(&full, 2);
    assert_eq!(found.len(), expected.len());
    let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum::<f32>() / found.len() as f32;
    assert!(off < 16.0, "{off}");
    let [mean, expected] = [&found, &expected].map(|values| values.iter().sum::<f32>() / values.len() as f32);
    assert!((mean - expected).abs() < 2.0, "{mean} instead of {expected}");
}

#[test]
fn what_is_lossless_is_decoded_in_full() {
    for (codec, stream) in STREAMS.into_iter().filter(|(_, stream)| *stream != BASELINE) {
        let (values, grain) = coarse(codec, stream, Step::Eight);
        assert_eq!((values.len(), grain), (HEADER.pixels, Grain::default()), "{codec:?}");
    }
}

#[test]
fn fragments_are_joined_whatever_the_offset_table_says() {
    for (codec, stream) in STREAMS {
        let (head, tail) = stream.split_at(100);
        let whole = decoded(codec, stream, &HEADER);
        for offsets in [&[][..], &[0], &[4_000_000, 7]] {
            let mut items = items(offsets, &[head, &[], tail]);
            let mut kept = Kept::new(HEADER.pixels);
            let decoded = codec.decode(&mut items, stream.len() as u64, &HEADER, Step::One, &mut kept);
            assert_eq!(decoded.map(|decoded| (kept.cells(), decoded.precision)), whole, "{codec:?}");
        }
    }
}

#[test]
fn items_that_are_none_or_too_much_are_told_apart() {
    let decode = |mut items: Content, longest| {
        let decoded = Codec::Rle.decode(&mut items, longest, &HEADER, Step::One, &mut Kept::new(1920));
        decoded.map(|decoded| decoded.precision)
    };
    let size = RLE.len() as u64;
    assert_eq!(decode(items(&[], &[RLE, RLE]), 2 * size - 1), Err(Broken::TooLong));
    assert_eq!(decode(content(b"no item at all"), size), Err(Broken::Fragments));
    assert_eq!(decode(content(b"\xfe\xff\x00\xe0\x09\0\0\0"), size), Err(Broken::Fragments));
    assert_eq!(decode(content(b""), size), Err(Broken::Segments));
    let native = Codec::Native.decode(&mut items(&[], &[RLE]), size, &HEADER, Step::One, &mut Kept::new(1920));
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
                _ if stream == BASELINE && length % 2 == 0 => {
                    assert!(jpeg_extended::decode(cut, 8, Step::Four, &mut Kept::new(1920)).is_err(), "{length}");
                }
                _ if stream == BASELINE => {
                    assert!(jpeg_extended::decode(cut, 8, Step::One, &mut Kept::new(1920)).is_err(), "{length}");
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
        let _ = jpeg_extended::decode(&jpeg, 8, Step::One, &mut rows);
        let _ = jpeg_extended::decode(&jpeg, 8, Step::Four, &mut rows);
        let _ = jpeg_lossless::decode(&jpeg, &mut rows);
        let _ = jpeg2000::decode(&bytes, &HEADER, Step::Four, &mut rows);
        let _ = Codec::JpegXl.stream(&bytes, &HEADER, Step::One, &mut rows);
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
            let _ = jpeg_extended::decode(&stream, 8, Step::One, &mut rows);
            let _ = jpeg_extended::decode(&stream, 8, Step::Two, &mut Kept::new(HEADER.pixels));
            let _ = jpeg_lossless::decode(&stream, &mut Kept::new(HEADER.pixels));
        }
        let ended = decoded(codec, &stream, &HEADER);
        // A library may give up by panicking; ours never do.
        prop_assert!(ended != Err(Broken::GaveUp) || matches!(codec, Codec::Jpeg | Codec::Jpeg2000 | Codec::JpegXl));
    }
}
