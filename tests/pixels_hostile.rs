//! From a header to the model's input, whatever the header and the pixel data say: an image or an error, never a panic,
//! and never more memory than the bound on the image's size allows.
//!
//! C libraries (OpenJPEG) allocate beside Rust's allocator, which is what counts here.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use auscult::model::{Crop, Input, InputSpec, Resize};
use auscult::pixels::{Bounds, Decoder};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

/// Of the images here: 96 x 96 and below.
const BOUNDS: Bounds = Bounds { max_pixels: 9216 };

/// What one image may take in Rust's allocator at one time, in bytes: the tables over 16 bits, and what is in proportion
/// to the bound and to the file.
const MOST: usize = 2 << 20;

/// The system's allocator, and how much of it is in use, and was at most.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static AT_MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Relaxed) + layout.size();
        AT_MOST.fetch_max(now, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Streams of one picture of 40 rows and 48 columns, and the syntaxes that they are of.
const STREAMS: [(&str, &[u8]); 6] = [
    ("1.2.840.10008.1.2.5", include_bytes!("../src/pixels/codec/testdata/frame.rle")),
    ("1.2.840.10008.1.2.4.50", include_bytes!("../src/pixels/codec/testdata/baseline.jpg")),
    ("1.2.840.10008.1.2.4.70", include_bytes!("../src/pixels/codec/testdata/lossless.jpg")),
    ("1.2.840.10008.1.2.4.80", include_bytes!("../src/pixels/codec/testdata/lossless.jls")),
    ("1.2.840.10008.1.2.4.90", include_bytes!("../src/pixels/codec/testdata/lossless.j2k")),
    ("1.2.840.10008.1.2.4.110", include_bytes!("../src/pixels/codec/testdata/lossless.jxl")),
];

/// Numbers of the Image Pixel module (0028,xxxx), VR US.
const NUMBERS: [u16; 9] = [0x0002, 0x0010, 0x0011, 0x0100, 0x0101, 0x0102, 0x0103, 0x0120, 0x0121];

/// Texts that reach the grey scale and the geometry, with values that make sense and others.
const TEXTS: [((u16, u16), &str); 22] = [
    ((0x0018, 0x1164), "DS"),
    ((0x0018, 0x1600), "CS"),
    ((0x0018, 0x1602), "IS"),
    ((0x0018, 0x1604), "IS"),
    ((0x0018, 0x1606), "IS"),
    ((0x0018, 0x1608), "IS"),
    ((0x0018, 0x1610), "IS"),
    ((0x0018, 0x1612), "IS"),
    ((0x0018, 0x1620), "IS"),
    ((0x0018, 0x1700), "CS"),
    ((0x0018, 0x1710), "IS"),
    ((0x0018, 0x1712), "IS"),
    ((0x0018, 0x1720), "IS"),
    ((0x0020, 0x0020), "CS"),
    ((0x0028, 0x0004), "CS"),
    ((0x0028, 0x0008), "IS"),
    ((0x0028, 0x0034), "IS"),
    ((0x0028, 0x1050), "DS"),
    ((0x0028, 0x1051), "DS"),
    ((0x0028, 0x1052), "DS"),
    ((0x0028, 0x1053), "DS"),
    ((0x2050, 0x0020), "CS"),
];
const WORDS: [&str; 24] = [
    "",
    "0",
    "1",
    "-1",
    "40",
    "99999999999",
    "1e308",
    "-1e308",
    "NaN",
    "inf",
    "1\\1",
    "4\\3",
    "20\\24",
    "0.1\\0",
    "x",
    "1\\1\\40\\1\\20\\48",
    "RECTANGULAR",
    "CIRCULAR",
    "POLYGONAL\\CIRCULAR",
    "R\\F",
    "F\\L",
    "MONOCHROME1",
    "INVERSE",
    "SIGMOID",
];

/// A data element in explicit VR little endian.
fn element((group, number): (u16, u16), vr: &str, value: &[u8]) -> Vec<u8> {
    let mut octets = [group.to_le_bytes(), number.to_le_bytes()].concat();
    octets.extend(vr.as_bytes());
    let padding = if vr == "OB" || vr == "OW" || vr == "US" { 0 } else { b' ' };
    let value = [value, &[padding][..value.len() % 2]].concat();
    if matches!(vr, "OB" | "OW" | "SQ") {
        octets.extend([0, 0]);
        octets.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
    } else {
        octets.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
    }
    octets.extend(value);
    octets
}

/// The fragments of one frame behind an empty offset table (PS3.5 A.4).
fn encapsulated(stream: &[u8]) -> Vec<u8> {
    let stream = [stream, &[0][..stream.len() % 2]].concat();
    let mut octets = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0".to_vec();
    octets.extend(u32::try_from(stream.len()).unwrap().to_le_bytes());
    octets.extend(stream);
    octets.extend(b"\xfe\xff\xdd\xe0\0\0\0\0");
    octets
}

/// A look-up table of so many entries by its descriptor, and so many in truth.
fn table(sequence: (u16, u16), descriptor: [u16; 3], entries: usize) -> Vec<u8> {
    let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let item = [
        element((0x0028, 0x3002), "US", &words(&descriptor)),
        element((0x0028, 0x3006), "OW", &words(&vec![300; entries])),
    ]
    .concat();
    let length = u32::try_from(item.len()).unwrap().to_le_bytes();
    element(sequence, "SQ", &[b"\xfe\xff\x00\xe0".as_slice(), &length, &item].concat())
}

/// A Part 10 file of data elements, which are sorted.
fn file(transfer_syntax: &str, mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort_by_key(|octets| [octets[1], octets[0], octets[3], octets[2]]);
    elements.dedup_by_key(|octets| [octets[1], octets[0], octets[3], octets[2]]);
    let syntax = [transfer_syntax.as_bytes(), &[0][..transfer_syntax.len() % 2]].concat();
    let meta = element((0x0002, 0x0010), "UI", &syntax);
    [vec![0; 128], b"DICM".to_vec(), meta, elements.concat()].concat()
}

fn number() -> impl Strategy<Value = u16> {
    prop_oneof![select(&[0_u16, 1, 7, 8, 11, 12, 15, 16, 32, 40, 48, 96, 97, 300, 65_535][..]), any::<u16>()]
}

/// A header of 40 x 48 pixels of 8 bits in which some attributes have another value, and pixel data that may be damaged.
fn image() -> impl Strategy<Value = Vec<u8>> {
    let numbers = proptest::collection::vec((select(&NUMBERS[..]), number()), 0..2);
    let texts = proptest::collection::vec((select(&TEXTS[..]), select(&WORDS[..])), 0..6);
    let tables = proptest::collection::vec(
        (select(&[0x3000_u16, 0x3010][..]), [number(), number(), number()], select(&[0_usize, 3, 300, 4096][..])),
        0..2,
    );
    let damage = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2);
    let pixels = (0..STREAMS.len() + 2, damage, prop_oneof![Just(1920_usize), 0..4000_usize]);
    (numbers, texts, tables, pixels).prop_map(|(numbers, texts, tables, (form, damage, length))| {
        let mut elements: Vec<Vec<u8>> = Vec::new();
        for (number, value) in numbers {
            elements.push(element((0x0028, number), "US", &value.to_le_bytes()));
        }
        elements.extend(texts.into_iter().map(|((tag, vr), value)| element(tag, vr, value.as_bytes())));
        elements.extend(tables.into_iter().map(|(number, words, entries)| table((0x0028, number), words, entries)));
        elements.push(element((0x0028, 0x0004), "CS", b"MONOCHROME2"));
        let plain = [(0x0002, 1_u16), (0x0010, 40), (0x0011, 48), (0x0100, 8), (0x0101, 8), (0x0102, 7), (0x0103, 0)];
        elements.extend(plain.map(|(number, value)| element((0x0028, number), "US", &value.to_le_bytes())));
        let (syntax, stream) = STREAMS.get(form).copied().unwrap_or(("1.2.840.10008.1.2.1", &[]));
        let mut octets = if stream.is_empty() { vec![77; length] } else { stream.to_vec() };
        for (index, value) in damage.into_iter().filter(|_| !octets.is_empty()).collect::<Vec<_>>() {
            let at = index.index(octets.len());
            octets[at] = value;
        }
        elements.push(if stream.is_empty() { element((0x7fe0, 0x0010), "OW", &octets) } else { encapsulated(&octets) });
        file(syntax, elements)
    })
}

/// Preprocessing that uses all there is.
fn input() -> Input {
    Input::new(&InputSpec {
        width: 64,
        height: 48,
        crop: Crop::Collimation,
        resize: Resize::Fit,
        mean: [0.5; 3],
        std: [0.25; 3],
        ..InputSpec::imagenet()
    })
}

/// Rows, columns and the values of the input, if it comes to that.
fn prepared(octets: &[u8], input: &Input) -> Option<(usize, usize, Vec<f32>)> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(octets).unwrap();
    let image = Decoder::in_process(BOUNDS).decode(file.path()).ok()?;
    let tensor = input.tensor(&image).unwrap();
    Some((image.rows, image.columns, tensor.flatten_all().unwrap().to_vec1().unwrap()))
}

#[test]
fn every_header_is_an_image_or_an_error_within_the_bound() {
    let input = input();
    let undamaged = file(
        "1.2.840.10008.1.2.1",
        vec![
            element((0x0028, 0x0002), "US", &[1, 0]),
            element((0x0028, 0x0004), "CS", b"MONOCHROME2"),
            element((0x0028, 0x0010), "US", &[40, 0]),
            element((0x0028, 0x0011), "US", &[48, 0]),
            element((0x0028, 0x0100), "US", &[8, 0]),
            element((0x0028, 0x0101), "US", &[8, 0]),
            element((0x0028, 0x0102), "US", &[7, 0]),
            element((0x0028, 0x0103), "US", &[0, 0]),
            element((0x7fe0, 0x0010), "OW", &[77; 1920]),
        ],
    );
    assert!(prepared(&undamaged, &input).is_some());
    let (images, cases) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&image(), |octets| {
        let before = IN_USE.load(Relaxed);
        AT_MOST.store(before, Relaxed);
        let prepared = prepared(&octets, &input);
        let taken = AT_MOST.load(Relaxed) - before;
        prop_assert!(taken <= MOST, "{} bytes for a file of {}", taken, octets.len());
        cases.set(cases.get() + 1);
        if let Some((rows, columns, values)) = prepared {
            prop_assert!(rows * columns <= 9216);
            prop_assert!(values.iter().all(|value| (-2.01..=2.01).contains(value)));
            images.set(images.get() + 1);
        }
        Ok(())
    });
    outcome.unwrap();
    let (images, cases) = (images.get(), cases.get());
    // About one in five; fewer than one in sixteen is no chance.
    assert!(
        images * 16 >= cases,
        "only {images} of {cases} headers are those of an image: nothing behind them is tried"
    );
}
