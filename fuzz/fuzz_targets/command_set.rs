//! Any command set is read or refused; one that is read comes back the same from its own encoding.
#![no_main]

use auscult::dimse::{CommandSet, Request, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(set) = CommandSet::decode(bytes) {
        let _ = (Request::decode(&set), Response::decode(&set));
        assert_eq!(CommandSet::decode(&set.encode()).as_ref(), Ok(&set));
    }
});
