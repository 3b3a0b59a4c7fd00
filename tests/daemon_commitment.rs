//! A destination that has to commit to keep reports: delivered only once it has, told why not where it does not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use serde_json::Value;
use support::{AUSCULT, Peer, Service, checkout, free_port, installed, run, stderr, stdout, wait_for, wait_for_port};

/// A service whose only destination has to commit.
fn service(port: u16, ae_title: &str) -> Service {
    Service::start(&format!(
        "[delivery]\nretry_first_seconds = 1\nretry_max_seconds = 2\n\
         [[destination]]\nkind = \"dicom\"\nname = \"archive\"\nhost = \"127.0.0.1\"\nport = {port}\n\
         ae_title = \"{ae_title}\"\nstorage_commitment = \"required\""
    ))
}

fn send(service: &Service) {
    let study = checkout("testdata/normal-dx");
    let output = run(AUSCULT, &["send", "--port", &service.port.to_string(), study.to_str().unwrap()]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

/// The only delivery of the only report, once it was tried.
fn delivery(service: &Service) -> Option<Value> {
    let config = service.directory.path().join("auscult.toml");
    let queue = |arguments: &[&str]| -> Value {
        let output = run(AUSCULT, &[&["queue", "--json", "--config", config.to_str().unwrap()], arguments].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let list = queue(&["list", "--all"]);
    let study = list[0]["study"].as_str()?.to_owned();
    let delivery = queue(&["show", &study])[0]["reports"][0]["deliveries"][0].clone();
    (delivery["attempts"].as_u64()? > 0).then_some(delivery)
}

#[test]
fn a_report_is_delivered_once_its_destination_has_committed_to_keep_it() {
    let archive = Service::start("");
    let service = service(archive.port, "AUSCULT");
    send(&service);
    let delivered = wait_for("the commitment", || delivery(&service).filter(|found| found["state"] == "delivered"));
    assert_eq!(delivered["said"], "committed to keep it", "{delivered}");
    assert!(service.log().contains("the destination is asked to commit to keep it"), "{}", service.log());
}

#[test]
fn a_destination_that_knows_no_storage_commitment_is_told_of() {
    if !installed("storescp") {
        return;
    }
    let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
    let folder = directory.path().to_str().unwrap();
    let _archive = Peer::start("storescp", &["-aet", "ARCHIVE", "-od", folder, &port.to_string()]);
    wait_for_port(port);
    let service = service(port, "ARCHIVE");
    send(&service);
    let waiting = wait_for("the refusal", || {
        delivery(&service).filter(|found| found["said"].as_str().is_some_and(|said| said.contains("does not accept")))
    });
    assert_eq!(waiting["state"], "queued", "{waiting}");
    assert!(waiting["said"].as_str().unwrap().contains("Storage Commitment; enable it there"), "{waiting}");
}
