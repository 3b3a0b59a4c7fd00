//! The promise, counted at the destinations: whatever was answered 0x0000 is covered by exactly one current report of
//! its study.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use auscult::dimse::Status;

use super::destination::{Destination, Seen};
use super::document::Document;
use super::image::{Fate, Image, Ledger, SMALL};
use super::load::Sender;

/// How long reports may take after the last fault has ended.
const PATIENCE: Duration = Duration::from_secs(120);
/// Faults of one kind that are printed.
const PRINTED: usize = 4;

/// Waits until the promise is kept at every destination, and makes sure that it stays kept once everything on its way
/// has arrived: a study that is sent last must be reported, too, and nothing else may have changed for the worse.
pub fn settled(sender: &Sender, destinations: &[&Destination]) {
    kept(sender, destinations);
    sender.send(&Image::study(&mut fastrand::Rng::new(), &[SMALL]));
    kept(sender, destinations);
}

/// Waits until the promise is kept at every destination; fails with what is wrong when it does not come about.
pub fn kept(sender: &Sender, destinations: &[&Destination]) {
    assert!(sender.ledger.acknowledged() > 0, "nothing was acknowledged: this proves nothing");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen: Vec<Seen> = destinations.iter().map(|destination| destination.seen()).collect();
        let faults: Vec<_> = seen.iter().map(|seen| faults(&sender.ledger, seen)).collect();
        if faults.iter().all(BTreeMap::is_empty) {
            return;
        }
        assert!(Instant::now() < deadline, "after {} s: {}", PATIENCE.as_secs(), told(&sender.ledger, &seen, &faults));
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// What is wrong, by kind.
type Faults = BTreeMap<&'static str, Vec<String>>;

fn told(ledger: &Ledger, seen: &[Seen], faults: &[Faults]) -> String {
    let mut lines = vec![format!("{} of {} images acknowledged", ledger.acknowledged(), ledger.images().len())];
    for (number, (seen, faults)) in seen.iter().zip(faults).enumerate() {
        lines.push(format!("destination {number}: {} stored, {} refused", seen.stored.len(), seen.refused.len()));
        for (kind, cases) in faults {
            lines.push(format!("  {} x {kind}: {}", cases.len(), cases[..cases.len().min(PRINTED)].join("; ")));
        }
    }
    lines.join("\n")
}

/// What is wrong at one destination now. A report that was refused for good counts as delivered: it is where its
/// administrator looks for it.
fn faults(ledger: &Ledger, seen: &Seen) -> Faults {
    let images = ledger.images();
    let mut faults = Faults::new();
    let mut fault = |kind, case: String| faults.entry(kind).or_default().push(case);
    let documents = match distinct(seen) {
        Ok(documents) => documents,
        Err(uid) => {
            fault("another report under a SOP Instance UID in use", uid);
            return faults;
        }
    };
    for document in documents.values() {
        for uid in document.evidence.union(&document.content) {
            match images.get(uid) {
                None | Some((_, Fate::Unsent)) => fault("reference to what was never sent", uid.clone()),
                Some((image, _)) if image.study != document.study || image.patient != document.patient => {
                    fault("report of another patient or study", document.sop_instance.clone());
                }
                Some(_) => {}
            }
        }
        if !document.content.is_subset(&document.evidence) {
            fault("content outside the evidence", document.sop_instance.clone());
        }
    }
    let superseded: BTreeSet<&String> = documents
        .values()
        .flat_map(|document| document.predecessors.iter().filter(|uid| **uid != document.sop_instance))
        .collect();
    let current: Vec<_> = documents.values().filter(|document| !superseded.contains(&document.sop_instance)).collect();
    for ((study, patient), acknowledged) in acknowledged(&images) {
        let mine: Vec<_> =
            current.iter().filter(|document| document.study == study && document.patient == patient).collect();
        match mine.as_slice() {
            [] => fault("no report", study.to_owned()),
            [report] => {
                let lacking = acknowledged.difference(&report.evidence).count();
                if lacking > 0 {
                    let of = acknowledged.len();
                    fault(
                        "current report without an acknowledged image",
                        format!("{study} lacks {lacking} of {of}, follows {}", report.predecessors.len()),
                    );
                }
            }
            several => fault("several current reports", format!("{study} has {}", several.len())),
        }
    }
    faults
}

/// The reports by SOP Instance UID; a UID of two different reports is an error.
fn distinct(seen: &Seen) -> Result<BTreeMap<&String, &Document>, String> {
    let for_good = |status: &Status| !matches!(status.code(), 0xA700..=0xA7FF);
    let refused = seen.refused.iter().filter(|(_, status)| for_good(status)).map(|(document, _)| document);
    let mut documents = BTreeMap::new();
    for document in seen.stored.iter().chain(refused) {
        if documents.insert(&document.sop_instance, document).is_some_and(|other| other != document) {
            return Err(document.sop_instance.clone());
        }
    }
    Ok(documents)
}

/// The acknowledged images of every study and patient.
fn acknowledged(images: &BTreeMap<String, (Image, Fate)>) -> BTreeMap<(&str, &str), BTreeSet<String>> {
    let mut studies = BTreeMap::<_, BTreeSet<String>>::new();
    for (image, _) in images.values().filter(|(_, fate)| *fate == Fate::Acknowledged) {
        let key = (image.study.as_str(), image.patient.as_str());
        studies.entry(key).or_default().insert(image.sop_instance.clone());
    }
    studies
}
