//! The ledger's promises, on a real database.

use std::time::{Duration, SystemTime};

use super::*;
use crate::digest::{Digest, EarlierDigest};
use crate::finding::{Outcome, Probability, Reason, SopReference};
use crate::ids::SopInstanceUid;
use crate::instance::{Instance, PatientKey, Study, Urgency};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

fn second(n: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + n)
}

fn digest(content: &str) -> Digest {
    Digest::of(content.as_bytes())
}

/// What is known of a content that was never recorded by its earlier digest.
fn known(ledger: &Ledger, uid: &SopInstanceUid, digest: &Digest) -> Known {
    let never = || -> Result<EarlierDigest, LedgerError> { panic!("no content here has an earlier digest") };
    ledger.known(uid, digest, never).unwrap()
}

fn arrival(directory: &Path, study: &str, sop: &str, content: &str) -> Arrival {
    let digest = digest(content);
    let instance = Instance {
        study: study.parse().unwrap(),
        series: "1.9".parse().unwrap(),
        sop_class: CT.parse().unwrap(),
        sop_instance: sop.parse().unwrap(),
        patient: PatientKey::new(Some(b"P1"), None),
        transfer_syntax: "1.2.840.10008.1.2".parse().unwrap(),
        location: directory.join(format!("images/{sop}-{digest}.dcm")).into(),
    };
    Arrival {
        instance,
        digest,
        bytes: 10,
        calling: "PACS".parse().unwrap(),
        received: second(0),
        urgency: Urgency::Routine,
        disposal: Disposal::Report,
    }
}

fn study(arrivals: &[&Arrival]) -> Study {
    let instances: Vec<Instance> = arrivals.iter().map(|arrival| arrival.instance.clone()).collect();
    Study { uid: instances[0].study.clone(), patient: instances[0].patient, instances }
}

fn report(directory: &Path, uid: &str) -> NewDocument {
    NewDocument {
        part: Part::Report,
        reference: SopReference {
            series: "2.25.1".parse().unwrap(),
            sop_class: "1.2.840.10008.5.1.4.1.1.88.33".parse().unwrap(),
            sop_instance: uid.parse().unwrap(),
        },
        headline: "AI: nothing flagged".into(),
        file: directory.join(format!("outbox/{uid}.dcm")),
        bytes: 5,
        destinations: vec!["pacs".into(), "archive".into()],
    }
}

fn conclude(ledger: &Ledger, study: &Study, report: Option<NewDocument>, at: SystemTime) {
    let documents = report.into_iter().collect();
    let outcome = Some(Outcome::Analysed(Probability::try_from(0.25).unwrap()));
    let outcomes = study.instances.iter().map(|_| outcome).collect();
    ledger.conclude(&Conclusion { study, outcomes, algorithm: "m 1".into(), documents, at }).unwrap();
}

#[test]
fn an_instance_is_known_by_its_content_and_waits_until_its_study_is_concluded() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let first = arrival(dir.path(), "1.1", "2.1", "a");
    let (uid, patient) = (first.instance.study.clone(), first.instance.patient);
    assert_eq!(known(&ledger, &first.instance.sop_instance, &first.digest), Known::New);
    ledger.record(std::slice::from_ref(&first)).unwrap();
    assert_eq!(known(&ledger, &first.instance.sop_instance, &first.digest), Known::Same);
    assert_eq!(known(&ledger, &first.instance.sop_instance, &digest("b")), Known::Other(1));
    drop(ledger);

    let ledger = Ledger::open(dir.path()).unwrap();
    let waiting: Vec<Instance> = ledger.waiting().unwrap().into_iter().map(|waiting| waiting.instance).collect();
    assert_eq!(waiting, std::slice::from_ref(&first.instance));
    conclude(&ledger, &study(&[&first]), Some(report(dir.path(), "2.25.7")), second(1));
    assert!(ledger.waiting().unwrap().is_empty());
    let dossier = ledger.dossier(&uid, patient).unwrap().unwrap();
    assert!(dossier.waiting.is_empty());
    assert_eq!(dossier.last_report.unwrap().sop_instance.as_str(), "2.25.7");
    let covered = &dossier.covered[0];
    assert_eq!(covered.outcome, Some(Outcome::Analysed(Probability::try_from(0.25).unwrap())));
    assert_eq!((covered.whole, covered.algorithm.as_deref()), (true, Some("m 1")));
}

#[test]
fn outcomes_come_back_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let arrivals = ["2.1", "2.2", "2.3"].map(|sop| arrival(dir.path(), "1.1", sop, sop));
    ledger.record(&arrivals).unwrap();
    let study = study(&arrivals.each_ref());
    let said = [
        Some(Outcome::Analysed(Probability::try_from(0.123_456_789_012_345_6).unwrap())),
        Some(Outcome::NotAnalysed(Reason::LateralView)),
        None,
    ];
    let conclusion = Conclusion {
        study: &study,
        outcomes: said.to_vec(),
        algorithm: "m 1".into(),
        documents: Vec::new(),
        at: second(1),
    };
    ledger.conclude(&conclusion).unwrap();
    let dossier = ledger.dossier(&study.uid, study.patient).unwrap().unwrap();
    let read: Vec<_> = dossier.covered.iter().map(|covered| covered.outcome).collect();
    assert_eq!(read, said);
}

#[test]
fn an_instance_that_came_in_the_meantime_keeps_its_study_open() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let (first, late) = (arrival(dir.path(), "1.1", "2.1", "a"), arrival(dir.path(), "1.1", "2.2", "b"));
    ledger.record(&[first.clone(), late.clone()]).unwrap();
    conclude(&ledger, &study(&[&first]), None, second(1));
    assert_eq!(ledger.at_work(9).unwrap()[0].state, "open");
    conclude(&ledger, &study(&[&first, &late]), None, second(2));
    assert!(ledger.at_work(9).unwrap().is_empty());
    assert_eq!(ledger.latest(9).unwrap()[0].state, "closed");
}

#[test]
fn each_destination_has_a_queue_of_its_own_urgent_first_then_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    for (number, urgency) in [(1, Urgency::Routine), (2, Urgency::Routine), (3, Urgency::Urgent)] {
        let (sop, uid) = (format!("2.{number}"), format!("2.25.{number}"));
        let one = Arrival { urgency, ..arrival(dir.path(), &format!("1.{number}"), &sop, &sop) };
        ledger.record(std::slice::from_ref(&one)).unwrap();
        conclude(&ledger, &study(&[&one]), Some(report(dir.path(), &uid)), second(number));
    }
    let uids = |destination| -> Vec<String> {
        let due = ledger.due(destination, second(10), 9).unwrap();
        due.iter().map(|pending| pending.report.sop_instance.to_string()).collect()
    };
    assert_eq!(uids("pacs"), ["2.25.3", "2.25.1", "2.25.2"]);
    let due = ledger.due("pacs", second(10), 9).unwrap();
    ledger.delivered(&due[0], "pacs", "ok", second(11)).unwrap();
    ledger.postpone(&due[1], "pacs", "busy", second(20)).unwrap();
    ledger.give_up(&due[2], "pacs", "refused", second(11)).unwrap();
    assert_eq!((uids("pacs").len(), uids("archive").len()), (0, 3));
    assert_eq!(ledger.next_due("pacs").unwrap(), Some(second(20)));
    let later = ledger.due("pacs", second(20), 9).unwrap();
    assert_eq!((later[0].attempts, later[0].report.sop_instance.as_str()), (1, "2.25.1"));
    assert_eq!(ledger.orphaned(&["pacs"]).unwrap(), [("archive".to_owned(), 3)]);
}

#[test]
fn a_report_that_was_made_is_not_queued_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let one = arrival(dir.path(), "1.1", "2.1", "a");
    ledger.record(std::slice::from_ref(&one)).unwrap();
    for _ in 0..2 {
        conclude(&ledger, &study(&[&one]), Some(report(dir.path(), "2.25.7")), second(1));
    }
    assert_eq!(ledger.due("pacs", second(2), 9).unwrap().len(), 1);
    assert!(ledger.has_report(&"2.25.7".parse().unwrap()).unwrap());
}

#[test]
fn what_failed_can_be_tried_again_or_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let one = arrival(dir.path(), "1.1", "2.1", "a");
    let uid = one.instance.study.clone();
    ledger.record(std::slice::from_ref(&one)).unwrap();
    ledger.fail(&study(&[&one]), "the report could not be written", second(1)).unwrap();
    let line = ledger.at_work(9).unwrap().remove(0);
    assert_eq!((line.state.as_str(), line.reason.as_deref()), ("failed", Some("the report could not be written")));
    assert!(ledger.revived().unwrap().is_empty());

    assert_eq!(ledger.retry(&uid, second(2)).unwrap(), (1, 0));
    assert_eq!((ledger.revived().unwrap().len(), ledger.revived().unwrap().len()), (1, 0));
    assert_eq!(ledger.waiting().unwrap().len(), 1);
    assert_eq!(ledger.discard(&uid, "a test", second(3)).unwrap(), (1, 0));
    assert!(ledger.waiting().unwrap().is_empty());
    let detail = ledger.details(&uid).unwrap().remove(0);
    assert_eq!((detail.line.state.as_str(), detail.line.reason.as_deref()), ("discarded", Some("a test")));
    assert_eq!(known(&ledger, &one.instance.sop_instance, &one.digest), Known::New);
    assert_eq!(ledger.uncovered_before(second(0), 9).unwrap().len(), 1);
}

#[test]
fn images_may_go_once_every_report_has_arrived_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let one = arrival(dir.path(), "1.1", "2.1", "a");
    ledger.record(std::slice::from_ref(&one)).unwrap();
    assert!(ledger.covered(9).unwrap().is_empty());
    conclude(&ledger, &study(&[&one]), Some(report(dir.path(), "2.25.7")), second(1));
    assert!(ledger.covered_before(second(100), 9).unwrap().is_empty());
    for destination in ["pacs", "archive"] {
        let due = ledger.due(destination, second(2), 9).unwrap();
        ledger.delivered(&due[0], destination, "ok", second(50)).unwrap();
    }
    assert!(ledger.covered_before(second(49), 9).unwrap().is_empty());
    let done = ledger.covered_before(second(50), 9).unwrap();
    assert_eq!((done.len(), ledger.kept_bytes().unwrap()), (1, 10));
    let header = dir.path().join("headers/2.1.dcm");
    ledger.let_go(&[(done[0].clone(), Some(header.clone()))]).unwrap();
    assert_eq!(ledger.kept_bytes().unwrap(), 0);
    let dossier = ledger.dossier(&one.instance.study, one.instance.patient).unwrap().unwrap();
    assert_eq!((dossier.covered[0].whole, &dossier.covered[0].instance.location), (false, &header.into()));
    let reports = ledger.reports_before(second(50), second(0), 9).unwrap();
    ledger.let_go(&[(reports[0].clone(), None)]).unwrap();
    assert_eq!(ledger.forget_before(second(100), 9).unwrap(), 0, "its header is still there");
    let headers = ledger.headers_before(second(100), 9).unwrap();
    ledger.let_go(&[(headers[0].clone(), None)]).unwrap();
    assert_eq!(ledger.forget_before(second(100), 9).unwrap(), 1);
    assert_eq!(known(&ledger, &one.instance.sop_instance, &one.digest), Known::New);
}

#[test]
fn a_content_of_an_earlier_version_is_known_when_it_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let earlier =
        |content: &'static str| move || Ok::<_, LedgerError>(EarlierDigest::read(content.as_bytes()).unwrap());
    let one = arrival(dir.path(), "1.1", "2.1", "a");
    let uid = one.instance.sop_instance.clone();
    ledger.record([&one]).unwrap();
    let octets = EarlierDigest::read(b"a".as_slice()).unwrap();
    Connection::open(dir.path().join("ledger.db"))
        .unwrap()
        .execute("UPDATE instance SET digest = ?1", [octets.octets()])
        .unwrap();

    assert_eq!(ledger.known(&uid, &digest("b"), earlier("b")).unwrap(), Known::Other(1));
    assert_eq!(ledger.known(&uid, &one.digest, earlier("a")).unwrap(), Known::Same);
    assert_eq!(known(&ledger, &uid, &one.digest), Known::Same, "from now on by its digest");
    assert_eq!(known(&ledger, &uid, &digest("b")), Known::Other(1));
}

#[test]
fn a_later_schema_is_refused_and_a_damaged_ledger_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(NAME);
    drop(Ledger::open(dir.path()).unwrap());
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let message = Ledger::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("schema 99") && message.contains("later version"), "{message}");

    std::fs::write(&path, "no database at all, but long enough to be taken for one".repeat(100)).unwrap();
    assert!(Ledger::open(dir.path()).unwrap().waiting().unwrap().is_empty());
    let kept = std::fs::read_dir(dir.path()).unwrap().flatten();
    assert!(kept.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("ledger.db.damaged-")));
}

#[test]
fn what_another_process_wrote_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Ledger::beside(dir.path()), Err(LedgerError::Missing { .. })));
    let ledger = Ledger::open(dir.path()).unwrap();
    assert!(!ledger.changed_elsewhere().unwrap());
    let one = arrival(dir.path(), "1.1", "2.1", "a");
    ledger.record(std::slice::from_ref(&one)).unwrap();
    assert!(!ledger.changed_elsewhere().unwrap());
    Ledger::beside(dir.path()).unwrap().at_work(9).unwrap();
    assert!(!ledger.changed_elsewhere().unwrap(), "looking changes nothing");
    Ledger::beside(dir.path()).unwrap().discard(&one.instance.study, "a test", second(1)).unwrap();
    assert!(ledger.changed_elsewhere().unwrap());
    assert!(!ledger.changed_elsewhere().unwrap());
}

#[test]
fn what_is_asked_all_day_never_reads_a_table_from_end_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let questions = [
        overview::at_work(),
        arrivals::waiting(),
        arrivals::revived(),
        keeping::covered_before(),
        keeping::uncovered_before(),
        keeping::HOLDS_IMAGES.to_owned(),
        keeping::waiting_in(),
    ];
    for sql in questions {
        let plan = ledger.read("explain", |connection| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let unbound = statement.parameter_count();
            let rows = statement.query_map(rusqlite::params_from_iter(vec![1; unbound]), |row| row.get(3))?;
            rows.collect::<Result<Vec<String>, _>>()
        });
        let plan = plan.unwrap();
        let whole = |step: &&String| step.starts_with("SCAN") && !step.ends_with("work");
        assert_eq!(plan.iter().find(whole), None, "{sql}\n{plan:#?}");
    }
}

#[test]
fn companions_go_along_and_never_stand_for_their_study() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let one = Arrival { urgency: Urgency::Urgent, ..arrival(dir.path(), "1.1", "2.1", "a") };
    ledger.record([&one]).unwrap();
    let study = study(&[&one]);
    let to = |part, uid, destination: &str| NewDocument {
        part,
        destinations: vec![destination.into()],
        ..report(dir.path(), uid)
    };
    let documents = vec![
        to(Part::Report, "2.25.7", "pacs"),
        to(Part::Companion, "2.25.8", "pacs"),
        to(Part::Message, "2.25.9", "ris"),
    ];
    let conclusion =
        Conclusion { study: &study, outcomes: vec![None], algorithm: "m 1".into(), documents, at: second(1) };
    ledger.conclude(&conclusion).unwrap();
    let standing = ledger.dossier(&study.uid, study.patient).unwrap().unwrap().last_report.unwrap();
    assert_eq!(standing.sop_instance.as_str(), "2.25.7");
    let due = |destination| {
        let due = ledger.due(destination, second(2), 9).unwrap();
        due.into_iter().map(|pending| pending.report.sop_instance.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((due("pacs"), due("ris")), (vec!["2.25.7".to_owned(), "2.25.8".to_owned()], vec!["2.25.9".to_owned()]));
}
