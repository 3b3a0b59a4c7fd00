//! Storage commitment as the ledger sees it: which images are kept here, and which reports a destination keeps.

use std::time::SystemTime;

use rusqlite::params;

use super::{Ledger, LedgerError, Pending, millis};
use crate::commitment::{Custody, FailureReason, Outcome, Reference, Request};
use crate::ids::TransactionUid;

impl Ledger {
    /// A destination has a report and is asked to commit to it; when it has not said so at `ask_again`, the report is
    /// sent again.
    pub fn committing(
        &self,
        pending: &Pending,
        destination: &str,
        transaction: &TransactionUid,
        ask_again: SystemTime,
    ) -> Result<(), LedgerError> {
        self.write("note a commitment request", |connection| {
            connection
                .prepare_cached(
                    "UPDATE delivery SET state = 'committing', transaction_uid = ?3, next_ms = ?4,
                            attempts = attempts + 1, said = 'sent; the destination is asked to commit to keep it'
                     WHERE report = ?1 AND destination = ?2 AND state IN ('queued', 'committing')",
                )?
                .execute(params![pending.row, destination, transaction.as_str(), millis(ask_again)])
        })?;
        Ok(())
    }

    /// Takes what a destination said of its commitment; durable when this returns. Reports that it does not keep are
    /// sent again at `next`. How many deliveries were meant: none where the transaction is not, or no longer, ours.
    pub fn committed(&self, outcome: &Outcome, next: SystemTime, now: SystemTime) -> Result<usize, LedgerError> {
        let (transaction, now, next) = (outcome.transaction.as_str(), millis(now), millis(next));
        let meant = self.write("note a commitment", |connection| {
            let mut meant = 0;
            let mut deliver = connection.prepare_cached(
                "UPDATE delivery SET state = 'delivered', said = 'committed to keep it', transaction_uid = NULL,
                        changed_ms = ?3
                 WHERE transaction_uid = ?1 AND state = 'committing'
                 AND report = (SELECT id FROM report WHERE sop_instance = ?2)",
            )?;
            for reference in &outcome.committed {
                meant += deliver.execute(params![transaction, reference.sop_instance.as_str(), now])?;
            }
            let mut again = connection.prepare_cached(
                "UPDATE delivery SET state = 'queued', said = 'does not commit to keep it: ' || ?3,
                        transaction_uid = NULL, next_ms = ?4
                 WHERE transaction_uid = ?1 AND state = 'committing'
                 AND report = (SELECT id FROM report WHERE sop_instance = ?2)",
            )?;
            for (reference, reason) in &outcome.failed {
                let uid = reference.sop_instance.as_str();
                meant += again.execute(params![transaction, uid, reason.to_string(), next])?;
            }
            Ok(meant)
        })?;
        self.sync()?;
        Ok(meant)
    }

    /// Whether an image lies here, whole, as it was received.
    fn keeps(&self, reference: &Reference) -> Result<(), FailureReason> {
        let found = self.read("look an instance up", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT sop_class, kept FROM instance
                 WHERE sop_instance = ?1 AND state IN ('waiting', 'covered', 'failed', 'aside')",
            )?;
            let rows = statement.query_map([reference.sop_instance.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<(String, String)>, _>>()
        });
        let found = found.map_err(|error| {
            tracing::error!(%error, "storage commitment cannot be judged");
            FailureReason::PROCESSING_FAILURE
        })?;
        let whole = || found.iter().filter(|(_, kept)| kept == "image");
        match whole().any(|(class, _)| class == reference.sop_class.as_str()) {
            true => Ok(()),
            false if whole().next().is_some() => Err(FailureReason::CLASS_INSTANCE_CONFLICT),
            false => Err(FailureReason::NO_SUCH_INSTANCE),
        }
    }
}

/// Honest about what this is: no archive. What is here whole is committed; what was received, reported and deleted is
/// as unknown as what never came.
impl Custody for Ledger {
    fn outcome(&self, request: &Request) -> Outcome {
        Outcome::judged(request, |reference| self.keeps(reference))
    }
}
