//! The conformance statement says what the code does: the transfer syntaxes that are accepted are those that are decoded,
//! and those that it lists.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use auscult::dimse::{sop_class, transfer_syntax};
use auscult::ids::{IMPLEMENTATION_CLASS_UID, SopClassUid};
use auscult::pixels::DECODABLE;
use dicom::transfer_syntax::TransferSyntaxRegistry;

const STATEMENT: &str = include_str!("../docs/conformance.md");

/// The UIDs in the last cells of the table below a heading, whole ones only.
fn listed(heading: &str) -> BTreeSet<&'static str> {
    let section = STATEMENT.split(heading).nth(1).unwrap().split("\n#").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit("| ").next());
    cells.filter(|cell| cell.starts_with("1.2.840.")).collect()
}

fn accepted(uid: &str) -> bool {
    transfer_syntax::choose(&[uid]).is_some_and(|chosen| chosen.as_str() == uid)
}

#[test]
fn what_is_accepted_is_decoded_and_listed() {
    let decoded: BTreeSet<&str> = DECODABLE.iter().copied().collect();
    assert_eq!(listed("### 2.3 Transfer syntaxes"), decoded);
    assert!(decoded.iter().all(|uid| accepted(uid)));
}

#[test]
fn what_is_not_decoded_is_not_accepted() {
    let others = TransferSyntaxRegistry.iter().map(|syntax| syntax.uid()).filter(|uid| !DECODABLE.contains(uid));
    let others: Vec<&str> = others.collect();
    assert!(others.contains(&"1.2.840.10008.1.2.4.100"));
    let taken: Vec<_> = others.into_iter().filter(|uid| accepted(uid)).collect();
    assert!(taken.is_empty(), "{taken:?}");
}

#[test]
fn the_classes_that_are_named_are_those_of_the_code() {
    let is_storage = |uid: &str| sop_class::is_storage(&uid.parse::<SopClassUid>().unwrap());
    for class in ["88.33", "88.22", "88.34", "88.11", "7", "11.1", "88.59", "1", "1.1", "1.1.1"] {
        assert!(is_storage(&format!("1.2.840.10008.5.1.4.1.1.{class}")), "{class}");
    }
    for uid in [sop_class::VERIFICATION, sop_class::STORAGE_COMMITMENT, IMPLEMENTATION_CLASS_UID] {
        assert!(STATEMENT.contains(&format!("| {uid} |")), "{uid}");
    }
}
