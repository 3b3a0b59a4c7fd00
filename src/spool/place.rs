//! Where a received object goes: identified from its own data set, then linked under its name, which no other
//! object can have.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::PoisonError;

use super::{Arrival, Opened, SpoolError, Stored, disk, file_meta};
use crate::ids::StudyInstanceUid;
use crate::instance::{HeaderError, Instance};
use crate::part10::{self, ReadError, WalkError};

/// Different objects under one SOP Instance UID that are kept before further ones are refused.
const MAX_CONFLICTS: u32 = 64;
/// Bytes that a deflated data set may inflate to; a second's work.
const LARGEST_INFLATED: u64 = 1 << 30;

/// Who the object in a file is, checked against what its command announced.
pub(super) fn identify(path: &Path, arrival: &Arrival) -> Result<Instance, SpoolError> {
    let instance = read_identity(path)?;
    let agree = |attribute, found: &str, announced: &str| match found == announced {
        true => Ok(()),
        false => Err(SpoolError::Mismatch { attribute, found: found.to_owned(), announced: announced.to_owned() }),
    };
    agree("SOP Class UID", instance.sop_class.as_str(), arrival.sop_class.as_str())?;
    agree("SOP Instance UID", instance.sop_instance.as_str(), arrival.sop_instance.as_str())?;
    Ok(instance)
}

/// Reads a file's identity with a parser that is known to panic on some input, once the walk over the whole data set
/// has found nothing wrong.
pub(super) fn read_identity(path: &Path) -> Result<Instance, HeaderError> {
    let not_dicom = |cause| HeaderError::NotDicom { path: path.to_owned(), cause };
    part10::walk(path, LARGEST_INFLATED).map_err(|error| match error {
        WalkError::File(ReadError::Io(source)) => HeaderError::Io { path: path.to_owned(), source },
        malformed => not_dicom(malformed.to_string()),
    })?;
    let panicked = |_| Err(not_dicom("the parser failed on it".to_owned()));
    catch_unwind(AssertUnwindSafe(|| Instance::open(path))).unwrap_or_else(panicked)
}

/// Gives a synced file its place, and makes that durable. The part keeps its own name until it is dropped.
pub(super) fn put(opened: &Opened, part: &Path, mut instance: Instance) -> Result<Stored, SpoolError> {
    let target = opened.layout.instance(&instance.study, &instance.sop_instance);
    instance.path.clone_from(&target);
    match link_into_study(opened, part, &instance.study, &target)? {
        Linked::Here => {
            disk::sync_directory(&opened.layout.study(&instance.study))?;
            Ok(Stored::New(instance))
        }
        Linked::Taken if same_content(part, &target)? => {
            disk::sync_directory(&opened.layout.study(&instance.study))?;
            Ok(Stored::Duplicate(instance))
        }
        Linked::Taken => keep_apart(opened, part, instance).map(Stored::Conflict),
    }
}

enum Linked {
    Here,
    Taken,
}

/// Links the file into its study's directory. The directory can vanish in between, when a report is finished.
fn link_into_study(
    opened: &Opened,
    part: &Path,
    study: &StudyInstanceUid,
    target: &Path,
) -> Result<Linked, SpoolError> {
    let mut tries = 0;
    loop {
        durable_directory(opened, &opened.layout.study(study))?;
        match fs::hard_link(part, target) {
            Ok(()) => return Ok(Linked::Here),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Linked::Taken),
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < 3 => tries += 1,
            Err(error) => return Err(SpoolError::io("link", target)(error)),
        }
    }
}

/// Makes a directory that is durable when this returns: whoever finds it made has waited for its maker's sync.
fn durable_directory(opened: &Opened, path: &Path) -> Result<(), SpoolError> {
    let _one_at_a_time = opened.making_directories.lock().unwrap_or_else(PoisonError::into_inner);
    disk::make_directory(path)
}

/// Keeps an object whose name is taken by another content, once.
fn keep_apart(opened: &Opened, part: &Path, mut instance: Instance) -> Result<Instance, SpoolError> {
    let directory = opened.layout.conflicts(&instance.study);
    durable_directory(opened, &directory)?;
    for number in 1..=MAX_CONFLICTS {
        instance.path = directory.join(format!("{}.{number}.dcm", instance.sop_instance));
        match fs::hard_link(part, &instance.path) {
            Ok(()) => return disk::sync_directory(&directory).map(|()| instance),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(SpoolError::io("link", &instance.path)(error));
            }
            Err(_) if same_content(part, &instance.path)? => {
                return disk::sync_directory(&directory).map(|()| instance);
            }
            Err(_) => {}
        }
    }
    Err(SpoolError::TooManyConflicts { path: instance.path })
}

/// Whether two files that we wrote hold the same data set, whoever sent them.
fn same_content(one: &Path, other: &Path) -> Result<bool, SpoolError> {
    let open = |path: &Path| {
        let mut file = File::open(path)?;
        file_meta::seek_to_data_set(&mut file)?;
        io::Result::Ok(BufReader::with_capacity(64 * 1024, file))
    };
    let mut ours = open(one).map_err(SpoolError::io("read", one))?;
    let mut theirs = open(other).map_err(SpoolError::io("read", other))?;
    same_bytes(&mut ours, &mut theirs).map_err(SpoolError::io("compare", other))
}

fn same_bytes(one: &mut impl Read, other: &mut impl Read) -> io::Result<bool> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    loop {
        ours.clear();
        theirs.clear();
        one.by_ref().take(64 * 1024).read_to_end(&mut ours)?;
        other.by_ref().take(64 * 1024).read_to_end(&mut theirs)?;
        if ours != theirs {
            return Ok(false);
        }
        if ours.is_empty() {
            return Ok(true);
        }
    }
}
