//! Any bytes after the head of a JPEG lossless image of 64 x 64 are its samples, or an error; the image is within its bound.
#![no_main]

use std::io::Write;

use auscult::pixels::{Bounds, Decoder};
use libfuzzer_sys::fuzz_target;

const BOUNDS: Bounds = Bounds { max_pixels: 64 * 64 };
/// What follows the preamble of a Part 10 file in JPEG lossless, up to the first fragment's length: 64 rows and columns, 8 bits.
const HEAD: &[u8] = b"DICM\
\x02\0\x10\0UI\x16\01.2.840.10008.1.2.4.57\
\x28\0\x02\0US\x02\0\x01\0\x28\0\x04\0CS\x0c\0MONOCHROME2 \x28\0\x10\0US\x02\0\x40\0\x28\0\x11\0US\x02\0\x40\0\
\x28\0\0\x01US\x02\0\x08\0\x28\0\x01\x01US\x02\0\x08\0\x28\0\x02\x01US\x02\0\x07\0\x28\0\x03\x01US\x02\0\0\0\
\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\0\xfe\xff\0\xe0";
/// SOI, and a frame header of 64 x 64 samples of 8 bits.
const FRAME: &[u8] = b"\xff\xd8\xff\xc3\0\x0b\x08\0\x40\0\x40\x01\x01\x11\0";
const TAIL: &[u8] = b"\xfe\xff\xdd\xe0\0\0\0\0";

fuzz_target!(|bytes: &[u8]| {
    let (Ok(mut file), Ok(length)) = (tempfile::NamedTempFile::new(), u32::try_from(FRAME.len() + bytes.len())) else {
        return;
    };
    let octets = [&[0; 128], HEAD, &length.to_le_bytes(), FRAME, bytes, TAIL].concat();
    if file.write_all(&octets).is_err() {
        return;
    }
    if let Ok(image) = Decoder::in_process(BOUNDS).decode(file.path()) {
        assert!(image.luminance().is_ok_and(|luminance| luminance.len() == 64 * 64));
    }
});
