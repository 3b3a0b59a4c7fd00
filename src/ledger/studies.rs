//! Studies: what a report is made of, and what became of it.

use std::path::PathBuf;
use std::time::SystemTime;

use rusqlite::{OptionalExtension, Transaction, params};

use super::row::{self, INSTANCE, INSTANCE_COLUMNS, instance, integer, outcome, outcome_columns, reference};
use super::{Ledger, LedgerError, millis};
use crate::finding::{Outcome, SopReference};
use crate::ids::StudyInstanceUid;
use crate::instance::{Instance, PatientKey, Study, Urgency};

/// Everything that is known of one study of one patient.
#[derive(Debug, Clone)]
pub struct Dossier {
    /// How soon it should be looked at.
    pub urgency: Urgency,
    /// Instances that no report covers yet, in the order of arrival; a later content under the same UID follows an
    /// earlier one.
    pub waiting: Vec<Instance>,
    /// Instances that the last report covers.
    pub covered: Vec<Covered>,
    /// The report that stands.
    pub last_report: Option<SopReference>,
}

/// An instance that a report covers.
#[derive(Debug, Clone)]
pub struct Covered {
    /// The instance. Its file may end before the pixels.
    pub instance: Instance,
    /// Whether its file is still there, pixels included.
    pub whole: bool,
    /// Whether at least its header is still there.
    pub readable: bool,
    /// What was said of it; `None` when it was not offered to the model.
    pub outcome: Option<Outcome>,
    /// Name, version and digest of the model that said so.
    pub algorithm: Option<String>,
}

/// What a study came to.
#[derive(Debug)]
pub struct Conclusion<'a> {
    /// The study, with every instance that is now covered.
    pub study: &'a Study,
    /// What was said of each of these, in the same order.
    pub outcomes: Vec<Option<Outcome>>,
    /// Name, version and digest of the model.
    pub algorithm: String,
    /// Its report, if there is one, and what goes along with it, in the order in which they are sent.
    pub documents: Vec<NewDocument>,
    /// When.
    pub at: SystemTime,
}

/// A document whose file is durable.
#[derive(Debug)]
pub struct NewDocument {
    /// The document.
    pub reference: SopReference,
    /// What it is to its study.
    pub part: Part,
    /// Its answer in a few words.
    pub headline: String,
    /// Its file.
    pub file: PathBuf,
    /// Size of the file.
    pub bytes: u64,
    /// Where it goes.
    pub destinations: Vec<String>,
}

/// What a document is to its study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The report: the last one stands, and the next one names it.
    Report,
    /// It goes along with a report.
    Companion,
    /// It tells of a report, and messages arrive in the order in which they were made, however urgent their study is.
    Message,
}

impl Ledger {
    /// What is known of a study; `None` when nothing is.
    pub fn dossier(&self, study: &StudyInstanceUid, patient: PatientKey) -> Result<Option<Dossier>, LedgerError> {
        self.read("read a study", |connection| {
            let key = params![study.as_str(), patient.to_string()];
            let known: Option<(i64, Urgency)> = connection
                .prepare_cached("SELECT id, urgency FROM study WHERE uid = ?1 AND patient = ?2")?
                .query_row(key, |row| Ok((row.get(0)?, row::urgency(row, 1)?)))
                .optional()?;
            let Some((id, urgency)) = known else { return Ok(None) };
            let last_report = connection
                .prepare_cached(
                    "SELECT series, sop_class, sop_instance FROM report WHERE study = ?1 AND companion = 0
                     ORDER BY id DESC LIMIT 1",
                )?
                .query_row([id], |row| reference(row, 0))
                .optional()?;
            let mut dossier = Dossier { urgency, waiting: Vec::new(), covered: Vec::new(), last_report };
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {INSTANCE}, i.state, i.kept, i.score, i.declined, i.algorithm
                 FROM instance i JOIN study s ON s.id = i.study
                 WHERE i.study = ?1 AND i.state IN ('waiting', 'covered') ORDER BY i.received_ms, i.id"
            ))?;
            let mut rows = statement.query([id])?;
            while let Some(row) = rows.next()? {
                let instance = instance(self, row)?;
                let (state, kept): (String, String) = (row.get(INSTANCE_COLUMNS)?, row.get(INSTANCE_COLUMNS + 1)?);
                match state.as_str() {
                    "waiting" => dossier.waiting.push(instance),
                    _ => dossier.covered.push(Covered {
                        instance,
                        whole: kept == "image",
                        readable: kept != "nothing",
                        outcome: outcome(row, INSTANCE_COLUMNS + 2)?,
                        algorithm: row.get(INSTANCE_COLUMNS + 4)?,
                    }),
                }
            }
            Ok(Some(dossier))
        })
    }

    /// Records what a study came to, and queues its report; durable when this returns. A report that is known already
    /// is not queued again, and nothing of a study that was discarded in the meantime. Instances that came in the
    /// meantime keep the study open.
    pub fn conclude(&self, conclusion: &Conclusion) -> Result<(), LedgerError> {
        let Conclusion { study, outcomes, algorithm, documents, at } = conclusion;
        let now = millis(*at);
        self.write("conclude a study", |transaction| {
            let key = params![study.uid.as_str(), study.patient.to_string()];
            let (id, urgency, discarded): (i64, i64, bool) = transaction
                .prepare_cached("SELECT id, urgency, state = 'discarded' FROM study WHERE uid = ?1 AND patient = ?2")?
                .query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            if discarded {
                return Ok(());
            }
            let mut cover = transaction.prepare_cached(
                "UPDATE instance SET state = 'covered', score = ?3, declined = ?4, algorithm = ?5, changed_ms = ?6
                 WHERE study = ?1 AND file = ?2 AND state IN ('waiting', 'covered')",
            )?;
            for (instance, outcome) in study.instances.iter().zip(outcomes) {
                let (score, declined) = outcome_columns(*outcome);
                cover.execute(params![id, self.place(&instance.location), score, declined, algorithm, now])?;
            }
            documents.iter().try_for_each(|document| self.queue(transaction, id, urgency, document, now))?;
            transaction
                .prepare_cached(
                    "UPDATE study SET changed_ms = ?2, state = CASE WHEN EXISTS
                         (SELECT 1 FROM instance i WHERE i.study = ?1 AND i.state = 'waiting')
                     THEN 'open' ELSE 'closed' END WHERE id = ?1 AND state = 'open'",
                )?
                .execute(params![id, now])?;
            Ok(())
        })?;
        self.sync()
    }

    fn queue(
        &self,
        transaction: &Transaction,
        study: i64,
        urgency: i64,
        document: &NewDocument,
        now: i64,
    ) -> rusqlite::Result<()> {
        let SopReference { series, sop_class, sop_instance } = &document.reference;
        let new = transaction
            .prepare_cached(
                "INSERT INTO report (study, series, sop_class, sop_instance, headline, file, bytes, created_ms, companion)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (sop_instance) DO NOTHING",
            )?
            .execute(params![
                study,
                series.as_str(),
                sop_class.as_str(),
                sop_instance.as_str(),
                document.headline,
                self.name(&document.file),
                integer(document.bytes),
                now,
                document.part != Part::Report,
            ])?;
        if new == 0 {
            return Ok(());
        }
        let id = transaction.last_insert_rowid();
        let urgency = if document.part == Part::Message { 0 } else { urgency };
        let mut statement = transaction.prepare_cached(
            "INSERT INTO delivery (report, destination, state, urgency, queued_ms, next_ms, changed_ms)
             VALUES (?1, ?2, 'queued', ?3, ?4, 0, ?4)",
        )?;
        document
            .destinations
            .iter()
            .try_for_each(|destination| statement.execute(params![id, destination, urgency, now]).map(|_| ()))
    }

    /// Instances of a study cannot be reported; they are kept. Others of it that wait go on waiting.
    pub fn fail(&self, study: &Study, reason: &str, now: SystemTime) -> Result<(), LedgerError> {
        let key = (study.uid.as_str(), study.patient.to_string());
        self.write("note a failed study", |transaction| {
            let id: i64 = transaction
                .prepare_cached("SELECT id FROM study WHERE uid = ?1 AND patient = ?2")?
                .query_row(params![key.0, key.1], |row| row.get(0))?;
            let mut fail = transaction.prepare_cached(
                "UPDATE instance SET state = 'failed', changed_ms = ?3
                 WHERE study = ?1 AND file = ?2 AND state = 'waiting'",
            )?;
            for instance in &study.instances {
                fail.execute(params![id, self.place(&instance.location), millis(now)])?;
            }
            transaction.execute(
                "UPDATE study SET state = 'failed', reason = ?2, changed_ms = ?3 WHERE id = ?1
                 AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.study = ?1 AND i.state = 'waiting')",
                params![id, reason, millis(now)],
            )?;
            Ok(())
        })?;
        self.sync()
    }

    /// Gives failed instances and failed deliveries of a Study Instance UID another try; how many of each.
    pub fn retry(&self, study: &StudyInstanceUid, now: SystemTime) -> Result<(usize, usize), LedgerError> {
        let now = millis(now);
        self.write("retry a study", |transaction| {
            let studies = "SELECT id FROM study WHERE uid = ?1";
            let instances = transaction.execute(
                &format!(
                    "UPDATE instance SET state = 'waiting', changed_ms = ?2
                     WHERE study IN ({studies}) AND state = 'failed' AND kept = 'image'"
                ),
                params![study.as_str(), now],
            )?;
            transaction.execute(
                "UPDATE study SET state = 'open', reason = NULL, revived = 1, changed_ms = ?2 WHERE uid = ?1
                 AND EXISTS (SELECT 1 FROM instance i WHERE i.study = study.id AND i.state = 'waiting')",
                params![study.as_str(), now],
            )?;
            let deliveries = transaction.execute(
                &format!(
                    "UPDATE delivery SET queued_ms = CASE state WHEN 'failed' THEN ?2 ELSE queued_ms END,
                            state = 'queued', next_ms = 0, changed_ms = ?2
                     WHERE state IN ('queued', 'failed')
                     AND report IN (SELECT id FROM report WHERE kept = 1 AND study IN ({studies}))"
                ),
                params![study.as_str(), now],
            )?;
            Ok((instances, deliveries))
        })
    }

    /// Ends all work on a Study Instance UID: images that no report covers and reports that are not delivered. How
    /// many of each.
    pub fn discard(
        &self,
        study: &StudyInstanceUid,
        reason: &str,
        now: SystemTime,
    ) -> Result<(usize, usize), LedgerError> {
        let now = millis(now);
        let discarded = self.write("discard a study", |transaction| {
            let studies = "SELECT id FROM study WHERE uid = ?1";
            let instances = transaction.execute(
                &format!(
                    "UPDATE instance SET state = 'discarded', changed_ms = ?2
                     WHERE study IN ({studies}) AND state IN ('waiting', 'failed')"
                ),
                params![study.as_str(), now],
            )?;
            let deliveries = transaction.execute(
                &format!(
                    "UPDATE delivery SET state = 'discarded', said = ?3, changed_ms = ?2
                     WHERE state IN ('queued', 'committing', 'failed')
                     AND report IN (SELECT id FROM report WHERE study IN ({studies}))"
                ),
                params![study.as_str(), now, reason],
            )?;
            if instances + deliveries > 0 {
                transaction.execute(
                    "UPDATE study SET state = 'discarded', reason = ?3, revived = 0, changed_ms = ?2 WHERE uid = ?1",
                    params![study.as_str(), now, reason],
                )?;
            }
            Ok((instances, deliveries))
        })?;
        self.sync()?;
        Ok(discarded)
    }
}
