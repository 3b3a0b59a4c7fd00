//! `auscult classify --sr`: the same images give the same report.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod support;

use dicom::dictionary_std::tags;
use dicom::object::open_file;
use dicom::transfer_syntax::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use support::{AUSCULT, checkout, files_below, run, stderr};

#[test]
fn a_report_is_the_same_whatever_order_its_images_come_in_but_for_its_dates() {
    let images = files_below(&checkout("testdata/pneumonia-pa-and-lateral"), "dcm");
    let report = |order: [usize; 2]| {
        let directory = tempfile::tempdir().unwrap();
        let files = order.map(|index| images[index].to_str().unwrap());
        let output = run(AUSCULT, &["classify", "--sr", directory.path().to_str().unwrap(), files[0], files[1]]);
        assert!(output.status.success(), "{}", stderr(&output));
        let mut report = open_file(files_below(directory.path(), "dcm").remove(0)).unwrap().into_inner();
        for date in [
            tags::INSTANCE_CREATION_DATE,
            tags::INSTANCE_CREATION_TIME,
            tags::SERIES_DATE,
            tags::SERIES_TIME,
            tags::CONTENT_DATE,
            tags::CONTENT_TIME,
        ] {
            assert!(report.remove_element(date), "{date}");
        }
        let mut octets = Vec::new();
        report.write_dataset_with_ts(&mut octets, &EXPLICIT_VR_LITTLE_ENDIAN.erased()).unwrap();
        octets
    };
    assert_eq!(images.len(), 2);
    assert_eq!(report([0, 1]), report([1, 0]));
}
