//! Tables and indexes, and how one version's become the next one's.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};

use super::LedgerError;

/// One step per schema version, oldest first. A step that was released is never changed; a new one follows it.
const STEPS: &[&str] = &[FIRST, PACKS, COMPANIONS, DIGESTS];

const FIRST: &str = "
-- Images of one patient under one Study Instance UID: what one report is about.
CREATE TABLE study (
    id         INTEGER PRIMARY KEY,
    uid        TEXT    NOT NULL,
    patient    TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('open', 'closed', 'failed', 'discarded')),
    reason     TEXT,
    urgency    INTEGER NOT NULL,
    revived    INTEGER NOT NULL DEFAULT 0,
    first_ms   INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    UNIQUE (uid, patient)
);
CREATE INDEX study_at_work ON study (state, first_ms) WHERE state IN ('open', 'failed');
CREATE INDEX study_revived ON study (revived) WHERE revived = 1;
CREATE INDEX study_by_age ON study (changed_ms);

-- One content under one SOP Instance UID.
CREATE TABLE instance (
    id              INTEGER PRIMARY KEY,
    study           INTEGER NOT NULL REFERENCES study (id) ON DELETE CASCADE,
    series          TEXT    NOT NULL,
    sop_class       TEXT    NOT NULL,
    sop_instance    TEXT    NOT NULL,
    transfer_syntax TEXT    NOT NULL,
    digest          BLOB    NOT NULL,
    bytes           INTEGER NOT NULL,
    calling         TEXT    NOT NULL,
    received_ms     INTEGER NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('waiting', 'covered', 'failed', 'aside', 'discarded')),
    kept            TEXT    NOT NULL CHECK (kept IN ('image', 'header', 'nothing')),
    file            TEXT    NOT NULL,
    score           REAL,
    declined        TEXT,
    algorithm       TEXT,
    changed_ms      INTEGER NOT NULL,
    UNIQUE (sop_instance, digest)
);
CREATE INDEX instance_of_study ON instance (study);
CREATE INDEX instance_waiting ON instance (state, received_ms) WHERE state = 'waiting';
CREATE INDEX instance_image ON instance (kept, changed_ms) WHERE kept = 'image' AND state <> 'waiting';
CREATE INDEX instance_header ON instance (kept, changed_ms) WHERE kept = 'header';

-- A report that was made; the last one of its study stands.
CREATE TABLE report (
    id           INTEGER PRIMARY KEY,
    study        INTEGER NOT NULL REFERENCES study (id) ON DELETE CASCADE,
    series       TEXT    NOT NULL,
    sop_class    TEXT    NOT NULL,
    sop_instance TEXT    NOT NULL UNIQUE,
    headline     TEXT    NOT NULL,
    file         TEXT    NOT NULL,
    kept         INTEGER NOT NULL DEFAULT 1,
    bytes        INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL
);
CREATE INDEX report_of_study ON report (study, id);
CREATE INDEX report_kept ON report (kept, created_ms) WHERE kept = 1;

-- The way of one report to one destination.
CREATE TABLE delivery (
    report         INTEGER NOT NULL REFERENCES report (id) ON DELETE CASCADE,
    destination    TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('queued', 'committing', 'delivered', 'failed', 'discarded')),
    urgency        INTEGER NOT NULL,
    queued_ms      INTEGER NOT NULL,
    next_ms        INTEGER NOT NULL,
    attempts       INTEGER NOT NULL DEFAULT 0,
    said           TEXT,
    transaction_uid TEXT,
    changed_ms     INTEGER NOT NULL,
    PRIMARY KEY (report, destination)
);
CREATE INDEX delivery_queue ON delivery (destination, urgency DESC, report) WHERE state IN ('queued', 'committing');
CREATE INDEX delivery_open ON delivery (state, report) WHERE state IN ('queued', 'committing', 'failed');
CREATE INDEX delivery_transaction ON delivery (transaction_uid) WHERE transaction_uid IS NOT NULL;
";

const PACKS: &str = "
-- Images that lie in a file with others: whether any of them is still kept.
CREATE INDEX instance_file ON instance (file) WHERE kept = 'image';
";

const COMPANIONS: &str = "
-- What goes along with a report: the same in another form, pictures, messages. It never stands for its study.
ALTER TABLE report ADD COLUMN companion INTEGER NOT NULL DEFAULT 0;
";

const DIGESTS: &str = "
-- instance.digest has 16 octets (XXH3) from here on, 32 (BLAKE3) where a row is older and its content did not come again.
";

/// What holds for every connection. Commits do not wait for the disk: who needs that calls [`super::Ledger::sync`].
pub(super) fn configure(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(patience)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Or SQLite plans a statement anew when certain values change, which was a hundredth of the work on an image.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -16000;
         PRAGMA journal_size_limit = 33554432;",
    )
}

/// Brings the database to the newest schema, one step after the other, all or nothing.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), LedgerError> {
    let doing = "upgrade it";
    let known = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(LedgerError::sql(doing))?;
    let found: u32 = transaction
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(LedgerError::sql("read its version"))?;
    if found > known {
        return Err(LedgerError::Newer { path: path.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        transaction.execute_batch(step).map_err(LedgerError::sql(doing))?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(LedgerError::sql(doing))?;
    transaction.commit().map_err(LedgerError::sql(doing))
}
