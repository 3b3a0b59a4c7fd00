//! English: the meanings of the coding schemes themselves, all in ASCII, which every character set can write.

use super::{Language, Phrases};
use crate::finding::Reason;
use crate::sr::codes::Concept;

pub(super) static ENGLISH: Language = Language {
    tag: "en-US",
    name: "English (United States)",
    decimal_sign: ".",
    meaning: Concept::english,
    reason: Reason::text,
    phrases: Phrases {
        flagged_label: "AI: possible pneumonia",
        clear_label: "AI: nothing flagged",
        undetermined_label: "AI: undetermined",
        not_analysed_label: "AI: not analysed",
        present: "Possible pneumonia.",
        absent: "Pneumonia not detected.",
        undetermined: "Pneumonia undetermined.",
        scored: "{verdict} Score {score} % (threshold {threshold} %).",
        partly: " {k} of {n} images were not analysed: {reasons}",
        not_analysed: "NOT ANALYSED. No AI result is available for this examination. Reason: {reasons}",
        separator: "; ",
        comment: "Computer-generated result, not verified by a physician. Does not replace the interpretation of the \
                  images.",
        research: " For research use only.",
        completion: "Not analysed: {reasons}",
        image_scored: "Image {number}: score {score} %.",
        image_not_analysed: "Image {number}: not analysed, {reasons}.",
    },
};
