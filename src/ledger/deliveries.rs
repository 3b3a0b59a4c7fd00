//! The way of each report to each destination: a durable queue per destination, urgent ones first, then oldest first.

use std::path::PathBuf;
use std::time::SystemTime;

use rusqlite::{OptionalExtension, Row, params};

use super::row::{parsed, reference};
use super::{Ledger, LedgerError, millis, moment};
use crate::finding::SopReference;
use crate::ids::{SopInstanceUid, StudyInstanceUid};

/// A report that its destination does not have yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The report.
    pub report: SopReference,
    /// The study it belongs to.
    pub study: StudyInstanceUid,
    /// Its DICOM Part 10 file.
    pub file: PathBuf,
    /// When it was queued.
    pub queued: SystemTime,
    /// How often it was tried.
    pub attempts: u32,
    pub(super) row: i64,
}

#[cfg(test)]
impl Pending {
    /// A report of a study, as a queue gives it.
    pub(crate) fn sample(study: &str, report: &str) -> Self {
        let [series, sop_class] = ["2.25.3", "1.2.840.10008.5.1.4.1.1.88.33"];
        Self {
            report: SopReference {
                series: series.parse().unwrap(),
                sop_class: sop_class.parse().unwrap(),
                sop_instance: report.parse().unwrap(),
            },
            study: study.parse().unwrap(),
            file: format!("outbox/{report}.dcm").into(),
            queued: SystemTime::UNIX_EPOCH,
            attempts: 0,
            row: 1,
        }
    }
}

const PENDING: &str = "r.series, r.sop_class, r.sop_instance, s.uid, r.file, d.queued_ms, d.attempts, r.id";

impl Ledger {
    /// The reports to be tried at `now`, at most `most`: those that wait, and those that their destination has not
    /// committed to keep in time.
    pub fn due(&self, destination: &str, now: SystemTime, most: usize) -> Result<Vec<Pending>, LedgerError> {
        self.read("read a queue", |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {PENDING} FROM delivery d JOIN report r ON r.id = d.report JOIN study s ON s.id = r.study
                 WHERE d.destination = ?1 AND d.state IN ('queued', 'committing') AND d.next_ms <= ?2
                 ORDER BY d.urgency DESC, d.report LIMIT ?3"
            ))?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![destination, millis(now), most], |row| self.pending(row))?;
            rows.collect()
        })
    }

    fn pending(&self, row: &Row) -> rusqlite::Result<Pending> {
        Ok(Pending {
            report: reference(row, 0)?,
            study: parsed(row, 3)?,
            file: self.path(&row.get::<_, String>(4)?),
            queued: moment(row.get(5)?),
            attempts: row.get(6)?,
            row: row.get(7)?,
        })
    }

    /// When the next report of a queue is to be tried.
    pub fn next_due(&self, destination: &str) -> Result<Option<SystemTime>, LedgerError> {
        self.read("read a queue", |connection| {
            let next: Option<i64> = connection
                .prepare_cached(
                    "SELECT MIN(next_ms) FROM delivery WHERE destination = ?1 AND state IN ('queued', 'committing')",
                )?
                .query_row([destination], |row| row.get(0))?;
            Ok(next.map(moment))
        })
    }

    /// Lets every waiting report of a queue be tried at once: the service has just started, or its settings changed.
    pub fn hurry(&self, destination: &str) -> Result<(), LedgerError> {
        self.write("start a queue", |transaction| {
            transaction.execute(
                "UPDATE delivery SET next_ms = 0 WHERE destination = ?1 AND state = 'queued' AND next_ms > 0",
                [destination],
            )
        })?;
        Ok(())
    }

    /// The destination has a report.
    pub fn delivered(
        &self,
        pending: &Pending,
        destination: &str,
        said: &str,
        now: SystemTime,
    ) -> Result<(), LedgerError> {
        self.settle(pending, destination, ("delivered", said), now)
    }

    /// The destination will not get a report.
    pub fn give_up(&self, pending: &Pending, destination: &str, why: &str, now: SystemTime) -> Result<(), LedgerError> {
        self.settle(pending, destination, ("failed", why), now)
    }

    fn settle(
        &self,
        pending: &Pending,
        destination: &str,
        (state, said): (&str, &str),
        now: SystemTime,
    ) -> Result<(), LedgerError> {
        self.write("settle a delivery", |transaction| {
            transaction
                .prepare_cached(
                    "UPDATE delivery SET state = ?3, said = ?4, attempts = attempts + 1, transaction_uid = NULL,
                            changed_ms = ?5
                     WHERE report = ?1 AND destination = ?2 AND state IN ('queued', 'committing')",
                )?
                .execute(params![pending.row, destination, state, said, millis(now)])
        })?;
        Ok(())
    }

    /// A report could not be delivered now; it is tried again at `next`.
    pub fn postpone(
        &self,
        pending: &Pending,
        destination: &str,
        why: &str,
        next: SystemTime,
    ) -> Result<(), LedgerError> {
        self.write("postpone a delivery", |transaction| {
            transaction
                .prepare_cached(
                    "UPDATE delivery SET state = 'queued', said = ?3, attempts = attempts + 1, next_ms = ?4,
                            transaction_uid = NULL
                     WHERE report = ?1 AND destination = ?2 AND state IN ('queued', 'committing')",
                )?
                .execute(params![pending.row, destination, why, millis(next)])
        })?;
        Ok(())
    }

    /// How many reports wait for destinations other than those named, by destination.
    pub fn orphaned(&self, destinations: &[&str]) -> Result<Vec<(String, u64)>, LedgerError> {
        let waiting = self.read("count waiting reports", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT destination, COUNT(*) FROM delivery WHERE state IN ('queued', 'committing')
                 GROUP BY destination",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, super::row::natural(row, 1)?)))?;
            rows.collect::<Result<Vec<_>, _>>()
        })?;
        Ok(waiting.into_iter().filter(|(name, _)| !destinations.contains(&name.as_str())).collect())
    }

    /// Whether a report was made before, wherever it is now.
    pub fn has_report(&self, report: &SopInstanceUid) -> Result<bool, LedgerError> {
        self.read("look a report up", |connection| {
            connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM report WHERE sop_instance = ?1)")?
                .query_row([report.as_str()], |row| row.get(0))
        })
    }

    /// Whether a report's file still belongs to a row.
    pub fn knows_report(&self, file: &std::path::Path) -> Result<bool, LedgerError> {
        let (name, uid) = (self.name(file), file.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        self.read("look a report up", |connection| {
            let known: Option<bool> = connection
                .prepare_cached("SELECT kept = 1 AND file = ?2 FROM report WHERE sop_instance = ?1")?
                .query_row(params![uid, name], |row| row.get(0))
                .optional()?;
            Ok(known.unwrap_or(false))
        })
    }
}
