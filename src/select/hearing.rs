//! The rules in the order in which they are asked, and what each saw: a verdict with its whole history.

use dicom::core::Tag;
use dicom::dictionary_std::tags;

use super::vocabulary::{self, MODALITIES, PHOTOMETRIC_INTERPRETATIONS};
use super::{Grounds, Verdict, anatomy, declined, image_type, object, photometric_interpretation};
use super::{age, presentation_intent, projection, shown, size};
use crate::config::Select;
use crate::finding::{AgeRange, Reason};
use crate::instance::Header;

/// A rule that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its name, and what it saw.
    pub grounds: Grounds,
    /// What it said: `None` when it had nothing against the image.
    pub verdict: Option<Verdict>,
}

/// One rule: what it has against an image, and what it looks at.
pub(super) struct Rule {
    name: &'static str,
    decline: fn(&Header, &Select, Option<AgeRange>) -> Option<Verdict>,
    sees: fn(&Header) -> String,
}

/// The rules that decline, in their order; [`accept`] has the last word.
const RULES: [Rule; 8] = [
    Rule {
        name: "modality",
        decline: |header, settings, _| object(header, settings),
        sees: |header| seen(header, tags::MODALITY, &MODALITIES),
    },
    Rule {
        name: "presentation intent",
        decline: |header, settings, _| presentation_intent(header, settings),
        sees: |header| seen(header, tags::PRESENTATION_INTENT_TYPE, &["FOR PRESENTATION", "FOR PROCESSING"]),
    },
    Rule {
        name: "photometric interpretation",
        decline: |header, settings, _| photometric_interpretation(header, settings),
        sees: |header| {
            let known = [&["MONOCHROME1", "MONOCHROME2"], &PHOTOMETRIC_INTERPRETATIONS[..]].concat();
            seen(header, tags::PHOTOMETRIC_INTERPRETATION, &known)
        },
    },
    Rule {
        name: "size",
        decline: |header, settings, _| size(header, settings),
        sees: |header| {
            let side = |tag| header.number(tag).unwrap_or_default();
            format!("{} rows x {} columns", side(tags::ROWS), side(tags::COLUMNS))
        },
    },
    Rule {
        name: "image type",
        decline: |header, settings, _| image_type(header, settings),
        sees: |header| seen(header, tags::IMAGE_TYPE, &["ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY"]),
    },
    Rule {
        name: "body part",
        decline: |header, _, _| anatomy::decline(header),
        sees: |header| anatomy::evidence_of_chest(header).unwrap_or_else(|| "nothing says another one".into()),
    },
    Rule {
        name: "view",
        decline: |header, _, _| projection::decline(header),
        sees: |header| projection::evidence_of_frontal(header).unwrap_or_else(|| "nothing says another one".into()),
    },
    Rule {
        name: "patient age",
        decline: |header, _, intended_age| age::decline(header, intended_age?),
        sees: |_| "within what the model is made for, or not said".into(),
    },
];

/// Every rule that is asked of a header until one declines, and the acceptance where none does.
pub fn hear(header: &Header, settings: &Select, intended_age: Option<AgeRange>) -> Vec<Asked> {
    let mut asked = Vec::new();
    for rule in &RULES {
        match (rule.decline)(header, settings, intended_age) {
            Some(verdict) => {
                asked.push(decided(verdict));
                return asked;
            }
            None => {
                let grounds = Grounds { rule: rule.name, values: (rule.sees)(header) };
                asked.push(Asked { grounds, verdict: None });
            }
        }
    }
    asked.push(decided(accept(header)));
    asked
}

/// The verdict alone.
pub(super) fn verdict(header: &Header, settings: &Select, intended_age: Option<AgeRange>) -> Verdict {
    RULES.iter().find_map(|rule| (rule.decline)(header, settings, intended_age)).unwrap_or_else(|| accept(header))
}

/// The last rule: something must say that this is a chest.
fn accept(header: &Header) -> Verdict {
    match anatomy::evidence_of_chest(header) {
        Some(values) => Verdict::Accepted(Grounds { rule: "frontal chest radiograph", values }),
        None => declined(Reason::NotAChestImage, "body part", "nothing in the header says chest".into()),
    }
}

fn decided(verdict: Verdict) -> Asked {
    let (Verdict::Accepted(grounds) | Verdict::Declined(_, grounds)) = &verdict;
    Asked { grounds: grounds.clone(), verdict: Some(verdict) }
}

/// The values of an attribute as far as they are among those known.
fn seen(header: &Header, tag: Tag, known: &[&str]) -> String {
    let values = header.texts(tag);
    let values: Vec<&str> = values.iter().map(|value| vocabulary::known(value, known)).collect();
    let name = match tag {
        tags::MODALITY => "Modality",
        tags::PRESENTATION_INTENT_TYPE => "Presentation Intent Type",
        tags::PHOTOMETRIC_INTERPRETATION => "Photometric Interpretation",
        _ => "Image Type",
    };
    if values.is_empty() { format!("{name} {tag} is absent") } else { shown(name, tag, &values.join("\\")) }
}
