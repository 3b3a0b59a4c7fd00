//! What may go: images of delivered studies, what failed long ago, headers and rows that nobody asks for any more.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Row, params};

use super::row::{INSTANCE, instance, natural, parsed};
use super::{Ledger, LedgerError, millis};
use crate::ids::{SopInstanceUid, StudyInstanceUid};
use crate::instance::Instance;
use crate::part10::Location;

/// A file that is no longer needed as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The study.
    pub study: StudyInstanceUid,
    /// The image or report.
    pub sop_instance: SopInstanceUid,
    /// Where it lies.
    pub location: Location,
    /// Its size.
    pub bytes: u64,
    /// What it is.
    pub kind: Kept,
    row: i64,
}

/// What a leftover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// An image that a report covers.
    Covered,
    /// An image that led to no report: failed, set aside or discarded.
    Uncovered,
    /// The header of an image.
    Header,
    /// A report that went to its destinations, or to none.
    Report,
}

/// Nothing more is to be sent of the study of `instance` i.
const NOTHING_UNDER_WAY: &str = "NOT EXISTS (SELECT 1 FROM report r JOIN delivery d ON d.report = r.id
                                 WHERE r.study = i.study AND d.state IN ('queued', 'committing'))";

/// The condition of the index `instance_image`, written out so that it is used.
const DONE_WITH: &str = "i.kept = 'image' AND i.state <> 'waiting'";

const IMAGE: &str = "s.uid, i.sop_instance, i.file, i.bytes, i.id FROM instance i CROSS JOIN study s
                    ON s.id = i.study";
const REPORT: &str = "s.uid, r.sop_instance, r.file, r.bytes, r.id FROM report r JOIN study s ON s.id = r.study";

impl Ledger {
    /// Covered images whose reports were all settled before `until`, oldest first, at most `most`.
    pub fn covered_before(&self, until: SystemTime, most: usize) -> Result<Vec<Leftover>, LedgerError> {
        self.leftovers(&covered_before(), Kept::Covered, until, most)
    }

    /// Covered images whose report is durable, delivered or not, oldest first: the first to go when the disk is full.
    pub fn covered(&self, most: usize) -> Result<Vec<Leftover>, LedgerError> {
        let sql = format!(
            "SELECT {IMAGE} WHERE {DONE_WITH} AND i.state = 'covered' AND i.changed_ms <= ?1
             ORDER BY i.changed_ms LIMIT ?2"
        );
        self.leftovers(&sql, Kept::Covered, far_away(), most)
    }

    /// Images that were given up before `until`, oldest first.
    pub fn uncovered_before(&self, until: SystemTime, most: usize) -> Result<Vec<Leftover>, LedgerError> {
        self.leftovers(&uncovered_before(), Kept::Uncovered, until, most)
    }

    /// Headers of images that were covered before `until`.
    pub fn headers_before(&self, until: SystemTime, most: usize) -> Result<Vec<Leftover>, LedgerError> {
        let sql =
            format!("SELECT {IMAGE} WHERE i.kept = 'header' AND i.changed_ms <= ?1 ORDER BY i.changed_ms LIMIT ?2");
        self.leftovers(&sql, Kept::Header, until, most)
    }

    /// Reports that have nowhere to go any more: delivered or discarded before `delivered`, given up before `failed`.
    pub fn reports_before(
        &self,
        delivered: SystemTime,
        failed: SystemTime,
        most: usize,
    ) -> Result<Vec<Leftover>, LedgerError> {
        let sql = format!(
            "SELECT {REPORT} WHERE r.kept = 1 AND r.created_ms <= ?1 AND NOT EXISTS
                 (SELECT 1 FROM delivery d WHERE d.report = r.id AND (d.state IN ('queued', 'committing')
                  OR d.state = 'failed' AND d.changed_ms > {} OR d.changed_ms > ?1))
             ORDER BY r.created_ms LIMIT ?2",
            millis(failed)
        );
        self.leftovers(&sql, Kept::Report, delivered, most)
    }

    fn leftovers(&self, sql: &str, kind: Kept, until: SystemTime, most: usize) -> Result<Vec<Leftover>, LedgerError> {
        self.read("look for what may be deleted", |connection| {
            let mut statement = connection.prepare(sql)?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![millis(until), most], |row| self.leftover(row, kind))?;
            rows.collect()
        })
    }

    fn leftover(&self, row: &Row, kind: Kept) -> rusqlite::Result<Leftover> {
        Ok(Leftover {
            study: parsed(row, 0)?,
            sop_instance: parsed(row, 1)?,
            location: self.location(&row.get::<_, String>(2)?),
            bytes: natural(row, 3)?,
            kind,
            row: row.get(4)?,
        })
    }

    /// Bytes of images on disk that no longer await a report.
    pub fn kept_bytes(&self) -> Result<u64, LedgerError> {
        self.read("measure what is kept", |connection| {
            connection
                .prepare_cached(
                    "SELECT COALESCE(SUM(bytes), 0) FROM instance WHERE kept = 'image' AND state <> 'waiting'",
                )?
                .query_row([], |row| natural(row, 0))
        })
    }

    /// Notes what becomes of files; durable when this returns, so that the files may go. A covered image leaves its
    /// header under `header`, where one is given.
    pub fn let_go(&self, leftovers: &[(Leftover, Option<PathBuf>)]) -> Result<(), LedgerError> {
        self.write("note deletions", |transaction| {
            for (leftover, header) in leftovers {
                match (leftover.kind, header) {
                    (Kept::Report, _) => transaction
                        .prepare_cached("UPDATE report SET kept = 0 WHERE id = ?1")?
                        .execute([leftover.row])?,
                    (_, Some(header)) => transaction
                        .prepare_cached(
                            "UPDATE instance SET kept = 'header', file = ?2 WHERE id = ?1 AND state <> 'waiting'",
                        )?
                        .execute(params![leftover.row, self.name(header)])?,
                    (_, None) => transaction
                        .prepare_cached("UPDATE instance SET kept = 'nothing' WHERE id = ?1 AND state <> 'waiting'")?
                        .execute([leftover.row])?,
                };
            }
            Ok(())
        })?;
        self.sync()
    }

    /// Whether an image is kept that lies in a file with others.
    pub fn holds_images(&self, pack: &Path) -> Result<bool, LedgerError> {
        let (from, to) = self.stretches(pack);
        self.read("look a pack up", |connection| connection.prepare_cached(HOLDS_IMAGES)?.exists([from, to]))
    }

    /// The images that await their report and lie in a file with others.
    pub fn waiting_in(&self, pack: &Path) -> Result<Vec<Instance>, LedgerError> {
        let (from, to) = self.stretches(pack);
        self.read("look a pack up", |connection| {
            let mut statement = connection.prepare(&waiting_in())?;
            let rows = statement.query_map([from, to], |row| instance(self, row))?;
            rows.collect()
        })
    }

    /// The places of a pack's images lie between these two, the second excluded: `[` follows its name, and `\` follows
    /// `[`.
    fn stretches(&self, pack: &Path) -> (String, String) {
        let name = self.name(pack);
        (format!("{name}["), format!("{name}\\"))
    }

    /// Forgets studies that nothing happened to since `until` and that have no file any more, at most `most`; how many.
    pub fn forget_before(&self, until: SystemTime, most: usize) -> Result<usize, LedgerError> {
        self.write("forget old studies", |transaction| {
            transaction.execute(
                "DELETE FROM study WHERE id IN (SELECT s.id FROM study s WHERE s.changed_ms <= ?1
                     AND s.state IN ('closed', 'failed', 'discarded')
                     AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.study = s.id AND i.kept <> 'nothing')
                     AND NOT EXISTS (SELECT 1 FROM report r WHERE r.study = s.id AND r.kept = 1)
                     ORDER BY s.changed_ms LIMIT ?2)",
                params![millis(until), i64::try_from(most).unwrap_or(i64::MAX)],
            )
        })
    }
}

pub(super) const HOLDS_IMAGES: &str =
    "SELECT 1 FROM instance i WHERE i.kept = 'image' AND i.file >= ?1 AND i.file < ?2 LIMIT 1";

pub(super) fn waiting_in() -> String {
    format!(
        "SELECT {INSTANCE} FROM instance i CROSS JOIN study s ON s.id = i.study
         WHERE i.kept = 'image' AND i.file >= ?1 AND i.file < ?2 AND i.state = 'waiting'"
    )
}

pub(super) fn covered_before() -> String {
    format!(
        "SELECT {IMAGE} WHERE {DONE_WITH} AND i.state = 'covered' AND i.changed_ms <= ?1
         AND {NOTHING_UNDER_WAY} AND NOT EXISTS (SELECT 1 FROM report r JOIN delivery d ON d.report = r.id
                                                 WHERE r.study = i.study AND d.changed_ms > ?1)
         ORDER BY i.changed_ms LIMIT ?2"
    )
}

pub(super) fn uncovered_before() -> String {
    format!(
        "SELECT {IMAGE} WHERE {DONE_WITH} AND (i.state IN ('failed', 'aside') AND i.changed_ms <= ?1
         OR i.state = 'discarded') ORDER BY i.changed_ms LIMIT ?2"
    )
}

fn far_away() -> SystemTime {
    super::moment(i64::MAX / 2)
}
