//! Findings and images for the tests of this room.

use crate::finding::{Algorithm, Finding, ImageFinding, OperatingPoint, Outcome, Probability, Reason, SopReference};

pub(super) fn p(value: f64) -> Probability {
    Probability::try_from(value).unwrap()
}

pub(super) fn scored(score: f64) -> Outcome {
    Outcome::Analysed(p(score))
}

pub(super) fn failed(reason: Reason) -> Outcome {
    Outcome::NotAnalysed(reason)
}

/// A finding of images 1.2.3.4.1, 1.2.3.4.2, ... in the series 1.2.3.4 of the study 1.2.3, threshold 50 %.
pub(super) fn finding(outcomes: Vec<Outcome>) -> Finding {
    let images: Vec<_> = (1..)
        .zip(outcomes)
        .map(|(number, outcome): (u32, Outcome)| ImageFinding { image: reference(number), outcome })
        .collect();
    Finding {
        study: "1.2.3".parse().unwrap(),
        evidence: images.iter().map(|image| image.image.clone()).collect(),
        images,
        algorithm: Algorithm {
            name: "cxr-pneumonia-reference".into(),
            version: "1.0.0".into(),
            weights_sha256: "0123456789abcdef".repeat(4),
            parameters: vec!["input=224x224x3".into()],
        },
        operating_point: OperatingPoint::new(p(0.5), None),
    }
}

pub(super) fn reference(number: u32) -> SopReference {
    SopReference {
        series: "1.2.3.4".parse().unwrap(),
        sop_class: "1.2.840.10008.5.1.4.1.1.1.1".parse().unwrap(),
        sop_instance: format!("1.2.3.4.{number}").parse().unwrap(),
    }
}
