//! What is deleted, and when: images whose reports arrived, what failed long ago, and the oldest first when there is
//! too much of it. Every deletion is logged; nothing that awaits its report is ever touched.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::FallocateFlags;

use super::incoming::walk;
use super::{Spool, SpoolError, disk};
use crate::config;
use crate::ledger::{Kept, Leftover};
use crate::part10::{self, Location, Stretch};

/// Files that are let go together.
const AT_ONCE: usize = 256;
const MIB: u64 = 1024 * 1024;

/// How long what is done with is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Images and reports, after every report of their study arrived.
    pub finished: Duration,
    /// Images and reports that failed, and files in quarantine.
    pub failed: Duration,
    /// Headers of images, for a late image of their study.
    pub headers: Duration,
    /// What the ledger remembers of a study.
    pub remembered: Duration,
    /// Most MiB that images may take which no longer await a report.
    pub most_mib: u64,
}

impl From<&config::Spool> for Keeping {
    fn from(settings: &config::Spool) -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self {
            finished: hours(settings.keep_finished_hours),
            failed: hours(settings.keep_failed_hours),
            headers: hours(24 * settings.late_image_days),
            remembered: hours(24 * settings.remember_days),
            most_mib: settings.max_kept_mib,
        }
    }
}

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    /// Files.
    pub files: usize,
    /// Bytes.
    pub bytes: u64,
}

impl Spool {
    /// Deletes what need not be kept any longer at `now`. Blocks on the disk.
    pub fn tidy(&self, keeping: &Keeping, now: SystemTime) -> Result<Freed, SpoolError> {
        let before = |age: Duration| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let (ledger, mut freed) = (self.ledger(), Freed::default());
        let (finished, failed) = (before(keeping.finished), before(keeping.failed));
        self.drain(&mut freed, "its reports arrived", keeping, || ledger.covered_before(finished, AT_ONCE))?;
        self.drain(&mut freed, "spool.keep_failed_hours", keeping, || ledger.uncovered_before(failed, AT_ONCE))?;
        self.drain(&mut freed, "settled", keeping, || ledger.reports_before(finished, failed, AT_ONCE))?;
        let headers = before(keeping.headers);
        self.drain(&mut freed, "spool.late_image_days", keeping, || ledger.headers_before(headers, AT_ONCE))?;
        self.bound(&mut freed, keeping, now)?;
        for directory in [self.0.layout.quarantine(), self.0.layout.failed()] {
            expire(&directory, failed, &mut freed)?;
        }
        let forgotten = ledger.forget_before(before(keeping.remembered), AT_ONCE)?;
        if forgotten > 0 {
            tracing::info!(studies = forgotten, "the ledger forgot old studies (spool.remember_days)");
        }
        Ok(freed)
    }

    /// Lets leftovers go until there are no more of them.
    fn drain(
        &self,
        freed: &mut Freed,
        why: &str,
        keeping: &Keeping,
        mut next: impl FnMut() -> Result<Vec<Leftover>, crate::ledger::LedgerError>,
    ) -> Result<(), SpoolError> {
        loop {
            let leftovers = next()?;
            let last = leftovers.len() < AT_ONCE;
            self.let_go(leftovers, why, keeping, freed)?;
            if last {
                return Ok(());
            }
        }
    }

    /// Keeps what is kept within its bound, and gives way when the disk runs full: covered images first, whether
    /// their report has arrived or not, then those that failed.
    fn bound(&self, freed: &mut Freed, keeping: &Keeping, now: SystemTime) -> Result<(), SpoolError> {
        let ledger = self.ledger();
        let kept = ledger.kept_bytes()?;
        let (free, wanted) = (disk::free_mib(self.0.layout.root())?, self.0.min_free_mib.saturating_mul(2));
        let too_much = kept.saturating_sub(keeping.most_mib.saturating_mul(MIB));
        let too_full = wanted.saturating_sub(free).saturating_mul(MIB).min(kept);
        let (mut left, why) = match too_much >= too_full {
            true => (too_much, "spool.max_kept_mib"),
            false => (too_full, "the disk is nearly full"),
        };
        while left > 0 {
            let mut oldest = ledger.covered(AT_ONCE)?;
            if oldest.is_empty() {
                oldest = ledger.uncovered_before(now, AT_ONCE)?;
            }
            let before = left;
            oldest.retain(|leftover| {
                let goes = left > 0;
                left = left.saturating_sub(if goes { leftover.bytes } else { 0 });
                goes
            });
            self.let_go(oldest, why, keeping, freed)?;
            if left == before {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The ledger knows first, durably; then the files go.
    fn let_go(
        &self,
        leftovers: Vec<Leftover>,
        why: &str,
        keeping: &Keeping,
        freed: &mut Freed,
    ) -> Result<(), SpoolError> {
        if leftovers.is_empty() {
            return Ok(());
        }
        let leaving = |leftover: Leftover| {
            let header = (leftover.kind == Kept::Covered && !keeping.headers.is_zero())
                .then(|| self.leave_header(&leftover))
                .flatten();
            (leftover, header)
        };
        let leftovers: Vec<(Leftover, Option<PathBuf>)> = leftovers.into_iter().map(leaving).collect();
        self.ledger().let_go(&leftovers)?;
        for (leftover, _) in leftovers {
            self.release(&leftover.location)?;
            freed.files += 1;
            freed.bytes += leftover.bytes;
            let (study, instance, file) = (&leftover.study, &leftover.sop_instance, &leftover.location);
            match leftover.kind {
                Kept::Uncovered => tracing::warn!(%study, %instance, %file, why, "deleted without a report"),
                Kept::Covered | Kept::Header | Kept::Report => {
                    tracing::info!(%study, %instance, %file, why, "deleted");
                }
            }
        }
        Ok(())
    }

    /// Gives back the disk's space: a file's, or a pack's when no image in it is kept any more.
    fn release(&self, location: &Location) -> Result<(), SpoolError> {
        let file = location.file();
        match location.stretch() {
            Some(stretch) if self.ledger().holds_images(file)? => punch(file, stretch),
            _ => disk::remove(file),
        }
    }

    /// Copies a file up to its pixels; `None` where that cannot be done, and a late image's report goes without.
    fn leave_header(&self, image: &Leftover) -> Option<PathBuf> {
        let location = &image.location;
        let name = match location.stretch() {
            None => location.file().file_name()?.to_owned(),
            Some(_) => format!("{}-{}.dcm", image.sop_instance, location.file().file_stem()?.display()).into(),
        };
        let header = self.0.layout.headers().join(name);
        match copy_header(location, &header) {
            Ok(()) => Some(header),
            Err(error) => {
                tracing::debug!(file = %location, %error, "its header is not kept");
                None
            }
        }
    }
}

/// Gives a stretch of a file back to the disk, where the file system can; else it goes with the file.
fn punch(file: &Path, stretch: Stretch) -> Result<(), SpoolError> {
    let opened = File::options().write(true).open(file).map_err(SpoolError::io("open", file))?;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if let Err(error) = rustix::fs::fallocate(&opened, flags, stretch.begin, stretch.length) {
        tracing::debug!(file = %file.display(), %error, "its space is given back with that of the rest of its pack");
    }
    Ok(())
}

fn copy_header(image: &Location, header: &Path) -> io::Result<()> {
    let walked = walk(image).map_err(|error| io::Error::other(error.to_string()))?;
    let length = match walked.outline.pixel_data {
        _ if walked.outline.transfer_syntax == part10::DEFLATED => return Err(io::ErrorKind::Unsupported.into()),
        Some(begin) => begin,
        None => u64::MAX,
    };
    io::copy(&mut image.open()?.take(length), &mut private(header)?).map(|_| ())
}

/// A file that only its owner can read, emptied if it is there.
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Deletes the files below a directory that were put there before `until`.
fn expire(directory: &Path, until: SystemTime, freed: &mut Freed) -> Result<(), SpoolError> {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
        if metadata.is_dir() {
            expire(&path, until, freed)?;
        } else if metadata.modified().is_ok_and(|modified| modified <= until) {
            disk::remove(&path)?;
            *freed = Freed { files: freed.files + 1, bytes: freed.bytes + metadata.len() };
            tracing::info!(file = %path.display(), why = "spool.keep_failed_hours", "deleted");
        }
    }
    Ok(())
}
