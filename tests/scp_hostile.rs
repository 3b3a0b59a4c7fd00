//! The station against data sets made to kill what reads them: each is refused with its status, nothing of it stays,
//! and the association goes on.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::time::Duration;

use auscult::dimse::command::Request;
use auscult::dimse::pdu::{self, Ending};
use auscult::dimse::{APPLICATION_CONTEXT, CommandSet, Part, Pdu, Response, Status, Wire};
use dicom_ul::pdu::{AssociationRQ, PresentationContextProposed};
use tokio::net::TcpStream;

mod scp_station;

use scp_station::{CR, EXPLICIT, Part10, Station};

const CONTEXT: u8 = 1;
const INSTANCE: &str = "1.2.3.4.1";
const UNDEFINED: [u8; 4] = [0xFF; 4];

struct Peer(Wire<TcpStream>);

impl Peer {
    async fn associate(station: &Station, transfer_syntax: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", station.port())).await.unwrap();
        let mut wire = Wire::over_tcp(stream, 1 << 20, Duration::from_secs(20));
        let request = AssociationRQ {
            protocol_version: 1,
            calling_ae_title: "PACS".into(),
            called_ae_title: "AUSCULT".into(),
            application_context_name: APPLICATION_CONTEXT.into(),
            presentation_contexts: vec![PresentationContextProposed {
                id: CONTEXT,
                abstract_syntax: CR.into(),
                transfer_syntaxes: vec![transfer_syntax.into()],
            }],
            user_variables: vec![],
        };
        wire.send(&Pdu::AssociateRq(request)).await.unwrap();
        let Ok(Pdu::AssociateAc(_)) = wire.read().await else { panic!("not accepted") };
        Self(wire)
    }

    async fn store(&mut self, data_set: &[u8]) -> Status {
        let request = Request::store(7, &CR.parse().unwrap(), &INSTANCE.parse().unwrap());
        self.0.send_command(CONTEXT, &request, 16_384).await.unwrap();
        let mut pdus = Vec::new();
        pdu::put_data(&mut pdus, CONTEXT, Part::DataSet, data_set, Ending::Last, 16_384);
        self.0.write(&pdus).await.unwrap();
        let Pdu::Data(mut values) = self.0.read().await.unwrap() else { panic!("no P-DATA") };
        let value = values.next().unwrap().unwrap();
        Response::decode(&CommandSet::decode(&value.fragment).unwrap()).unwrap().status
    }
}

fn good() -> Vec<u8> {
    Part10::radiograph(INSTANCE).data_set()
}

/// The good data set with something before its Study Instance UID.
fn with(inserted: &[u8]) -> Vec<u8> {
    let good = good();
    let place = good.windows(4).position(|head| head == [0x20, 0, 0x0D, 0]).unwrap();
    [&good[..place], inserted, &good[place..]].concat()
}

fn element(vr: &[u8; 2], length: [u8; 4], value: &[u8]) -> Vec<u8> {
    [&[9, 0, 1, 0x10][..], vr, &[0, 0], &length, value].concat()
}

fn open_item() -> Vec<u8> {
    [&[0xFE, 0xFF, 0, 0xE0][..], &UNDEFINED].concat()
}

fn nested(levels: usize) -> Vec<u8> {
    let end = [0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];
    [element(b"SQ", UNDEFINED, &open_item()).repeat(levels), end.repeat(levels)].concat()
}

#[tokio::test]
async fn hostile_data_sets_are_refused_and_the_association_goes_on() {
    let mut station = Station::start().await;
    let mut peer = Peer::associate(&station, EXPLICIT).await;
    let whole = good();
    let cases = [
        ("ten thousand nested sequences", with(&nested(10_000))),
        ("nested sequences under UN", with(&element(b"UN", UNDEFINED, &open_item()).repeat(10_000))),
        ("a value of 4 GiB", with(&element(b"OB", [0xFE, 0xFF, 0xFF, 0xFF], &[0; 8]))),
        ("a text of 2 GiB", with(&element(b"UT", [0xFE, 0xFF, 0xFF, 0x7F], &[0; 8]))),
        ("an unknown VR", with(&element(b"??", [0; 4], &[]))),
        ("half a number", with(&[9, 0, 1, 0x10, b'U', b'S', 1, 0, 7])),
        ("a stray item", with(&[0xFE, 0xFF, 0, 0xE0, 0, 0, 0, 0])),
        ("a second transfer syntax", [&b"\x02\0\x10\0UI\x12\x001.2.840.10008.1.2\0"[..], &whole].concat()),
        ("a sequence that is never closed", [&whole[..], &element(b"SQ", UNDEFINED, &open_item())].concat()),
        ("half its pixels", whole[..whole.len() - 1000].to_vec()),
        ("a second identity", [&whole[..], b"\x08\0\x18\0UI\x04\x001.2\0"].concat()),
        ("a path for a study", with(b"\x20\0\x0D\0UI\x0E\0../../../tmp/x")),
        ("nothing", Vec::new()),
    ];
    for (what, data_set) in cases {
        assert_eq!(peer.store(&data_set).await, Status::CANNOT_UNDERSTAND, "{what}");
    }
    assert!(station.arrived().is_empty() && station.images().is_empty());
    assert_eq!(peer.store(&with(&nested(32))).await, Status::SUCCESS);
    assert_eq!(station.arrived().len(), 1);
}
