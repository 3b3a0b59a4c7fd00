//! How a report reaches one destination: by C-STORE, as a file in a folder, or as an HL7 message.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::Settings;
use super::messenger::Messenger;
use crate::commitment::{Outcome, Reference, Request};
use crate::config::{Destination, StorageCommitment};
use crate::dimse::Status;
use crate::finding::SopReference;
use crate::ids::{AeTitle, TransactionUid};
use crate::instance::HeaderError;
use crate::ledger::Pending;
use crate::scu::{Association, Object, Peer, Proposal, Role, ScuError};
use crate::spool;

/// Why a report did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum TryError {
    /// The destination cannot be reached; the other reports would fare no better.
    #[error("{0}")]
    Unreachable(String),
    /// The destination cannot take this report now.
    #[error("{0}")]
    NotNow(String),
    /// The destination will never take this report.
    #[error("{0}")]
    Refused(String),
}

/// Carries reports to one destination, over one association as long as reports follow each other.
pub(super) enum Carrier {
    Dicom { peer: Box<Peer>, commitment: StorageCommitment, association: Option<Association> },
    Folder(PathBuf),
    Hl7(Box<Messenger>),
}

/// A DICOM destination with the administrator's times.
pub(super) fn peer(host: &str, port: u16, ae_title: &AeTitle, settings: &Settings) -> Peer {
    let times = &settings.delivery;
    Peer {
        connect: Duration::from_secs(times.connect_seconds),
        response: Duration::from_secs(times.response_seconds),
        ..Peer::new(host, port, ae_title.clone(), settings.calling.clone())
    }
}

impl Carrier {
    pub(super) fn new(destination: &Destination, settings: &Settings) -> Self {
        match destination {
            Destination::Dicom { host, port, ae_title, storage_commitment, .. } => {
                let peer = Box::new(peer(host, *port, ae_title, settings));
                Self::Dicom { peer, commitment: *storage_commitment, association: None }
            }
            Destination::Folder { path, .. } => Self::Folder(settings.state.join(path)),
            Destination::Hl7 { host, port, .. } => Self::Hl7(Box::new(Messenger::new(host, *port, &settings.delivery))),
        }
    }

    /// Opens an association for a report, where there is none; why the destination cannot be reached, where it cannot.
    pub(super) async fn get_ready(&mut self, next: &Pending) -> Result<(), String> {
        let Self::Dicom { peer, commitment, association } = self else { return Ok(()) };
        if association.is_none() {
            let object = open(&next.file).await.map_err(|error| error.to_string())?;
            *association = Some(open_association(peer, *commitment, &object).await.map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    /// Brings one report; what the destination said.
    pub(super) async fn carry(&mut self, pending: &Pending) -> Result<String, TryError> {
        match self {
            Self::Dicom { peer, commitment, association } => {
                let object = open(&pending.file).await?;
                send(peer, *commitment, association, &object).await
            }
            Self::Hl7(messenger) => messenger.carry(pending).await,
            Self::Folder(folder) => {
                let (folder, report) = (folder.clone(), pending.file.clone());
                let put = spawn_blocking(move || put(&folder, &report)).await;
                put.unwrap_or_else(|_| Err(TryError::NotNow("a fault of Auscult's own".into())))
            }
        }
    }

    /// Whether the destination has to commit to what it was brought.
    pub(super) fn commitment(&self) -> StorageCommitment {
        match self {
            Self::Dicom { commitment, .. } => *commitment,
            Self::Folder(_) | Self::Hl7(_) => StorageCommitment::Off,
        }
    }

    /// Asks the destination to commit to what it was just brought.
    pub(super) async fn ask(&mut self, pending: &Pending, transaction: TransactionUid) -> Result<(), TryError> {
        let Self::Dicom { association, .. } = self else { return Ok(()) };
        let SopReference { sop_class, sop_instance, .. } = pending.report.clone();
        let request = Request { transaction, references: vec![Reference { sop_class, sop_instance }] };
        let not_now = |why: &dyn std::fmt::Display| TryError::NotNow(format!("storage commitment: {why}"));
        let mut asking = association.take().ok_or_else(|| not_now(&"the association ended"))?;
        match asking.request_commitment(&request).await {
            Ok(status) => {
                *association = Some(asking);
                if status.is_stored() { Ok(()) } else { Err(not_now(&status)) }
            }
            Err(error) => {
                asking.abort().await;
                Err(not_now(&error))
            }
        }
    }

    /// What the destination says within `wait` of its commitment, on the association that is open; it may say so on an
    /// association of its own as well.
    pub(super) async fn outcome(&mut self, wait: Duration) -> Option<Outcome> {
        let Self::Dicom { commitment: StorageCommitment::Required, association, .. } = self else { return None };
        match association.as_mut()?.outcome(wait).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::debug!(%error, "no outcome on this association");
                *association = None;
                None
            }
        }
    }

    /// Ends the association, if there is one.
    pub(super) async fn close(&mut self) {
        match self {
            Self::Dicom { association, .. } => {
                if let Some(association) = association.take()
                    && let Err(error) = association.release().await
                {
                    tracing::debug!(%error, "release");
                }
            }
            Self::Hl7(messenger) => messenger.close(),
            Self::Folder(_) => {}
        }
    }
}

async fn open(report: &Path) -> Result<Object, TryError> {
    let path = report.to_owned();
    let opened = spawn_blocking(move || Object::open(&path)).await;
    opened.map_err(|_| TryError::NotNow("unreadable".into()))?.map_err(unreadable)
}

/// A new association, for an object and others of its kind.
async fn open_association(
    peer: &Peer,
    commitment: StorageCommitment,
    object: &Object,
) -> Result<Association, TryError> {
    let mut proposals = Vec::new();
    Proposal::extend(&mut proposals, object);
    if commitment == StorageCommitment::Required {
        proposals.extend(Proposal::commitment(Role::User).map_err(|error| TryError::NotNow(error.to_string()))?);
    }
    Association::open(peer, &proposals).await.map_err(|error| TryError::Unreachable(error.to_string()))
}

/// C-STORE, on the association that is open or a new one.
async fn send(
    peer: &Peer,
    commitment: StorageCommitment,
    slot: &mut Option<Association>,
    object: &Object,
) -> Result<String, TryError> {
    let reused = slot.is_some();
    let mut association = match slot.take() {
        Some(association) => association,
        None => open_association(peer, commitment, object).await?,
    };
    match association.store(object).await {
        Ok(status) => {
            *slot = Some(association);
            judge(status)
        }
        // An association that was opened for other objects does not say what the peer takes of this one.
        Err(ScuError::NoContext { .. }) if reused => {
            let _ = association.release().await;
            Box::pin(send(peer, commitment, slot, object)).await
        }
        Err(error @ ScuError::NoContext { .. }) => {
            *slot = Some(association);
            Err(TryError::NotNow(error.to_string()))
        }
        // The association is gone; whether this report or the network ended it, the next one tells.
        Err(error) => Err(TryError::NotNow(error.to_string())),
    }
}

/// A report that lies in the outbox and cannot be read: a disk may recover, a broken file does not.
fn unreadable(error: ScuError) -> TryError {
    match error {
        ScuError::Unreadable(HeaderError::NotDicom { .. } | HeaderError::Identity { .. }) => {
            TryError::Refused(error.to_string())
        }
        passing => TryError::NotNow(passing.to_string()),
    }
}

/// What a C-STORE status means for the queue (PS3.4 B.2.3): a duplicate is there already, a lack of resources
/// passes, anything else is final.
fn judge(status: Status) -> Result<String, TryError> {
    const DUPLICATE: u16 = 0x0111;
    match status.code() {
        _ if status.is_stored() => Ok(status.to_string()),
        DUPLICATE => Ok(status.to_string()),
        0xA700..=0xA7FF | 0x0110 | 0x0124 | 0x0213 => Err(TryError::NotNow(status.to_string())),
        _ => Err(TryError::Refused(status.to_string())),
    }
}

fn put(folder: &Path, report: &Path) -> Result<String, TryError> {
    let fail = |error: std::io::Error| TryError::Unreachable(format!("{}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(fail)?;
    let bytes = fs::read(report).map_err(|error| TryError::NotNow(error.to_string()))?;
    let target = folder.join(report.file_name().unwrap_or_default());
    spool::write_durably(&target, &bytes).map_err(|error| TryError::Unreachable(error.to_string()))?;
    Ok(format!("written to {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16) -> &'static str {
        match judge(Status::new(code)) {
            Ok(_) => "delivered",
            Err(TryError::NotNow(_)) => "later",
            Err(TryError::Refused(_)) => "refused",
            Err(TryError::Unreachable(_)) => "unreachable",
        }
    }

    #[test]
    fn warnings_and_duplicates_are_deliveries_and_only_resources_pass() {
        assert_eq!([0x0000, 0xB000, 0xB007, 0x0111].map(of), ["delivered"; 4]);
        assert_eq!([0xA700, 0x0110, 0x0124].map(of), ["later"; 3]);
        assert_eq!([0xA900, 0xC000, 0x0122].map(of), ["refused"; 3]);
    }

    #[test]
    fn a_folder_gets_the_report_under_its_uid() {
        let directory = tempfile::tempdir().unwrap();
        let entry = directory.path().join("2.25.7.dcm");
        fs::write(&entry, b"report").unwrap();
        let folder = directory.path().join("out/reports");
        put(&folder, &entry).unwrap();
        assert_eq!(fs::read(folder.join("2.25.7.dcm")).unwrap(), b"report");
    }
}
