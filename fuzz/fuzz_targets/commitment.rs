//! Any data set of a Storage Commitment is read or refused; one that is read comes back the same from its own encoding.
#![no_main]

use auscult::commitment::{Outcome, Request};
use auscult::ids::TransferSyntaxUid;
use auscult::part10::{EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, data_set)) = bytes.split_first() else { return };
    let encoding = [IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN][usize::from(first % 3)];
    let encoding: TransferSyntaxUid = encoding.parse().unwrap();
    let data_set = Bytes::copy_from_slice(data_set);
    if let Ok(request) = Request::decode(data_set.clone(), &encoding) {
        let again = request.encode(&encoding).unwrap();
        assert_eq!(Request::decode(again.into(), &encoding).unwrap(), request);
    }
    if let Ok(outcome) = Outcome::decode(data_set, &encoding) {
        let again = outcome.encode(&encoding).unwrap();
        assert_eq!(Outcome::decode(again.into(), &encoding).unwrap(), outcome);
    }
});
