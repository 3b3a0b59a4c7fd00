//! The probabilities equal those of PyTorch on the same inputs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use support::{AUSCULT, checkout, run, shared, stderr, stdout};

/// `auscult classify --json` on files: probability by file name.
fn classify(files: &[String]) -> HashMap<String, f64> {
    let arguments: Vec<&str> = ["classify", "--json"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let output = run(AUSCULT, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let parse = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["file"].as_str().unwrap().to_owned(), line["probability"].as_f64().unwrap_or(f64::NAN))
    };
    stdout(&output).lines().map(parse).collect()
}

fn agree(directory: &Path, cases: &[(String, f64, f64)]) {
    let path = |file: &str| directory.join(file).display().to_string();
    let files: Vec<String> = cases.iter().map(|(file, ..)| path(file)).collect();
    let found = classify(&files);
    for (file, expected, tolerance) in cases {
        let probability = found[&path(file)];
        assert!((probability - expected).abs() <= *tolerance, "{file}: {probability}, PyTorch {expected}");
    }
}

#[test]
fn every_reference_image_gets_the_probability_of_pytorch() {
    let Some(shared) = shared("models/cxr-pneumonia-reference/reference.json") else { return };
    let reference: Value = serde_json::from_str(&std::fs::read_to_string(&shared).unwrap()).unwrap();
    let cases: Vec<_> = reference["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| {
            let number = |value: &Value| value.as_f64().unwrap();
            let file = image["file"].as_str().unwrap().to_owned();
            (file, number(&image["probabilities"][1]), number(&image["tolerance"]))
        })
        .filter(|(file, ..)| file != WRONG_REFERENCE)
        .collect();
    assert!(cases.len() >= 30);
    agree(&checkout("../shared"), &cases);
}

/// The reference's figure for this file was computed from the low 12 bits of each word; its header (BitsStored 12,
/// HighBit 15) says that the pixel is in the high 12, and so it is: the picture is that of `gb18030.dcm`.
const WRONG_REFERENCE: &str = "data/dicom/derived/high-bit-15-12bit.dcm";

#[test]
fn a_high_bit_above_bits_stored_gives_the_same_picture() {
    if shared(WRONG_REFERENCE).is_some() {
        agree(&checkout("../shared"), &[(WRONG_REFERENCE.into(), 0.142_204, 0.01)]);
    }
}
