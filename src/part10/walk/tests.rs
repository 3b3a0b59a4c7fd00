//! Every rule of the walk, on data sets made by hand, and on bytes of any kind.

use std::io::{Cursor, Read, Write};

use proptest::prelude::*;

use super::*;
use crate::part10::{EXPLICIT_LITTLE_ENDIAN, Extent, Values, read, read_image};

const OPEN: [u8; 4] = [0xFF; 4];

/// An element of Explicit VR Little Endian with a length as given.
fn long(tag: u32, vr: &[u8; 2], length: u32, value: &[u8]) -> Vec<u8> {
    [&head(tag)[..], vr, &[0, 0], &length.to_le_bytes(), value].concat()
}

fn short(tag: u32, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    [&head(tag)[..], vr, &u16::try_from(value.len()).unwrap().to_le_bytes(), value].concat()
}

/// An element of Implicit VR Little Endian.
fn implicit(tag: u32, length: u32, value: &[u8]) -> Vec<u8> {
    [&head(tag)[..], &length.to_le_bytes(), value].concat()
}

fn head(tag: u32) -> [u8; 4] {
    let [g0, g1, e0, e1] = tag.to_be_bytes();
    [g1, g0, e1, e0]
}

fn item(length: u32, value: &[u8]) -> Vec<u8> {
    implicit(0xFFFE_E000, length, value)
}

fn item_end() -> Vec<u8> {
    implicit(0xFFFE_E00D, 0, &[])
}

fn sequence_end() -> Vec<u8> {
    implicit(0xFFFE_E0DD, 0, &[])
}

fn nested(levels: usize) -> Vec<u8> {
    let level = [long(0x0040_A730, b"SQ", UNDEFINED, &[]), item(UNDEFINED, &[])].concat();
    [level.repeat(levels), [item_end(), sequence_end()].concat().repeat(levels)].concat()
}

fn fragments(items: &[Vec<u8>]) -> Vec<u8> {
    long(0x7FE0_0010, b"OB", UNDEFINED, &items.concat())
}

/// Whether a file's data set is sound.
fn sound(path: &std::path::Path, largest_inflated: u64) -> Result<(), WalkError> {
    walk(&path.into(), largest_inflated)?.soundness
}

fn walked(encoding: Encoding, bytes: &[u8]) -> Result<(), Fault> {
    let size = u64::try_from(bytes.len()).unwrap();
    match Walk::new(BufReader::new(Cursor::new(bytes)), 0, size, encoding).run().soundness {
        Ok(()) => Ok(()),
        Err(WalkError::Malformed { fault, .. }) => Err(fault),
        Err(WalkError::File(error)) => panic!("{error}"),
    }
}

fn explicit(bytes: &[u8]) -> Result<(), Fault> {
    walked(Encoding::ExplicitLittle, bytes)
}

/// A file with its data set as given.
fn file(transfer_syntax: &str, data_set: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut uid = transfer_syntax.as_bytes().to_vec();
    uid.resize(uid.len().next_multiple_of(2), 0);
    let bytes = [&[0; 128][..], b"DICM", &short(0x0002_0010, b"UI", &uid), data_set].concat();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

fn deflated(data_set: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data_set).unwrap();
    encoder.finish().unwrap()
}

fn small() -> Vec<u8> {
    let reference = [item(UNDEFINED, &short(0x0008_1155, b"UI", b"1.2.3\0")), item_end(), sequence_end()].concat();
    let code = short(0x0008_0100, b"SH", b"T-D3000 ");
    let code = item(u32::try_from(code.len()).unwrap(), &code);
    [
        short(0x0008_0016, b"UI", b"1.2.840.10008.5.1.4.1.1.1\0"),
        short(0x0008_0018, b"UI", b"1.2.3.4\0"),
        long(0x0008_1140, b"SQ", UNDEFINED, &reference),
        long(0x0008_2218, b"SQ", u32::try_from(code.len()).unwrap(), &code),
        short(0x0010_0010, b"PN", b"Odd"),
        short(0x0020_000D, b"UI", b"1.2.3"),
        short(0x0020_000E, b"UI", b"1.2.3.5 "),
        short(0x0028_0010, b"US", &[2, 0]),
        fragments(&[item(4, &[0; 4]), item(3, &[1, 2, 3]), sequence_end()]),
    ]
    .concat()
}

#[test]
fn a_sound_data_set_passes_in_every_encoding() {
    assert_eq!(explicit(&small()), Ok(()));
    assert_eq!(explicit(&[]), Ok(()));
    let sequence = [&OPEN[..], &item(8, &implicit(0x0008_0100, 0, &[])), &sequence_end()].concat();
    let implicit_one = [&implicit(0x0008_0060, 2, b"CR"), &head(0x0008_1140)[..], &sequence].concat();
    assert_eq!(walked(Encoding::ImplicitLittle, &implicit_one), Ok(()));
    let big = [&[0, 8, 0, 0x60][..], b"CS", &[0, 2], b"CR", &[0, 0x28, 0, 0x10], b"US", &[0, 2, 1, 0]].concat();
    assert_eq!(walked(Encoding::ExplicitBig, &big), Ok(()));
    assert!(sound(file(DEFLATED, &deflated(&small())).path(), 1 << 20).is_ok());
    assert!(sound(file(EXPLICIT_LITTLE_ENDIAN, &small()).path(), 0).is_ok());
}

#[test]
fn what_real_files_have_wrong_without_harm_is_tolerated() {
    let odd_pixels = long(0x7FE0_0010, b"OW", 3, &[0; 3]);
    let padded = [small(), vec![0; 700]].concat();
    let one_nul = [small(), vec![0]].concat();
    let group_length = short(0x0008_0000, b"UL", &[0xFF; 4]);
    let unordered = [short(0x0020_0013, b"IS", b"1 "), short(0x0008_0060, b"CS", b"CR")].concat();
    let private = [item(UNDEFINED, &implicit(0x0009_1001, 3, b"abc")), item_end(), sequence_end()].concat();
    let unknown = long(0x0009_1000, b"UN", UNDEFINED, &private);
    let unknown = [unknown, short(0x0010_0020, b"LO", b"1 ")].concat();
    for data_set in [odd_pixels, padded, one_nul, group_length, unordered, unknown] {
        assert_eq!(explicit(&data_set), Ok(()), "{data_set:?}");
    }
}

#[test]
fn what_lies_behind_a_sequence_of_unknown_vr_is_read() {
    let private = [item(UNDEFINED, &implicit(0x0009_1001, 3, b"abc")), item_end(), sequence_end()].concat();
    let unknown = long(0x0009_1000, b"UN", UNDEFINED, &private);
    let nested = long(0x0008_1140, b"SQ", UNDEFINED, &[item(UNDEFINED, &unknown), item_end(), sequence_end()].concat());
    let data_set = [nested, unknown.clone(), unknown, short(0x0010_0020, b"LO", b"1 ")].concat();
    for (transfer_syntax, bytes) in [(EXPLICIT_LITTLE_ENDIAN, data_set.clone()), (DEFLATED, deflated(&data_set))] {
        let object =
            read(&file(transfer_syntax, &bytes).path().into(), Extent::Header, Values::Decoded, 1 << 20).unwrap();
        let text = crate::part10::attribute::text(&object.data_set, tags::PATIENT_ID);
        assert_eq!(text.as_deref(), Some("1"), "{transfer_syntax}");
        let value = object.data_set.get(Tag(0x0009, 0x1000)).unwrap().to_bytes().unwrap();
        assert_eq!(*value, private);
    }
}

#[test]
fn a_length_is_put_in_whatever_pieces_are_read() {
    let unknown = [(6, 10, Encoding::ExplicitLittle), (11, 11 + 0x0102, Encoding::ExplicitBig)];
    let unknown = unknown.map(|(begin, end, encoding)| Unknown::new(begin, end, encoding).unwrap());
    for piece in 1..14 {
        let mut defined = unknown::Defined::new(&[0xFF; 13][..], 0, unknown.to_vec());
        let (mut whole, mut buffer) = (Vec::<u8>::new(), vec![0; piece]);
        while let Ok(read @ 1..) = defined.read(&mut buffer) {
            whole.extend(&buffer[..read]);
        }
        assert_eq!(whole, [0xFF, 0xFF, 4, 0, 0, 0, 0xFF, 0, 0, 1, 2, 0xFF, 0xFF], "{piece}");
    }
}

#[test]
fn no_length_goes_beyond_what_encloses_it() {
    let reference = long(0x0008_1155, b"UN", 100, &[]);
    let beyond_item = long(0x0008_1140, b"SQ", UNDEFINED, &[item(12, &reference), sequence_end()].concat());
    let beyond_sequence = [long(0x0008_1140, b"SQ", 8, &item(4, &[])), vec![0; 4]].concat();
    for data_set in [
        long(0x0008_0005, b"UN", 0xFFFF_FFFE, &[0; 8]),
        short(0x0008_0060, b"CS", b"CR").split_last().unwrap().1.to_vec(),
        [beyond_item, vec![0; 200]].concat(),
        beyond_sequence,
        long(0x0008_1140, b"SQ", 100, &[]),
        fragments(&[item(0, &[]), item(100, &[0; 8]), sequence_end()]),
        fragments(&[item(0, &[]), item(UNDEFINED, &[0; 8]), sequence_end()]),
    ] {
        assert_eq!(explicit(&data_set), Err(Fault::Beyond), "{data_set:?}");
    }
}

#[test]
fn a_data_set_that_ends_too_early_does_not_pass() {
    let sequence = long(0x0008_1140, b"SQ", UNDEFINED, &[]);
    for data_set in [
        vec![8],
        vec![8, 0, 0x60, 0, b'C'],
        long(0x7FE0_0010, b"OW", 2, &[]).get(..10).unwrap().to_vec(),
        sequence.clone(),
        [sequence, item(UNDEFINED, &[])].concat(),
        fragments(&[item(0, &[]), item(2, &[0; 2])]),
        fragments(&[]),
    ] {
        assert_eq!(explicit(&data_set), Err(Fault::Cut), "{data_set:?}");
    }
    let cut = deflated(&long(0x7FE0_0010, b"OW", 4000, &(0..4000).map(|n| (n * n % 251) as u8).collect::<Vec<_>>()));
    let cut = file(DEFLATED, cut.get(..cut.len() / 2).unwrap());
    assert!(matches!(sound(cut.path(), 1 << 20), Err(WalkError::Malformed { fault: Fault::Cut, .. })));
}

#[test]
fn vr_and_length_fit_each_other() {
    assert_eq!(explicit(&short(0x0008_0060, b"??", b"CR")), Err(Fault::UnknownVr));
    assert_eq!(explicit(&short(0x0008_0060, b"cs", b"CR")), Err(Fault::UnknownVr));
    for (vr, length) in [(b"US", 1), (b"SL", 6), (b"FD", 4), (b"AT", 2)] {
        assert_eq!(explicit(&short(0x0009_1001, vr, &[0; 6][..length])), Err(Fault::NotMultiple));
    }
    assert_eq!(explicit(&long(0x0009_1001, b"OW", 3, &[0; 3])), Err(Fault::NotMultiple));
    let icon = [item(UNDEFINED, &long(0x7FE0_0010, b"OW", 3, &[0; 3])), item_end(), sequence_end()].concat();
    assert_eq!(explicit(&long(0x0088_0200, b"SQ", UNDEFINED, &icon)), Err(Fault::NotMultiple));
    assert_eq!(walked(Encoding::ImplicitLittle, &implicit(0x0028_0010, 3, &[0; 3])), Err(Fault::NotMultiple));
    assert_eq!(explicit(&fragments(&[item(3, &[0; 3]), sequence_end()])), Err(Fault::NotMultiple));
    assert_eq!(explicit(&long(0x0009_1001, b"UT", UNDEFINED, &sequence_end())), Err(Fault::UndefinedLength));
    assert_eq!(explicit(&long(0x7FE0_0010, b"OF", UNDEFINED, &sequence_end())), Err(Fault::UndefinedLength));
}

#[test]
fn items_and_delimiters_belong_somewhere() {
    let of_length = item(8, &item_end());
    for data_set in [
        item(0, &[]),
        item_end(),
        sequence_end(),
        short(0x0002_0010, b"UI", b"1.2\0"),
        short(0x0000_0100, b"US", &[1, 0]),
        [vec![0; 128], b"DICM".to_vec()].concat(),
        long(0x0008_1140, b"SQ", UNDEFINED, &short(0x0008_0060, b"CS", b"CR")),
        long(0x0008_1140, b"SQ", UNDEFINED, &item_end()),
        long(0x0008_1140, b"SQ", 8, &sequence_end()),
        long(0x0008_1140, b"SQ", UNDEFINED, &of_length),
        fragments(&[item(0, &[]), item_end()]),
        implicit(0xFFFE_0001, 0, &[]),
    ] {
        assert_eq!(explicit(&data_set), Err(Fault::Misplaced), "{data_set:?}");
    }
}

#[test]
fn depth_and_number_are_bounded() {
    assert_eq!(explicit(&nested(DEEPEST)), Ok(()));
    assert_eq!(explicit(&nested(DEEPEST + 1)), Err(Fault::TooDeep));
    assert_eq!(explicit(&nested(100_000)), Err(Fault::TooDeep));
    let unknown = [implicit(0x0040_A730, UNDEFINED, &[]), item(UNDEFINED, &[])].concat();
    let unknown = [long(0x0009_1000, b"UN", UNDEFINED, &item(UNDEFINED, &[])), unknown.repeat(40)].concat();
    assert_eq!(explicit(&unknown), Err(Fault::TooDeep));
    let element = short(0x0009_1001, b"LO", b"");
    assert_eq!(explicit(&element.repeat(MOST_ELEMENTS as usize)), Ok(()));
    assert_eq!(explicit(&element.repeat(MOST_ELEMENTS as usize + 1)), Err(Fault::TooMany));
    let bomb = deflated(&long(0x7FE0_0010, b"OW", 1 << 20, &vec![0; 1 << 20]));
    assert!(sound(file(DEFLATED, &bomb).path(), 2 << 20).is_ok());
    assert!(matches!(sound(file(DEFLATED, &bomb).path(), 1 << 19), Err(WalkError::File(ReadError::NotDicom(_)))));
}

#[test]
fn an_object_is_identified_once() {
    let uid = |value: &[u8]| explicit(&short(0x0008_0018, b"UI", value));
    for good in [&b"1.2.3"[..], b"1.2.3\0", b"1.2.3\0\0\0", b"1.2.3   ", &b"1".repeat(64)] {
        assert_eq!(uid(good), Ok(()), "{good:?}");
    }
    let long = b"1".repeat(65);
    for bad in [&b""[..], b"\0", b"1.2\\1.3", b"1..2", b".1", b"../../a", b" 1.2", b"1.2\x003.4", &long, &[b'1'; 999]] {
        assert_eq!(uid(bad), Err(Fault::NotUid), "{bad:?}");
    }
    let twice = short(0x0020_000D, b"UI", b"1.2.3\0").repeat(2);
    assert_eq!(explicit(&twice), Err(Fault::Repeated));
    assert_eq!(explicit(&short(0x0008_1155, b"UI", b"../../a\0")), Ok(()));
}

#[test]
fn a_fault_says_where_and_no_value() {
    let data_set = [short(0x0010_0010, b"PN", b"Secret"), short(0x0028_0010, b"US", b"abc")].concat();
    let message = sound(file(EXPLICIT_LITTLE_ENDIAN, &data_set).path(), 0).unwrap_err().to_string();
    assert_eq!(message, "a length that its VR cannot have, at byte 174, element (0028,0010)");
    let twice = short(0x0002_0010, b"UI", b"1.2.840.10008.1.2\0");
    let message = sound(file(EXPLICIT_LITTLE_ENDIAN, &twice).path(), 0).unwrap_err().to_string();
    assert!(message.contains("more than one transfer syntax"), "{message}");
}

/// What passes is read by the parser, to its end and without a panic.
fn passes_or_errs(transfer_syntax: &str, data_set: &[u8]) {
    let file = file(transfer_syntax, data_set);
    if sound(file.path(), 1 << 20).is_ok() {
        for (extent, values) in [(Extent::Header, Values::Octets), (Extent::PixelData, Values::Decoded)] {
            let _ = read(&file.path().into(), extent, values, 1 << 20);
        }
        let _ = read_image(&file.path().into(), 1 << 20);
    }
}

proptest! {
    #[test]
    fn any_bytes_pass_or_err(bytes in proptest::collection::vec(any::<u8>(), 0..600), syntax in 0..4_usize) {
        let syntaxes = [IMPLICIT, EXPLICIT_LITTLE_ENDIAN, BIG, DEFLATED];
        passes_or_errs(syntaxes[syntax], &bytes);
    }

    #[test]
    fn a_mutated_data_set_passes_or_errs(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = small();
        for (place, octet) in changes {
            let place = place.index(bytes.len());
            bytes[place] = octet;
        }
        passes_or_errs(EXPLICIT_LITTLE_ENDIAN, &bytes);
        bytes.truncate(end.index(bytes.len()));
        passes_or_errs(EXPLICIT_LITTLE_ENDIAN, &bytes);
        passes_or_errs(DEFLATED, &deflated(&bytes));
    }
}

#[test]
fn every_truncation_inside_an_element_is_an_error() {
    let whole = small();
    let ends = (1..whole.len()).filter(|end| explicit(&whole[..*end]).is_ok()).count();
    assert_eq!(ends, 8);
}

const IMPLICIT: &str = crate::part10::IMPLICIT_LITTLE_ENDIAN;
const BIG: &str = crate::part10::EXPLICIT_BIG_ENDIAN;

#[test]
fn the_outline_says_whose_it_is_how_urgent_and_where_its_pixels_begin() {
    let request = [item(UNDEFINED, &short(0x0040_1003, b"SH", b"STAT")), item_end()].concat();
    let elements = [
        short(0x0008_0018, b"UI", b"1.2.3\0"),
        short(0x0010_0020, b"LO", b" P-1  "),
        long(0x0040_0275, b"SQ", UNDEFINED, &[request, sequence_end()].concat()),
    ]
    .concat();
    let data_set = [&elements[..], &long(0x7FE0_0010, b"OW", 4, &[1, 2, 3, 4])].concat();
    let file = file(EXPLICIT_LITTLE_ENDIAN, &data_set);
    let outline = walk(&file.path().into(), 0).unwrap().outline;
    assert_eq!(outline.uid(tags::SOP_INSTANCE_UID), Some("1.2.3"));
    assert_eq!(outline.uid(tags::STUDY_INSTANCE_UID), None);
    assert_eq!(outline.patient_id.as_deref(), Some(&b"P-1"[..]));
    assert_eq!(outline.issuer_of_patient_id, None);
    assert_eq!(outline.requested_procedure_priority.as_deref(), Some(&b"STAT"[..]));
    let size = std::fs::metadata(file.path()).unwrap().len();
    assert_eq!(outline.pixel_data, Some(size - 16));
}

#[test]
fn an_outline_says_where_the_pixels_lie() {
    let pixels = |data_set: &[u8]| {
        let file = file(EXPLICIT_LITTLE_ENDIAN, data_set);
        let size = std::fs::metadata(file.path()).unwrap().len();
        (walk(&file.path().into(), 0).unwrap().outline.pixels, size)
    };
    let (native, size) = pixels(&long(0x7FE0_0010, b"OW", 4, &[1, 2, 3, 4]));
    assert_eq!(native, Some(Pixels::Native(Stretch { begin: size - 4, length: 4 }, Order::LittleEnd)));
    assert_eq!(pixels(&long(0x7FE0_0010, b"OF", 4, &[1, 2, 3, 4])).0, Some(Pixels::Foreign));
    let (encapsulated, size) = pixels(&fragments(&[item(0, &[]), item(2, &[1, 2]), sequence_end()]));
    assert_eq!(encapsulated, Some(Pixels::Fragments(Stretch { begin: size - 26, length: 18 })));
    let (cut, _) = pixels(&fragments(&[item(0, &[]), item(2, &[1, 2])]));
    assert_eq!(cut, None);
}
