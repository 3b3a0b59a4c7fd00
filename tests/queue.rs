//! `auscult queue` and `auscult health` beside a running service and without it: what waits, what failed, and a word to it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use serde_json::Value;
use support::{AUSCULT, Service, checkout, files_below, free_port, run, stderr, stdout, wait_for};

const STUDY: &str = "pneumonia-pa-and-lateral";

/// A service whose only destination listens on `port`, and which waits for an hour before it tries again.
fn service(port: u16) -> Service {
    Service::start(&format!(
        "[delivery]\nretry_first_seconds = 3600\nretry_max_seconds = 3600\n\
         [[destination]]\nkind = \"dicom\"\nname = \"pacs\"\nhost = \"127.0.0.1\"\nport = {port}\nae_title = \"AUSCULT\""
    ))
}

fn send(service: &Service, study: &str) -> String {
    let folder = checkout("testdata").join(study);
    let output = run(AUSCULT, &["send", "--port", &service.port.to_string(), folder.to_str().unwrap()]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    let file = files_below(&folder, "dcm").remove(0);
    let object = dicom::object::open_file(file).unwrap();
    let uid = object.element(dicom::dictionary_std::tags::STUDY_INSTANCE_UID).unwrap().to_str().unwrap();
    uid.trim_end_matches('\0').to_owned()
}

fn queue(service: &Service, arguments: &[&str]) -> std::process::Output {
    let config = service.directory.path().join("auscult.toml");
    run(AUSCULT, &[&["queue", "--config", config.to_str().unwrap()], arguments].concat())
}

fn json(service: &Service, arguments: &[&str]) -> Value {
    let output = queue(service, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `auscult health` says; its exit status is 1 when that is red.
fn health(service: &Service) -> Value {
    let config = service.directory.path().join("auscult.toml");
    let output = run(AUSCULT, &["health", "--json", "--config", config.to_str().unwrap()]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(if said["health"] == "red" { 1 } else { 0 }), "{said}");
    said
}

/// The only delivery of the only report of a study, once it is in a state.
fn delivery(service: &Service, study: &str, state: &str) -> Value {
    wait_for(&format!("a delivery that is {state}"), || {
        let detail = json(service, &["show", study]);
        let delivery = detail[0]["reports"][0]["deliveries"][0].clone();
        (delivery["state"] == state && (state != "queued" || delivery["attempts"] != 0)).then_some(delivery)
    })
}

#[test]
fn what_waits_is_shown_and_tried_again_at_a_word() {
    let port = free_port();
    let mut service = service(port);
    assert!(stdout(&queue(&service, &["list"])).contains("nothing waits"));
    let study = send(&service, STUDY);
    let waiting = delivery(&service, &study, "queued");
    assert!(waiting["said"].as_str().unwrap().contains("refuses the connection"), "{waiting}");
    let list = json(&service, &["list"]);
    assert_eq!(
        (&list[0]["state"], &list[0]["images"], &list[0]["to_deliver"]),
        (&"reported".into(), &2.into(), &1.into())
    );
    let shown = stdout(&queue(&service, &["show", &study]));
    assert!(shown.contains("score 91.2 %") && shown.contains("not analysed: lateral view"), "{shown}");
    assert!(shown.contains("AI: possible pneumonia") && shown.contains("to pacs: queued"), "{shown}");

    assert_eq!(health(&service)["concerns"][0]["what"], "1 report waits for pacs, since 0 min; see `auscult check`");

    assert!(service.stop().success());
    assert_eq!(json(&service, &["list"])[0]["to_deliver"], 1, "and while the service is stopped");
    let stopped = health(&service);
    assert_eq!(stopped["health"], "red", "{stopped}");
    assert!(stopped["concerns"][0]["what"].as_str().unwrap().contains("does not answer"), "{stopped}");
    service.restart_after_kill();

    let pacs = Service::start_on(port);
    let output = queue(&service, &["retry", &study]);
    assert!(
        stdout(&output).contains("to be tried again: images 0, deliveries 1"),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    delivery(&service, &study, "delivered");
    assert_eq!(json(&service, &["list"]), Value::Array(Vec::new()));
    assert_eq!(json(&service, &["list", "--all"])[0]["state"], "done");
    assert_eq!(health(&service), serde_json::json!({ "health": "green", "concerns": [] }));
    drop(pacs);
}

#[test]
fn what_is_discarded_is_not_sent_and_its_images_go() {
    let service = service(free_port());
    let study = send(&service, STUDY);
    delivery(&service, &study, "queued");
    let output = queue(&service, &["discard", &study, "--reason", "sent by mistake"]);
    assert!(stdout(&output).contains("discarded: images 0, deliveries 1"), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(json(&service, &["list"]), Value::Array(Vec::new()));
    let detail = json(&service, &["show", &study]);
    assert_eq!((&detail[0]["state"], &detail[0]["reason"]), (&"discarded".into(), &"sent by mistake".into()));
    wait_for("the images to go", || files_below(&service.state().join("images"), "dcm").is_empty().then_some(()));
    let again = queue(&service, &["discard", &study, "--reason", "again"]);
    assert!(!again.status.success() && stderr(&again).contains("nothing of study"), "{}", stderr(&again));
}

#[test]
fn a_report_that_fails_its_self_check_is_not_sent_and_turns_health_red() {
    let folder = "[[destination]]\nkind = \"folder\"\nname = \"folder\"\npath = \"reports\"";
    let mut service = Service::start(folder);
    service.kill();
    service.reconfigure("quiet_seconds = 1", "quiet_seconds = 600");
    service.launch();
    service.wait_until_listening();
    send(&service, STUDY);
    service.kill();
    // What the ledger says of the study is no longer what its images say.
    let ledger = rusqlite::Connection::open(service.state().join("ledger.db")).unwrap();
    assert_eq!(ledger.execute("UPDATE study SET uid = '1.2.3.4'", []).unwrap(), 1);
    drop(ledger);
    service.reconfigure("quiet_seconds = 600", "quiet_seconds = 1");
    service.launch();

    let study = wait_for("the study to fail", || {
        json(&service, &["list"]).as_array().unwrap().iter().find(|study| study["state"] == "failed").cloned()
    });
    let reason = study["reason"].as_str().unwrap();
    assert!(reason.contains("(0020,000D) is not the image's"), "{study}");
    let health = health(&service);
    assert_eq!(health["health"], "red", "{health}");
    assert!(health["concerns"][0]["what"].as_str().unwrap().contains("1 study could not be reported"), "{health}");
    assert!(service.log().contains("study failed"), "{}", service.log());
    let kept = files_below(&service.state().join("images"), "dcm").len();
    let sent = files_below(&service.state().join("reports"), "dcm").len();
    assert_eq!((kept, sent), (2, 0), "the images are kept, and nothing is sent");
}

#[test]
fn a_wrong_study_and_a_missing_ledger_are_told_in_one_line() {
    let service = service(free_port());
    let unknown = stderr(&queue(&service, &["show", "1.2.3"]));
    assert!(unknown.contains("knows no study 1.2.3") && unknown.lines().count() == 1, "{unknown}");
    let no_uid = stderr(&queue(&service, &["show", "abc"]));
    assert!(no_uid.contains("not a DICOM UID"), "{no_uid}");
    let empty = tempfile::tempdir().unwrap();
    let config = empty.path().join("auscult.toml");
    std::fs::write(&config, format!("[state]\ndirectory = {:?}\n", empty.path())).unwrap();
    let output = run(AUSCULT, &["queue", "list", "--config", config.to_str().unwrap()]);
    let missing = stderr(&output);
    assert!(missing.contains("there is no ledger") && missing.lines().count() == 1, "{missing}");
}
