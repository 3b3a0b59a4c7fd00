//! The documented defaults: `config/auscult.toml` says the same, and a test holds it to that.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    BasicText, CalledAeTitle, Config, ContentQualification, Delivery, Destination, ForProcessing, ImageRegion,
    Language, Log, LogFormat, LogLevel, Model, ModelDevice, ModelPrecision, NotAnalysed, OtherContent,
    PlausibilityRule, Report, ReportForm, ReportSopClass, Scp, Select, Spool, State, Study,
};
use crate::ids::AeTitle;

impl Default for Config {
    fn default() -> Self {
        Self {
            state: State::default(),
            scp: Scp::default(),
            spool: Spool::default(),
            study: Study::default(),
            select: Select::default(),
            model: Model::default(),
            report: Report::default(),
            delivery: Delivery::default(),
            destination: vec![Destination::Folder {
                name: "reports".into(),
                path: "reports".into(),
                companions: Vec::new(),
            }],
            log: Log::default(),
        }
    }
}

/// `destination.associations`
pub(super) fn associations() -> usize {
    3
}

impl Default for State {
    fn default() -> Self {
        Self { directory: "auto".into() }
    }
}

impl Default for Scp {
    fn default() -> Self {
        Self {
            ae_title: ae_title_auscult(),
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 11112,
            called_ae_title: CalledAeTitle::Own,
            max_associations: 64,
            max_pdu_bytes: 131_072,
            negotiation_seconds: 10,
            silence_seconds: 60,
            urgent_ae_titles: Vec::new(),
        }
    }
}

#[allow(clippy::expect_used, reason = "a constant that the test of the defaults parses")]
fn ae_title_auscult() -> AeTitle {
    "AUSCULT".parse().expect("AUSCULT is an AE title")
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            min_free_mib: 512,
            other_content: OtherContent::Report,
            keep_finished_hours: 0,
            keep_failed_hours: 720,
            max_kept_mib: 20_480,
            late_image_days: 30,
            remember_days: 365,
        }
    }
}

impl Default for Study {
    fn default() -> Self {
        Self { quiet_seconds: 10, max_wait_seconds: 600, routine_wait_seconds: 300 }
    }
}

impl Default for Select {
    fn default() -> Self {
        Self {
            for_processing: ForProcessing::Decline,
            min_pixels_per_side: 200,
            max_megapixels: 100,
            plausibility: PlausibilityRule::Package,
        }
    }
}

impl Default for Model {
    fn default() -> Self {
        Self {
            package: "models/cxr-pneumonia-reference".into(),
            queue: 64,
            threads: 0,
            precision: ModelPrecision::Auto,
            device: ModelDevice::Auto,
            cuda_devices: Vec::new(),
        }
    }
}

impl Default for Report {
    fn default() -> Self {
        Self {
            language: Language::En,
            form: ReportForm::Reading,
            image_region: ImageRegion::WholeImage,
            sop_class: ReportSopClass::Comprehensive,
            basic_text: BasicText::No,
            not_analysed: NotAnalysed::Report,
            content_qualification: ContentQualification::Research,
            series_number: 9901,
            manufacturer: "Auscult".into(),
            model_name: "Auscult".into(),
            device_serial_number: "auto".into(),
            device_uid: None,
            station_name: None,
            institution_name: None,
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            connect_seconds: 10,
            response_seconds: 60,
            retry_first_seconds: 30,
            retry_max_seconds: 900,
            give_up_hours: 168,
            commitment_wait_seconds: 3600,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Text }
    }
}
