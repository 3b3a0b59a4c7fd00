//! Bad input: one clear line with the remedy, an exit code that says so, no panic and no backtrace.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use support::{AUSCULT, checkout, files_below, stderr};

/// Runs a command that must fail and returns its exit code and the one line it printed.
fn fault(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(AUSCULT)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap();
    let message = stderr(&output);
    assert!(!message.contains("panicked") && !message.contains("stack backtrace"), "{message}");
    (output.status.code().unwrap(), message)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_file_that_is_not_dicom() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    fs::write(&path, "not a DICOM file").unwrap();
    let (code, message) = fault(&["classify", text(&path)]);
    assert_eq!(code, 1);
    assert!(message.contains("notes.txt: not a readable DICOM file"), "{message}");
}

#[test]
fn a_truncated_file_in_header_and_in_pixels() {
    let image = &files_below(&checkout("testdata/normal-dx"), "dcm")[0];
    let bytes = fs::read(image).unwrap();
    for length in [150, 400, bytes.len() / 2] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cut.dcm");
        fs::write(&path, &bytes[..length]).unwrap();
        let (code, message) = fault(&["classify", text(&path)]);
        assert_eq!(code, 1, "{length}: {message}");
    }
}

#[test]
fn a_missing_file_and_a_missing_model() {
    let (code, message) = fault(&["classify", "/nowhere/image.dcm"]);
    assert!(code == 1 && message.contains("/nowhere/image.dcm: No such file"), "{message}");
    let image = &files_below(&checkout("testdata/normal-dx"), "dcm")[0];
    let (code, message) = fault(&["classify", "--model", "/nowhere", text(image)]);
    assert!(code == 78 && message.contains("model.package") && message.lines().count() == 1, "{message}");
}

#[test]
fn a_wrong_configuration_is_refused_by_every_command_that_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auscult.toml");
    for (content, expected) in [
        ("[scp]\nprot = 104\n", "prot"),
        ("[scp]\nport = \"104\"\n", "line 2"),
        ("[scp\n", "line 1"),
        ("[study]\nmax_wait_seconds = 1\n", "study.max_wait_seconds = 1"),
    ] {
        fs::write(&path, content).unwrap();
        for command in ["serve", "check"] {
            let (code, message) = fault(&[command, "--config", text(&path)]);
            assert_eq!(code, 78, "{message}");
            assert!(message.contains(expected) && message.lines().count() == 1, "{message}");
        }
    }
    let (code, message) = fault(&["check", "--config", "/nowhere.toml"]);
    assert!(code == 78 && message.contains("/nowhere.toml"), "{message}");
}

#[test]
fn a_port_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auscult.toml");
    let state = directory.path().join("state");
    let port = listener.local_addr().unwrap().port();
    fs::write(&path, format!("[state]\ndirectory = {state:?}\n[scp]\naddress = \"127.0.0.1\"\nport = {port}\n"))
        .unwrap();
    let (code, message) = fault(&["serve", "--config", text(&path)]);
    assert_eq!(code, 1);
    assert!(
        message.contains(&format!("cannot listen on 127.0.0.1:{port}")) && message.contains("scp.port"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn a_damaged_model_package() {
    let directory = tempfile::tempdir().unwrap();
    let reference = checkout("models/cxr-pneumonia-reference");
    let manifest = fs::read_to_string(reference.join("model.toml")).unwrap();
    for file in ["model.safetensors", "gate.safetensors"] {
        fs::copy(reference.join(file), directory.path().join(file)).unwrap();
    }
    let image = files_below(&checkout("testdata/normal-dx"), "dcm").remove(0);
    for (from, to, expected) in [
        ("0.274761]", "0.574761]", "self-test"),
        ("bf253d46", "00000000", "SHA-256"),
        ("\"bilinear\"", "\"magic\"", "magic"),
    ] {
        fs::write(directory.path().join("model.toml"), manifest.replace(from, to)).unwrap();
        let (code, message) = fault(&["classify", "--model", text(directory.path()), text(&image)]);
        assert!(code == 78 && message.contains(expected) && message.lines().count() == 1, "{message}");
    }
}
