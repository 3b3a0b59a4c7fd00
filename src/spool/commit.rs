//! The last step of storing: small objects are written together, objects that are synced get their final names, their
//! directory is synced once for all that came in the meantime, the ledger records them, and only then their senders are
//! answered.
//!
//! One thread does this for all associations, so that durability costs the less the more there is to do, and no two
//! objects ever decide about the same SOP Instance UID.

use std::fs::{self, File};
use std::io::{self, Cursor, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot};

use super::disk::Layout;
use super::incoming::PartName;
use super::{SpoolError, Stored, disk, file_meta, pack};
use crate::config::{self, OtherContent};
use crate::digest::{Digest, EarlierDigest};
use crate::ids::AeTitle;
use crate::instance::{Instance, Urgency};
use crate::ledger::{Arrival, Disposal, Known, Ledger};
use crate::part10::Location;

/// Most objects that are committed together.
const LARGEST_GROUP: usize = 128;
/// Objects that may wait to be committed.
const WAITING: usize = 1024;
/// Different contents under one SOP Instance UID that are kept before further ones are refused.
const MOST_CONTENTS: usize = 64;

/// An object that is whole and was looked at.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) instance: Instance,
    pub(super) digest: Digest,
    pub(super) urgency: Urgency,
    pub(super) calling: AeTitle,
    pub(super) received: SystemTime,
    pub(super) content: Content,
}

/// Where an object is before it is committed.
#[derive(Debug)]
pub(super) enum Content {
    /// In memory: all octets of its Part 10 file.
    Octets(Vec<u8>),
    /// On the disk, synced, under its first name.
    Part { name: PartName, bytes: u64 },
}

impl Content {
    fn earlier_digest(&self) -> Result<EarlierDigest, SpoolError> {
        let (path, read) = match self {
            Self::Octets(octets) => {
                let data_set = file_meta::data_set(Cursor::new(octets));
                (Path::new("memory"), data_set.and_then(EarlierDigest::read))
            }
            Self::Part { name, .. } => {
                let data_set = File::open(name.as_path()).and_then(file_meta::data_set);
                (name.as_path(), data_set.and_then(EarlierDigest::read))
            }
        };
        read.map_err(SpoolError::io("read", path))
    }
}

pub(super) type Answer = oneshot::Sender<Result<Stored, SpoolError>>;

/// A handle to the committing thread, which ends with the last handle.
#[derive(Debug)]
pub(super) struct Committer {
    candidates: mpsc::Sender<(Candidate, Answer)>,
}

impl Committer {
    pub(super) fn start(
        layout: &Layout,
        ledger: &Ledger,
        settings: &config::Spool,
        lock: Arc<File>,
    ) -> Result<Self, SpoolError> {
        let work = Work::new(layout, ledger, settings, lock)?;
        let (candidates, waiting) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new().name("commit".into()).spawn(move || work.run(waiting));
        thread.map_err(SpoolError::io("start a thread for", &layout.images()))?;
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

/// What the thread works with.
pub(super) struct Work {
    layout: Layout,
    images: File,
    ledger: Ledger,
    other_content: OtherContent,
    min_free_mib: u64,
    _lock: Arc<File>,
}

/// An object that counts, not yet recorded.
struct Newcomer {
    arrival: Arrival,
    known: Known,
    /// What is to be written of it; nothing where it has a file already.
    octets: Vec<u8>,
    /// Whether its file came with it, and may go again if the group fails.
    fresh: bool,
    answer: Answer,
}

impl Newcomer {
    fn stored(arrival: Arrival, known: Known) -> Stored {
        let Arrival { instance, urgency, disposal, .. } = arrival;
        match known {
            Known::New | Known::Same => Stored::New(instance, urgency),
            Known::Other(_) => Stored::Other(instance, urgency, disposal),
        }
    }
}

impl Work {
    pub(super) fn new(
        layout: &Layout,
        ledger: &Ledger,
        settings: &config::Spool,
        lock: Arc<File>,
    ) -> Result<Self, SpoolError> {
        let path = layout.images();
        let images = File::open(&path).map_err(SpoolError::io("open", &path))?;
        let config::Spool { other_content, min_free_mib, .. } = *settings;
        Ok(Self { layout: layout.clone(), images, ledger: ledger.clone(), other_content, min_free_mib, _lock: lock })
    }

    fn run(self, mut waiting: mpsc::Receiver<(Candidate, Answer)>) {
        let mut group = Vec::with_capacity(LARGEST_GROUP);
        while waiting.blocking_recv_many(&mut group, LARGEST_GROUP) > 0 {
            self.commit(group.drain(..));
        }
    }

    /// Commits objects together, and answers for each.
    pub(super) fn commit(&self, group: impl Iterator<Item = (Candidate, Answer)>) {
        let (mut new, mut again) = (Vec::<Newcomer>::new(), Vec::new());
        for (candidate, answer) in group {
            match self.judge(&candidate, &new) {
                Ok(Known::Same) => again.push((self.same(candidate), answer)),
                Ok(known) => match self.take_up(candidate, known) {
                    Ok((arrival, octets, fresh)) => new.push(Newcomer { arrival, known, octets, fresh, answer }),
                    Err(error) => drop(answer.send(Err(error))),
                },
                // A sender that is gone asks again.
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        match self.write(&mut new).and_then(|()| self.record(&new)) {
            Ok(()) => {
                for Newcomer { arrival, known, answer, .. } in new {
                    let _ = answer.send(Ok(Newcomer::stored(arrival, known)));
                }
                again.into_iter().for_each(|(instance, answer)| drop(answer.send(Ok(Stored::Same(instance)))));
            }
            Err(error) => self.take_back(new, again, &error),
        }
    }

    /// What is known of a content, those of the same group included.
    fn judge(&self, candidate: &Candidate, before: &[Newcomer]) -> Result<Known, SpoolError> {
        let (instance, digest) = (&candidate.instance.sop_instance, &candidate.digest);
        let known = self.ledger.known(instance, digest, || candidate.content.earlier_digest())?;
        let mut together =
            before.iter().map(|other| &other.arrival).filter(|other| other.instance.sop_instance == *instance);
        if known == Known::Same || together.clone().any(|other| other.digest == *digest) {
            return Ok(Known::Same);
        }
        match (known, together.next()) {
            (Known::Other(contents), _) if contents >= MOST_CONTENTS => {
                Err(SpoolError::TooManyContents { instance: instance.clone(), contents })
            }
            (Known::New, Some(_)) => Ok(Known::Other(1)),
            _ => Ok(known),
        }
    }

    /// An object that is here already, as it would be if it were new.
    fn same(&self, candidate: Candidate) -> Instance {
        let location = self.layout.image(&candidate.instance.sop_instance, &candidate.digest).into();
        Instance { location, ..candidate.instance }
    }

    /// Gives a file its final name, or hands out what is to be written; and whether the name was free.
    fn take_up(&self, candidate: Candidate, known: Known) -> Result<(Arrival, Vec<u8>, bool), SpoolError> {
        let Candidate { mut instance, digest, urgency, calling, received, content } = candidate;
        let disposal = match known {
            Known::Other(_) if self.other_content == OtherContent::Keep => Disposal::Aside,
            _ => Disposal::Report,
        };
        let (octets, bytes, fresh) = match content {
            Content::Part { name, bytes } => {
                let target = self.layout.image(&instance.sop_instance, &digest);
                let fresh = give_name(name, &target)?;
                instance.location = target.into();
                (Vec::new(), bytes, fresh)
            }
            Content::Octets(octets) => {
                let bytes = octets.len() as u64;
                (octets, bytes, false)
            }
        };
        Ok((Arrival { instance, digest, bytes, calling, received, urgency, disposal }, octets, fresh))
    }

    /// Writes what is in memory: one object to a file of its own, several to a pack.
    fn write(&self, new: &mut [Newcomer]) -> Result<(), SpoolError> {
        let mut unwritten: Vec<&mut Newcomer> = new.iter_mut().filter(|one| !one.octets.is_empty()).collect();
        if unwritten.is_empty() {
            return Ok(());
        }
        self.layout.check_space(self.min_free_mib)?;
        let name = |one: &Arrival| disk::image_name(&one.instance.sop_instance, &one.digest);
        let members: Vec<_> = unwritten.iter().map(|one| (name(&one.arrival), one.arrival.bytes)).collect();
        let (index, places) = match members.as_slice() {
            [(only, _)] => (String::new(), vec![Location::from(self.layout.images().join(only))]),
            several => {
                let (index, stem, stretches) = pack::plan(several);
                let pack = self.layout.pack(&stem);
                let within = |stretch| Location::within(pack.clone(), stretch);
                (index, stretches.into_iter().map(within).collect())
            }
        };
        let Some(target) = places.first().map(|place| place.file().to_owned()) else { return Ok(()) };
        let mut pieces = vec![index.into_bytes()];
        pieces.extend(unwritten.iter_mut().map(|one| std::mem::take(&mut one.octets)));
        let fresh = self.write_file(&target, &pieces)?;
        for (one, place) in unwritten.into_iter().zip(places) {
            one.arrival.instance.location = place;
            one.fresh = fresh;
        }
        Ok(())
    }

    /// Writes a file and syncs it; whether its name was free. A free name is used at once, which saves the disk a
    /// rename to sync: what a crash leaves unfinished there has no row, and is found out by its digest.
    fn write_file(&self, target: &Path, pieces: &[Vec<u8>]) -> Result<bool, SpoolError> {
        let fresh = !target.exists();
        let name = PartName(if fresh { target.to_owned() } else { self.layout.group() });
        let failed = |doing| SpoolError::io(doing, name.as_path());
        let mut file = disk::create_file(name.as_path())?;
        for piece in pieces {
            file.write_all(piece).map_err(failed("write"))?;
        }
        file.sync_all().map_err(failed("sync"))?;
        if fresh {
            name.keep();
            return Ok(true);
        }
        give_name(name, target)
    }

    /// Makes the names durable and the objects known.
    fn record(&self, new: &[Newcomer]) -> Result<(), SpoolError> {
        if new.is_empty() {
            return Ok(());
        }
        self.images.sync_all().map_err(SpoolError::io("sync", &self.layout.images()))?;
        Ok(self.ledger.record(new.iter().map(|one| &one.arrival))?)
    }

    /// Nothing of the group counts: whoever sent it has no success and sends it again.
    fn take_back(&self, new: Vec<Newcomer>, again: Vec<(Instance, Answer)>, error: &SpoolError) {
        for Newcomer { arrival, fresh, answer, .. } in new {
            if fresh && let Err(error) = disk::remove(arrival.instance.location.file()) {
                tracing::warn!(%error, "a file that was not acknowledged is left behind; it is adopted at the next start");
            }
            let _ = answer.send(Err(same(error, &self.layout.images())));
        }
        for (_, answer) in again {
            let _ = answer.send(Err(same(error, &self.layout.images())));
        }
    }
}

/// Renames a synced file; whether the name was free.
fn give_name(part: PartName, target: &Path) -> Result<bool, SpoolError> {
    let fresh = !target.exists();
    fs::rename(part.as_path(), target).map_err(SpoolError::io("rename", part.as_path()))?;
    part.keep();
    Ok(fresh)
}

/// One error for each of a group.
fn same(error: &SpoolError, images: &Path) -> SpoolError {
    match error {
        SpoolError::Ledger(error) => SpoolError::Ledger(error.clone()),
        SpoolError::Io { doing, path, source } => {
            SpoolError::Io { doing, path: path.clone(), source: io::Error::new(source.kind(), source.to_string()) }
        }
        SpoolError::OutOfSpace { path, free_mib, min_free_mib } => {
            SpoolError::OutOfSpace { path: path.clone(), free_mib: *free_mib, min_free_mib: *min_free_mib }
        }
        other => {
            SpoolError::Io { doing: "commit to", path: images.to_owned(), source: io::Error::other(other.to_string()) }
        }
    }
}
