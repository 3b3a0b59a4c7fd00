//! What was reported lately: per study the report that stands, so that a late image does not contradict it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::SpoolError;
use super::disk::{self, Layout};
use crate::finding::SopReference;
use crate::ids::StudyInstanceUid;

/// How long a study's last report is remembered.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

/// The report that stands for a study, if it is remembered.
pub(super) fn last(layout: &Layout, study: &StudyInstanceUid) -> Option<SopReference> {
    let text = fs::read_to_string(layout.reported().join(study.as_str())).ok()?;
    let mut lines = text.lines();
    let reference = SopReference {
        series: lines.next()?.parse().ok()?,
        sop_class: lines.next()?.parse().ok()?,
        sop_instance: lines.next()?.parse().ok()?,
    };
    Some(reference)
}

/// Remembers a study's report; durable when this returns.
pub(super) fn remember(layout: &Layout, study: &StudyInstanceUid, report: &SopReference) -> Result<(), SpoolError> {
    let directory = layout.reported();
    disk::make_directory(&directory)?;
    let fail = |source| SpoolError::Io { doing: "write", path: directory.clone(), source };
    let mut file = tempfile::NamedTempFile::new_in(&directory).map_err(fail)?;
    let SopReference { series, sop_class, sop_instance } = report;
    writeln!(file, "{series}\n{sop_class}\n{sop_instance}").map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    file.persist(directory.join(study.as_str())).map_err(|error| fail(error.error))?;
    disk::sync_directory(&directory)
}

/// Forgets what was reported long ago; `now` is the time of the start.
pub(super) fn forget(layout: &Layout, now: SystemTime) -> Result<(), SpoolError> {
    let Ok(entries) = fs::read_dir(layout.reported()) else { return Ok(()) };
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
        let layout = Layout::new(directory.path());
        let study: StudyInstanceUid = "1.2.3".parse().unwrap();
        let report = |uid: &str| SopReference {
            series: "2.25.1".parse().unwrap(),
            sop_class: "1.2.840.10008.5.1.4.1.1.88.33".parse().unwrap(),
            sop_instance: uid.parse().unwrap(),
        };
        assert_eq!(last(&layout, &study), None);
        remember(&layout, &study, &report("2.25.2")).unwrap();
        remember(&layout, &study, &report("2.25.3")).unwrap();
        forget(&layout, SystemTime::now()).unwrap();
        assert_eq!(last(&layout, &study), Some(report("2.25.3")));
        forget(&layout, SystemTime::now() + 2 * REMEMBERED).unwrap();
        assert_eq!(last(&layout, &study), None);
    }
}
