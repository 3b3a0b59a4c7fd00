//! One object on its way in: streamed to `incoming/`, then checked, synced and given its place.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::{Arrival, Spool, SpoolError, Stored, blocking, disk, file_meta, place};

/// Bytes gathered in memory before they go to the disk in one piece; the most that one association holds.
const GATHER_BYTES: usize = 256 * 1024;

/// An object that is being received. Dropped without [`Incoming::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct Incoming {
    spool: Spool,
    arrival: Arrival,
    part: Part,
    gathered: Vec<u8>,
}

/// The file under `incoming/`, removed when dropped; `None` while the disk works on it.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: Option<File>,
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = disk::remove(&self.path) {
            tracing::warn!(%error, "an unfinished file is left behind; it is removed at the next start");
        }
    }
}

impl Incoming {
    pub(super) async fn begin(spool: Spool, arrival: Arrival) -> Result<Self, SpoolError> {
        let opened = spool.clone();
        let path = opened.0.layout.part(opened.0.parts.fetch_add(1, Ordering::Relaxed));
        let mut part = Part { path, file: None };
        let part = blocking("creating a file", move || {
            opened.check_space()?;
            part.file = Some(disk::create_file(&part.path)?);
            Ok(part)
        })
        .await?;
        let gathered = file_meta::write(&arrival);
        Ok(Self { spool, arrival, part, gathered })
    }

    /// Takes the next bytes of the data set.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < GATHER_BYTES {
            return Ok(());
        }
        let (spool, path, file) = (self.spool.clone(), self.part.path.clone(), self.part.file.take());
        let mut gathered = std::mem::take(&mut self.gathered);
        let work = blocking("writing a file", move || {
            spool.check_space()?;
            let mut file = file.ok_or(SpoolError::Panic { doing: "writing a file" })?;
            file.write_all(&gathered).map_err(SpoolError::io("write", &path))?;
            gathered.clear();
            Ok((file, gathered))
        });
        let (file, gathered) = work.await?;
        (self.part.file, self.gathered) = (Some(file), gathered);
        Ok(())
    }

    /// The data set is complete: checks it, makes it durable and gives it its place in the spool.
    pub async fn commit(self) -> Result<Stored, SpoolError> {
        blocking("storing an object", move || {
            let Self { spool, arrival, mut part, gathered } = self;
            let mut file = part.file.take().ok_or(SpoolError::Panic { doing: "storing an object" })?;
            file.write_all(&gathered).map_err(SpoolError::io("write", &part.path))?;
            drop(gathered);
            let instance = place::identify(&part.path, &arrival)?;
            file.sync_all().map_err(SpoolError::io("sync", &part.path))?;
            place::put(&spool.0, &part.path, instance)
        })
        .await
    }
}

impl Spool {
    fn check_space(&self) -> Result<(), SpoolError> {
        let (path, min_free_mib) = (self.0.layout.root(), self.0.min_free_mib);
        match disk::free_mib(path)? {
            free_mib if free_mib < min_free_mib => {
                Err(SpoolError::OutOfSpace { path: path.to_owned(), free_mib, min_free_mib })
            }
            _ => Ok(()),
        }
    }
}
