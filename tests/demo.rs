//! The demonstration that the README begins with.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use support::{AUSCULT, files_below, run, stderr, stdout};

#[test]
fn every_bundled_study_gets_its_report() {
    let keep = tempfile::tempdir().unwrap();
    let output = run(AUSCULT, &["demo", "--keep", keep.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    for (study, expected) in [
        ("normal-dx ", "Pneumonia not detected. Score 14.9 % (threshold 50.0 %)."),
        ("normal-cr-jpeg ", "Pneumonia not detected. Score 3.8 % (threshold 50.0 %)."),
        ("pneumonia-dx-jpeg ", "Possible pneumonia. Score 96.4 % (threshold 50.0 %)."),
        ("pneumonia-cr ", "Possible pneumonia. Score 91.2 % (threshold 50.0 %)."),
        ("pneumonia-pa-and-lateral ", "1 of 2 images were not analysed: lateral view is not supported"),
        ("lateral-only ", "Reason: lateral view is not supported"),
        ("hand ", "Reason: not a chest image"),
        ("ct-slice ", "Reason: not a projection radiograph"),
    ] {
        let line = text.lines().find(|line| line.starts_with(study)).unwrap_or_else(|| panic!("{study}: {text}"));
        assert!(line.contains(expected), "{line}");
    }
    assert_eq!(files_below(keep.path(), "dcm").len(), 8);
}
