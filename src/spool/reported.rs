//! What was reported lately: per study the report that stands, so that a late image does not contradict it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::SpoolError;
use super::disk;
use crate::finding::SopReference;

/// How long a study's last report is remembered.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

/// The report that a file remembers, if it is there.
pub(super) fn last(path: &Path) -> Option<SopReference> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    Some(SopReference {
        series: lines.next()?.parse().ok()?,
        sop_class: lines.next()?.parse().ok()?,
        sop_instance: lines.next()?.parse().ok()?,
    })
}

/// Remembers a report in a file; durable when this returns.
pub(super) fn remember(path: &Path, report: &SopReference) -> Result<(), SpoolError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    disk::make_directory(directory)?;
    let fail = |source| SpoolError::Io { doing: "write", path: path.to_owned(), source };
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(fail)?;
    let SopReference { series, sop_class, sop_instance } = report;
    writeln!(file, "{series}\n{sop_class}\n{sop_instance}").map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    disk::sync_directory(directory)
}

/// Forgets the reports of a directory that were made long ago.
pub(super) fn forget(directory: &Path, now: SystemTime) -> Result<(), SpoolError> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        if age(&path, now).is_some_and(|age| age > REMEMBERED) {
            disk::remove(&path)?;
        }
    }
    Ok(())
}

fn age(path: &Path, now: SystemTime) -> Option<Duration> {
    now.duration_since(fs::metadata(path).ok()?.modified().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_remembered_replaced_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reported/1.2.3-0");
        let report = |uid: &str| SopReference {
            series: "2.25.1".parse().unwrap(),
            sop_class: "1.2.840.10008.5.1.4.1.1.88.33".parse().unwrap(),
            sop_instance: uid.parse().unwrap(),
        };
        assert_eq!(last(&path), None);
        remember(&path, &report("2.25.2")).unwrap();
        remember(&path, &report("2.25.3")).unwrap();
        forget(path.parent().unwrap(), SystemTime::now()).unwrap();
        assert_eq!(last(&path), Some(report("2.25.3")));
        forget(path.parent().unwrap(), SystemTime::now() + 2 * REMEMBERED).unwrap();
        assert_eq!(last(&path), None);
    }
}
