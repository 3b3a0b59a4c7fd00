//! Any PDU is read or refused, its presentation data values too.
#![no_main]

use auscult::dimse::{Pdu, pdu};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Pdu::Data(values)) = pdu::decode(Bytes::copy_from_slice(bytes)) {
        for value in values {
            let _ = value;
        }
    }
});
