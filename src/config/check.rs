//! What a type cannot say: ranges, texts that go into the report, names that become directories.

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::RangeInclusive;

use super::{Config, ConfigError, Destination, ModelDevice, ModelPrecision, PlausibilityRule, Report};

fn fault(key: impl Display, value: impl Display, remedy: impl Display) -> ConfigError {
    ConfigError::Value { key: key.to_string(), value: value.to_string(), remedy: remedy.to_string() }
}

fn within<T: PartialOrd + Display>(key: &str, value: T, range: RangeInclusive<T>) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(fault(key, value, format_args!("use a value from {} to {}", range.start(), range.end())))
}

impl Config {
    /// Checks every value that its type leaves open.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within("scp.port", self.scp.port, 1..=65535)?;
        within("scp.max_associations", self.scp.max_associations, 1..=4096)?;
        within("scp.max_pdu_bytes", self.scp.max_pdu_bytes, 4096..=1_048_576)?;
        within("scp.negotiation_seconds", self.scp.negotiation_seconds, 1..=300)?;
        within("scp.silence_seconds", self.scp.silence_seconds, 1..=3600)?;
        within("study.quiet_seconds", self.study.quiet_seconds, 0..=3600)?;
        within("study.max_wait_seconds", self.study.max_wait_seconds, self.study.quiet_seconds..=86_400)?;
        within("study.routine_wait_seconds", self.study.routine_wait_seconds, 0..=86_400)?;
        within("spool.keep_finished_hours", self.spool.keep_finished_hours, 0..=8760)?;
        within("spool.keep_failed_hours", self.spool.keep_failed_hours, 1..=8760)?;
        within("spool.max_kept_mib", self.spool.max_kept_mib, 0..=1_000_000_000)?;
        within("spool.late_image_days", self.spool.late_image_days, 0..=365)?;
        within("spool.remember_days", self.spool.remember_days, self.spool.late_image_days.max(1)..=36_500)?;
        within("select.min_pixels_per_side", self.select.min_pixels_per_side, 1..=4096)?;
        within("select.max_megapixels", self.select.max_megapixels, 1..=1000)?;
        if let PlausibilityRule::From(score) = self.select.plausibility {
            within("select.plausibility", score, -10.0..=10.0)?;
        }
        within("model.queue", self.model.queue, 1..=10_000)?;
        within("model.threads", self.model.threads, 0..=256)?;
        let misplaced = match (self.model.device, self.model.precision) {
            (ModelDevice::Cuda, ModelPrecision::Int8) => Some("the processor computes it: set model.device = \"cpu\""),
            (ModelDevice::Cpu, ModelPrecision::F16) => {
                Some("a device computes it: set model.device = \"cuda\" or \"auto\"")
            }
            _ => None,
        };
        if let Some(remedy) = misplaced {
            let remedy = format!("{remedy}, or use another precision, \"auto\" for example");
            return Err(fault("model.precision", format!("\"{}\"", self.model.precision.name()), remedy));
        }
        let devices = &self.model.cuda_devices;
        if devices.len() > MOST_DEVICES || devices.iter().any(|device| *device >= MOST_DEVICES) {
            let remedy = "name at most 64 devices, each by its number from 0 to 63; none means all";
            return Err(fault("model.cuda_devices", format!("{devices:?}"), remedy));
        }
        within("delivery.connect_seconds", self.delivery.connect_seconds, 1..=300)?;
        within("delivery.response_seconds", self.delivery.response_seconds, 1..=3600)?;
        within("delivery.retry_first_seconds", self.delivery.retry_first_seconds, 1..=3600)?;
        let first = self.delivery.retry_first_seconds;
        within("delivery.retry_max_seconds", self.delivery.retry_max_seconds, first..=86_400)?;
        within("delivery.give_up_hours", self.delivery.give_up_hours, 1..=8760)?;
        within("delivery.commitment_wait_seconds", self.delivery.commitment_wait_seconds, 1..=604_800)?;
        self.report.check()?;
        check_destinations(&self.destination)
    }
}

impl Report {
    fn check(&self) -> Result<(), ConfigError> {
        // The number after it is that of a second document.
        within("report.series_number", self.series_number, 1..=2_147_483_643)?;
        required_text("report.manufacturer", &self.manufacturer, 64)?;
        required_text("report.model_name", &self.model_name, 64)?;
        required_text("report.device_serial_number", &self.device_serial_number, 64)?;
        if let Some(name) = &self.station_name {
            required_text("report.station_name", name, 16)?;
        }
        if let Some(name) = &self.institution_name {
            required_text("report.institution_name", name, 64)?;
        }
        Ok(())
    }
}

/// A text that every DICOM character set can carry (VR SH or LO, PS3.5 table 6.2-1).
fn required_text(key: &str, value: &str, longest: usize) -> Result<(), ConfigError> {
    let plain = value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\');
    if plain && !value.trim().is_empty() && value.len() <= longest {
        return Ok(());
    }
    Err(fault(key, format_args!("{value:?}"), format_args!("use 1 to {longest} ASCII characters without a backslash")))
}

fn check_destinations(destinations: &[Destination]) -> Result<(), ConfigError> {
    let mut names = HashSet::new();
    if destinations.is_empty() {
        return Err(fault("destination", "[]", "name at least one [[destination]]; reports must go somewhere"));
    }
    for (index, destination) in destinations.iter().enumerate() {
        let key = |field: &str| format!("destination[{index}].{field}");
        let name = destination.name();
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !plain || name.is_empty() || name.len() > 32 {
            return Err(fault(key("name"), format_args!("{name:?}"), "use 1 to 32 letters, digits, - and _"));
        }
        if !names.insert(name) {
            return Err(fault(key("name"), name, "give every destination a name of its own"));
        }
        let companions = destination.companions();
        if companions.iter().collect::<HashSet<_>>().len() < companions.len() {
            return Err(fault(key("companions"), format_args!("{companions:?}"), "name every companion once"));
        }
        within(&key("associations"), destination.associations(), 1..=32)?;
        match destination {
            Destination::Dicom { host, .. } | Destination::Hl7 { host, .. } if host.trim().is_empty() => {
                return Err(fault(key("host"), "\"\"", "name the destination's host or address"));
            }
            Destination::Dicom { port: 0, .. } | Destination::Hl7 { port: 0, .. } => {
                return Err(fault(key("port"), 0, "use a value from 1 to 65535"));
            }
            Destination::Folder { path, .. } if path.as_os_str().is_empty() => {
                return Err(fault(key("path"), "\"\"", "name a directory"));
            }
            Destination::Hl7 { sending_facility, receiving_application, receiving_facility, .. } => {
                for (field, value) in [
                    ("sending_facility", sending_facility),
                    ("receiving_application", receiving_application),
                    ("receiving_facility", receiving_facility),
                ] {
                    party(&key(field), value)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// More than any machine has.
const MOST_DEVICES: usize = 64;

/// What one end of an HL7 connection is called (type HD, at most 227 characters in version 2.5.1).
fn party(key: &str, value: &str) -> Result<(), ConfigError> {
    let plain = value.chars().all(|character| !character.is_control());
    if plain && value.len() <= 180 {
        return Ok(());
    }
    Err(fault(key, format_args!("{value:?}"), "use at most 180 characters, without line ends"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass() {
        Config::default().check().unwrap();
    }

    #[test]
    fn a_fault_names_key_value_and_remedy() {
        let mut config = Config::default();
        config.scp.max_pdu_bytes = 10;
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "configuration: scp.max_pdu_bytes = 10: use a value from 4096 to 1048576"
        );
        config.scp.max_pdu_bytes = 16_384;
        config.report.manufacturer = "H\u{f6}fer".into();
        assert!(config.check().unwrap_err().to_string().contains("report.manufacturer"));
        config.report.manufacturer = "Hoefer".into();
        config.destination.push(config.destination[0].clone());
        assert!(config.check().unwrap_err().to_string().contains("destination[1].name"));
        config.destination.clear();
        assert!(config.check().is_err());
    }

    #[test]
    fn what_cannot_be_computed_somewhere_is_not_asked_for() {
        let mut config = Config::default();
        let there = |config: &mut Config, device, precision| {
            (config.model.device, config.model.precision) = (device, precision);
            config.check().map_err(|fault| fault.to_string())
        };
        let message = there(&mut config, ModelDevice::Cuda, ModelPrecision::Int8).unwrap_err();
        assert!(
            message.starts_with("configuration: model.precision = \"int8\": the processor computes it"),
            "{message}"
        );
        let message = there(&mut config, ModelDevice::Cpu, ModelPrecision::F16).unwrap_err();
        assert!(message.starts_with("configuration: model.precision = \"f16\": a device computes it"), "{message}");
        for precision in [ModelPrecision::Int8, ModelPrecision::F16, ModelPrecision::Bf16] {
            there(&mut config, ModelDevice::Auto, precision).unwrap();
        }
    }

    #[test]
    fn devices_are_named_by_number() {
        let mut config = Config::default();
        config.model.cuda_devices = vec![0, 1, 1];
        config.check().unwrap();
        config.model.cuda_devices = vec![64];
        let message = config.check().unwrap_err().to_string();
        assert!(message.starts_with("configuration: model.cuda_devices = [64]: name at most 64"), "{message}");
    }

    #[test]
    fn a_companion_is_named_once() {
        use crate::config::Companion::{KeyObjects, SecondaryCapture};
        let with = |companions| {
            let folder = Destination::Folder { name: "x".into(), path: "reports".into(), companions };
            Config { destination: vec![folder], ..Config::default() }.check()
        };
        with(vec![SecondaryCapture, KeyObjects]).unwrap();
        let message = with(vec![KeyObjects, KeyObjects]).unwrap_err().to_string();
        assert!(message.contains("destination[0].companions"), "{message}");
    }

    #[test]
    fn a_destination_name_cannot_leave_its_directory() {
        let outside = Destination::Folder { name: "../x".into(), path: "reports".into(), companions: Vec::new() };
        let config = Config { destination: vec![outside], ..Config::default() };
        assert!(config.check().unwrap_err().to_string().contains("destination[0].name"));
    }
}
