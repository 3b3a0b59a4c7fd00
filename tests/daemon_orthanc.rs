//! The service behind Orthanc: images forwarded by a rule, reports stored back into the same study.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use support::orthanc::Orthanc;
use support::{Service, checkout, files_below, free_port, installed, wait_for};

#[test]
fn reports_come_back_into_the_study_that_was_forwarded() {
    if !installed("Orthanc") {
        return;
    }
    let dicom = free_port();
    let service = Service::start(&format!(
        "[[destination]]\nkind = \"dicom\"\nname = \"orthanc\"\nhost = \"127.0.0.1\"\nport = {dicom}\nae_title = \"PACS\""
    ));
    let orthanc = Orthanc::start(dicom, service.port);
    for (directory, expected) in [("pneumonia-dx-jpeg", "AI: possible pneumonia"), ("ct-slice", "AI: not analysed")] {
        let files = files_below(&checkout("testdata").join(directory), "dcm");
        let study = orthanc.store(&files[0]);
        let reports = wait_for("the report", || Some(orthanc.reports(&study)).filter(|reports| !reports.is_empty()));
        assert_eq!(reports.len(), 1);
        let image = orthanc.get(&format!("/studies/{study}"));
        assert_eq!(reports[0]["SeriesDescription"], expected);
        assert_eq!(reports[0]["PatientID"], image["PatientMainDicomTags"]["PatientID"]);
        assert_eq!(reports[0]["AccessionNumber"], image["MainDicomTags"]["AccessionNumber"]);
    }
    assert_eq!(orthanc.get("/patients").as_array().unwrap().len(), 2);
    assert_eq!(orthanc.get("/studies").as_array().unwrap().len(), 2);
}
