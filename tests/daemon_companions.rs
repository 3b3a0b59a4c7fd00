//! What goes along with a report, at a PACS that sends everything new back to Auscult.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use dicom::dictionary_std::tags;
use dicom::object::{InMemDicomObject, open_file};
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

/// The numbers of the first Graphic Data (0070,0022) below an object.
fn graphic_data(object: &InMemDicomObject) -> Option<Vec<f32>> {
    if let Some(data) = object.get(tags::GRAPHIC_DATA) {
        return Some(data.to_multi_float32().unwrap());
    }
    object.into_iter().find_map(|element| element.items()?.iter().find_map(graphic_data))
}

#[test]
fn a_measurement_may_have_the_focus_as_its_region() {
    let region = |kind: &str| {
        let service = Service::start(&format!(
            "[report]\nform = \"measurement\"\nimage_region = \"{kind}\"\n\
             [[destination]]\nkind = \"folder\"\nname = \"out\"\npath = \"out\""
        ));
        let file = checkout("testdata/pneumonia-dx-jpeg");
        let output = run(AUSCULT, &["send", "--port", &service.port.to_string(), file.to_str().unwrap()]);
        assert!(output.status.success());
        wait_for("the report", || service.log().contains("delivered").then_some(()));
        let report = files_below(&service.state().join("out"), "dcm").remove(0);
        graphic_data(&open_file(report).unwrap()).unwrap()
    };
    let (whole, focus) = (region("whole-image"), region("focus"));
    let (width, height) = (whole[2], whole[5]);
    assert_eq!(whole, [0.0, 0.0, width, 0.0, width, height, 0.0, height, 0.0, 0.0]);
    assert!(focus.len() > whole.len() && focus[..2] == focus[focus.len() - 2..], "{focus:?}");
    for point in focus.chunks(2) {
        assert!((0.0..=width).contains(&point[0]) && (0.0..=height).contains(&point[1]), "{point:?}");
    }
    let area = |points: &[f32]| {
        let pairs = points.chunks(2).zip(points.chunks(2).skip(1));
        pairs.map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum::<f32>().abs() / 2.0
    };
    assert!(area(&focus) < 0.5 * width * height, "a part of the image, not all of it");
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
