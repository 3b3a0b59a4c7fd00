//! Everything an administrator can set: one TOML file, checked before anything starts.
//!
//! `config/auscult.toml` documents every key; a test holds it against [`Config::default`]. Environment
//! variables override the file: `AUSCULT__SCP__PORT=104` sets `scp.port`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ids::{AeTitle, Uid};

mod check;
mod defaults;
mod destination;
mod device;
mod fault;
mod load;
mod plausibility;
mod precision;

pub use destination::{Companion, Destination, StorageCommitment};
pub use device::ModelDevice;
pub use fault::ConfigError;
pub use load::{suspicious_variables, toml_fault};
pub use plausibility::PlausibilityRule;
pub use precision::ModelPrecision;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where Auscult keeps what it must not lose.
    pub state: State,
    /// The Storage SCP.
    pub scp: Scp,
    /// The disk that received images go to.
    pub spool: Spool,
    /// When a study counts as complete.
    pub study: Study,
    /// Which images are offered to the model.
    pub select: Select,
    /// The model.
    pub model: Model,
    /// The report.
    pub report: Report,
    /// How reports are sent.
    pub delivery: Delivery,
    /// Where reports are sent; each gets every report.
    pub destination: Vec<Destination>,
    /// The log.
    pub log: Log,
}

/// `[state]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// A directory, or `auto`.
    pub directory: PathBuf,
}

/// `[scp]`: the DICOM service that images arrive at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scp {
    /// Auscult's own AE title, called and calling.
    pub ae_title: AeTitle,
    /// Local address to listen on.
    pub address: IpAddr,
    /// TCP port to listen on.
    pub port: u16,
    /// Which called AE titles are accepted.
    pub called_ae_title: CalledAeTitle,
    /// Associations served at the same time; further ones are rejected transiently.
    pub max_associations: usize,
    /// Largest P-DATA-TF PDU that peers may send, in bytes.
    pub max_pdu_bytes: u32,
    /// Seconds a peer has to send its A-ASSOCIATE-RQ (PS3.8 ARTIM timer).
    pub negotiation_seconds: u64,
    /// Seconds of silence after which an association is aborted.
    pub silence_seconds: u64,
    /// Calling AE titles whose studies go before the others.
    pub urgent_ae_titles: Vec<AeTitle>,
}

/// `scp.called_ae_title`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CalledAeTitle {
    /// Only `scp.ae_title`.
    Own,
    /// Whatever the peer calls.
    Any,
}

/// `[spool]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spool {
    /// Free space, in MiB, below which images are refused with 0xA700.
    pub min_free_mib: u64,
    /// What to do with another content under a SOP Instance UID that is known.
    pub other_content: OtherContent,
    /// Hours that images and reports are kept after every report of their study arrived.
    pub keep_finished_hours: u64,
    /// Hours that failed images, undelivered reports and files in quarantine are kept.
    pub keep_failed_hours: u64,
    /// Most MiB that images may take which no longer await a report.
    pub max_kept_mib: u64,
    /// Days that a late image leads to a report that covers the earlier images, too.
    pub late_image_days: u64,
    /// Days that a study is remembered in the ledger.
    pub remember_days: u64,
}

/// `spool.other_content`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OtherContent {
    /// It is kept beside the first and reported like any image.
    Report,
    /// It is kept beside the first and nothing else.
    Keep,
}

/// `[study]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Study {
    /// Seconds without a new image after which a study is complete.
    pub quiet_seconds: u64,
    /// Seconds after its first image at which a study is complete in any case.
    pub max_wait_seconds: u64,
    /// Seconds by which urgent studies go before others at most.
    pub routine_wait_seconds: u64,
}

/// `[select]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Select {
    /// What to do with DX images FOR PROCESSING.
    pub for_processing: ForProcessing,
    /// Fewest rows and columns that are analysed.
    pub min_pixels_per_side: u32,
    /// Most pixels of one image, in millions, that are decoded.
    pub max_megapixels: u32,
    /// What must look like a chest radiograph to be analysed.
    pub plausibility: PlausibilityRule,
}

/// `select.for_processing`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForProcessing {
    /// Report "not analysed".
    Decline,
    /// Analyse them like images for presentation.
    Analyse,
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Directory of the model package.
    pub package: PathBuf,
    /// Images that may wait for the model before a study waits for a place.
    pub queue: usize,
    /// Threads that compute the model; 0 for one a processor.
    pub threads: usize,
    /// The numbers that it is computed with.
    pub precision: ModelPrecision,
    /// What it is computed on.
    pub device: ModelDevice,
    /// The devices that it is computed on, each by its number and with a model of its own; none means all.
    pub cuda_devices: Vec<usize>,
}

/// `[report]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Report {
    /// Language of what people read in the report.
    pub language: Language,
    /// What the report is made for.
    pub form: ReportForm,
    /// Which region a score has in the measurement form.
    pub image_region: ImageRegion,
    /// SOP class of the report.
    pub sop_class: ReportSopClass,
    /// Whether there is a Basic Text SR, and beside what.
    pub basic_text: BasicText,
    /// Whether a study without an analysed image gets a report.
    pub not_analysed: NotAnalysed,
    /// Content Qualification (0018,9004).
    pub content_qualification: ContentQualification,
    /// Series Number (0020,0011) of the report.
    pub series_number: u32,
    /// Manufacturer (0008,0070) of the observing device.
    pub manufacturer: String,
    /// Manufacturer's Model Name (0008,1090).
    pub model_name: String,
    /// Device Serial Number (0018,1000), or `auto`.
    pub device_serial_number: String,
    /// Device UID (0018,1002), or nothing for one derived from this machine's identity.
    pub device_uid: Option<Uid>,
    /// Station Name (0008,1010), or nothing for `scp.ae_title`.
    pub station_name: Option<String>,
    /// Institution Name (0008,0080), or nothing to leave it out.
    pub institution_name: Option<String>,
}

/// `report.language`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// English
    En,
    /// German
    De,
    /// French
    Fr,
    /// Spanish
    Es,
    /// Dutch
    Nl,
    /// Italian
    It,
    /// Portuguese
    Pt,
    /// Japanese
    Ja,
    /// Chinese, in simplified characters
    Zh,
}

impl Language {
    /// Every language, once.
    pub const ALL: [Self; 9] =
        [Self::En, Self::De, Self::Fr, Self::Es, Self::Nl, Self::It, Self::Pt, Self::Ja, Self::Zh];
}

/// `report.form`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportForm {
    /// To be read: Chest CAD Report, conclusion on top in every viewer.
    Reading,
    /// For software that looks for measurements: Imaging Measurement Report, each score with a region.
    Measurement,
}

/// `report.image_region`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageRegion {
    /// The whole image: true, and all that a classifier knows.
    WholeImage,
    /// The heat map's focus, where pneumonia is possible or undetermined and the map has one; else the whole image.
    Focus,
}

/// `report.basic_text`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BasicText {
    /// None.
    No,
    /// A Basic Text SR beside the report, in a series of its own.
    Extra,
    /// A Basic Text SR in place of the report.
    Instead,
}

/// `report.sop_class`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportSopClass {
    /// Comprehensive SR Storage, 1.2.840.10008.5.1.4.1.1.88.33
    Comprehensive,
    /// Enhanced SR Storage, 1.2.840.10008.5.1.4.1.1.88.22
    Enhanced,
    /// Comprehensive 3D SR Storage, 1.2.840.10008.5.1.4.1.1.88.34
    Comprehensive3d,
}

/// `report.not_analysed`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotAnalysed {
    /// A report says so, and why.
    Report,
    /// No report; the log says so, and why.
    LogOnly,
}

/// `report.content_qualification`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContentQualification {
    /// RESEARCH
    Research,
    /// PRODUCT
    Product,
}

/// `[delivery]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Seconds to wait for a destination's TCP connection.
    pub connect_seconds: u64,
    /// Seconds to wait for each answer of a destination.
    pub response_seconds: u64,
    /// Seconds before the second try; doubled for each further one.
    pub retry_first_seconds: u64,
    /// Longest wait between two tries, in seconds.
    pub retry_max_seconds: u64,
    /// Hours after which a report that could not be delivered goes to `failed/`.
    pub give_up_hours: u64,
    /// Seconds that a destination has to commit to a report before it is sent again.
    pub commitment_wait_seconds: u64,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Least severe level that is written.
    pub level: LogLevel,
    /// Form of the lines on standard error.
    pub format: LogFormat,
}

/// `log.level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Faults that need somebody.
    Error,
    /// What may need somebody.
    Warn,
    /// One line per association and study.
    Info,
    /// For finding a fault.
    Debug,
}

/// `log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people and journald.
    Text,
    /// One JSON object a line.
    Json,
}

impl State {
    /// The directory meant: the configured one, or, for `auto`, systemd's `$STATE_DIRECTORY`, else
    /// `/var/lib/auscult` where it exists, else `auscult-state` in the working directory.
    pub fn resolved(&self) -> PathBuf {
        const INSTALLED: &str = "/var/lib/auscult";
        if self.directory != Path::new("auto") {
            return self.directory.clone();
        }
        match std::env::var_os("STATE_DIRECTORY") {
            Some(directory) if !directory.is_empty() => directory.into(),
            _ if Path::new(INSTALLED).is_dir() => INSTALLED.into(),
            _ => "auscult-state".into(),
        }
    }
}
