//! A header that passed the walk is read, or refused with an error.
#![no_main]

use std::io::Write;

use auscult::instance::{Header, Instance};
use auscult::part10::walk_octets;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = tempfile::NamedTempFile::new() else { return };
    if file.write_all(bytes).is_ok() && walk_octets(bytes, 1 << 24).is_ok_and(|walked| walked.soundness.is_ok()) {
        let _ = (Instance::open(file.path()), Header::open(file.path()));
    }
});
