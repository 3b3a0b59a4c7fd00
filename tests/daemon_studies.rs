//! Whose report it is, and which one stands: late images, two patients under one study, a corrected patient.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::path::{Path, PathBuf};

use dicom::core::{DataElement, VR};
use dicom::dictionary_std::tags;
use dicom::object::{FileDicomObject, InMemDicomObject, open_file};
use support::{AUSCULT, Service, checkout, files_below, run, stderr, stdout, wait_for};

type File = FileDicomObject<InMemDicomObject>;

const FRONTAL: &str = "testdata/pneumonia-pa-and-lateral/dx-pa.dcm";
const LATERAL: &str = "testdata/pneumonia-pa-and-lateral/dx-ll.dcm";

fn send(service: &Service, files: &[&Path]) {
    let port = service.port.to_string();
    let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    let output = run(AUSCULT, &[&["send", "--port", &port], &files[..]].concat());
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

/// The reports in the folder once there are `count`, in the order they were made.
fn reports(service: &Service, count: usize) -> Vec<File> {
    let folder = service.state().join("reports");
    let mut paths = wait_for("the reports", || Some(files_below(&folder, "dcm")).filter(|paths| paths.len() == count));
    paths.sort_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap());
    paths.iter().map(|path| open_file(path).unwrap()).collect()
}

fn text(object: &InMemDicomObject, tag: dicom::core::Tag) -> String {
    object.element(tag).unwrap().to_str().unwrap().trim_end_matches('\0').to_owned()
}

/// A bundled file with other values.
fn changed(directory: &Path, file: &str, changes: &[(dicom::core::Tag, VR, &str)]) -> PathBuf {
    let mut object = open_file(checkout(file)).unwrap();
    for (tag, vr, value) in changes {
        object.put(DataElement::new(*tag, *vr, *value));
    }
    let uid = text(&object, tags::SOP_INSTANCE_UID);
    object.meta_mut().media_storage_sop_instance_uid = uid;
    let path = directory.join(format!("{}.dcm", std::fs::read_dir(directory).unwrap().count()));
    object.write_to_file(&path).unwrap();
    path
}

/// The one item of a sequence.
fn item(object: &InMemDicomObject, tag: dicom::core::Tag) -> InMemDicomObject {
    let items = object.element(tag).unwrap().items().unwrap();
    assert_eq!(items.len(), 1);
    items[0].clone()
}

/// The instances that a report lists as its evidence.
fn evidence(report: &File) -> Vec<String> {
    let series = item(report, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE);
    let series = series.element(tags::REFERENCED_SERIES_SEQUENCE).unwrap().items().unwrap().to_vec();
    let of =
        |series: &InMemDicomObject| series.element(tags::REFERENCED_SOP_SEQUENCE).unwrap().items().unwrap().to_vec();
    let mut uids: Vec<String> =
        series.iter().flat_map(of).map(|sop| text(&sop, tags::REFERENCED_SOP_INSTANCE_UID)).collect();
    uids.sort();
    uids
}

/// Asserts that a report names another one of the same study as the one that it follows.
fn assert_follows(report: &File, earlier: &File) {
    let study = item(report, tags::PREDECESSOR_DOCUMENTS_SEQUENCE);
    assert_eq!(text(&study, tags::STUDY_INSTANCE_UID), text(earlier, tags::STUDY_INSTANCE_UID));
    let series = item(&study, tags::REFERENCED_SERIES_SEQUENCE);
    assert_eq!(text(&series, tags::SERIES_INSTANCE_UID), text(earlier, tags::SERIES_INSTANCE_UID));
    let document = item(&series, tags::REFERENCED_SOP_SEQUENCE);
    assert_eq!(text(&document, tags::REFERENCED_SOP_INSTANCE_UID), text(earlier, tags::SOP_INSTANCE_UID));
}

fn sop_instance(file: &str) -> String {
    text(&open_file(checkout(file)).unwrap(), tags::SOP_INSTANCE_UID)
}

#[test]
fn a_late_lateral_view_takes_nothing_back() {
    let service = Service::start("");
    send(&service, &[&checkout(FRONTAL)]);
    let first = reports(&service, 1).remove(0);
    assert_eq!(text(&first, tags::SERIES_DESCRIPTION), "AI: possible pneumonia");
    send(&service, &[&checkout(LATERAL)]);
    let second = reports(&service, 2).remove(1);
    assert_eq!(text(&second, tags::SERIES_DESCRIPTION), "AI: possible pneumonia");
    assert_follows(&second, &first);
    assert_eq!(evidence(&second).len(), 2);
}

#[test]
fn a_late_frontal_view_leads_to_a_report_of_both_that_names_the_first_also_after_a_restart() {
    let mut service = Service::start("");
    send(&service, &[&checkout(LATERAL)]);
    let first = reports(&service, 1).remove(0);
    assert_eq!(text(&first, tags::SERIES_DESCRIPTION), "AI: not analysed");
    assert!(first.get(tags::PREDECESSOR_DOCUMENTS_SEQUENCE).is_none());
    wait_for("the image to be deleted", || {
        files_below(&service.state().join("images"), "dcm").is_empty().then_some(())
    });
    service.restart_after_kill();
    send(&service, &[&checkout(FRONTAL)]);
    let second = reports(&service, 2).remove(1);
    assert_eq!(text(&second, tags::SERIES_DESCRIPTION), "AI: possible pneumonia");
    assert_follows(&second, &first);
    let mut both = [sop_instance(FRONTAL), sop_instance(LATERAL)];
    both.sort();
    assert_eq!(evidence(&second), both);
}

#[test]
fn the_same_image_again_makes_no_work() {
    let service = Service::start("");
    send(&service, &[&checkout(FRONTAL)]);
    reports(&service, 1);
    send(&service, &[&checkout(FRONTAL)]);
    send(&service, &[&checkout("testdata/normal-dx/dx-pa.dcm")]);
    reports(&service, 2);
    assert_eq!(service.log().matches("image analysed").count(), 2, "{}", service.log());
}

#[test]
fn two_patients_under_one_study_uid_get_a_report_each() {
    let (service, directory) = (Service::start(""), tempfile::tempdir().unwrap());
    let study = (tags::STUDY_INSTANCE_UID, VR::UI, "2.25.100");
    let of = |patient, sop, file| {
        let changes = [study, (tags::PATIENT_ID, VR::LO, patient), (tags::SOP_INSTANCE_UID, VR::UI, sop)];
        changed(directory.path(), file, &changes)
    };
    let (healthy, ill) =
        (of("PATIENT-A", "2.25.101", "testdata/normal-dx/dx-pa.dcm"), of("PATIENT-B", "2.25.102", FRONTAL));
    send(&service, &[&healthy, &ill]);
    let mut said: Vec<_> = reports(&service, 2)
        .iter()
        .map(|report| (text(report, tags::PATIENT_ID), text(report, tags::SERIES_DESCRIPTION)))
        .collect();
    said.sort();
    assert!(reports(&service, 2).iter().all(|report| report.get(tags::PREDECESSOR_DOCUMENTS_SEQUENCE).is_none()));
    let expected = [("PATIENT-A", "AI: nothing flagged"), ("PATIENT-B", "AI: possible pneumonia")];
    assert_eq!(said, expected.map(|(patient, result)| (patient.to_owned(), result.to_owned())));
    assert!(service.log().contains("two patients under one Study Instance UID"), "{}", service.log());
}

#[test]
fn a_corrected_patient_gets_a_report_of_its_own_uid() {
    let (service, directory) = (Service::start(""), tempfile::tempdir().unwrap());
    send(&service, &[&checkout(FRONTAL)]);
    let first = reports(&service, 1).remove(0);
    let corrected = changed(directory.path(), FRONTAL, &[(tags::PATIENT_ID, VR::LO, "CORRECTED")]);
    send(&service, &[&corrected]);
    let second = reports(&service, 2).remove(1);
    assert_eq!(text(&second, tags::PATIENT_ID), "CORRECTED");
    assert_ne!(text(&second, tags::SOP_INSTANCE_UID), text(&first, tags::SOP_INSTANCE_UID));
}
