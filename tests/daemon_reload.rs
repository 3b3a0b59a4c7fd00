//! SIGHUP: another configuration, destinations and model package, without a restart.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;

use support::{AUSCULT, Service, checkout, files_below, run, stderr, stdout, wait_for};

fn send(service: &Service, study: &str) {
    let (port, study) = (service.port.to_string(), checkout("testdata").join(study).display().to_string());
    let output = run(AUSCULT, &["send", "--port", &port, &study]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

fn rewrite(service: &Service, from: &str, to: &str) {
    let path = service.directory.path().join("auscult.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

fn reports(service: &Service, folder: &str) -> usize {
    files_below(&service.state().join(folder), "dcm").len()
}

#[test]
fn destinations_and_model_change_and_a_bad_configuration_changes_nothing() {
    let mut service =
        Service::start("[[destination]]\nkind = \"folder\"\nname = \"first\"\npath = \"first\"\n[model]\nqueue = 8");
    send(&service, "normal-dx");
    wait_for("the first report", || (reports(&service, "first") == 1).then_some(()));

    rewrite(&service, "\"first\"", "\"second\"");
    service.signal("HUP");
    wait_for("the reload", || service.log().contains("reloaded").then_some(()));
    send(&service, "pneumonia-cr");
    wait_for("the report at the new destination", || (reports(&service, "second") == 1).then_some(()));
    assert_eq!(reports(&service, "first"), 1);

    rewrite(&service, "queue = 8", "queue = 8\npackage = \"/nowhere\"");
    service.signal("HUP");
    wait_for("the refusal", || service.log().contains("reload refused").then_some(()));
    assert!(service.log().contains("model.package"), "{}", service.log());
    rewrite(&service, "queue = 8\npackage = \"/nowhere\"", "queue = \"many\"");
    service.signal("HUP");
    wait_for("the second refusal", || (service.log().matches("reload refused").count() == 2).then_some(()));
    send(&service, "lateral-only");
    wait_for("a report as before", || (reports(&service, "second") == 2).then_some(()));
    assert!(service.stop().success());
}

#[test]
fn an_association_lives_through_a_reload() {
    let service = Service::start("");
    let wait = std::time::Duration::from_secs(10);
    let mut association = std::net::TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    association.set_read_timeout(Some(wait)).unwrap();
    exchange(&mut association, &associate_rq());
    service.signal("HUP");
    wait_for("the reload", || service.log().contains("reloaded").then_some(()));
    let answer = exchange(&mut association, &echo_rq());
    assert_eq!(answer[0], 4, "no P-DATA-TF after the reload");
    // Status (0000,0900) of the C-ECHO-RSP
    let status = answer.windows(8).position(|w| w == [0, 0, 0, 9, 2, 0, 0, 0]).unwrap() + 8;
    assert_eq!(answer[status..status + 2], [0, 0]);
}

/// Sends a PDU and reads one.
fn exchange(stream: &mut std::net::TcpStream, pdu: &[u8]) -> Vec<u8> {
    use std::io::{Read, Write};
    stream.write_all(pdu).unwrap();
    let mut answer = vec![0; 6];
    stream.read_exact(&mut answer).unwrap();
    let length = u32::from_be_bytes(answer[2..6].try_into().unwrap()) as usize;
    answer.resize(6 + length, 0);
    stream.read_exact(&mut answer[6..]).unwrap();
    answer
}

fn item(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 0], &length[..], body].concat()
}

fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 0], &length[..], body].concat()
}

fn associate_rq() -> Vec<u8> {
    let syntaxes = [item(0x30, b"1.2.840.10008.1.1"), item(0x40, b"1.2.840.10008.1.2")].concat();
    let context = [&[1, 0, 0, 0], &syntaxes[..]].concat();
    let user = [item(0x51, &16384_u32.to_be_bytes()), item(0x52, b"1.2.3")].concat();
    let head = [&[0, 1, 0, 0], &b"AUSCULT         "[..], b"TESTER          ", &[0; 32]].concat();
    pdu(1, &[head, item(0x10, b"1.2.840.10008.3.1.1.1"), item(0x20, &context), item(0x50, &user)].concat())
}

fn echo_rq() -> Vec<u8> {
    let element = |number: u16, value: &[u8]| {
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        [&[0, 0], &number.to_le_bytes()[..], &length, value].concat()
    };
    let elements = [
        element(2, b"1.2.840.10008.1.1\0"),
        element(0x100, &[0x30, 0]),
        element(0x110, &[1, 0]),
        element(0x800, &[1, 1]),
    ]
    .concat();
    let command = [element(0, &u32::try_from(elements.len()).unwrap().to_le_bytes()), elements].concat();
    let length = u32::try_from(command.len() + 2).unwrap().to_be_bytes();
    pdu(4, &[&length[..], &[1, 3], &command].concat())
}
