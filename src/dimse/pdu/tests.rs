//! PDUs that go and come back, and bytes that are none.

use super::*;
use proptest::prelude::*;

fn request() -> AssociationRQ {
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: "PACS".into(),
        called_ae_title: "AUSCULT".into(),
        application_context_name: crate::dimse::APPLICATION_CONTEXT.into(),
        presentation_contexts: vec![ul::PresentationContextProposed {
            id: 1,
            abstract_syntax: "1.2.840.10008.1.1".into(),
            transfer_syntaxes: vec!["1.2.840.10008.1.2".into()],
        }],
        user_variables: vec![ul::UserVariableItem::MaxLength(16_384)],
    }
}

#[test]
fn control_pdus_come_back_as_they_went() {
    for pdu in [Pdu::ReleaseRq, Pdu::ReleaseRp, Pdu::Abort(Abort::UNEXPECTED_PDU), Pdu::AssociateRq(request())] {
        assert_eq!(decode(encode(&pdu).unwrap().into()), Ok(pdu));
    }
}

#[test]
fn items_of_unknown_type_are_skipped() {
    let mut bytes = encode(&Pdu::AssociateRq(request())).unwrap();
    bytes.extend([0x77, 0, 0, 2, 1, 2]);
    let length = u32::try_from(bytes.len() - HEADER_BYTES).unwrap();
    bytes[2..6].copy_from_slice(&length.to_be_bytes());
    assert_eq!(decode(bytes.into()), Ok(Pdu::AssociateRq(request())));
}

#[test]
fn a_refused_context_needs_no_transfer_syntax() {
    let mut bytes = encode(&Pdu::AssociateRq(request())).unwrap()[..BEFORE_ITEMS].to_vec();
    bytes[0] = 2;
    bytes.extend([0x10, 0, 0, 3, b'1', b'.', b'2', 0x21, 0, 0, 4, 1, 0, 3, 0]);
    let length = u32::try_from(bytes.len() - HEADER_BYTES).unwrap();
    bytes[2..6].copy_from_slice(&length.to_be_bytes());
    let Ok(Pdu::AssociateAc(accept)) = decode(bytes.into()) else { panic!() };
    let [context] = &accept.presentation_contexts[..] else { panic!() };
    assert_eq!(context.reason, ul::PresentationContextResultReason::AbstractSyntaxNotSupported);
}

#[test]
fn lengths_are_bounded_by_type() {
    let declared = |kind: u8, length: u32| {
        let [a, b, c, d] = length.to_be_bytes();
        header([kind, 0, a, b, c, d], 1000)
    };
    assert_eq!(declared(4, 1000), Ok((4, 1000)));
    assert!(matches!(declared(4, 1001), Err(PduError::TooLong { bound: 1000, .. })));
    assert!(declared(1, 100_000).is_ok() && declared(1, u32::MAX).is_err() && declared(5, 65).is_err());
    assert_eq!(declared(0x16, 4).unwrap_err().abort(), Abort::UNRECOGNIZED_PDU);
}

#[test]
fn what_a_peer_takes_is_respected() {
    let announced = |length| largest_to_send(&[ul::UserVariableItem::MaxLength(length)]);
    assert_eq!([0, 1, 15, 16, 16_384].map(announced), [Some(OUR_LARGEST), None, None, Some(16), Some(16_384)]);
    assert_eq!((announced(u32::MAX), largest_to_send(&[])), (Some(OUR_LARGEST), Some(16_384)));
}

#[test]
fn a_malformed_pdu_is_told_without_the_peers_words() {
    let mut bytes = encode(&Pdu::AssociateRq(request())).unwrap();
    bytes[0] = 2;
    let message = decode(bytes.into()).unwrap_err().to_string();
    assert_eq!(message, "a PDU of type 02 is malformed: an item does not belong in it");
}

proptest! {
    #[test]
    fn any_bytes_are_a_pdu_or_refused(kind in 0_u8..9, body in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Pdu::Data(values)) = decode(framed(kind, &body).into()) {
            prop_assert!(values.count() <= body.len());
        }
        let _ = decode(body.into());
    }

    #[test]
    fn an_association_request_with_any_octet_changed_does_not_panic(place in 0_usize..200, octet in any::<u8>()) {
        let mut bytes = encode(&Pdu::AssociateRq(request())).unwrap();
        let place = place % bytes.len();
        bytes[place] = octet;
        let _ = decode(bytes.into());
    }

    #[test]
    fn a_message_in_fragments_is_whole_again(
        message in proptest::collection::vec(any::<u8>(), 0..3000),
        largest in 7_u32..1000,
    ) {
        let mut sent = Vec::new();
        put_data(&mut sent, 3, Part::DataSet, &message, Ending::Last, largest);
        let (mut sent, mut whole, mut ended) = (Bytes::from(sent), Vec::new(), 0);
        while !sent.is_empty() {
            let (kind, length) = header(*sent.first_chunk().unwrap(), largest).unwrap();
            let Ok(Pdu::Data(values)) = decode(sent.split_to(HEADER_BYTES + length)) else { panic!() };
            for value in values.map(Result::unwrap) {
                prop_assert_eq!((kind, value.context, value.part), (4, 3, Part::DataSet));
                whole.extend(value.fragment);
                ended += u32::from(value.last);
            }
        }
        prop_assert_eq!((whole, ended), (message, 1));
    }
}
