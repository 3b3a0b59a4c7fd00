//! The SCU against DCMTK's `storescp`, against Auscult's own SCP, and against peers that are not there.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use auscult::dimse::Status;
use auscult::scu::{self, Object, Peer, ScuError};

mod scp_station;
use scp_station::{CR, EXPLICIT, IMPLICIT, Part10, Station, dcmtk};

fn peer(port: u16, called: &str) -> Peer {
    Peer {
        host: "127.0.0.1".into(),
        port,
        called: called.parse().unwrap(),
        calling: "AUSCULT".parse().unwrap(),
        connect: Duration::from_secs(5),
        response: Duration::from_secs(5),
        max_pdu: 131_072,
    }
}

struct Storescp {
    process: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Storescp {
    async fn start(options: &[&str]) -> Option<Self> {
        dcmtk("storescp")?;
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("storescp")
            .args(options)
            .arg("-od")
            .arg(directory.path())
            .arg(port.to_string())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self { process, port, directory };
        for _ in 0..100 {
            if scu::echo(&peer(port, "STORESCP")).await.is_ok() {
                return Some(started);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("storescp does not answer");
    }

    fn received(&self) -> usize {
        std::fs::read_dir(self.directory.path()).unwrap().count()
    }
}

impl Drop for Storescp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn radiographs(directory: &Path, count: u16, syntax: &'static str) -> Vec<PathBuf> {
    let write = |number: u16| {
        let path = directory.join(format!("{number}.dcm"));
        Part10::radiograph(&format!("1.2.3.4.{number}")).rows(200 * number).syntax(syntax).write(&path);
        path
    };
    (1..=count).map(write).collect()
}

async fn send(peer: &Peer, files: &[PathBuf]) -> Vec<Result<Status, ScuError>> {
    let mut outcomes = Vec::new();
    scu::send_files(peer, files, |_, outcome| outcomes.push(outcome)).await.unwrap();
    outcomes
}

#[tokio::test]
async fn storescp_takes_files_in_pdus_of_its_size() {
    let Some(storescp) = Storescp::start(&["--max-pdu", "4096"]).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut files = radiographs(dir.path(), 8, EXPLICIT);
    std::fs::write(dir.path().join("notes.txt"), "not DICOM").unwrap();
    files.push(dir.path().join("notes.txt"));
    let outcomes = send(&peer(storescp.port, "STORESCP"), &files).await;
    let stored = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Status::SUCCESS))).count();
    assert_eq!((stored, storescp.received()), (8, 8), "{outcomes:?}");
    assert!(
        outcomes.iter().flat_map(|o| o.as_ref().err()).all(|e| e.to_string().contains("not a readable DICOM file"))
    );
}

#[tokio::test]
async fn a_report_is_written_again_for_a_peer_that_knows_only_implicit_vr() {
    let Some(storescp) = Storescp::start(&["+xi"]).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let files = radiographs(dir.path(), 1, EXPLICIT);
    assert!(matches!(send(&peer(storescp.port, "STORESCP"), &files).await[..], [Ok(Status::SUCCESS)]));
    assert_eq!(storescp.received(), 1);
}

#[tokio::test]
async fn an_abort_in_the_middle_is_told() {
    let Some(storescp) = Storescp::start(&["--abort-during"]).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let outcomes = send(&peer(storescp.port, "STORESCP"), &radiographs(dir.path(), 2, IMPLICIT)).await;
    assert_eq!(outcomes.len(), 2);
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert!(matches!(error, ScuError::Aborted(_) | ScuError::Closed { .. } | ScuError::Lost { .. }), "{error}");
    }
}

#[tokio::test]
async fn our_own_scp_takes_what_our_scu_sends() {
    let mut station = Station::start().await;
    let peer = peer(station.port(), "AUSCULT");
    assert_eq!(scu::echo(&peer).await.unwrap(), Status::SUCCESS);
    let dir = tempfile::tempdir().unwrap();
    let outcomes = send(&peer, &radiographs(dir.path(), 20, EXPLICIT)).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Status::SUCCESS))), "{outcomes:?}");
    assert_eq!(station.arrived().len(), 20);

    let object = Part10::radiograph("1.2.3.4.99").syntax(IMPLICIT);
    let [class, syntax] = [CR, IMPLICIT].map(String::from);
    let object = Object::in_memory(
        class.parse().unwrap(),
        "1.2.3.4.99".parse().unwrap(),
        syntax.parse().unwrap(),
        object.data_set(),
    );
    let mut proposals = Vec::new();
    scu::Proposal::extend(&mut proposals, &object);
    let mut association = scu::Association::open(&peer, &proposals).await.unwrap();
    assert_eq!(association.store(&object).await.unwrap(), Status::SUCCESS);
    association.release().await.unwrap();
}

#[tokio::test]
async fn each_failure_names_its_remedy() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = scu::echo(&peer(nobody, "X")).await.unwrap_err();
    assert!(matches!(refused, ScuError::ConnectionRefused { .. }), "{refused}");

    let station = Station::start().await;
    let rejected = scu::echo(&peer(station.port(), "WRONG")).await.unwrap_err().to_string();
    assert!(rejected.contains("the peer is not called WRONG: correct its AE title here"), "{rejected}");

    let unknown = Peer { host: "no-such-host.invalid".into(), ..peer(1, "X") };
    let unresolved = scu::echo(&unknown).await.unwrap_err();
    assert!(matches!(unresolved, ScuError::Resolve { .. } | ScuError::TimedOut { .. }), "{unresolved}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_peer = Peer { response: Duration::from_millis(100), ..peer(silent.local_addr().unwrap().port(), "X") };
    let timed_out = scu::echo(&silent_peer).await.unwrap_err();
    assert!(matches!(timed_out, ScuError::TimedOut { .. }), "{timed_out}");
}
