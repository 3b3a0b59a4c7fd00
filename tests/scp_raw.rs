//! The SCP against peers that do not keep to the protocol: raw octets on a socket.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::time::Duration;

use auscult::dimse::command::Request;
use auscult::dimse::pdu::{self, Ending};
use auscult::dimse::{APPLICATION_CONTEXT, Abort, CommandSet, Part, Pdu, Response, Status, Wire, WireError};
use auscult::instance::Instance;
use auscult::scp::Arrived;
use dicom_ul::pdu::{AssociationRJResult, AssociationRJSource, AssociationRQ, PresentationContextProposed};
use tokio::net::TcpStream;

mod scp_station;
use scp_station::{CR, EXPLICIT, IMPLICIT, Part10, Station};

const STORE: u8 = 1;
const VERIFY: u8 = 3;
const LARGEST: u32 = 16_384;

struct Peer(Wire<TcpStream>);

impl Peer {
    async fn connect(station: &Station) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", station.port())).await.unwrap();
        Self(Wire::over_tcp(stream, 1 << 20, Duration::from_secs(10)))
    }

    async fn associate(station: &Station) -> Self {
        let mut peer = Self::connect(station).await;
        peer.0.send(&Pdu::AssociateRq(request("AUSCULT"))).await.unwrap();
        let Ok(Pdu::AssociateAc(_)) = peer.0.read().await else { panic!("not accepted") };
        peer
    }

    async fn command(&mut self, context: u8, command: &CommandSet) {
        self.0.send_command(context, command, LARGEST).await.unwrap();
    }

    async fn data(&mut self, bytes: &[u8], ending: Ending) {
        let mut pdus = Vec::new();
        pdu::put_data(&mut pdus, STORE, Part::DataSet, bytes, ending, LARGEST);
        self.0.write(&pdus).await.unwrap();
    }

    async fn response(&mut self) -> Response {
        let Pdu::Data(mut values) = self.0.read().await.unwrap() else { panic!("no P-DATA") };
        let value = values.next().unwrap().unwrap();
        assert!(value.last && value.part == Part::Command);
        Response::decode(&CommandSet::decode(&value.fragment).unwrap()).unwrap()
    }

    async fn store(&mut self, announced: &str, data_set: &[u8]) -> Response {
        self.command(STORE, &Request::store(41, &CR.parse().unwrap(), &announced.parse().unwrap())).await;
        self.data(data_set, Ending::Last).await;
        self.response().await
    }

    /// The association ends here, by A-ABORT.
    async fn aborted(mut self) -> Abort {
        let Pdu::Abort(abort) = self.0.read().await.unwrap() else { panic!("no A-ABORT") };
        assert!(matches!(self.0.read().await, Err(WireError::Closed)));
        abort
    }
}

fn request(called: &str) -> AssociationRQ {
    let context = |id: u8, abstract_syntax: &str, syntax: &str| PresentationContextProposed {
        id,
        abstract_syntax: abstract_syntax.into(),
        transfer_syntaxes: vec![syntax.into()],
    };
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: "PACS".into(),
        called_ae_title: called.into(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: vec![
            context(STORE, CR, EXPLICIT),
            context(VERIFY, "1.2.840.10008.1.1", IMPLICIT),
            context(5, "1.2.840.10008.5.1.4.1.2.2.1", IMPLICIT),
        ],
        user_variables: vec![],
    }
}

fn radiograph(instance: &str) -> Vec<u8> {
    Part10::radiograph(instance).data_set()
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..200 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not come about");
}

#[tokio::test]
async fn a_wrong_called_title_is_rejected_for_good() {
    let station = Station::start().await;
    let mut peer = Peer::connect(&station).await;
    peer.0.send(&Pdu::AssociateRq(request("OTHER"))).await.unwrap();
    let Ok(Pdu::AssociateRj(reject)) = peer.0.read().await else { panic!() };
    assert_eq!(reject.result, AssociationRJResult::Permanent);
    assert_eq!(format!("{:?}", reject.source), "ServiceUser(CalledAETitleNotRecognized)");
}

#[tokio::test]
async fn too_many_associations_are_rejected_for_now() {
    let station = Station::with(|scp| scp.max_associations = 2, 0).await;
    let held = [Peer::associate(&station).await, Peer::associate(&station).await];
    let mut third = Peer::connect(&station).await;
    third.0.send(&Pdu::AssociateRq(request("AUSCULT"))).await.unwrap();
    let Ok(Pdu::AssociateRj(reject)) = third.0.read().await else { panic!() };
    assert_eq!(reject.result, AssociationRJResult::Transient);
    assert!(matches!(reject.source, AssociationRJSource::ServiceProviderPresentation(_)));
    for peer in held {
        peer.0.abort(Abort::BY_USER).await;
    }
    Peer::associate(&station).await;
}

#[tokio::test]
async fn garbage_silence_and_a_wrong_first_pdu_end_the_connection() {
    let station = Station::with(|scp| scp.negotiation_seconds = 1, 0).await;
    for first in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[4, 0, 0, 0, 0, 0], &[1, 0, 0xFF, 0xFF, 0xFF, 0xFF], &[1], &[]] {
        let mut peer = Peer::connect(&station).await;
        peer.0.write(first).await.unwrap();
        assert_eq!(peer.aborted().await, Abort::BY_USER, "{first:?}");
    }
}

#[tokio::test]
async fn what_has_no_place_in_an_association_aborts_it_with_its_reason() {
    let station = Station::start().await;
    let cases: [(&[u8], Abort); 7] = [
        (&[4, 0, 0xFF, 0xFF, 0xFF, 0xFF], Abort::INVALID_PARAMETER),
        (&[4, 0, 0, 0, 0, 6, 0, 0, 0, 99, 1, 3], Abort::INVALID_PARAMETER),
        (&[4, 0, 0, 0, 0, 6, 0, 0, 0, 2, 77, 3], Abort::INVALID_PARAMETER),
        (&[4, 0, 0, 0, 0, 6, 0, 0, 0, 2, 5, 3], Abort::INVALID_PARAMETER),
        (&[6, 0, 0, 0, 0, 4, 0, 0, 0, 0], Abort::UNEXPECTED_PDU),
        (&[0x7E, 0, 0, 0, 0, 4, 0, 0, 0, 0], Abort::UNRECOGNIZED_PDU),
        (&[4, 0, 0, 0, 0, 6, 0, 0, 0, 2, STORE, 2], Abort::BY_USER),
    ];
    for (octets, reason) in cases {
        let mut peer = Peer::associate(&station).await;
        peer.0.write(octets).await.unwrap();
        assert_eq!(peer.aborted().await, reason, "{octets:?}");
    }
}

#[tokio::test]
async fn a_silent_association_is_aborted() {
    let station = Station::with(|scp| scp.silence_seconds = 1, 0).await;
    assert_eq!(Peer::associate(&station).await.aborted().await, Abort::BY_USER);
}

#[tokio::test]
async fn a_command_may_come_in_single_octets() {
    let station = Station::start().await;
    let mut peer = Peer::associate(&station).await;
    let command = Request::echo(7).encode();
    let (last, first) = command.split_last().unwrap();
    let mut pdus = Vec::new();
    for octet in first {
        pdu::put_data(&mut pdus, VERIFY, Part::Command, &[*octet], Ending::More, LARGEST);
    }
    pdu::put_data(&mut pdus, VERIFY, Part::Command, &[*last], Ending::Last, LARGEST);
    peer.0.write(&pdus).await.unwrap();
    let response = peer.response().await;
    assert_eq!((response.responding_to, response.status), (7, Status::SUCCESS));
    assert_eq!(response.sop_class, "1.2.840.10008.1.1".parse().ok());
}

#[tokio::test]
async fn every_refusal_has_its_status_and_the_association_goes_on() {
    let mut station = Station::start().await;
    let mut peer = Peer::associate(&station).await;
    let good = radiograph("1.2.3.4.1");
    assert_eq!(peer.store("1.2.3.4.2", &good).await.status, Status::MISMATCH);
    assert_eq!(peer.store("1.2.3.4.1", b"no data set").await.status, Status::CANNOT_UNDERSTAND);

    let other_class = Request::store(42, &"1.2.840.10008.5.1.4.1.1.2".parse().unwrap(), &"1.2.3".parse().unwrap());
    peer.command(STORE, &other_class).await;
    peer.data(&good, Ending::Last).await;
    assert_eq!(peer.response().await.status, Status::SOP_CLASS_NOT_SUPPORTED);

    let mut find = Request::store(43, &CR.parse().unwrap(), &"1.2.3".parse().unwrap()).encode();
    let field = find.windows(4).position(|w| w == [0, 0, 0, 1]).unwrap() + 8;
    find[field] = 0x20;
    peer.command(STORE, &CommandSet::decode(&find).unwrap()).await;
    peer.data(&good, Ending::Last).await;
    let unrecognized = peer.response().await;
    assert_eq!((unrecognized.status, unrecognized.field), (Status::UNRECOGNIZED_OPERATION, 0x8020));
    assert_eq!(unrecognized.responding_to, 43);

    assert!(station.arrived().is_empty() && station.images().is_empty());
    let stored = peer.store("1.2.3.4.1", &good).await;
    assert_eq!((stored.status, stored.responding_to), (Status::SUCCESS, 41));
    assert_eq!(stored.sop_instance, "1.2.3.4.1".parse().ok());
    assert_eq!(station.arrived().len(), 1);
    peer.0.send(&Pdu::ReleaseRq).await.unwrap();
    assert_eq!(peer.0.read().await.unwrap(), Pdu::ReleaseRp);
}

#[tokio::test]
async fn a_full_queue_refuses_for_now_and_a_closed_one_leaves_the_object_for_the_next_start() {
    let mut station = Station::with_queue(1, |scp| scp.silence_seconds = 1, 0).await;
    let mut peer = Peer::associate(&station).await;
    let [first, second] = ["1.2.3.4.1", "1.2.3.4.2"].map(radiograph);
    assert_eq!(peer.store("1.2.3.4.1", &first).await.status, Status::SUCCESS);
    assert_eq!(peer.store("1.2.3.4.2", &second).await.status, Status::OUT_OF_RESOURCES);
    assert_eq!(station.images().len(), 1);
    assert_eq!(station.arrived().len(), 1);
    assert_eq!(peer.store("1.2.3.4.2", &second).await.status, Status::SUCCESS);
    station.close_queue();
    assert_eq!(peer.store("1.2.3.4.3", &radiograph("1.2.3.4.3")).await.status, Status::SUCCESS);
    assert_eq!(station.images().len(), 3);
}

#[tokio::test]
async fn eight_associations_store_the_same_and_different_objects_at_once() {
    let mut station = Station::start().await;
    let mut senders = Vec::new();
    for sender in 0..8 {
        let mut peer = Peer::associate(&station).await;
        senders.push(tokio::spawn(async move {
            for number in 1..=10 {
                let uid =
                    if number % 2 == 0 { format!("1.2.3.4.{number}") } else { format!("1.2.3.5.{sender}.{number}") };
                assert_eq!(peer.store(&uid, &radiograph(&uid)).await.status, Status::SUCCESS);
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let arrived = station.arrived();
    assert_eq!(arrived.len(), 8 * 5 + 5);
    for Arrived { instance, .. } in arrived {
        assert_eq!(Instance::open(&instance.location).unwrap(), instance, "each is read where it lies");
    }
    until(|| station.parts().is_empty()).await;
}

#[tokio::test]
async fn half_a_data_set_leaves_nothing() {
    let mut station = Station::start().await;
    let mut peer = Peer::associate(&station).await;
    let good = Part10::radiograph("1.2.3.4.1").rows(40_000).data_set();
    peer.command(STORE, &Request::store(1, &CR.parse().unwrap(), &"1.2.3.4.1".parse().unwrap())).await;
    peer.data(&good[..good.len() / 2], Ending::More).await;
    until(|| station.parts().len() == 1).await;
    drop(peer);
    until(|| station.parts().is_empty()).await;
    assert!(station.images().is_empty() && station.arrived().is_empty());
}

#[tokio::test]
async fn stopping_lets_a_message_end_and_then_aborts() {
    let mut station = Station::start().await;
    let mut peer = Peer::associate(&station).await;
    let idle = Peer::associate(&station).await;
    let good = Part10::radiograph("1.2.3.4.1").rows(40_000).data_set();
    let (begun, rest) = good.split_at(good.len() / 2);
    peer.command(STORE, &Request::store(1, &CR.parse().unwrap(), &"1.2.3.4.1".parse().unwrap())).await;
    peer.data(begun, Ending::More).await;
    until(|| station.parts().len() == 1).await;
    station.stop.send(true).unwrap();
    assert_eq!(idle.aborted().await, Abort::BY_USER);
    assert!(TcpStream::connect(("127.0.0.1", station.port())).await.is_err());
    peer.data(rest, Ending::Last).await;
    assert_eq!(peer.response().await.status, Status::SUCCESS);
    assert_eq!(peer.aborted().await, Abort::BY_USER);
    assert_eq!(station.arrived().len(), 1);
    (&mut station.running).await.unwrap();
}
