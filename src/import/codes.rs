//! Coded entries of an imported radiograph (PS3.16 CID 4009 and 4010, SNOMED CT).

use dicom::core::{DataElement, VR};
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use super::View;

/// Value and meaning of a SNOMED CT concept.
pub(super) type Code = (&'static str, &'static str);

/// The examination, where the body part alone says which one it was.
pub(super) fn procedure(body_part: &str) -> Option<Code> {
    (body_part == "CHEST").then_some(("399208008", "Plain chest X-ray"))
}

/// CID 4009 DX Anatomy Imaged, for the body parts that are plausible as test input; `None` for any other.
pub(super) fn region(body_part: &str) -> Option<Code> {
    Some(match body_part {
        "CHEST" => ("816094009", "Chest"),
        "ABDOMEN" => ("818981001", "Abdomen"),
        "HAND" => ("85562004", "Hand"),
        "SKULL" => ("89546000", "Skull"),
        _ => return None,
    })
}

/// CID 4010 DX View.
pub(super) fn view(view: View) -> Code {
    match view {
        View::Pa => ("272479007", "postero-anterior"),
        View::Ap => ("399348003", "antero-posterior"),
        View::Ll => ("399173006", "left lateral"),
        View::Rl => ("399198007", "right lateral"),
    }
}

/// The item of a code sequence (PS3.3 8.8).
pub(super) fn item((value, meaning): Code) -> InMemDicomObject {
    InMemDicomObject::from_element_iter([
        DataElement::new(tags::CODE_VALUE, VR::SH, value),
        DataElement::new(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "SCT"),
        DataElement::new(tags::CODE_MEANING, VR::LO, meaning),
    ])
}
