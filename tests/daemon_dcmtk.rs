//! The service between DCMTK's storescu and storescp: what an administrator tries first.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::path::{Path, PathBuf};

use support::{
    AUSCULT, Peer, Service, checkout, files_below, free_port, installed, run, stderr, stdout, wait_for, wait_for_port,
};

/// DCMTK's storescp as a destination, writing to a directory.
struct Pacs {
    port: u16,
    directory: tempfile::TempDir,
    _process: Peer,
}

impl Pacs {
    fn start() -> Self {
        let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
        let arguments = [
            "--filename-extension",
            ".dcm",
            "-aet",
            "PACS",
            "-od",
            directory.path().to_str().unwrap(),
            &port.to_string(),
        ];
        let process = Peer::start("storescp", &arguments);
        wait_for_port(port);
        Self { port, directory, _process: process }
    }

    fn destination(&self) -> String {
        format!(
            "[[destination]]\nkind = \"dicom\"\nname = \"pacs\"\nhost = \"127.0.0.1\"\nport = {}\nae_title = \"PACS\"",
            self.port
        )
    }

    fn reports(&self) -> Vec<PathBuf> {
        files_below(self.directory.path(), "dcm")
    }
}

fn tools() -> bool {
    ["storescu", "storescp", "echoscu", "dsrdump", "dcmdump", "dciodvfy"].into_iter().all(installed)
}

fn storescu(port: u16, study: &Path) {
    let port = port.to_string();
    let study = study.display().to_string();
    let output = run("storescu", &["-v", "-R", "+sd", "-aec", "AUSCULT", "127.0.0.1", &port, &study]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

/// One attribute's values in a file, as dcmdump prints them.
fn attribute(file: &Path, tag: &str) -> Vec<String> {
    let output = run("dcmdump", &["-q", "+P", tag, &file.display().to_string()]);
    let value = |line: &str| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned());
    stdout(&output).lines().filter_map(value).collect()
}

#[test]
fn one_report_per_study_that_validates_and_names_the_same_patient() {
    if !tools() {
        return;
    }
    let pacs = Pacs::start();
    let mut service = Service::start(&pacs.destination());
    let study = checkout("testdata/pneumonia-pa-and-lateral");
    storescu(service.port, &study);
    let reports = wait_for("the report", || Some(pacs.reports()).filter(|reports| !reports.is_empty()));
    wait_for("an empty outbox", || files_below(&service.state().join("outbox"), "dcm").is_empty().then_some(()));
    assert!(service.stop().success(), "{}", service.log());
    assert_eq!(pacs.reports().len(), 1);

    let report = &reports[0];
    let validation = run("dciodvfy", &[&report.display().to_string()]);
    assert!(!stderr(&validation).contains("Error"), "{}", stderr(&validation));
    let text = run("dsrdump", &["+Pl", &report.display().to_string()]);
    assert!(text.status.success() && !stderr(&text).contains("E: "), "{}", stderr(&text));
    assert!(stdout(&text).contains("Possible pneumonia. Score "), "{}", stdout(&text));
    assert!(stdout(&text).contains("1 of 2 images were not analysed: lateral view is not supported"));
    let image = &files_below(&study, "dcm")[0];
    for tag in ["PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"] {
        let (found, expected) = (attribute(report, tag), attribute(image, tag));
        assert!(!expected.is_empty() && found.first() == expected.first(), "{tag}: {found:?}, image {expected:?}");
    }
    assert!(files_below(&service.state().join("studies"), "dcm").is_empty(), "images are still in the spool");
}

#[test]
fn what_is_declined_says_why_in_log_and_report() {
    if !tools() {
        return;
    }
    let pacs = Pacs::start();
    let service = Service::start(&pacs.destination());
    let cases = [
        ("lateral-only", "lateral view is not supported", "LL"),
        ("hand", "not a chest image", "HAND"),
        ("ct-slice", "not a projection radiograph", "CT"),
    ];
    for (study, ..) in cases {
        storescu(service.port, &checkout("testdata").join(study));
    }
    wait_for("three reports", || (pacs.reports().len() == 3).then_some(()));
    let dumps: Vec<String> =
        pacs.reports().iter().map(|report| stdout(&run("dsrdump", &["+Pl", &report.display().to_string()]))).collect();
    for (study, reason, value) in cases {
        let conclusion = format!("NOT ANALYSED. No AI result is available for this examination. Reason: {reason}");
        assert!(dumps.iter().any(|dump| dump.contains(&conclusion)), "{study}: {dumps:?}");
        let explained =
            |line: &str| line.contains("image not analysed") && line.contains(reason) && line.contains(value);
        assert!(service.log().lines().any(explained), "{study}");
    }
}

#[test]
fn without_a_report_for_what_is_declined_the_log_still_says_why() {
    if !tools() {
        return;
    }
    let pacs = Pacs::start();
    let service = Service::start(&format!("[report]\nnot_analysed = \"log-only\"\n{}", pacs.destination()));
    storescu(service.port, &checkout("testdata/lateral-only"));
    storescu(service.port, &checkout("testdata/normal-dx"));
    wait_for("the report of the other study", || (pacs.reports().len() == 1).then_some(()));
    wait_for("an empty spool", || files_below(&service.state().join("studies"), "dcm").is_empty().then_some(()));
    assert!(service.log().contains("lateral view is not supported"));
    assert_eq!(pacs.reports().len(), 1);
}

#[test]
fn a_killed_service_reports_what_it_acknowledged() {
    if !tools() {
        return;
    }
    let pacs = Pacs::start();
    let mut service = Service::start(&format!("{}\n[delivery]\nretry_first_seconds = 1", pacs.destination()));
    storescu(service.port, &checkout("testdata/normal-dx"));
    service.restart_after_kill();
    wait_for("the report", || (pacs.reports().len() == 1).then_some(()));
    let study = attribute(&pacs.reports()[0], "StudyInstanceUID");
    let image = &files_below(&checkout("testdata/normal-dx"), "dcm")[0];
    assert_eq!(study[0], attribute(image, "StudyInstanceUID")[0]);
}

#[test]
fn a_destination_that_is_down_gets_its_report_later() {
    if !tools() {
        return;
    }
    let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
    let destination = format!(
        "[delivery]\nretry_first_seconds = 1\nretry_max_seconds = 1\n[[destination]]\nkind = \"dicom\"\n\
         name = \"pacs\"\nhost = \"127.0.0.1\"\nport = {port}\nae_title = \"PACS\"\n\
         [[destination]]\nkind = \"folder\"\nname = \"folder\"\npath = \"reports\""
    );
    let service = Service::start(&destination);
    storescu(service.port, &checkout("testdata/normal-dx"));
    wait_for("the other destination's report", || {
        (files_below(&service.state().join("reports"), "dcm").len() == 1).then_some(())
    });
    wait_for("a failed try", || service.log().contains("not delivered").then_some(()));
    let directory = directory.path().to_str().unwrap();
    let _pacs = Peer::start("storescp", &["-aet", "PACS", "-od", directory, &port.to_string()]);
    wait_for("the report", || (std::fs::read_dir(directory).unwrap().count() == 1).then_some(()));
}

#[test]
fn administrators_tools_say_each_status_in_words() {
    if !tools() {
        return;
    }
    let pacs = Pacs::start();
    let port = pacs.port.to_string();
    let node = ["--host", "127.0.0.1", "--port", &port, "--called", "PACS"];
    let echo = run(AUSCULT, &[&["echo"], &node[..]].concat());
    assert!(echo.status.success() && stdout(&echo).contains("0x0000"), "{}{}", stdout(&echo), stderr(&echo));
    let study = checkout("testdata/pneumonia-pa-and-lateral").display().to_string();
    let send = run(AUSCULT, &[&["send"], &node[..], &[study.as_str()]].concat());
    assert!(send.status.success(), "{}{}", stdout(&send), stderr(&send));
    assert_eq!(stdout(&send).matches("0x0000 (success)").count(), 2, "{}", stdout(&send));
    assert_eq!(pacs.reports().len(), 2);

    let nobody = free_port().to_string();
    let refused = run(AUSCULT, &["echo", "--host", "127.0.0.1", "--port", &nobody]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("refuses the connection") && stderr(&refused).lines().count() == 1,
        "{}",
        stderr(&refused)
    );
}
