//! The SCU of Storage Commitment against Auscult's own SCP, and against peers that do what they like.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::sync::Arc;
use std::time::Duration;

use auscult::commitment::{Custody, FailureReason, Outcome, Reference, Request};
use auscult::dimse::command::Request as Command;
use auscult::dimse::pdu::{self, Ending};
use auscult::dimse::{APPLICATION_CONTEXT, CommandSet, Message, Part, Pdu, Response, Status, Wire};
use auscult::scp::{Commitment, Reported, Unreported};
use auscult::scu::{self, Association, Peer, Proposal, Role, ScuError};
use dicom_ul::pdu::{AssociationAC, PresentationContextResult, PresentationContextResultReason};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

mod scp_station;
use scp_station::{CR, EXPLICIT, Station};

const PATIENCE: Duration = Duration::from_secs(20);
const LARGEST: u32 = 16_384;

struct Archive;

impl Custody for Archive {
    fn outcome(&self, request: &Request) -> Outcome {
        judged(request)
    }
}

fn judged(request: &Request) -> Outcome {
    Outcome::judged(request, |reference| match reference.sop_instance.as_str() {
        "1.2.3.1" => Err(FailureReason::NO_SUCH_INSTANCE),
        _ => Ok(()),
    })
}

async fn station() -> (Station, mpsc::Receiver<Unreported>, mpsc::Receiver<Reported>) {
    let (hand_over, unreported) = mpsc::channel(8);
    let (take, outcomes) = mpsc::channel(8);
    let commitment = Commitment { custody: Arc::new(Archive), unreported: hand_over, outcomes: take };
    (Station::with_commitment(|_| {}, commitment).await, unreported, outcomes)
}

fn peer(port: u16) -> Peer {
    let [called, calling] = ["AUSCULT", "PACS"].map(|title| title.parse().unwrap());
    Peer { response: PATIENCE, ..Peer::new("127.0.0.1", port, called, calling) }
}

fn request(count: u32) -> Request {
    let reference =
        |number| Reference { sop_class: CR.parse().unwrap(), sop_instance: format!("1.2.3.{number}").parse().unwrap() };
    Request { transaction: "2.25.5".parse().unwrap(), references: (0..count).map(reference).collect() }
}

async fn open(port: u16) -> Association {
    let mut proposals = Proposal::commitment(Role::User).unwrap();
    let syntax = proposals[0].transfer_syntax.clone();
    let abstract_syntax = "1.2.840.10008.1.1".parse().unwrap();
    proposals.push(Proposal { abstract_syntax, transfer_syntax: syntax, role: Role::User });
    Association::open(&peer(port), &proposals).await.unwrap()
}

#[tokio::test]
async fn we_ask_ourselves_and_hear_the_outcome() {
    let (station, _unreported, _outcomes) = station().await;
    let mut association = open(station.port()).await;
    assert_eq!(association.outcome(Duration::ZERO).await.unwrap(), None);
    for count in [3, 9000] {
        assert_eq!(association.request_commitment(&request(count)).await.unwrap(), Status::SUCCESS);
        // The outcome comes before or after the answer to this.
        assert_eq!(association.echo().await.unwrap(), Status::SUCCESS);
        assert_eq!(association.outcome(PATIENCE).await.unwrap(), Some(judged(&request(count))));
    }
    assert_eq!(association.request_commitment(&request(0)).await.unwrap(), Status::INVALID_ARGUMENT);
    assert_eq!(association.echo().await.unwrap(), Status::SUCCESS);
    association.release().await.unwrap();
}

#[tokio::test]
async fn we_report_to_ourselves() {
    let (station, _unreported, mut outcomes) = station().await;
    let peer = peer(station.port());
    let told = judged(&request(3));
    let reporting = tokio::spawn({
        let (peer, told) = (peer.clone(), told.clone());
        async move { scu::report_outcome(&peer, &told).await }
    });
    let Reported { calling, outcome, accepted } = timeout(PATIENCE, outcomes.recv()).await.unwrap().unwrap();
    assert_eq!((calling.as_str(), &outcome), ("PACS", &told));
    accepted.send(()).unwrap();
    assert_eq!(reporting.await.unwrap().unwrap(), Status::SUCCESS);
    drop(outcomes);
    assert_eq!(scu::report_outcome(&peer, &told).await.unwrap(), Status::PROCESSING_FAILURE);
}

#[tokio::test]
async fn a_peer_without_commitment_is_named() {
    let station = Station::start().await;
    let mut association = open(station.port()).await;
    let error = association.request_commitment(&request(1)).await.unwrap_err().to_string();
    assert!(error.contains("does not accept Storage Commitment; enable it there"), "{error}");
    assert_eq!(association.echo().await.unwrap(), Status::SUCCESS);
}

/// A peer that accepts every context, and no role; what it does then is the test's.
async fn accepting() -> (u16, JoinHandle<Wire<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut wire = Wire::over_tcp(stream, 1 << 20, PATIENCE);
        let Ok(Pdu::AssociateRq(request)) = wire.read().await else { panic!("no A-ASSOCIATE-RQ") };
        let accepted = |proposed: dicom_ul::pdu::PresentationContextProposed| PresentationContextResult {
            id: proposed.id,
            reason: PresentationContextResultReason::Acceptance,
            transfer_syntax: proposed.transfer_syntaxes[0].clone(),
        };
        let accept = AssociationAC {
            protocol_version: 1,
            calling_ae_title: request.calling_ae_title,
            called_ae_title: request.called_ae_title,
            application_context_name: APPLICATION_CONTEXT.into(),
            presentation_contexts: request.presentation_contexts.into_iter().map(accepted).collect(),
            user_variables: vec![],
        };
        wire.send(&Pdu::AssociateAc(accept)).await.unwrap();
        wire
    });
    (port, accepting)
}

#[tokio::test]
async fn a_peer_that_does_not_take_our_role_is_sent_no_report() {
    let (port, accepting) = accepting().await;
    let error = scu::report_outcome(&peer(port), &judged(&request(1))).await.unwrap_err().to_string();
    assert!(error.contains("does not take reports of Storage Commitment"), "{error}");
    assert!(matches!(accepting.await.unwrap().read().await, Ok(Pdu::Abort(_))));
}

fn put(bytes: &mut Vec<u8>, command: &CommandSet, data_set: &[u8]) {
    pdu::put_data(bytes, 1, Part::Command, &command.encode(), Ending::Last, LARGEST);
    if !data_set.is_empty() {
        pdu::put_data(bytes, 1, Part::DataSet, data_set, Ending::Last, LARGEST);
    }
}

async fn response(wire: &mut Wire<TcpStream>) -> Response {
    let Ok(Pdu::Data(mut values)) = wire.read().await else { panic!("no P-DATA") };
    let value = values.next().unwrap().unwrap();
    match Message::decode(&CommandSet::decode(&value.fragment).unwrap()).unwrap() {
        Message::Response(response) => response,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn outcomes_that_come_before_an_answer_are_kept_and_bad_ones_refused() {
    let (port, accepting) = accepting().await;
    let mut association = open(port).await;
    let mut wire = accepting.await.unwrap();
    let told = judged(&request(3));
    let data_set = told.encode(&EXPLICIT.parse().unwrap()).unwrap();
    let mut bytes = Vec::new();
    for (event, data_set) in [(2, &data_set[..]), (3, &data_set), (2, b"no data set"), (1, &data_set)] {
        put(&mut bytes, &Command::commitment_event(event, event), data_set);
    }
    put(&mut bytes, &Response::to_echo(1).command_set(), b"");
    wire.write(&bytes).await.unwrap();
    assert_eq!(association.echo().await.unwrap(), Status::SUCCESS);
    let Ok(Pdu::Data(_)) = wire.read().await else { panic!("no C-ECHO-RQ") };
    assert_eq!(association.outcome(PATIENCE).await.unwrap(), Some(told.clone()));
    for _ in 0..2 {
        assert!(matches!(association.outcome(PATIENCE).await, Err(ScuError::Protocol(_))));
    }
    assert_eq!(association.outcome(PATIENCE).await.unwrap(), Some(told));
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(response(&mut wire).await.status);
    }
    assert_eq!(answers, [Status::SUCCESS, Status::NO_SUCH_EVENT, Status::INVALID_ARGUMENT, Status::SUCCESS]);
}

#[tokio::test]
async fn half_an_outcome_waits_for_its_other_half() {
    let (port, accepting) = accepting().await;
    let mut association = open(port).await;
    let mut wire = accepting.await.unwrap();
    let told = judged(&request(300));
    let mut bytes = Vec::new();
    put(&mut bytes, &Command::commitment_event(1, 2), &told.encode(&EXPLICIT.parse().unwrap()).unwrap());
    let (first, second) = bytes.split_at(bytes.len() - 9000);
    wire.write(first).await.unwrap();
    assert_eq!(association.outcome(Duration::from_millis(50)).await.unwrap(), None);
    wire.write(second).await.unwrap();
    assert_eq!(association.outcome(PATIENCE).await.unwrap(), Some(told));
    assert_eq!(response(&mut wire).await.status, Status::SUCCESS);
}

#[tokio::test]
async fn too_many_outcomes_too_large_ones_and_releases_are_told() {
    let told = judged(&request(1)).encode(&EXPLICIT.parse().unwrap()).unwrap();
    let report = Command::commitment_event(1, 2);
    let (mut many, mut large) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        put(&mut many, &report, &told);
    }
    put(&mut large, &report, &vec![0; (1 << 20) + 1]);
    let out_of_sequence = pdu_of(Part::DataSet);
    let release = pdu::encode(&Pdu::ReleaseRq).unwrap();
    for (bytes, expected) in [
        (many, "without waiting for the answers"),
        (large, "more than 1048576 bytes"),
        (out_of_sequence, "out of sequence"),
        (release, "closed the connection while waiting for the answer to N-ACTION"),
    ] {
        let (port, accepting) = accepting().await;
        let mut association = open(port).await;
        let mut wire = accepting.await.unwrap();
        let sending = tokio::spawn(async move {
            let _ = wire.write(&bytes).await;
            wire
        });
        let error = association.request_commitment(&request(1)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        drop((association, sending.await.unwrap()));
    }
}

fn pdu_of(part: Part) -> Vec<u8> {
    let mut bytes = Vec::new();
    pdu::put_data(&mut bytes, 1, part, b"1.2", Ending::Last, LARGEST);
    bytes
}
