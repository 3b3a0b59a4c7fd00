//! The walk over any file does not panic; what passes it is read without a panic or a stack overflow.
#![no_main]

use std::io::Write;

use auscult::part10::{Extent, Values, read, walk_octets};
use libfuzzer_sys::fuzz_target;

const LARGEST_INFLATED: u64 = 1 << 24;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = tempfile::NamedTempFile::new() else { return };
    if file.write_all(bytes).is_ok() && walk_octets(bytes, LARGEST_INFLATED).is_ok_and(|walked| walked.soundness.is_ok()) {
        let _ = read(&file.path().into(), Extent::PixelData, Values::Octets, LARGEST_INFLATED);
    }
});
