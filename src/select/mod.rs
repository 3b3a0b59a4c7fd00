//! Which instances of a study are frontal chest radiographs fit for the model, and why the others are not.
//!
//! Rules are asked in order; the first that has an opinion decides. A verdict carries the rule and the
//! header's values that decided, so that a log line explains itself.

mod age;
mod anatomy;
mod hearing;
mod plausibility;
mod projection;
mod vocabulary;

use std::fmt;

use dicom::core::Tag;
use dicom::dictionary_std::{tags, uids};

use crate::config::{ForProcessing, Select};
use crate::finding::{AgeRange, Reason};
use crate::instance::{Header, HeaderError, Instance, Study};

pub use hearing::{Asked, hear};
pub use plausibility::looks_like_chest;
use vocabulary::{MODALITIES, PHOTOMETRIC_INTERPRETATIONS};

/// Which rule decided, on which values. Values are codes and matched words, never a peer's free text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grounds {
    /// The rule's name.
    pub rule: &'static str,
    /// What it saw.
    pub values: String,
}

impl fmt::Display for Grounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.values)
    }
}

/// What selection says of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A frontal chest radiograph.
    Accepted(Grounds),
    /// Anything else.
    Declined(Reason, Grounds),
}

/// One image that is offered to the model, or would be.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The image.
    pub instance: Instance,
    /// Its header.
    pub header: Header,
    /// Accepted or declined.
    pub verdict: Verdict,
}

/// What a study holds for the model.
#[derive(Debug, Default)]
pub struct Selection {
    /// The images offered: its radiographs, or its images where it has no radiograph.
    pub offered: Vec<Candidate>,
    /// Its other images.
    pub others: Vec<(Instance, Verdict)>,
    /// Its objects whose header cannot be read.
    pub unreadable: Vec<(Instance, HeaderError)>,
}

/// Most images of a study without a radiograph that are listed one by one in a report.
const MOST_LISTED: usize = 32;

/// Reads every header of a study and judges its images. A study without any image (reports, key objects,
/// presentation states) has an empty selection. `intended_age` is that of the model's patients. Fails where the disk
/// does.
pub fn frontal_chest(
    study: &Study,
    settings: &Select,
    intended_age: Option<AgeRange>,
) -> Result<Selection, HeaderError> {
    let (mut radiographs, mut others, mut unlisted) = (Vec::new(), Vec::new(), Vec::new());
    let mut unreadable = Vec::new();
    for instance in &study.instances {
        let header = match Header::open(&instance.location) {
            Ok(header) => header,
            Err(error @ HeaderError::Io { .. }) => return Err(error),
            Err(error) => {
                unreadable.push((instance.clone(), error));
                continue;
            }
        };
        if !is_image(&header) {
            continue;
        }
        let (instance, verdict) = (instance.clone(), judge(&header, settings, intended_age));
        if is_radiograph(&header) {
            radiographs.push(Candidate { instance, header, verdict });
        } else if others.len() < MOST_LISTED {
            others.push(Candidate { instance, header, verdict });
        } else {
            unlisted.push((instance, verdict));
        }
    }
    if radiographs.is_empty() {
        return Ok(Selection { offered: others, others: unlisted, unreadable });
    }
    unlisted.extend(others.into_iter().map(|candidate| (candidate.instance, candidate.verdict)));
    Ok(Selection { offered: radiographs, others: unlisted, unreadable })
}

/// Judges one header.
pub fn judge(header: &Header, settings: &Select, intended_age: Option<AgeRange>) -> Verdict {
    hearing::verdict(header, settings, intended_age)
}

fn declined(reason: Reason, rule: &'static str, values: String) -> Verdict {
    Verdict::Declined(reason, Grounds { rule, values })
}

/// An attribute and its value as grounds show them: printable, at most 64 characters.
fn shown(name: &str, tag: Tag, value: &str) -> String {
    let value: String = value.chars().filter(|c| !c.is_control()).take(64).collect();
    format!("{name} {tag} = {value}")
}

/// A code value as SNOMED writes it, else words that say so; see [`vocabulary::known`].
fn shown_code(name: &str, tag: Tag, code: &str) -> String {
    shown(name, tag, if is_snomed(code) { code } else { "a value of the sender's own" })
}

/// Whether a code value has the form of SNOMED CT or of SNOMED RT.
fn is_snomed(code: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    let axis = code.split_once('-').is_some_and(|(axis, rest)| axis.len() == 1 && digits(rest));
    code.len() <= 16 && (digits(code) || axis)
}

/// The code values and meanings of a code sequence's items, and of nothing else.
fn codes(header: &Header, tag: Tag) -> Vec<(String, String)> {
    let text = |item: &dicom::object::InMemDicomObject, tag| {
        item.get(tag).and_then(|e| e.to_str().ok()).map(|t| t.trim_matches(['\0', ' ']).to_owned()).unwrap_or_default()
    };
    let code = |item| (text(item, tags::CODE_VALUE), text(item, tags::CODE_MEANING));
    header.items(tag).iter().map(code).collect()
}

fn is_image(header: &Header) -> bool {
    header.number(tags::ROWS).is_some() && header.number(tags::COLUMNS).is_some()
}

fn is_radiograph(header: &Header) -> bool {
    const SOP_CLASSES: [&str; 4] = [
        uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE,
        uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
        uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PROCESSING,
        uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
    ];
    let sop_class = header.text(tags::SOP_CLASS_UID).unwrap_or_default();
    let modality = header.text(tags::MODALITY).unwrap_or_default();
    SOP_CLASSES.contains(&sop_class.as_str()) && ["CR", "DX", "RG"].contains(&modality.as_str())
}

fn object(header: &Header, _: &Select) -> Option<Verdict> {
    if is_radiograph(header) {
        return None;
    }
    let modality = header.text(tags::MODALITY).unwrap_or_else(|| "(none)".into());
    let modality = vocabulary::known(&modality, &MODALITIES);
    Some(declined(Reason::NotARadiograph, "modality", shown("Modality", tags::MODALITY, modality)))
}

fn presentation_intent(header: &Header, settings: &Select) -> Option<Verdict> {
    let intent = header.text(tags::PRESENTATION_INTENT_TYPE).unwrap_or_default();
    let class = header.text(tags::SOP_CLASS_UID).unwrap_or_default();
    let for_processing = intent == "FOR PROCESSING" || class == uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PROCESSING;
    if !for_processing || settings.for_processing == ForProcessing::Analyse {
        return None;
    }
    let values = shown("Presentation Intent Type", tags::PRESENTATION_INTENT_TYPE, "FOR PROCESSING");
    Some(declined(Reason::ForProcessing, "presentation intent", values))
}

fn photometric_interpretation(header: &Header, _: &Select) -> Option<Verdict> {
    let value = header.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_else(|| "(none)".into());
    if value == "MONOCHROME1" || value == "MONOCHROME2" {
        return None;
    }
    let value = vocabulary::known(&value, &PHOTOMETRIC_INTERPRETATIONS);
    let values = shown("Photometric Interpretation", tags::PHOTOMETRIC_INTERPRETATION, value);
    Some(declined(Reason::PhotometricInterpretation, "photometric interpretation", values))
}

fn size(header: &Header, settings: &Select) -> Option<Verdict> {
    let (rows, columns) = (header.number(tags::ROWS)?, header.number(tags::COLUMNS)?);
    let values = format!("{rows} rows x {columns} columns");
    if rows.min(columns) < settings.min_pixels_per_side {
        return Some(declined(Reason::ImageTooSmall, "size", values));
    }
    let most = u64::from(settings.max_megapixels) * 1_000_000;
    (u64::from(rows) * u64::from(columns) > most).then(|| declined(Reason::ImageTooLarge, "size", values))
}

/// A derived image is still a radiograph (lossy copies are DERIVED); a secondary one is a rendering.
fn image_type(header: &Header, _: &Select) -> Option<Verdict> {
    let values = header.texts(tags::IMAGE_TYPE);
    let secondary = values.get(1).is_some_and(|value| value == "SECONDARY");
    let rendering = values.iter().skip(2).any(|v| ["LOCALIZER", "POST_PROCESSED", "SCREENSHOT"].contains(&v.as_str()));
    (secondary || rendering).then(|| {
        let word = if secondary { "SECONDARY" } else { "LOCALIZER, POST_PROCESSED or SCREENSHOT" };
        let values = shown("Image Type", tags::IMAGE_TYPE, word);
        declined(Reason::NotAnOriginalImage, "image type", values)
    })
}

#[cfg(test)]
mod tests;
