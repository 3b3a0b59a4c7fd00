//! Storage Commitment with pynetdicom on the other side: in both roles, and in both directions of association.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use auscult::commitment::{Custody, FailureReason, Outcome, Reference, Request};
use auscult::dimse::Status;
use auscult::scp::{Commitment, Reported, Unreported};
use auscult::scu::{self, Association, Peer, Proposal, Role};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

mod scp_station;
use scp_station::{CR, Station};

const PATIENCE: Duration = Duration::from_secs(30);

/// A Python with pynetdicom: that of TEST_PYTHON, or python3.
fn python() -> Option<String> {
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let import = Command::new(&python).args(["-c", "import pynetdicom"]).stderr(Stdio::null()).status();
    if !import.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: {python} has no pynetdicom (pip install pynetdicom; TEST_PYTHON names a python)");
        return None;
    }
    Some(python)
}

/// The other side, at work.
struct Script {
    process: Child,
    said: BufReader<ChildStdout>,
}

impl Script {
    fn start(mode: &str, port: Option<u16>) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pynetdicom/commitment.py");
        let mut process = Command::new(python()?)
            .args([script, mode])
            .args(port.map(|port| port.to_string()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        Some(Self { process, said })
    }

    /// The next line that it prints.
    async fn line(self) -> (Self, Value) {
        spawn_blocking(move || {
            let mut script = self;
            let mut line = String::new();
            script.said.read_line(&mut line).unwrap();
            let value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it said {line:?}"));
            (script, value)
        })
        .await
        .unwrap()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Has all but one.
struct Archive;

impl Custody for Archive {
    fn outcome(&self, request: &Request) -> Outcome {
        Outcome::judged(request, |reference| match reference.sop_instance.as_str() {
            "1.2.3.3" => Err(FailureReason::NO_SUCH_INSTANCE),
            _ => Ok(()),
        })
    }
}

async fn station() -> (Station, mpsc::Receiver<Unreported>, mpsc::Receiver<Reported>) {
    let (hand_over, unreported) = mpsc::channel(8);
    let (take, outcomes) = mpsc::channel(8);
    let commitment = Commitment { custody: Arc::new(Archive), unreported: hand_over, outcomes: take };
    (Station::with_commitment(|_| {}, commitment).await, unreported, outcomes)
}

fn peer(port: &Value) -> Peer {
    let port = u16::try_from(port.as_u64().unwrap()).unwrap();
    Peer {
        response: PATIENCE,
        ..Peer::new("127.0.0.1", port, "PYNETDICOM".parse().unwrap(), "AUSCULT".parse().unwrap())
    }
}

fn request() -> Request {
    let reference = |uid: &str| Reference { sop_class: CR.parse().unwrap(), sop_instance: uid.parse().unwrap() };
    Request { transaction: "2.25.78".parse().unwrap(), references: ["1.2.3.5", "1.2.3.6"].map(reference).into() }
}

/// What pynetdicom makes of the archive's outcome.
fn expected() -> Value {
    json!({ "action": 0, "event": 2, "transaction": "2.25.77", "committed": ["1.2.3.2", "1.2.3.4"],
        "failed": [["1.2.3.3", 0x0112]] })
}

fn is_reported(outcome: &Outcome) {
    let request = request();
    let [first, second] = &request.references[..] else { panic!() };
    assert_eq!(outcome.transaction, request.transaction);
    assert_eq!(
        (&outcome.committed[..], &outcome.failed[..]),
        (&[second.clone()][..], &[(first.clone(), FailureReason::NO_SUCH_INSTANCE)][..])
    );
}

async fn asked(peer: &Peer) -> Association {
    let mut association = Association::open(peer, &Proposal::commitment(Role::User).unwrap()).await.unwrap();
    assert_eq!(association.request_commitment(&request()).await.unwrap(), Status::SUCCESS);
    association
}

#[tokio::test]
async fn it_asks_and_hears_the_outcome_on_the_same_association() {
    let (station, _unreported, _outcomes) = station().await;
    let Some(script) = Script::start("ask-and-wait", Some(station.port())) else { return };
    assert_eq!(script.line().await.1, expected());
}

#[tokio::test]
async fn it_asks_and_hears_the_outcome_on_an_association_of_ours() {
    let (station, mut unreported, _outcomes) = station().await;
    let Some(script) = Script::start("ask-and-leave", Some(station.port())) else { return };
    let (script, port) = script.line().await;
    let Unreported { calling, outcome } = timeout(PATIENCE, unreported.recv()).await.unwrap().unwrap();
    assert_eq!(calling.as_str(), "PYNETDICOM");
    assert_eq!(scu::report_outcome(&peer(&port), &outcome).await.unwrap(), Status::SUCCESS);
    assert_eq!(script.line().await.1, expected());
}

#[tokio::test]
async fn we_ask_and_hear_the_outcome_on_the_same_association() {
    let Some(script) = Script::start("answer", None) else { return };
    let (script, port) = script.line().await;
    let mut association = asked(&peer(&port)).await;
    is_reported(&association.outcome(PATIENCE).await.unwrap().unwrap());
    association.release().await.unwrap();
    assert_eq!(script.line().await.1, json!({ "report": 0, "references": 2 }));
}

#[tokio::test]
async fn we_ask_and_hear_the_outcome_on_an_association_of_its_own() {
    let (station, _unreported, mut outcomes) = station().await;
    let Some(script) = Script::start("answer-later", Some(station.port())) else { return };
    let (script, port) = script.line().await;
    asked(&peer(&port)).await.release().await.unwrap();
    let Reported { calling, outcome, accepted } = timeout(PATIENCE, outcomes.recv()).await.unwrap().unwrap();
    assert_eq!(calling.as_str(), "PYNETDICOM");
    is_reported(&outcome);
    accepted.send(()).unwrap();
    assert_eq!(script.line().await.1, json!({ "report": 0, "references": 2 }));
}
