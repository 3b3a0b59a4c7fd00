//! Who observes: the device that the report names as its author (PS3.16 TID 1004; PS3.3 C.7.5.1, General Equipment).

use std::path::Path;

use dicom::dictionary_std::uids;

use super::language;
use super::wording::line;
use crate::config::{BasicText, ContentQualification, ImageRegion, Language, Report, ReportForm, ReportSopClass};
use crate::ids::{AeTitle, SopClassUid, Uid};

/// This installation, told apart from others without naming the machine: what it knows of it only goes into
/// derived identifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    identity: String,
}

impl Installation {
    /// The machine that runs this process: its machine id (machine-id(5)), else its host name.
    pub fn of_this_machine() -> Self {
        let sources = ["/etc/machine-id", "/var/lib/dbus/machine-id", "/proc/sys/kernel/hostname", "/etc/hostname"];
        Self::from_first_of(&sources.map(Path::new))
    }

    /// The installation that the first of `files` with a text in it names.
    fn from_first_of(files: &[&Path]) -> Self {
        let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
        let identity = texts.map(|text| text.trim().to_owned()).find(|text| !text.is_empty());
        Self { identity: identity.unwrap_or_else(|| "unknown".to_owned()) }
    }

    /// Its UID, the same as long as the machine keeps its identity.
    pub fn uid(&self) -> Uid {
        Uid::derived(&["installation", &self.identity])
    }

    /// A serial number of ten digits.
    pub fn serial_number(&self) -> String {
        let uid = Uid::derived(&["serial number", &self.identity]);
        let digits = uid.as_str();
        digits.get(digits.len().saturating_sub(10)..).unwrap_or(digits).to_owned()
    }
}

/// The observing device, built once at start from the configuration and the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub(super) uid: Uid,
    pub(super) observer_name: String,
    pub(super) station_name: String,
    pub(super) manufacturer: String,
    pub(super) model_name: String,
    pub(super) serial_number: String,
    pub(super) institution_name: Option<String>,
    pub(super) series_number: u32,
    pub(super) content_qualification: ContentQualification,
    pub(super) sop_class: SopClassUid,
    pub(super) basic_text_class: SopClassUid,
    pub(super) form: ReportForm,
    pub(super) image_region: ImageRegion,
    pub(super) basic_text: BasicText,
    pub(super) language: Language,
}

impl Device {
    /// The device as configured; what is `auto` there comes from the installation.
    pub fn new(report: &Report, ae_title: &AeTitle, installation: &Installation) -> Self {
        let serial_number = match report.device_serial_number.as_str() {
            "auto" => installation.serial_number(),
            configured => line(configured, 64),
        };
        Self {
            uid: report.device_uid.clone().unwrap_or_else(|| installation.uid()),
            observer_name: ae_title.as_str().to_owned(),
            station_name: line(report.station_name.as_deref().unwrap_or(ae_title.as_str()), 16),
            manufacturer: line(&report.manufacturer, 64),
            model_name: line(&report.model_name, 64),
            serial_number,
            institution_name: report.institution_name.as_deref().map(|name| line(name, 64)),
            series_number: report.series_number,
            content_qualification: report.content_qualification,
            sop_class: sop_class(report.sop_class),
            basic_text_class: class(uids::BASIC_TEXT_SR_STORAGE),
            form: report.form,
            image_region: report.image_region,
            basic_text: report.basic_text,
            language: report.language,
        }
    }

    /// Whether a report is to say where in its images the model sees what it reports.
    pub fn wants_focus(&self) -> bool {
        self.form == ReportForm::Measurement && self.image_region == ImageRegion::Focus
    }

    /// RFC 5646 tag of the language that reports are to be written in.
    pub fn language(&self) -> &'static str {
        language::Language::of(self.language).tag
    }
}

fn sop_class(configured: ReportSopClass) -> SopClassUid {
    class(match configured {
        ReportSopClass::Comprehensive => uids::COMPREHENSIVE_SR_STORAGE,
        ReportSopClass::Enhanced => uids::ENHANCED_SR_STORAGE,
        ReportSopClass::Comprehensive3d => uids::COMPREHENSIVE3_DSR_STORAGE,
    })
}

#[allow(clippy::expect_used, reason = "constants that the tests parse")]
fn class(uid: &'static str) -> SopClassUid {
    uid.parse().expect("a SOP Class UID of the standard")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_is_known_by_what_only_it_knows_and_never_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let (id, host) = (dir.path().join("machine-id"), dir.path().join("hostname"));
        std::fs::write(&id, "\n").unwrap();
        std::fs::write(&host, "pacs-gw-7\n").unwrap();
        let by_host = Installation::from_first_of(&[&id, &host]);
        std::fs::write(&id, "0123456789abcdef0123456789abcdef\n").unwrap();
        let by_id = Installation::from_first_of(&[&id, &host]);
        assert_eq!(by_host.identity, "pacs-gw-7");
        assert_ne!(by_host.uid(), by_id.uid());
        assert_eq!(by_id, Installation::from_first_of(&[&id, &host]));
        assert_eq!(by_id.serial_number().len(), 10);
        assert!(!by_id.uid().as_str().contains("0123456789abcdef"));
        assert_eq!(Installation::from_first_of(&[]).identity, "unknown");
    }

    #[test]
    fn the_configuration_goes_before_the_installation() {
        let machine = Installation::from_first_of(&[]);
        let ae_title: AeTitle = "READER".parse().unwrap();
        let device = Device::new(&Report::default(), &ae_title, &machine);
        assert_eq!((device.station_name.as_str(), device.observer_name.as_str()), ("READER", "READER"));
        assert_eq!((&device.uid, &device.serial_number), (&machine.uid(), &machine.serial_number()));
        let configured = Report {
            device_serial_number: "SN-1".into(),
            device_uid: Some("1.2.3".parse().unwrap()),
            station_name: Some("AIHOST1".into()),
            ..Report::default()
        };
        let device = Device::new(&configured, &ae_title, &machine);
        assert_eq!((device.serial_number.as_str(), device.uid.as_str()), ("SN-1", "1.2.3"));
        assert_eq!(device.station_name, "AIHOST1");
    }

    #[test]
    fn every_configurable_sop_class_is_a_uid() {
        use ReportSopClass::*;
        let classes = [Comprehensive, Enhanced, Comprehensive3d].map(|class| sop_class(class).as_str().to_owned());
        assert_eq!(classes, ["33", "22", "34"].map(|class| format!("1.2.840.10008.5.1.4.1.1.88.{class}")));
    }
}
