//! `[[destination]]`: where reports go, and what goes there with them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::defaults;
use crate::ids::AeTitle;

/// `[[destination]]`: where reports go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Destination {
    /// A Storage SCP.
    Dicom {
        /// Name in logs and in the queue's directory.
        name: String,
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// The destination's AE title.
        ae_title: AeTitle,
        /// Most associations to it at the same time.
        #[serde(default = "defaults::associations")]
        associations: usize,
        /// Whether a report counts as delivered only once the destination has committed to keep it.
        #[serde(default)]
        storage_commitment: StorageCommitment,
        /// What it gets beside each report.
        #[serde(default)]
        companions: Vec<Companion>,
    },
    /// A directory.
    Folder {
        /// Name in logs and in the queue's directory.
        name: String,
        /// Where the reports are put; relative to the state directory.
        path: PathBuf,
        /// What is put there beside each report.
        #[serde(default)]
        companions: Vec<Companion>,
    },
    /// An HL7 v2 receiver, by MLLP: the result line for the RIS.
    Hl7 {
        /// Name in logs and in the queue's directory.
        name: String,
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// Sending Facility (MSH-4).
        #[serde(default)]
        sending_facility: String,
        /// Receiving Application (MSH-5).
        #[serde(default)]
        receiving_application: String,
        /// Receiving Facility (MSH-6).
        #[serde(default)]
        receiving_facility: String,
    },
}

/// `destination.companions`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Companion {
    /// The heat map over each image that is flagged or undetermined, as a Secondary Capture.
    SecondaryCapture,
    /// The heat map's focus over the same images, as a Grayscale Softcopy Presentation State.
    PresentationState,
    /// The flagged images, as a Key Object Selection, where there is one.
    KeyObjects,
}

/// `destination.storage_commitment`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageCommitment {
    /// A report is delivered once the destination answers its C-STORE with success or a warning.
    #[default]
    Off,
    /// A report is delivered once the destination has committed to keep it (PS3.4 J).
    Required,
}

impl Destination {
    /// Its name in logs and in the queue's directory.
    pub fn name(&self) -> &str {
        match self {
            Self::Dicom { name, .. } | Self::Folder { name, .. } | Self::Hl7 { name, .. } => name,
        }
    }

    /// How many connections it is brought things by at the same time, at most.
    pub fn associations(&self) -> usize {
        match self {
            Self::Dicom { associations, .. } => *associations,
            Self::Folder { .. } | Self::Hl7 { .. } => 1,
        }
    }

    /// What it gets beside each report, each at most once.
    pub fn companions(&self) -> &[Companion] {
        match self {
            Self::Dicom { companions, .. } | Self::Folder { companions, .. } => companions,
            Self::Hl7 { .. } => &[],
        }
    }
}
