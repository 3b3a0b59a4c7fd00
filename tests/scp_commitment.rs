//! Storage Commitment at the wire: what a peer asks is judged and reported on its association while that lasts, and
//! handed over when it does not; what a peer reports is answered once it is safe.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::sync::{Arc, Mutex, mpsc as blocking};
use std::time::Duration;

use auscult::commitment::{Custody, FailureReason, Outcome, Reference, Request};
use auscult::dimse::command::Request as Command;
use auscult::dimse::pdu::{self, Ending};
use auscult::dimse::{
    APPLICATION_CONTEXT, Abort, CommandSet, DataSet, Message, Part, Pdu, Response, Status, Wire, WireError, sop_class,
};
use auscult::scp::{Commitment, Reported, Unreported};
use dicom_ul::pdu::{
    AssociationRQ, PresentationContextProposed, PresentationContextResultReason, RequestorRoles, UserVariableItem,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

mod scp_station;
use scp_station::{CR, IMPLICIT, Station};

const COMMIT: u8 = 1;
const VERIFY: u8 = 3;
const STORE: u8 = 5;
const LARGEST: u32 = 16_384;
const PATIENCE: Duration = Duration::from_secs(20);

/// Has what ends in an even number, and judges when it is told to.
struct Archive(Mutex<blocking::Receiver<()>>);

impl Custody for Archive {
    fn outcome(&self, request: &Request) -> Outcome {
        // Its sender is dropped where a test does not wait.
        let _ = self.0.lock().unwrap().recv();
        assert_ne!(request.transaction.as_str(), "2.25.666", "a judge that fails");
        Outcome::judged(request, |reference| match reference.sop_instance.as_str().as_bytes().last() {
            Some(digit) if digit % 2 == 0 => Ok(()),
            _ => Err(FailureReason::NO_SUCH_INSTANCE),
        })
    }
}

struct Scene {
    station: Station,
    judge: Option<blocking::Sender<()>>,
    unreported: mpsc::Receiver<Unreported>,
    outcomes: mpsc::Receiver<Reported>,
}

impl Scene {
    async fn start() -> Self {
        Self::with_silence(60).await
    }

    async fn with_silence(seconds: u64) -> Self {
        let (judge, told) = blocking::channel();
        let (hand_over, unreported) = mpsc::channel(8);
        let (take, outcomes) = mpsc::channel(8);
        let custody = Arc::new(Archive(Mutex::new(told)));
        let commitment = Commitment { custody, unreported: hand_over, outcomes: take };
        let station = Station::with_commitment(|scp| scp.silence_seconds = seconds, commitment).await;
        Self { station, judge: Some(judge), unreported, outcomes }
    }

    /// From now on everything is judged at once.
    fn judge_all(&mut self) {
        self.judge = None;
    }

    async fn handed_over(&mut self) -> Unreported {
        timeout(PATIENCE, self.unreported.recv()).await.unwrap().unwrap()
    }
}

struct Peer(Wire<TcpStream>);

impl Peer {
    async fn associate(station: &Station, roles: Option<RequestorRoles>) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", station.port())).await.unwrap();
        let mut wire = Wire::over_tcp(stream, 1 << 20, PATIENCE);
        let class = sop_class::STORAGE_COMMITMENT.to_owned();
        let selection = roles.map(|roles| UserVariableItem::ScuScpRoleSelectionSubItem(class, roles));
        wire.send(&Pdu::AssociateRq(request(selection.clone()))).await.unwrap();
        let Ok(Pdu::AssociateAc(accept)) = wire.read().await else { panic!("not accepted") };
        assert_eq!(accept.presentation_contexts[0].reason, PresentationContextResultReason::Acceptance);
        let is_selection = |item: &&UserVariableItem| matches!(item, UserVariableItem::ScuScpRoleSelectionSubItem(..));
        assert_eq!(accept.user_variables.iter().find(is_selection), selection.as_ref());
        Self(wire)
    }

    async fn send(&mut self, context: u8, command: &CommandSet, data_set: &[u8]) {
        self.0.send_command(context, command, LARGEST).await.unwrap();
        let mut pdus = Vec::new();
        pdu::put_data(&mut pdus, context, Part::DataSet, data_set, Ending::Last, LARGEST);
        self.0.write(&pdus).await.unwrap();
    }

    async fn command(&mut self, context: u8, command: &CommandSet) {
        self.0.send_command(context, command, LARGEST).await.unwrap();
    }

    async fn ask(&mut self, asked: &Request) -> Status {
        self.send(COMMIT, &Command::commitment_action(11, 1), &encoded(asked)).await;
        let response = self.response().await;
        assert_eq!((response.field, response.responding_to, response.type_id), (0x8130, 11, Some(1)));
        response.status
    }

    async fn echo(&mut self) {
        self.command(VERIFY, &Command::echo(12)).await;
        assert_eq!(self.response().await.responding_to, 12);
    }

    async fn message(&mut self) -> (Message, Vec<u8>) {
        let (mut command, mut data_set) = (Vec::new(), Vec::new());
        let mut message = None;
        loop {
            let Pdu::Data(values) = self.0.read().await.unwrap() else { panic!("no P-DATA") };
            for value in values.map(Result::unwrap) {
                match value.part {
                    Part::Command => command.extend(value.fragment),
                    Part::DataSet => data_set.extend(value.fragment),
                }
                if value.last && value.part == Part::Command {
                    message = Some(Message::decode(&CommandSet::decode(&command).unwrap()).unwrap());
                }
                let follows = matches!(&message, Some(Message::Request(Command::EventReport(report))) if report.data_set == DataSet::Follows);
                if value.last && (value.part == Part::DataSet) == follows {
                    return (message.unwrap(), data_set);
                }
            }
        }
    }

    async fn response(&mut self) -> Response {
        match self.message().await.0 {
            Message::Response(response) => response,
            other => panic!("{other:?}"),
        }
    }

    /// An outcome that is reported, not yet answered.
    async fn report(&mut self) -> (auscult::dimse::command::NormalizedRq, Outcome) {
        let (Message::Request(Command::EventReport(report)), data_set) = self.message().await else { panic!() };
        let outcome = Outcome::decode(data_set.into(), &IMPLICIT.parse().unwrap()).unwrap();
        assert_eq!(report.of_commitment(), Ok(()));
        assert_eq!(report.type_id, Some(outcome.event_type()));
        (report, outcome)
    }

    async fn answer(&mut self, report: &auscult::dimse::command::NormalizedRq, status: Status) {
        self.command(COMMIT, &Response::to_event_report(report, status).command_set()).await;
    }

    async fn release(mut self) {
        self.0.send(&Pdu::ReleaseRq).await.unwrap();
        assert_eq!(self.0.read().await.unwrap(), Pdu::ReleaseRp);
    }

    async fn aborted(mut self) -> Abort {
        let Pdu::Abort(abort) = self.0.read().await.unwrap() else { panic!("no A-ABORT") };
        assert!(matches!(self.0.read().await, Err(WireError::Closed)));
        abort
    }
}

fn request(selection: Option<UserVariableItem>) -> AssociationRQ {
    let context = |id: u8, abstract_syntax: &str| PresentationContextProposed {
        id,
        abstract_syntax: abstract_syntax.into(),
        transfer_syntaxes: vec![IMPLICIT.into()],
    };
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: "MODALITY".into(),
        called_ae_title: "AUSCULT".into(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: vec![
            context(COMMIT, sop_class::STORAGE_COMMITMENT),
            context(VERIFY, sop_class::VERIFICATION),
            context(STORE, CR),
        ],
        user_variables: selection.into_iter().collect(),
    }
}

fn asked(transaction: u32, instances: impl IntoIterator<Item = u32>) -> Request {
    let reference =
        |number| Reference { sop_class: CR.parse().unwrap(), sop_instance: format!("1.2.3.{number}").parse().unwrap() };
    Request {
        transaction: format!("2.25.{transaction}").parse().unwrap(),
        references: instances.into_iter().map(reference).collect(),
    }
}

fn encoded(request: &Request) -> Vec<u8> {
    request.encode(&IMPLICIT.parse().unwrap()).unwrap()
}

#[tokio::test]
async fn an_outcome_is_reported_on_the_association_that_asked() {
    let mut scene = Scene::start().await;
    scene.judge_all();
    let mut peer = Peer::associate(&scene.station, None).await;
    assert_eq!(peer.ask(&asked(1, [2, 3, 4])).await, Status::SUCCESS);
    let (report, outcome) = peer.report().await;
    assert_eq!((report.type_id, outcome.committed.len()), (Some(2), 2));
    assert_eq!(outcome.failed, [(asked(1, [3]).references[0].clone(), FailureReason::NO_SUCH_INSTANCE)]);
    peer.answer(&report, Status::SUCCESS).await;
    assert_eq!(peer.ask(&asked(2, [2])).await, Status::SUCCESS);
    let (report, outcome) = peer.report().await;
    assert_eq!((report.type_id, outcome.transaction.as_str(), outcome.failed.len()), (Some(1), "2.25.2", 0));
    peer.answer(&report, Status::SUCCESS).await;
    peer.echo().await;
    peer.release().await;
    scene.station.stop.send(true).unwrap();
    (&mut scene.station.running).await.unwrap();
    assert_eq!(scene.unreported.recv().await, None);
}

#[tokio::test]
async fn a_peer_that_releases_before_the_outcome_gets_it_elsewhere() {
    let mut scene = Scene::start().await;
    let mut peer = Peer::associate(&scene.station, None).await;
    assert_eq!(peer.ask(&asked(1, [2])).await, Status::SUCCESS);
    assert_eq!(peer.ask(&asked(2, [3])).await, Status::SUCCESS);
    peer.release().await;
    scene.judge_all();
    for (transaction, committed) in [("2.25.1", 1), ("2.25.2", 0)] {
        let Unreported { calling, outcome } = scene.handed_over().await;
        assert_eq!((calling.as_str(), outcome.transaction.as_str()), ("MODALITY", transaction));
        assert_eq!(outcome.committed.len(), committed);
    }
}

#[tokio::test]
async fn a_report_that_is_released_aborted_cut_or_refused_is_handed_over() {
    let mut scene = Scene::start().await;
    scene.judge_all();
    for transaction in 1..=4 {
        let mut peer = Peer::associate(&scene.station, None).await;
        assert_eq!(peer.ask(&asked(transaction, [2])).await, Status::SUCCESS);
        let (report, outcome) = peer.report().await;
        match transaction {
            1 => peer.release().await,
            2 => peer.0.abort(Abort::BY_USER).await,
            3 => drop(peer),
            _ => {
                peer.answer(&report, Status::PROCESSING_FAILURE).await;
                peer.echo().await;
                peer.release().await;
            }
        }
        assert_eq!(scene.handed_over().await.outcome, outcome);
    }
}

#[tokio::test]
async fn requests_go_on_while_an_outcome_is_judged_or_unanswered() {
    let mut scene = Scene::start().await;
    let mut peer = Peer::associate(&scene.station, None).await;
    assert_eq!(peer.ask(&asked(1, [2])).await, Status::SUCCESS);
    peer.echo().await;
    assert_eq!(peer.ask(&asked(2, [2])).await, Status::SUCCESS);
    scene.judge.as_ref().unwrap().send(()).unwrap();
    let (first, outcome) = peer.report().await;
    assert_eq!(outcome.transaction.as_str(), "2.25.1");
    peer.echo().await;
    scene.judge_all();
    // The second waits for the answer to the first: one operation at a time.
    assert_eq!(peer.ask(&asked(3, [2])).await, Status::SUCCESS);
    peer.answer(&first, Status::SUCCESS).await;
    for transaction in ["2.25.2", "2.25.3"] {
        let (report, outcome) = peer.report().await;
        assert_eq!(outcome.transaction.as_str(), transaction);
        assert_ne!(report.message_id, first.message_id);
        peer.answer(&report, Status::SUCCESS).await;
    }
    peer.release().await;
}

#[tokio::test]
async fn a_peer_that_does_not_answer_reports_is_not_sent_another() {
    let mut scene = Scene::with_silence(1).await;
    scene.judge_all();
    let mut peer = Peer::associate(&scene.station, None).await;
    assert_eq!(peer.ask(&asked(1, [2])).await, Status::SUCCESS);
    let (report, outcome) = peer.report().await;
    let handed_over = loop {
        peer.echo().await;
        if let Ok(unreported) = scene.unreported.try_recv() {
            break unreported;
        }
    };
    assert_eq!(handed_over.outcome, outcome);
    peer.answer(&report, Status::SUCCESS).await;
    assert_eq!(peer.ask(&asked(2, [2])).await, Status::SUCCESS);
    assert_eq!(scene.handed_over().await.outcome.transaction.as_str(), "2.25.2");
    peer.echo().await;
    peer.release().await;
}

#[tokio::test]
async fn stopping_hands_over_what_is_under_way() {
    let mut scene = Scene::start().await;
    let mut peer = Peer::associate(&scene.station, None).await;
    assert_eq!(peer.ask(&asked(1, [2])).await, Status::SUCCESS);
    scene.station.stop.send(true).unwrap();
    assert_eq!(peer.aborted().await, Abort::BY_USER);
    scene.judge_all();
    assert_eq!(scene.handed_over().await.outcome.transaction.as_str(), "2.25.1");
    (&mut scene.station.running).await.unwrap();
}

#[tokio::test]
async fn a_judge_that_fails_commits_nothing() {
    let mut scene = Scene::start().await;
    scene.judge_all();
    let mut peer = Peer::associate(&scene.station, None).await;
    assert_eq!(peer.ask(&asked(666, [2])).await, Status::SUCCESS);
    let (_, outcome) = peer.report().await;
    assert_eq!((outcome.committed.len(), outcome.failed[0].1), (0, FailureReason::PROCESSING_FAILURE));
}

#[tokio::test]
async fn every_bad_request_has_its_status_and_the_association_goes_on() {
    let scene = Scene::start().await;
    let mut peer = Peer::associate(&scene.station, None).await;
    let good = encoded(&asked(1, [2]));
    let action = Command::commitment_action(11, 1).encode();
    let patched = |from: &[u8], to: &[u8]| {
        let place = action.windows(from.len()).position(|window| window == from).unwrap();
        let patched = [&action[..place], to, &action[place + from.len()..]].concat();
        CommandSet::decode(&patched).unwrap()
    };
    let other_action = Command::commitment_action(11, 2);
    let plain = CommandSet::decode(&action).unwrap();
    let instance = sop_class::STORAGE_COMMITMENT_INSTANCE.as_bytes();
    let no_data_set = patched(&[0, 0, 0, 8, 2, 0, 0, 0, 1, 0], &[0, 0, 0, 8, 2, 0, 0, 0, 1, 1]);
    let many = encoded(&asked(1, 0..10_001));
    let long = vec![0; (1 << 20) + 1];
    let cases: [(&CommandSet, &[u8], Status); 9] = [
        (&other_action, &good, Status::NO_SUCH_ACTION),
        (&patched(b"1.20.1\0\0", b"1.20.2\0\0"), &good, Status::NO_SUCH_CLASS),
        (&patched(instance, b"1.2.840.10008.1.20.1.2"), &good, Status::NO_SUCH_INSTANCE),
        (&patched(instance, b"../2.840.10008.1.20.1."), &good, Status::INVALID_INSTANCE),
        (&plain, b"no data set", Status::INVALID_ARGUMENT),
        (&plain, b"", Status::INVALID_ARGUMENT),
        (&plain, &encoded(&asked(1, [])), Status::INVALID_ARGUMENT),
        (&plain, &many, Status::RESOURCE_LIMITATION),
        (&plain, &long, Status::RESOURCE_LIMITATION),
    ];
    for (command, data_set, status) in cases {
        peer.send(COMMIT, command, data_set).await;
        let response = peer.response().await;
        assert_eq!((response.field, response.responding_to, response.status), (0x8130, 11, status));
    }
    peer.command(COMMIT, &no_data_set).await;
    assert_eq!(peer.response().await.status, Status::INVALID_ARGUMENT);
    // An operation of another service, there or here.
    peer.send(STORE, &plain, &good).await;
    assert_eq!(peer.response().await.status, Status::UNRECOGNIZED_OPERATION);
    let store = Command::store(9, &sop_class::STORAGE_COMMITMENT.parse().unwrap(), &"1.2.3".parse().unwrap());
    peer.send(COMMIT, &store, &good).await;
    assert_eq!(peer.response().await.status, Status::SOP_CLASS_NOT_SUPPORTED);
    assert_eq!(peer.ask(&asked(1, [2])).await, Status::SUCCESS);
    peer.release().await;
}

#[tokio::test]
async fn what_waits_for_its_outcome_is_bounded() {
    let mut scene = Scene::start().await;
    let mut peer = Peer::associate(&scene.station, None).await;
    for transaction in [1, 2] {
        assert_eq!(peer.ask(&asked(transaction, 0..10_000)).await, Status::SUCCESS);
    }
    assert_eq!(peer.ask(&asked(3, [2])).await, Status::RESOURCE_LIMITATION);
    scene.judge_all();
    let (report, outcome) = peer.report().await;
    assert_eq!((outcome.committed.len(), outcome.failed.len()), (5000, 5000));
    peer.answer(&report, Status::SUCCESS).await;
    let (report, _) = peer.report().await;
    peer.answer(&report, Status::SUCCESS).await;
    assert_eq!(peer.ask(&asked(3, [2])).await, Status::SUCCESS);
}

#[tokio::test]
async fn an_answer_to_nothing_ends_the_association() {
    let scene = Scene::start().await;
    let mut peer = Peer::associate(&scene.station, None).await;
    peer.command(VERIFY, &Response::to_echo(1).command_set()).await;
    assert_eq!(peer.aborted().await, Abort::BY_USER);
}

#[tokio::test]
async fn a_peers_report_is_answered_once_it_is_safe() {
    let mut scene = Scene::start().await;
    let provider = Some(RequestorRoles { scu: false, scp: true });
    let mut peer = Peer::associate(&scene.station, provider).await;
    let outcome = Outcome::judged(&asked(1, [2, 3]), |_| Err(FailureReason::new(0x0131)));
    let data_set = outcome.encode(&IMPLICIT.parse().unwrap()).unwrap();

    peer.send(COMMIT, &Command::commitment_event(7, 2), &data_set).await;
    let Reported { calling, outcome: reported, accepted } =
        timeout(PATIENCE, scene.outcomes.recv()).await.unwrap().unwrap();
    assert_eq!((calling.as_str(), &reported), ("MODALITY", &outcome));
    accepted.send(()).unwrap();
    let response = peer.response().await;
    assert_eq!((response.field, response.responding_to, response.status), (0x8100, 7, Status::SUCCESS));

    peer.send(COMMIT, &Command::commitment_event(8, 2), &data_set).await;
    drop(timeout(PATIENCE, scene.outcomes.recv()).await.unwrap().unwrap());
    assert_eq!(peer.response().await.status, Status::PROCESSING_FAILURE);
    for (command, data_set, status) in [
        (Command::commitment_event(9, 3), &data_set[..], Status::NO_SUCH_EVENT),
        (Command::commitment_event(9, 1), b"no data set", Status::INVALID_ARGUMENT),
        (Command::commitment_action(9, 1), &encoded(&asked(1, [2])), Status::UNRECOGNIZED_OPERATION),
    ] {
        peer.send(COMMIT, &command, data_set).await;
        assert_eq!(peer.response().await.status, status);
    }
    scene.outcomes.close();
    peer.send(COMMIT, &Command::commitment_event(10, 2), &data_set).await;
    assert_eq!(peer.response().await.status, Status::PROCESSING_FAILURE);
    peer.release().await;
}

#[tokio::test]
async fn a_station_without_commitment_does_not_accept_it() {
    let station = Station::start().await;
    let stream = TcpStream::connect(("127.0.0.1", station.port())).await.unwrap();
    let mut wire = Wire::over_tcp(stream, 1 << 20, PATIENCE);
    wire.send(&Pdu::AssociateRq(request(None))).await.unwrap();
    let Ok(Pdu::AssociateAc(accept)) = wire.read().await else { panic!("not accepted") };
    let refused = PresentationContextResultReason::AbstractSyntaxNotSupported;
    assert_eq!(accept.presentation_contexts[0].reason, refused);
    let mut peer = Peer(wire);
    peer.send(STORE, &Command::commitment_action(11, 1), &encoded(&asked(1, [2]))).await;
    assert_eq!(peer.response().await.status, Status::UNRECOGNIZED_OPERATION);
    peer.release().await;
}
