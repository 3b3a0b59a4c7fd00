//! Requests and outcomes that go and come back in every encoding, and data sets that are neither.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::ids::TransferSyntaxUid;
use crate::part10::{EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN};

const ENCODINGS: [&str; 3] = [IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN];

fn syntax(uid: &str) -> TransferSyntaxUid {
    uid.parse().unwrap()
}

fn reference(number: usize) -> Reference {
    let sop_class = "1.2.840.10008.5.1.4.1.1.1".parse().unwrap();
    Reference { sop_class, sop_instance: format!("1.2.3.{number}").parse().unwrap() }
}

fn request(count: usize) -> Request {
    Request { transaction: "2.25.1".parse().unwrap(), references: (0..count).map(reference).collect() }
}

/// The second object is missing, for a reason of nobody's.
fn outcome() -> Outcome {
    Outcome::judged(
        &request(3),
        |judged| {
            if *judged == reference(1) { Err(FailureReason::new(0xABCD)) } else { Ok(()) }
        },
    )
}

#[test]
fn both_come_back_as_they_went_in_every_encoding() {
    for encoding in ENCODINGS.map(syntax) {
        let bytes = request(3).encode(&encoding).unwrap();
        assert_eq!(Request::decode(bytes.into(), &encoding).unwrap(), request(3), "{encoding}");
        let bytes = outcome().encode(&encoding).unwrap();
        assert_eq!(Outcome::decode(bytes.into(), &encoding).unwrap(), outcome(), "{encoding}");
    }
}

#[test]
fn a_compressed_or_unknown_syntax_is_refused() {
    for uid in ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.70", "1.2.3"] {
        assert_eq!(request(1).encode(&syntax(uid)), None);
        let bytes = Bytes::from(request(1).encode(&syntax(EXPLICIT_LITTLE_ENDIAN)).unwrap());
        assert!(matches!(Request::decode(bytes, &syntax(uid)), Err(Undecodable::TransferSyntax(_))), "{uid}");
    }
}

#[test]
fn an_outcome_says_which_event_it_is() {
    assert_eq!(outcome().event_type(), FAILURES_EXIST_EVENT);
    assert_eq!(Outcome::judged(&request(2), |_| Ok(())).event_type(), ALL_COMMITTED_EVENT);
    assert_eq!((outcome().committed, outcome().failed[0].1.code()), (vec![reference(0), reference(2)], 0xABCD));
}

#[test]
fn a_sequence_without_items_is_not_written() {
    let encoding = syntax(EXPLICIT_LITTLE_ENDIAN);
    let all = Outcome::judged(&request(1), |_| Ok(())).encode(&encoding).unwrap();
    let none = Outcome::judged(&request(1), |_| Err(FailureReason::NO_SUCH_INSTANCE)).encode(&encoding).unwrap();
    let has = |bytes: &[u8], element: [u8; 4]| bytes.windows(4).any(|window| window == element);
    assert!(has(&all, [8, 0, 0x99, 0x11]) && !has(&all, [8, 0, 0x98, 0x11]));
    assert!(!has(&none, [8, 0, 0x99, 0x11]) && has(&none, [8, 0, 0x98, 0x11]));
}

#[test]
fn what_is_missing_is_named_without_a_value() {
    let encoding = syntax(IMPLICIT_LITTLE_ENDIAN);
    let bytes = request(1).encode(&encoding).unwrap();
    let without = |element: [u8; 4]| {
        let mut bytes = bytes.clone();
        let place = bytes.windows(4).position(|window| window == element).unwrap();
        bytes[place + 2] ^= 0x02;
        Request::decode(bytes.into(), &encoding).unwrap_err().to_string()
    };
    assert_eq!(without([8, 0, 0x95, 0x11]), "Transaction UID (0008,1195) is missing or not well-formed");
    assert_eq!(without([8, 0, 0x99, 0x11]), "Referenced SOP Sequence (0008,1199) is missing or not well-formed");
    assert_eq!(without([8, 0, 0x50, 0x11]), "a Referenced SOP Class UID (0008,1150) is missing or not well-formed");
    assert_eq!(without([8, 0, 0x55, 0x11]), "a Referenced SOP Instance UID (0008,1155) is missing or not well-formed");
    let place = bytes.windows(5).position(|window| window == b"1.2.3").unwrap();
    let mut path = bytes.clone();
    path[place..place + 5].copy_from_slice(b"../..");
    assert!(matches!(Request::decode(path.into(), &encoding), Err(Undecodable::Missing(_))));
}

#[test]
fn a_failure_without_a_reason_is_a_processing_failure() {
    let encoding = syntax(IMPLICIT_LITTLE_ENDIAN);
    let mut bytes = outcome().encode(&encoding).unwrap();
    let place = bytes.windows(4).position(|window| window == [8, 0, 0x97, 0x11]).unwrap();
    bytes[place + 2] = 0x96;
    let read = Outcome::decode(bytes.into(), &encoding).unwrap();
    assert_eq!(read.failed, [(reference(1), FailureReason::PROCESSING_FAILURE)]);
}

#[test]
fn too_many_bytes_or_references_are_refused() {
    let encoding = syntax(IMPLICIT_LITTLE_ENDIAN);
    let read = |count| Request::decode(request(count).encode(&encoding).unwrap().into(), &encoding);
    assert_eq!(read(MOST_REFERENCES).unwrap().references.len(), MOST_REFERENCES);
    assert!(matches!(read(MOST_REFERENCES + 1), Err(Undecodable::TooMuch)));
    assert!(matches!(Request::decode(vec![0; MOST_BYTES + 1].into(), &encoding), Err(Undecodable::TooMuch)));
    let both = Outcome::judged(&request(MOST_REFERENCES), |_| Ok(()));
    let both = Outcome { failed: vec![(reference(0), FailureReason::NO_SUCH_INSTANCE)], ..both };
    assert!(matches!(Outcome::decode(both.encode(&encoding).unwrap().into(), &encoding), Err(Undecodable::TooMuch)));
}

#[test]
fn hostile_data_sets_are_refused() {
    let encoding = syntax(EXPLICIT_LITTLE_ENDIAN);
    let level = b"\x08\0\x99\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff";
    for bytes in
        [&level.repeat(10_000)[..], b"\x08\0\x95\x11UI\xff\xff1.2", b"\x08\0\x99\x11SQ\0\0\xfe\xff\xff\xff", b"x"]
    {
        let bytes = Bytes::copy_from_slice(bytes);
        assert!(matches!(Request::decode(bytes.clone(), &encoding), Err(Undecodable::Unsound(_))));
        assert!(matches!(Outcome::decode(bytes, &encoding), Err(Undecodable::Unsound(_))));
    }
}

fn uids() -> impl Strategy<Value = String> {
    proptest::collection::vec(0_u32..1_000_000, 1..8)
        .prop_map(|parts| parts.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
}

fn references() -> impl Strategy<Value = Vec<Reference>> {
    let reference = (uids(), uids()).prop_map(|(sop_class, sop_instance)| Reference {
        sop_class: sop_class.parse().unwrap(),
        sop_instance: sop_instance.parse().unwrap(),
    });
    proptest::collection::vec(reference, 1..20)
}

proptest! {
    #[test]
    fn every_outcome_comes_back(
        transaction in uids(), committed in references(), failed in references(),
        codes in proptest::collection::vec(any::<u16>(), 20), encoding in 0_usize..3,
    ) {
        let encoding = syntax(ENCODINGS[encoding]);
        let transaction: TransactionUid = transaction.parse().unwrap();
        let failed = failed.into_iter().zip(codes.into_iter().map(FailureReason::new)).collect();
        let request = Request { transaction: transaction.clone(), references: committed.clone() };
        let outcome = Outcome { transaction, committed, failed };
        prop_assert_eq!(Request::decode(request.encode(&encoding).unwrap().into(), &encoding).unwrap(), request);
        prop_assert_eq!(Outcome::decode(outcome.encode(&encoding).unwrap().into(), &encoding).unwrap(), outcome);
    }

    #[test]
    fn a_changed_or_cut_data_set_is_read_or_refused(
        place in 0_usize..400, octet in any::<u8>(), length in 0_usize..400, encoding in 0_usize..3,
    ) {
        let encoding = syntax(ENCODINGS[encoding]);
        let mut bytes = outcome().encode(&encoding).unwrap();
        let place = place % bytes.len();
        bytes[place] = octet;
        bytes.truncate(length);
        let bytes = Bytes::from(bytes);
        let _ = (Request::decode(bytes.clone(), &encoding), Outcome::decode(bytes, &encoding));
    }
}
