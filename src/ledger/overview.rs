//! What the queue looks like, for people: studies at work, and everything about one of them.

use std::time::SystemTime;

use rusqlite::{Connection, Row, params};

use super::row::{self, natural, parsed};
use super::{Ledger, LedgerError, moment};
use crate::ids::{SopClassUid, SopInstanceUid, StudyInstanceUid};
use crate::instance::{PatientKey, Urgency};

/// One study in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyLine {
    /// Study Instance UID.
    pub study: StudyInstanceUid,
    /// Whose it is; two patients under one UID are two lines.
    pub patient: PatientKey,
    /// `open`, `closed`, `failed` or `discarded`.
    pub state: String,
    /// Why it failed or was discarded.
    pub reason: Option<String>,
    /// How soon it should be looked at.
    pub urgency: Urgency,
    /// When its first image came.
    pub first: SystemTime,
    /// When something last happened to it.
    pub changed: SystemTime,
    /// Images of it, those no longer on disk included.
    pub images: u64,
    /// Images that no report covers.
    pub waiting: u64,
    /// Deliveries that are to be done.
    pub to_deliver: u64,
    /// Deliveries that were given up.
    pub undelivered: u64,
}

/// What stands still, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Troubles {
    /// Studies with images that could not be reported.
    pub failed: u64,
    /// Deliveries that were given up.
    pub undelivered: u64,
    /// Destinations that reports wait for.
    pub lines: Vec<Line>,
}

/// The reports that wait for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The destination.
    pub destination: String,
    /// How many wait.
    pub waiting: u64,
    /// How many of them have been tried.
    pub tried: u64,
    /// When the oldest of them was queued.
    pub oldest: SystemTime,
}

/// One image of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageLine {
    /// SOP Instance UID.
    pub sop_instance: SopInstanceUid,
    /// SOP Class UID.
    pub sop_class: SopClassUid,
    /// `waiting`, `covered`, `failed`, `aside` or `discarded`.
    pub state: String,
    /// `image`, `header` or `nothing`: what is on disk.
    pub kept: String,
    /// Its file in the state directory.
    pub file: String,
    /// Who sent it.
    pub calling: String,
    /// When.
    pub received: SystemTime,
    /// Size.
    pub bytes: u64,
    /// The model's score, 0 to 1.
    pub score: Option<f64>,
    /// Why there is none.
    pub declined: Option<String>,
}

/// One report of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportLine {
    /// SOP Instance UID.
    pub sop_instance: SopInstanceUid,
    /// Its answer in a few words.
    pub headline: String,
    /// When it was made.
    pub created: SystemTime,
    /// Its file in the state directory, while it is there.
    pub file: Option<String>,
    /// Its deliveries.
    pub deliveries: Vec<DeliveryLine>,
}

/// One delivery of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryLine {
    /// The destination.
    pub destination: String,
    /// `queued`, `committing`, `delivered`, `failed` or `discarded`.
    pub state: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What the destination said last, or why it was not reached.
    pub said: Option<String>,
    /// When it is tried next, if it is.
    pub next: Option<SystemTime>,
    /// When it was queued or settled.
    pub changed: SystemTime,
}

/// Everything about one study.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyDetail {
    /// The study.
    pub line: StudyLine,
    /// Its images, in the order of arrival.
    pub images: Vec<ImageLine>,
    /// Its reports, in the order they were made; the last one stands.
    pub reports: Vec<ReportLine>,
}

const LINE: &str = "s.uid, s.patient, s.state, s.reason, s.urgency, s.first_ms, s.changed_ms,
    (SELECT COUNT(*) FROM instance i WHERE i.study = s.id),
    (SELECT COUNT(*) FROM instance i WHERE i.study = s.id AND i.state = 'waiting'),
    (SELECT COUNT(*) FROM report r JOIN delivery d ON d.report = r.id
      WHERE r.study = s.id AND d.state IN ('queued', 'committing')),
    (SELECT COUNT(*) FROM report r JOIN delivery d ON d.report = r.id
      WHERE r.study = s.id AND d.state = 'failed'), s.id";

impl Ledger {
    /// The studies that are not done: without a report, or with one that did not arrive everywhere; oldest first.
    pub fn at_work(&self, most: usize) -> Result<Vec<StudyLine>, LedgerError> {
        self.lines(&at_work(), most)
    }

    /// The studies that something happened to last, latest first.
    pub fn latest(&self, most: usize) -> Result<Vec<StudyLine>, LedgerError> {
        self.lines(&format!("SELECT {LINE} FROM study s ORDER BY s.changed_ms DESC LIMIT ?1"), most)
    }

    /// What stands still.
    pub fn troubles(&self) -> Result<Troubles, LedgerError> {
        self.read("count what stands still", |connection| {
            let count = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| natural(row, 0));
            let failed = count("SELECT COUNT(*) FROM study WHERE state = 'failed'")?;
            let undelivered = count("SELECT COUNT(*) FROM delivery WHERE state = 'failed'")?;
            let mut statement = connection.prepare_cached(
                "SELECT destination, COUNT(*), SUM(attempts > 0), MIN(queued_ms) FROM delivery
                 WHERE state IN ('queued', 'committing') GROUP BY destination",
            )?;
            let lines = statement.query_map([], |row| {
                Ok(Line {
                    destination: row.get(0)?,
                    waiting: natural(row, 1)?,
                    tried: natural(row, 2)?,
                    oldest: moment(row.get(3)?),
                })
            })?;
            Ok(Troubles { failed, undelivered, lines: lines.collect::<Result<_, _>>()? })
        })
    }

    fn lines(&self, sql: &str, most: usize) -> Result<Vec<StudyLine>, LedgerError> {
        self.read("list studies", |connection| {
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([i64::try_from(most).unwrap_or(i64::MAX)], line)?;
            rows.collect()
        })
    }

    /// Everything about a Study Instance UID: one entry per patient, usually one.
    pub fn details(&self, study: &StudyInstanceUid) -> Result<Vec<StudyDetail>, LedgerError> {
        self.read("read a study", |connection| {
            let mut statement = connection.prepare(&format!("SELECT {LINE} FROM study s WHERE s.uid = ?1"))?;
            let rows = statement.query_map([study.as_str()], |row| Ok((line(row)?, row.get::<_, i64>(11)?)))?;
            let studies = rows.collect::<Result<Vec<_>, _>>()?;
            let detail = |(line, id)| {
                Ok(StudyDetail { line, images: images(connection, id)?, reports: reports(connection, id)? })
            };
            studies.into_iter().map(detail).collect()
        })
    }
}

/// Begins with the few studies that are at work, however many are finished.
pub(super) fn at_work() -> String {
    format!(
        "WITH work (id) AS (SELECT id FROM study WHERE state IN ('open', 'failed')
                            UNION SELECT r.study FROM delivery d CROSS JOIN report r
                            WHERE r.id = d.report AND d.state IN ('queued', 'committing', 'failed'))
         SELECT {LINE} FROM work CROSS JOIN study s WHERE s.id = work.id
         ORDER BY s.urgency DESC, s.first_ms LIMIT ?1"
    )
}

fn line(row: &Row) -> rusqlite::Result<StudyLine> {
    Ok(StudyLine {
        study: parsed(row, 0)?,
        patient: parsed(row, 1)?,
        state: row.get(2)?,
        reason: row.get(3)?,
        urgency: row::urgency(row, 4)?,
        first: moment(row.get(5)?),
        changed: moment(row.get(6)?),
        images: natural(row, 7)?,
        waiting: natural(row, 8)?,
        to_deliver: natural(row, 9)?,
        undelivered: natural(row, 10)?,
    })
}

fn images(connection: &Connection, study: i64) -> rusqlite::Result<Vec<ImageLine>> {
    let mut statement = connection.prepare(
        "SELECT sop_instance, sop_class, state, kept, file, calling, received_ms, bytes, score, declined
         FROM instance WHERE study = ?1 ORDER BY id",
    )?;
    let rows = statement.query_map([study], |row| {
        Ok(ImageLine {
            sop_instance: parsed(row, 0)?,
            sop_class: parsed(row, 1)?,
            state: row.get(2)?,
            kept: row.get(3)?,
            file: row.get(4)?,
            calling: row.get(5)?,
            received: moment(row.get(6)?),
            bytes: natural(row, 7)?,
            score: row.get(8)?,
            declined: row.get(9)?,
        })
    })?;
    rows.collect()
}

fn reports(connection: &Connection, study: i64) -> rusqlite::Result<Vec<ReportLine>> {
    let mut statement = connection.prepare(
        "SELECT sop_instance, headline, created_ms, file, kept, id FROM report WHERE study = ?1 ORDER BY id",
    )?;
    let rows = statement.query_map([study], |row| {
        let kept: bool = row.get(4)?;
        Ok(ReportLine {
            sop_instance: parsed(row, 0)?,
            headline: row.get(1)?,
            created: moment(row.get(2)?),
            file: if kept { row.get(3)? } else { None },
            deliveries: deliveries(connection, row.get(5)?)?,
        })
    })?;
    rows.collect()
}

fn deliveries(connection: &Connection, report: i64) -> rusqlite::Result<Vec<DeliveryLine>> {
    let mut statement = connection.prepare(
        "SELECT destination, state, attempts, said, next_ms, changed_ms FROM delivery
         WHERE report = ?1 ORDER BY destination",
    )?;
    let rows = statement.query_map(params![report], |row| {
        let (state, next): (String, i64) = (row.get(1)?, row.get(4)?);
        let is_open = matches!(state.as_str(), "queued" | "committing");
        Ok(DeliveryLine {
            destination: row.get(0)?,
            state,
            attempts: row.get(2)?,
            said: row.get(3)?,
            next: is_open.then(|| moment(next)),
            changed: moment(row.get(5)?),
        })
    })?;
    rows.collect()
}
