//! Does the ledger stay as fast with a million finished studies as it is when empty? `cargo bench --bench ledger`
//!
//! Prints medians of what intake and `auscult queue list` ask of it, for an empty ledger and for a full one, in
//! alternating rounds, and their ratio.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on fails, and prints its figures"
)]

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use auscult::config;
use auscult::digest::{Digest, EarlierDigest};
use auscult::instance::{Instance, PatientKey, Urgency};
use auscult::ledger::{Arrival, Disposal, Ledger, LedgerError};
use auscult::spool::{Announced, Expected, Spool};
use rusqlite::Connection;

/// Finished studies of the full ledger, unless `BENCH_STUDIES` says otherwise.
const STUDIES: u64 = 1_000_000;
/// Alternating rounds.
const ROUNDS: usize = 9;
/// Instances that are committed together, as by eight associations.
const GROUP: u64 = 8;
/// Groups of one round.
const GROUPS: u64 = 50;
/// Objects of each sender in one round.
const OBJECTS: u64 = 25;
const CLASS: &str = "1.2.840.10008.5.1.4.1.1.1.1";

fn main() {
    let studies = std::env::var("BENCH_STUDIES").ok().and_then(|text| text.parse().ok()).unwrap_or(STUDIES);
    let directories = [tempfile::tempdir_in("target").unwrap(), tempfile::tempdir_in("target").unwrap()];
    let [_, full] = directories.each_ref().map(|directory| directory.path().to_owned());
    drop(Ledger::open(&full).unwrap());
    let began = Instant::now();
    fill(&full.join("ledger.db"), studies);
    let size = std::fs::metadata(full.join("ledger.db")).unwrap().len();
    println!("{studies} finished studies: {} MB, made in {:.0} s", size / 1_000_000, began.elapsed().as_secs_f64());

    let settings = config::Spool { min_free_mib: 0, ..config::Spool::default() };
    let spools = directories.each_ref().map(|directory| Spool::open(directory.path(), &settings).unwrap().0);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut times: [[Vec<Duration>; 2]; 3] = Default::default();
    for round in 0..ROUNDS {
        for (which, (spool, directory)) in spools.iter().zip(&directories).enumerate() {
            times[0][which].push(runtime.block_on(receive(spool, round as u64)));
            times[1][which].push(record(spool.ledger(), directory.path(), round as u64));
            times[2][which].push(timed(|| drop(spool.ledger().at_work(100).unwrap())));
            discard(spool.ledger());
        }
    }
    for (what, times) in
        ["intake, per object of 130 KB", "of it in the ledger", "queue list, 600 at work"].iter().zip(times)
    {
        let [empty, full] = times.map(median);
        let ratio = full.as_secs_f64() / empty.as_secs_f64();
        println!("{what:<30} empty {empty:>10.1?}  full {full:>10.1?}  ratio {ratio:.2}");
    }
}

/// The whole intake of 130 KB objects from eight senders, by what each object takes.
async fn receive(spool: &Spool, round: u64) -> Duration {
    let began = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..GROUP {
        let spool = spool.clone();
        senders.spawn(async move {
            for number in 0..OBJECTS {
                let uid = format!("1.2.840.99999.8.{round}.{sender}.{number}");
                let announced = Announced {
                    sop_class: CLASS.parse().unwrap(),
                    sop_instance: uid.parse().unwrap(),
                    transfer_syntax: "1.2.840.10008.1.2".parse().unwrap(),
                    calling: "PACS".parse().unwrap(),
                    urgency: Urgency::Routine,
                };
                let mut incoming = spool.receive(announced, Expected::Small);
                incoming.gather(data_set(&uid).into());
                incoming.commit().await.unwrap();
            }
        });
    }
    senders.join_all().await;
    began.elapsed() / u32::try_from(GROUP * OBJECTS).unwrap()
}

/// Implicit VR little endian.
fn data_set(uid: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let study = format!("{uid}.1");
    for (group, element, value) in
        [(8_u16, 0x16_u16, CLASS), (8, 0x18, uid), (0x10, 0x20, uid), (0x20, 0x0D, study.as_str()), (0x20, 0x0E, uid)]
    {
        let padded = format!("{value}{}", if value.len() % 2 == 1 { "\0" } else { "" });
        bytes.extend([group.to_le_bytes(), element.to_le_bytes()].concat());
        bytes.extend(u32::try_from(padded.len()).unwrap().to_le_bytes());
        bytes.extend(padded.as_bytes());
    }
    bytes.extend([0xE0, 0x7F, 0x10, 0]);
    bytes.extend(130_000_u32.to_le_bytes());
    bytes.extend(vec![7; 130_000]);
    bytes
}

/// What intake asks of the ledger alone: is it known, and now it is.
fn record(ledger: &Ledger, directory: &Path, round: u64) -> Duration {
    let spent = timed(|| {
        for group in 0..GROUPS {
            let number = (round * GROUPS + group) * GROUP;
            let arrivals: Vec<Arrival> = (0..GROUP).map(|member| arrival(directory, number + member)).collect();
            for arrival in &arrivals {
                let earlier = || -> Result<EarlierDigest, LedgerError> {
                    unreachable!("every content is recorded by its digest")
                };
                ledger.known(&arrival.instance.sop_instance, &arrival.digest, earlier).unwrap();
            }
            ledger.record(&arrivals).unwrap();
        }
    });
    spent / u32::try_from(GROUP * GROUPS).unwrap()
}

/// Ends the round's studies, so that the next one begins as this one did.
fn discard(ledger: &Ledger) {
    for waiting in ledger.waiting().unwrap() {
        ledger.discard(&waiting.instance.study, "benchmark", SystemTime::now()).unwrap();
    }
}

fn arrival(directory: &Path, number: u64) -> Arrival {
    let uid = format!("1.2.840.99999.7.{}.{number}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let digest = Digest::of(uid.as_bytes());
    Arrival {
        instance: Instance {
            study: format!("{uid}.1").parse().unwrap(),
            series: format!("{uid}.2").parse().unwrap(),
            sop_class: CLASS.parse().unwrap(),
            sop_instance: uid.parse().unwrap(),
            patient: PatientKey::new(Some(uid.as_bytes()), None),
            transfer_syntax: "1.2.840.10008.1.2.1".parse().unwrap(),
            location: directory.join(format!("images/{uid}-{digest}.dcm")).into(),
        },
        digest,
        bytes: 130_000,
        calling: "PACS".parse().unwrap(),
        received: SystemTime::now(),
        urgency: Urgency::Routine,
        disposal: Disposal::Report,
    }
}

/// Finished studies of one image, one report and one delivery each, over the last year.
fn fill(path: &Path, studies: u64) {
    let connection = Connection::open(path).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let age = format!("{now} - n * 31536000000 / {studies}");
    let uid = "'1.2.840.99999.' || (n * 2654435761 % 4294967296) || '.' || n";
    let numbers = format!("WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {studies})");
    connection
        .execute_batch(&format!(
            "BEGIN;
             {numbers} INSERT INTO study (id, uid, patient, state, urgency, first_ms, changed_ms)
                 SELECT n, {uid}, printf('%016x', n * 7919), 'closed', 0, {age}, {age} FROM c;
             {numbers} INSERT INTO instance (id, study, series, sop_class, sop_instance, transfer_syntax, digest, bytes,
                     calling, received_ms, state, kept, file, score, algorithm, changed_ms)
                 SELECT n, n, {uid} || '.2', '1.2.840.10008.5.1.4.1.1.1.1', {uid} || '.1', '1.2.840.10008.1.2.1',
                     randomblob(16), 15000000, 'PACS', {age}, 'covered', 'nothing',
                     'images/' || {uid} || '-' || hex(randomblob(16)) || '.dcm', 0.2, 'm 1', {age} FROM c;
             {numbers} INSERT INTO report (id, study, series, sop_class, sop_instance, headline, file, kept, bytes,
                     created_ms)
                 SELECT n, n, '2.25.' || n, '1.2.840.10008.5.1.4.1.1.88.33', '2.25.1' || (n * 2654435761),
                     'AI: nothing flagged', 'outbox/2.25.1' || n || '.dcm', 0, 9000, {age} FROM c;
             {numbers} INSERT INTO delivery (report, destination, state, urgency, queued_ms, next_ms, attempts, said,
                     changed_ms)
                 SELECT n, 'pacs', 'delivered', 0, {age}, 0, 1, '0x0000 (success)', {age} FROM c;
             COMMIT;"
        ))
        .unwrap();
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
