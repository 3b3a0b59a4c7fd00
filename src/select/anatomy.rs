//! Is it a chest? Coded body parts first, free descriptions as the last resort.

use dicom::core::Tag;
use dicom::dictionary_std::tags;

use super::vocabulary::{self, CHEST_TEXTS, CHEST_WORDS, OTHER_BODY_PARTS};
use super::{Verdict, codes, declined, shown, shown_code};
use crate::finding::Reason;
use crate::instance::Header;

/// Defined terms of Body Part Examined (PS3.16 annex L) that a chest radiograph may carry.
const CHEST_BODY_PARTS: [&str; 6] = ["CHEST", "THORAX", "LUNG", "LUNGS", "RIB", "RIBS"];

/// Codes of CID 4009 and its predecessors (SCT, SRT) for what a chest radiograph shows.
const CHEST_REGIONS: [&str; 9] =
    ["816094009", "51185008", "T-D3000", "43799004", "39607008", "T-28000", "113197003", "T-11300", "261179002"];

/// Sequences that code the anatomy (PS3.3 10.5), the one that counts first.
const REGIONS: [(Tag, &str); 2] = [
    (tags::ANATOMIC_REGION_SEQUENCE, "Anatomic Region"),
    (tags::PRIMARY_ANATOMIC_STRUCTURE_SEQUENCE, "Primary Anatomic Structure"),
];

/// Declines what the header says is another body part.
pub(super) fn decline(header: &Header) -> Option<Verdict> {
    let not_chest = |values| Some(declined(Reason::NotAChestImage, "body part", values));
    if let Some(part) = body_part(header) {
        let shown = shown("Body Part Examined", tags::BODY_PART_EXAMINED, vocabulary::known(&part, &OTHER_BODY_PARTS));
        return if is_chest_text(&part) { None } else { not_chest(shown) };
    }
    for (tag, name) in REGIONS {
        let regions = codes(header, tag);
        if let Some((code, _)) = regions.first() {
            let shown = shown_code(name, tag, code);
            return if regions.iter().any(is_chest_region) { None } else { not_chest(shown) };
        }
    }
    let other = vocabulary::first_match(header, &CHEST_TEXTS, &OTHER_BODY_PARTS)?;
    let chest = vocabulary::first_match(header, &CHEST_TEXTS, &CHEST_WORDS);
    if chest.is_some() { None } else { not_chest(other) }
}

/// What in the header says that this is a chest; `None` where nothing does.
pub(super) fn evidence_of_chest(header: &Header) -> Option<String> {
    if let Some(part) = body_part(header).filter(|part| is_chest_text(part)) {
        let word = vocabulary::contains_word(&part, &CHEST_WORDS).unwrap_or("RIBS");
        return Some(shown("Body Part Examined", tags::BODY_PART_EXAMINED, word));
    }
    let region = |(tag, name): (Tag, &str)| {
        let (code, _) = codes(header, tag).into_iter().find(is_chest_region)?;
        Some(shown_code(name, tag, &code))
    };
    if let Some(region) = REGIONS.into_iter().find_map(region) {
        return Some(region);
    }
    vocabulary::first_match(header, &CHEST_TEXTS, &CHEST_WORDS)
}

fn body_part(header: &Header) -> Option<String> {
    header.text(tags::BODY_PART_EXAMINED).map(|part| part.to_uppercase())
}

fn is_chest_text(part: &str) -> bool {
    CHEST_BODY_PARTS.contains(&part) || vocabulary::contains_word(part, &CHEST_WORDS).is_some()
}

fn is_chest_region((code, meaning): &(String, String)) -> bool {
    CHEST_REGIONS.contains(&code.as_str()) || vocabulary::contains_word(meaning, &CHEST_WORDS).is_some()
}
