//! The last step of storing: objects that are synced get their final names, their directory is synced once for all
//! that came in the meantime, the ledger records them, and only then their senders are answered.
//!
//! One thread does this for all associations, so that durability costs the less the more there is to do, and no two
//! objects ever decide about the same SOP Instance UID.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot};

use super::disk::Layout;
use super::incoming::PartName;
use super::{SpoolError, Stored, disk};
use crate::config::OtherContent;
use crate::ids::AeTitle;
use crate::instance::{Instance, Urgency};
use crate::ledger::{Arrival, Digest, Disposal, Known, Ledger};

/// Most objects that are committed together.
const LARGEST_GROUP: usize = 128;
/// Objects that may wait to be committed.
const WAITING: usize = 1024;
/// Different contents under one SOP Instance UID that are kept before further ones are refused.
const MOST_CONTENTS: usize = 64;

/// An object that is whole and synced under its first name.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) instance: Instance,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    pub(super) urgency: Urgency,
    pub(super) calling: AeTitle,
    pub(super) received: SystemTime,
    pub(super) part: PartName,
}

type Answer = oneshot::Sender<Result<Stored, SpoolError>>;

/// A handle to the committing thread, which ends with the last handle.
#[derive(Debug)]
pub(super) struct Committer {
    candidates: mpsc::Sender<(Candidate, Answer)>,
}

impl Committer {
    pub(super) fn start(
        layout: &Layout,
        ledger: &Ledger,
        other_content: OtherContent,
        lock: Arc<File>,
    ) -> Result<Self, SpoolError> {
        let path = layout.images();
        let images = File::open(&path).map_err(SpoolError::io("open", &path))?;
        let work = Work { layout: layout.clone(), images, ledger: ledger.clone(), other_content, _lock: lock };
        let (candidates, waiting) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new().name("commit".into()).spawn(move || work.run(waiting));
        thread.map_err(SpoolError::io("start a thread for", &path))?;
        Ok(Self { candidates })
    }

    /// Commits an object; it is durable and recorded when this returns.
    pub(super) async fn commit(&self, candidate: Candidate) -> Result<Stored, SpoolError> {
        const PANIC: SpoolError = SpoolError::Panic { doing: "committing an object" };
        let (answer, answered) = oneshot::channel();
        self.candidates.send((candidate, answer)).await.map_err(|_| PANIC)?;
        answered.await.unwrap_or(Err(PANIC))
    }
}

struct Work {
    layout: Layout,
    images: File,
    ledger: Ledger,
    other_content: OtherContent,
    _lock: Arc<File>,
}

/// An object under its final name, not yet recorded.
struct Placed {
    stored: Stored,
    arrival: Arrival,
    /// Whether the name was free, so that the file may go again if the group fails.
    fresh: bool,
    answer: Answer,
}

impl Work {
    fn run(self, mut waiting: mpsc::Receiver<(Candidate, Answer)>) {
        let mut group = Vec::with_capacity(LARGEST_GROUP);
        while waiting.blocking_recv_many(&mut group, LARGEST_GROUP) > 0 {
            self.commit(group.drain(..));
        }
    }

    fn commit(&self, group: impl Iterator<Item = (Candidate, Answer)>) {
        let (mut placed, mut known) = (Vec::<Placed>::new(), Vec::new());
        for (candidate, answer) in group {
            match self.place(candidate, &placed) {
                Ok(Place::Taken(stored)) => known.push((stored, answer)),
                Ok(Place::Given { stored, arrival, fresh }) => {
                    placed.push(Placed { stored, arrival: *arrival, fresh, answer });
                }
                // A sender that is gone asks again.
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        match self.record(&placed) {
            Ok(()) => {
                known.extend(placed.into_iter().map(|placed| (placed.stored, placed.answer)));
                known.into_iter().for_each(|(stored, answer)| drop(answer.send(Ok(stored))));
            }
            Err(error) => self.take_back(placed, known, &error),
        }
    }

    /// Renames an object, unless its content is known already.
    fn place(&self, candidate: Candidate, before: &[Placed]) -> Result<Place, SpoolError> {
        let Candidate { mut instance, digest, bytes, urgency, calling, received, part } = candidate;
        let target = self.layout.image(&instance.sop_instance, &digest);
        let known = self.known(&instance, &digest, before)?;
        let disposal = match known {
            Known::Same => {
                instance.path = target;
                return Ok(Place::Taken(Stored::Same(instance)));
            }
            Known::Other(contents) if contents >= MOST_CONTENTS => {
                return Err(SpoolError::TooManyContents { instance: instance.sop_instance, contents });
            }
            Known::Other(_) if self.other_content == OtherContent::Keep => Disposal::Aside,
            Known::Other(_) | Known::New => Disposal::Report,
        };
        let fresh = !target.exists();
        fs::rename(part.as_path(), &target).map_err(SpoolError::io("rename", part.as_path()))?;
        part.renamed();
        instance.path = target;
        let stored = match known {
            Known::New => Stored::New(instance.clone(), urgency),
            _ => Stored::Other(instance.clone(), urgency, disposal),
        };
        let arrival = Box::new(Arrival { instance, digest, bytes, calling, received, urgency, disposal });
        Ok(Place::Given { stored, arrival, fresh })
    }

    /// What is known of a content, those of the same group included.
    fn known(&self, instance: &Instance, digest: &Digest, before: &[Placed]) -> Result<Known, SpoolError> {
        let known = self.ledger.known(&instance.sop_instance, digest)?;
        let mut together = before.iter().map(|placed| &placed.arrival);
        let of_uid = |arrival: &&Arrival| arrival.instance.sop_instance == instance.sop_instance;
        if known == Known::Same || together.clone().filter(of_uid).any(|arrival| arrival.digest == *digest) {
            return Ok(Known::Same);
        }
        Ok(match (known, together.any(|arrival| of_uid(&arrival))) {
            (Known::New, true) => Known::Other(1),
            _ => known,
        })
    }

    /// Makes the names durable and the objects known.
    fn record(&self, placed: &[Placed]) -> Result<(), SpoolError> {
        if placed.is_empty() {
            return Ok(());
        }
        self.images.sync_all().map_err(SpoolError::io("sync", &self.layout.images()))?;
        let arrivals: Vec<Arrival> = placed.iter().map(|placed| placed.arrival.clone()).collect();
        Ok(self.ledger.record(&arrivals)?)
    }

    /// Nothing of the group counts: whoever sent it has no success and sends it again.
    fn take_back(&self, placed: Vec<Placed>, known: Vec<(Stored, Answer)>, error: &SpoolError) {
        for Placed { arrival, fresh, answer, .. } in placed {
            if fresh && let Err(error) = disk::remove(&arrival.instance.path) {
                tracing::warn!(%error, "a file that was not acknowledged is left behind; it is adopted at the next start");
            }
            let _ = answer.send(Err(same(error, &self.layout.images())));
        }
        for (_, answer) in known {
            let _ = answer.send(Err(same(error, &self.layout.images())));
        }
    }
}

enum Place {
    Given { stored: Stored, arrival: Box<Arrival>, fresh: bool },
    Taken(Stored),
}

/// One error for each of a group.
fn same(error: &SpoolError, images: &Path) -> SpoolError {
    match error {
        SpoolError::Ledger(error) => SpoolError::Ledger(error.clone()),
        SpoolError::Io { doing, path, source } => {
            SpoolError::Io { doing, path: path.clone(), source: io::Error::new(source.kind(), source.to_string()) }
        }
        other => {
            SpoolError::Io { doing: "commit to", path: images.to_owned(), source: io::Error::other(other.to_string()) }
        }
    }
}
