//! The SCP as DCMTK's `echoscu` and `storescu` see it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::process::Output;

mod scp_station;
use scp_station::{Part10, Station, dcmtk};

async fn run(program: &str, arguments: Vec<String>) -> Option<Output> {
    dcmtk(program)?;
    let program = program.to_owned();
    let run = tokio::task::spawn_blocking(move || std::process::Command::new(program).args(arguments).output());
    Some(run.await.unwrap().unwrap())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn echoscu_is_answered() {
    let station = Station::start().await;
    let port = station.port();
    let Some(output) = run("echoscu", words(&format!("-aec AUSCULT 127.0.0.1 {port}"))).await else { return };
    assert!(output.status.success(), "{output:?}");
    let Some(refused) = run("echoscu", words(&format!("-aec OTHER 127.0.0.1 {port}"))).await else { return };
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Called AE Title Not Recognized"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn storescu_stores_and_what_it_stored_is_announced() {
    let mut station = Station::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for number in 1..=5 {
        let path = dir.path().join(format!("{number}.dcm"));
        Part10::radiograph(&format!("1.2.3.4.{number}")).rows(64 * number).write(&path);
        files.push(path.to_string_lossy().into_owned());
    }
    let mut stored = 0;
    for syntax in ["-xe", "-xi", "-xb", "-xd"] {
        let mut arguments = words(&format!("{syntax} -aec AUSCULT -aet STORESCU 127.0.0.1 {}", station.port()));
        arguments.extend(files.clone());
        let Some(output) = run("storescu", arguments.clone()).await else { return };
        assert!(output.status.success(), "{syntax}: {output:?}");
        let new = station.arrived().len();
        stored += new;
        match syntax {
            "-xe" | "-xi" => assert_eq!(new, 5, "{syntax}: another encoding is another content"),
            // storescu may settle for an encoding that it has sent already.
            _ => assert!([0, 5].contains(&new), "{syntax}: {new}"),
        }
        let Some(again) = run("storescu", arguments).await else { return };
        assert!(again.status.success() && station.arrived().is_empty(), "{syntax}: the same again is no news");
    }
    assert_eq!(station.images().len(), stored);
    assert!(station.parts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn storescu_hears_that_the_disk_is_full() {
    let station = Station::with(|_| {}, u64::MAX).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("1.dcm");
    Part10::radiograph("1.2.3.4.1").write(&path);
    let arguments = format!("-v -aec AUSCULT 127.0.0.1 {} {}", station.port(), path.display());
    let Some(output) = run("storescu", words(&arguments)).await else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("OutOfResources") || said.contains("Out of Resources"), "{said}");
}
