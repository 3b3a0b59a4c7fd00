//! What goes along with a report, at a PACS that sends everything new back to Auscult.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use support::orthanc::Orthanc;
use support::{AUSCULT, Service, checkout, files_below, free_port, installed, run, wait_for};

#[test]
fn where_nothing_is_flagged_nothing_is_pointed_at() {
    let service = Service::start(
        "[[destination]]\nkind = \"folder\"\nname = \"out\"\npath = \"out\"\n\
         companions = [\"secondary-capture\", \"presentation-state\", \"key-objects\"]",
    );
    let file = checkout("testdata/normal-dx");
    let output = run(AUSCULT, &["send", "--port", &service.port.to_string(), file.to_str().unwrap()]);
    assert!(output.status.success());
    wait_for("the report", || service.log().contains("delivered").then_some(()));
    assert!(service.log().contains("documents=1"), "{}", service.log());
    assert_eq!(files_below(&service.state().join("out"), "dcm").len(), 1);
}

#[test]
fn companions_arrive_in_the_study_and_coming_back_they_lead_to_nothing() {
    if !installed("Orthanc") {
        return;
    }
    let dicom = free_port();
    let mut service = Service::start(&format!(
        "[report]\nbasic_text = \"extra\"\n[[destination]]\nkind = \"dicom\"\nname = \"orthanc\"\n\
         host = \"127.0.0.1\"\nport = {dicom}\nae_title = \"PACS\"\n\
         companions = [\"secondary-capture\", \"presentation-state\", \"key-objects\"]\n\
         [[destination]]\nkind = \"folder\"\nname = \"plain\"\npath = \"plain\""
    ));
    let orthanc = Orthanc::start(dicom, service.port);
    let files = files_below(&checkout("testdata/pneumonia-dx-jpeg"), "dcm");
    let study = orthanc.store(&files[0]);
    let modalities = || {
        let objects = orthanc.objects(&study);
        let mut modalities: Vec<_> =
            objects.iter().map(|tags| tags["Modality"].as_str().unwrap_or_default().to_owned()).collect();
        modalities.sort();
        modalities
    };
    let all = ["DX", "KO", "OT", "PR", "SR", "SR"];
    wait_for("report and companions", || (modalities() == all).then_some(()));
    wait_for("companions that came back", || {
        (service.log().matches("a document of Auscult's own came back").count() == 3).then_some(())
    });
    assert!(service.stop().success());
    assert_eq!(modalities(), all, "nothing more came of them");
    assert_eq!(files_below(&service.state().join("plain"), "dcm").len(), 2, "who wants no companions gets none");
    let image = orthanc.get(&format!("/studies/{study}"));
    for object in orthanc.objects(&study) {
        assert_eq!(object["PatientID"], image["PatientMainDicomTags"]["PatientID"]);
        assert_eq!(object["AccessionNumber"], image["MainDicomTags"]["AccessionNumber"]);
    }
    assert_eq!(orthanc.get("/patients").as_array().unwrap().len(), 1);
    assert_eq!(orthanc.get("/studies").as_array().unwrap().len(), 1);
}
