//! What an earlier run left: unfinished files are removed, files and ledger held against each other. A file that the
//! ledger does not know is adopted, or set aside where it cannot be; a row whose file is gone is told of.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::disk::{self, Layout};
use super::incoming::walk;
use super::pack::{self, Member};
use super::{SpoolError, file_meta};
use crate::digest::{Digester, EarlierDigest};
use crate::ids::SopInstanceUid;
use crate::instance::{HeaderError, Instance, Urgency};
use crate::ledger::{Arrival, Disposal, Held, Known, Ledger, Waiting};
use crate::part10::Location;

/// Brings directory and ledger into the state that the running spool keeps them in.
pub(super) fn recover(layout: &Layout, ledger: &Ledger) -> Result<Vec<Waiting>, SpoolError> {
    for path in files(&layout.images())? {
        match path.extension() {
            Some(extension) if extension == "part" => disk::remove(&path)?,
            Some(extension) if extension == disk::PACK => check_pack(layout, ledger, &path)?,
            _ => check_image(layout, ledger, &path)?,
        }
    }
    disk::sync_directory(&layout.images())?;
    for report in files(&layout.outbox())? {
        if disk::is_unfinished(&report) {
            disk::remove(&report)?;
            continue;
        }
        if !ledger.knows_report(&report)? {
            set_aside(layout, &report, "no study has this report; if one needs it, it is made again")?;
        }
    }
    let mut left = Vec::new();
    for waiting in ledger.waiting()? {
        match waiting.instance.location.is_there() {
            Ok(true) | Err(_) => left.push(waiting),
            Ok(false) => note_lost(ledger, &waiting.instance, "its file is gone from images/")?,
        }
    }
    Ok(left)
}

/// Holds one file of `images/` against its row.
fn check_image(layout: &Layout, ledger: &Ledger, path: &Path) -> Result<(), SpoolError> {
    let Some(uid) = uid_of(path) else {
        return set_aside(layout, path, "its name is not that of an image");
    };
    match ledger.held(&uid, &path.into())? {
        Some(Held::Waiting(bytes)) if size(path)? != bytes => {
            let instance = Instance::open(path);
            set_aside(layout, path, "its size is not what it was")?;
            match instance {
                Ok(instance) => note_lost(ledger, &instance, "its file was damaged and lies in quarantine/"),
                Err(_) => Ok(()),
            }
        }
        Some(Held::Waiting(_) | Held::Kept) => Ok(()),
        Some(Held::Gone) => disk::remove(path),
        None => match adopt(ledger, &path.into(), &name(path))? {
            Adopted::Taken => Ok(()),
            Adopted::DoneWith => disk::remove(path),
            Adopted::Unusable(why) => set_aside(layout, path, &why),
        },
    }
}

/// Holds one pack against the rows of its members.
fn check_pack(layout: &Layout, ledger: &Ledger, path: &Path) -> Result<(), SpoolError> {
    let members = match pack::members(path) {
        Ok(members) => members,
        Err(error) => {
            let waiting = ledger.waiting_in(path)?;
            set_aside(layout, path, &error.to_string())?;
            let why = "its file was damaged and lies in quarantine/";
            return waiting.iter().try_for_each(|instance| note_lost(ledger, instance, why));
        }
    };
    let mut unusable = None;
    for Member { name, stretch } in members {
        let location = Location::within(path.to_owned(), stretch);
        let Some(uid) = uid_of(Path::new(&name)) else { continue };
        if ledger.held(&uid, &location)?.is_none()
            && let Adopted::Unusable(why) = adopt(ledger, &location, &name)?
        {
            unusable = Some(why);
        }
    }
    match (ledger.holds_images(path)?, unusable) {
        (true, _) => Ok(()),
        (false, None) => disk::remove(path),
        (false, Some(why)) => set_aside(layout, path, &why),
    }
}

/// What became of an object that no row knew.
enum Adopted {
    /// It has a row.
    Taken,
    /// Its content needs none.
    DoneWith,
    /// It cannot be used.
    Unusable(String),
}

/// Takes an object in that no row knows: it was durable, but the record of it was not. `name` is that of its file, or
/// would be if it had one.
fn adopt(ledger: &Ledger, location: &Location, name: &str) -> Result<Adopted, SpoolError> {
    let (instance, urgency) = match identify(location) {
        Ok(identified) => identified,
        Err(HeaderError::Io { source, .. }) => return Err(SpoolError::io("read", location.file())(source)),
        Err(error) => return Ok(Adopted::Unusable(error.to_string())),
    };
    let failed = || SpoolError::io("read", location.file());
    let bytes = location.open().map_err(failed())?.length();
    let uid = &instance.sop_instance;
    let content = || location.open().and_then(file_meta::data_set);
    let digest = content().and_then(|content| Digester::default().read(content)).map_err(failed())?.finish();
    let earlier = || content().and_then(EarlierDigest::read).map_err(failed());
    if name != disk::image_name(uid, &digest) && name != disk::image_name(uid, &earlier()?) {
        return Ok(Adopted::Unusable("its name is not that of its content".into()));
    }
    if ledger.known(uid, &digest, earlier)? == Known::Same {
        tracing::info!(file = %location, "an image that was done with is deleted");
        return Ok(Adopted::DoneWith);
    }
    let Some(calling) = file_meta::sender(location) else {
        return Ok(Adopted::Unusable("its file meta information is not Auscult's".into()));
    };
    let (received, disposal) = (SystemTime::now(), Disposal::Report);
    let arrival = Arrival { digest, bytes, calling, received, urgency, disposal, instance };
    tracing::info!(instance = %arrival.instance.sop_instance, "an image without a record was adopted");
    ledger.record([&arrival])?;
    Ok(Adopted::Taken)
}

fn identify(location: &Location) -> Result<(Instance, Urgency), HeaderError> {
    let walked = walk(location)?;
    Ok((Instance::from_walk(location, &walked)?, Urgency::of(&walked.outline)))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// An image's SOP Instance UID, from its name.
fn uid_of(path: &Path) -> Option<SopInstanceUid> {
    let (uid, _) = path.file_name()?.to_str()?.strip_suffix(".dcm")?.split_once('-')?;
    uid.parse().ok()
}

fn size(path: &Path) -> Result<u64, SpoolError> {
    Ok(fs::metadata(path).map_err(SpoolError::io("measure", path))?.len())
}

fn note_lost(ledger: &Ledger, instance: &Instance, why: &str) -> Result<(), SpoolError> {
    tracing::error!(
        study = %instance.study, instance = %instance.sop_instance, why,
        "an acknowledged image cannot be reported; have it sent again"
    );
    Ok(ledger.lost(instance, why, SystemTime::now())?)
}

fn set_aside(layout: &Layout, path: &Path, why: &str) -> Result<(), SpoolError> {
    let quarantine = layout.quarantine();
    disk::make_directory(&quarantine)?;
    let kept = disk::move_into(path, &quarantine)?;
    disk::sync_directory(&quarantine)?;
    tracing::warn!(
        file = %path.display(), kept_as = %kept.display(), why,
        "a file in the spool cannot be used and was set aside; send its study again if it has no report"
    );
    Ok(())
}

/// The files of a directory. What else is in it was not put there by Auscult and stays.
fn files(directory: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let read = fs::read_dir(directory).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = read.map_err(SpoolError::io("list", directory))?;
    paths.sort();
    let (files, others) = paths.into_iter().partition::<Vec<_>, _>(|path| path.is_file());
    for other in others {
        tracing::warn!(path = %other.display(), "this has no place in the spool; remove it");
    }
    Ok(files)
}
