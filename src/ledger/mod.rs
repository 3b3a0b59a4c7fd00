//! The ledger: one SQL database that remembers every instance, study, report and delivery.
//!
//! Files are durable before a row speaks of them, and rows are durable ([`Ledger::sync`]) before a file goes because
//! of them. So a power failure costs rows at worst, never files, and the spool makes the rows good at the next start.
//!
//! Every SQL statement of Auscult stands in this room; what is not common SQL stands in [`schema`] and here. Another
//! database takes SQLite's place by taking this room's.

mod arrivals;
mod commitments;
mod deliveries;
mod keeping;
mod overview;
mod row;
mod schema;
mod studies;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::part10::Location;

pub use arrivals::{Arrival, Disposal, Held, Known, Waiting};
pub use deliveries::Pending;
pub use keeping::{Kept, Leftover};
pub use overview::{DeliveryLine, ImageLine, Line, ReportLine, StudyDetail, StudyLine, Troubles};
pub use studies::{Conclusion, Covered, Dossier, NewDocument, Part};

/// The database's name in the state directory.
const NAME: &str = "ledger.db";
/// How long a statement waits for another process that has the database in hand.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A later version of Auscult wrote it.
    #[error(
        "{path}: written by a later version (schema {found}, this version knows {known}); install that version again, \
         or restore the state directory from before the upgrade"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema known here.
        known: u32,
    },
    /// There is none where one was expected.
    #[error("{path}: there is no ledger; name the service's configuration with --config, or start the service once")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The database's word.
    #[error("ledger: cannot {doing}: {source}; check the disk and the owner of the state directory")]
    Sql {
        /// What was tried.
        doing: &'static str,
        /// What the database said.
        source: rusqlite::Error,
    },
    /// The operating system's word.
    #[error("{path}: {source}; check the disk and the owner of the state directory")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl LedgerError {
    fn sql(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Sql { doing, source }
    }

    /// Whether the file is damaged or no database at all.
    fn is_damage(&self) -> bool {
        let Self::Sql { source, .. } = self else { return false };
        matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }
}

/// A handle to the ledger; clones are the same one. Every call blocks on the disk.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    root: PathBuf,
    connection: Mutex<Connection>,
    log: File,
    seen: Mutex<Option<i64>>,
}

impl Ledger {
    /// Opens the ledger of a state directory, making or upgrading it. A damaged one is set aside and begun anew: what
    /// it knew of waiting images, the spool finds again.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        match Self::connect(directory, OpenFlags::default()) {
            Err(error) if error.is_damage() => {
                let aside = set_aside(directory)?;
                tracing::error!(
                    %error, kept_as = %aside.display(),
                    "the ledger is damaged and was set aside; a new one is made of the images and reports on disk"
                );
                Self::connect(directory, OpenFlags::default())
            }
            opened => opened,
        }
    }

    /// Opens the ledger that a service has made, which may be running.
    pub fn beside(directory: &Path) -> Result<Self, LedgerError> {
        let path = directory.join(NAME);
        if !path.exists() {
            return Err(LedgerError::Missing { path });
        }
        Self::connect(directory, OpenFlags::default() - OpenFlags::SQLITE_OPEN_CREATE)
    }

    fn connect(directory: &Path, flags: OpenFlags) -> Result<Self, LedgerError> {
        let path = directory.join(NAME);
        let mut connection = Connection::open_with_flags(&path, flags).map_err(LedgerError::sql("open it"))?;
        schema::configure(&connection, PATIENCE).map_err(LedgerError::sql("set it up"))?;
        schema::migrate(&mut connection, &path)?;
        let log = directory.join(format!("{NAME}-wal"));
        let log = File::open(&log).map_err(|source| LedgerError::Io { path: log, source })?;
        let opened =
            Opened { root: directory.to_owned(), connection: Mutex::new(connection), log, seen: Mutex::default() };
        let ledger = Self(Arc::new(opened));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| LedgerError::Io { path: directory.to_owned(), source })?;
        ledger.sync()?;
        Ok(ledger)
    }

    /// Makes everything durable that was written until now.
    pub fn sync(&self) -> Result<(), LedgerError> {
        let path = || self.0.root.join(format!("{NAME}-wal"));
        self.0.log.sync_data().map_err(|source| LedgerError::Io { path: path(), source })
    }

    /// Whether another process has written since the last call.
    pub fn changed_elsewhere(&self) -> Result<bool, LedgerError> {
        let version = self.read("look for changes", |connection| {
            connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0))
        })?;
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(seen.replace(version).is_some_and(|before| before != version))
    }

    /// The absolute path of a file that a row names.
    fn path(&self, file: &str) -> PathBuf {
        self.0.root.join(file)
    }

    /// Where an image lies that a row names.
    fn location(&self, place: &str) -> Location {
        Location::below(&self.0.root, place)
    }

    /// What a row says of where an image lies.
    fn place(&self, location: &Location) -> String {
        location.relative_to(&self.0.root).to_string()
    }

    /// The name under which a row knows a file.
    fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.0.root).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Reads; several statements may see different moments.
    fn read<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let connection = self.0.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&connection).map_err(LedgerError::sql(doing))
    }

    /// Writes all or nothing. Survives the process from here on, and a power failure from the next [`Ledger::sync`].
    fn write<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let mut connection = self.0.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit().map(|()| value)
        };
        write(&mut connection).map_err(LedgerError::sql(doing))
    }
}

/// Gives a damaged ledger and its companions another name.
fn set_aside(directory: &Path) -> Result<PathBuf, LedgerError> {
    let aside = format!("{NAME}.damaged-{}", millis(SystemTime::now()));
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (directory.join(format!("{NAME}{suffix}")), directory.join(format!("{aside}{suffix}")));
        match std::fs::rename(&from, to) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(LedgerError::Io { path: from, source });
            }
            _ => {}
        }
    }
    Ok(directory.join(aside))
}

/// Milliseconds since 1970, as rows have them.
fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn moment(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

#[cfg(test)]
mod tests;
