//! Instances as they arrive: what is known of them, and that they are here.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::row::{self, INSTANCE, INSTANCE_COLUMNS, instance, integer, natural};
use super::{Ledger, LedgerError, millis};
use crate::digest::{Digest, EarlierDigest};
use crate::ids::{AeTitle, SopInstanceUid};
use crate::instance::{Instance, Urgency};
use crate::part10::Location;

/// An instance whose file is durable under its final name.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Which it is and where it lies.
    pub instance: Instance,
    /// Of its data set.
    pub digest: Digest,
    /// Size of its file.
    pub bytes: u64,
    /// Who sent it.
    pub calling: AeTitle,
    /// When.
    pub received: SystemTime,
    /// How soon it should be looked at.
    pub urgency: Urgency,
    /// What is to become of it.
    pub disposal: Disposal,
}

/// What is to become of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposal {
    /// It leads to a report.
    Report,
    /// It is kept and nothing else.
    Aside,
}

/// What the ledger knows of a content under a SOP Instance UID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing under this UID that counts.
    New,
    /// This very content, waiting or covered by a report.
    Same,
    /// As many other contents, and not this one.
    Other(usize),
}

/// A content under a SOP Instance UID: its digest, and whether it counts.
type Content = (Vec<u8>, bool);

/// An acknowledged instance that no report covers yet.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The instance.
    pub instance: Instance,
    /// How soon its study should be looked at.
    pub urgency: Urgency,
}

/// What the ledger expects of a file in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It is an image that awaits its report, of this many bytes.
    Waiting(u64),
    /// It is kept until its time comes.
    Kept,
    /// Its time had come.
    Gone,
}

impl Ledger {
    /// What is known of a content. Discarded and failed instances do not count: sent again, they get another try.
    /// `earlier` is asked for its earlier digest where a content under this UID was recorded by that.
    pub fn known<E: From<LedgerError>>(
        &self,
        uid: &SopInstanceUid,
        digest: &Digest,
        earlier: impl FnOnce() -> Result<EarlierDigest, E>,
    ) -> Result<Known, E> {
        let contents = self.read("look an instance up", |connection| contents(connection, uid))?;
        match judged(&contents, digest) {
            Known::Same => Ok(Known::Same),
            _ if contents.iter().any(|(known, _)| known.len() == EarlierDigest::OCTETS) => {
                Ok(self.renewed(uid, digest, &earlier()?)?)
            }
            known => Ok(known),
        }
    }

    /// A content that was recorded by its earlier digest is recorded by its digest from now on.
    fn renewed(&self, uid: &SopInstanceUid, digest: &Digest, earlier: &EarlierDigest) -> Result<Known, LedgerError> {
        self.write("renew a digest", |transaction| {
            transaction.execute(
                "UPDATE OR IGNORE instance SET digest = ?3 WHERE sop_instance = ?1 AND digest = ?2",
                params![uid.as_str(), earlier.octets(), digest.octets()],
            )?;
            Ok(judged(&contents(transaction, uid)?, digest))
        })
    }

    /// Records instances, all or none.
    pub fn record<'a>(&self, arrivals: impl IntoIterator<Item = &'a Arrival>) -> Result<(), LedgerError> {
        self.write("record instances", |transaction| {
            arrivals.into_iter().try_for_each(|arrival| {
                let study = open_study(transaction, arrival)?;
                self.put(transaction, study, arrival)
            })
        })
    }

    fn put(&self, transaction: &Transaction, study: i64, arrival: &Arrival) -> rusqlite::Result<()> {
        let Instance { series, sop_class, sop_instance, transfer_syntax, location, .. } = &arrival.instance;
        let state = match arrival.disposal {
            Disposal::Report => "waiting",
            Disposal::Aside => "aside",
        };
        let mut statement = transaction.prepare_cached(
            "INSERT INTO instance (study, series, sop_class, sop_instance, transfer_syntax, digest, bytes, calling,
                                   received_ms, state, kept, file, changed_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'image', ?11, ?9)
             ON CONFLICT (sop_instance, digest) DO UPDATE SET
                 study = excluded.study, bytes = excluded.bytes, calling = excluded.calling,
                 received_ms = excluded.received_ms, state = excluded.state, kept = 'image', file = excluded.file,
                 score = NULL, declined = NULL, algorithm = NULL, changed_ms = excluded.changed_ms",
        )?;
        statement.execute(params![
            study,
            series.as_str(),
            sop_class.as_str(),
            sop_instance.as_str(),
            transfer_syntax.as_str(),
            arrival.digest.octets(),
            integer(arrival.bytes),
            arrival.calling.as_str(),
            millis(arrival.received),
            state,
            self.place(location),
        ])?;
        Ok(())
    }

    /// Every instance that no report covers yet, in the order of arrival.
    pub fn waiting(&self) -> Result<Vec<Waiting>, LedgerError> {
        self.read("list what waits", |connection| {
            let mut statement = connection.prepare(&waiting())?;
            let rows = statement.query_map([], |row| self.as_waiting(row))?;
            rows.collect()
        })
    }

    /// The instances of studies that were revived from outside ([`Ledger::retry`]), each study once.
    pub fn revived(&self) -> Result<Vec<Waiting>, LedgerError> {
        self.write("take up revived studies", |transaction| {
            let waiting = {
                let mut statement = transaction.prepare_cached(&revived())?;
                let rows = statement.query_map([], |row| self.as_waiting(row))?;
                rows.collect::<Result<Vec<_>, _>>()?
            };
            transaction.execute("UPDATE study SET revived = 0 WHERE revived = 1", [])?;
            Ok(waiting)
        })
    }

    fn as_waiting(&self, row: &rusqlite::Row) -> rusqlite::Result<Waiting> {
        Ok(Waiting { instance: instance(self, row)?, urgency: row::urgency(row, INSTANCE_COLUMNS)? })
    }

    /// What is expected of a file that lies in the spool; `None` when no row knows it.
    pub fn held(&self, uid: &SopInstanceUid, location: &Location) -> Result<Option<Held>, LedgerError> {
        let file = self.place(location);
        self.read("look a file up", |connection| {
            let mut statement = connection
                .prepare_cached("SELECT state, kept, bytes FROM instance WHERE sop_instance = ?1 AND file = ?2")?;
            let held = statement.query_row(params![uid.as_str(), file], |row| {
                let (state, kept): (String, String) = (row.get(0)?, row.get(1)?);
                Ok(match (state.as_str(), kept.as_str()) {
                    (_, "nothing") => Held::Gone,
                    ("waiting", _) => Held::Waiting(natural(row, 2)?),
                    _ => Held::Kept,
                })
            });
            held.optional()
        })
    }

    /// An acknowledged image's file is not there any more, or no longer what it was.
    pub fn lost(&self, instance: &Instance, reason: &str, now: SystemTime) -> Result<(), LedgerError> {
        let file = self.place(&instance.location);
        self.write("note a lost file", |transaction| {
            transaction.execute(
                "UPDATE instance SET state = 'failed', kept = 'nothing', changed_ms = ?3
                 WHERE sop_instance = ?1 AND file = ?2",
                params![instance.sop_instance.as_str(), file, millis(now)],
            )?;
            transaction.execute(
                "UPDATE study SET state = 'failed', reason = ?3, changed_ms = ?4 WHERE uid = ?1 AND patient = ?2
                 AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.study = study.id AND i.state = 'waiting')",
                params![instance.study.as_str(), instance.patient.to_string(), reason, millis(now)],
            )?;
            Ok(())
        })
    }
}

pub(super) fn waiting() -> String {
    format!(
        "SELECT {INSTANCE}, s.urgency FROM instance i CROSS JOIN study s
         WHERE s.id = i.study AND i.state = 'waiting' ORDER BY i.received_ms"
    )
}

pub(super) fn revived() -> String {
    format!(
        "SELECT {INSTANCE}, s.urgency FROM study s CROSS JOIN instance i
         WHERE i.study = s.id AND s.revived = 1 AND i.state = 'waiting' ORDER BY i.received_ms"
    )
}

fn contents(connection: &Connection, uid: &SopInstanceUid) -> rusqlite::Result<Vec<Content>> {
    let mut statement = connection.prepare_cached(
        "SELECT digest, state IN ('waiting', 'covered', 'aside') FROM instance WHERE sop_instance = ?1",
    )?;
    let rows = statement.query_map([uid.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn judged(contents: &[Content], digest: &Digest) -> Known {
    match contents.iter().find(|(known, _)| known == digest.octets()) {
        Some((_, true)) => Known::Same,
        None if contents.iter().any(|(_, counts)| *counts) => Known::Other(contents.len()),
        _ => Known::New,
    }
}

/// The study that an instance belongs to, opened by it. A failed one gets another try as a whole.
fn open_study(transaction: &Transaction, arrival: &Arrival) -> rusqlite::Result<i64> {
    let (uid, patient) = (arrival.instance.study.as_str(), arrival.instance.patient.to_string());
    let (urgency, now) = (row::urgency_column(arrival.urgency), millis(arrival.received));
    let known: Option<(i64, String)> = transaction
        .prepare_cached("SELECT id, state FROM study WHERE uid = ?1 AND patient = ?2")?
        .query_row(params![uid, patient], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let leads_to_report = arrival.disposal == Disposal::Report;
    let Some((id, state)) = known else {
        let state = if leads_to_report { "open" } else { "closed" };
        transaction
            .prepare_cached(
                "INSERT INTO study (uid, patient, state, urgency, first_ms, changed_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
            )?
            .execute(params![uid, patient, state, urgency, now])?;
        return Ok(transaction.last_insert_rowid());
    };
    if state == "failed" && leads_to_report {
        transaction.execute(
            "UPDATE instance SET state = 'waiting' WHERE study = ?1 AND state = 'failed' AND kept = 'image'",
            [id],
        )?;
        transaction.execute("UPDATE study SET revived = 1 WHERE id = ?1", [id])?;
    }
    if leads_to_report {
        transaction
            .prepare_cached(
                "UPDATE study SET reason = NULL, urgency = MAX(urgency, ?2), changed_ms = ?3,
                        first_ms = CASE state WHEN 'open' THEN first_ms ELSE ?3 END, state = 'open' WHERE id = ?1",
            )?
            .execute(params![id, urgency, now])?;
    }
    Ok(id)
}
