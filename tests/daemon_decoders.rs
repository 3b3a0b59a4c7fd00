//! The daemon's decoders: one that is killed costs no report, and none outlives the daemon.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use support::workers::{limit, status, worker};
use support::{AUSCULT, Service, checkout, files_below, run, signal, stderr, stdout, wait_for};

const NORMAL: &str = "testdata/normal-cr-jpeg/cr-ap-jpeg.dcm";
const PNEUMONIA: &str = "testdata/pneumonia-dx-jpeg/dx-pa-jpeg.dcm";
/// `select.max_megapixels` unless a configuration says otherwise.
const MAX_PIXELS: u64 = 100_000_000;

fn send(service: &Service, file: &str) {
    let (port, file) = (service.port.to_string(), checkout(file).display().to_string());
    let output = run(AUSCULT, &["send", "--port", &port, &file]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

fn wait_for_reports(service: &Service, count: usize) {
    let folder = service.state().join("reports");
    wait_for("the reports", || (files_below(&folder, "dcm").len() == count).then_some(()));
}

#[test]
fn a_decoder_killed_at_its_image_costs_no_report_and_one_line() {
    let mut service = Service::start("");
    let process = worker(service.process(), MAX_PIXELS).unwrap();
    signal(process, "STOP");
    send(&service, PNEUMONIA);
    wait_for("the image", || (limit(process, "Max cpu time").unwrap() != "unlimited").then_some(()));
    signal(process, "KILL");
    wait_for_reports(&service, 1);
    send(&service, NORMAL);
    wait_for_reports(&service, 2);
    for report in files_below(&service.state().join("reports"), "dcm") {
        let shown = auscult::sr::Summary::read(&report).unwrap();
        assert!(shown.conclusion.contains("Score"), "{}", shown.conclusion);
    }
    let log = service.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
    assert!(told.len() == 1 && told[0].contains("a decoder ended and is replaced; the image is tried again"), "{log}");
    assert!(told[0].contains("signal: 9") && !told[0].contains(".dcm"), "{}", told[0]);
    assert!(service.stop().success());
}

#[test]
fn no_decoder_outlives_the_daemon() {
    let mut service = Service::start("");
    let process = worker(service.process(), MAX_PIXELS).unwrap();
    signal(process, "STOP");
    service.kill();
    wait_for("the decoder's end", || has_ended(process).then_some(()));
    service.launch();
    service.wait_until_listening();
    let process = worker(service.process(), MAX_PIXELS).unwrap();
    assert!(service.stop().success());
    wait_for("the decoder's end", || has_ended(process).then_some(()));
}

/// Whether a process is gone, or would be if somebody waited for it.
fn has_ended(process: u32) -> bool {
    status(process, "State").is_none_or(|state| state.starts_with('Z'))
}
