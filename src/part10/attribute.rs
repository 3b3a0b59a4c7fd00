//! Single values of a data set, also where a sender lost their VR and wrote UN (PS3.5 section 6.2.2).

use dicom::core::{PrimitiveValue, Tag, VR};
use dicom::object::InMemDicomObject;

/// The first value as text without its padding; `None` when absent, empty or no text.
pub fn text(dataset: &InMemDicomObject, tag: Tag) -> Option<String> {
    texts(dataset, tag).into_iter().next().filter(|first| !first.is_empty())
}

/// All values as texts without their padding, empty ones included; none when absent or no text.
pub fn texts(dataset: &InMemDicomObject, tag: Tag) -> Vec<String> {
    let Some(element) = dataset.get(tag) else { return Vec::new() };
    let values = match (element.vr(), element.value().primitive()) {
        (VR::UN, Some(PrimitiveValue::U8(bytes))) => vec![String::from_utf8_lossy(bytes).into_owned()],
        (_, Some(value)) => value.to_multi_str().into_owned(),
        (_, None) => return Vec::new(),
    };
    let trimmed = |value: &str| value.trim_matches([' ', '\0']).to_owned();
    values.iter().flat_map(|value| value.split('\\')).map(trimmed).collect()
}

/// The first value of a decimal attribute; `None` when it is absent or no finite number.
pub fn decimal(dataset: &InMemDicomObject, tag: Tag) -> Option<f64> {
    text(dataset, tag)?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The first value of an integer attribute, binary or text; `None` when it is absent, `Some(None)` when it is
/// present but no integer.
pub fn integer(dataset: &InMemDicomObject, tag: Tag) -> Option<Option<i32>> {
    let element = dataset.get(tag)?;
    let Some(value) = element.value().primitive() else { return Some(None) };
    match (element.vr(), value) {
        (_, PrimitiveValue::Empty) => None,
        (VR::UN, PrimitiveValue::U8(bytes)) => Some(match **bytes {
            [] => return None,
            // Data sets with UN are little endian; only IS is longer or shorter than a US.
            [low, high] if !(low.is_ascii_digit() && (high.is_ascii_digit() || high == b' ')) => {
                Some(u16::from_le_bytes([low, high]).into())
            }
            _ => text(dataset, tag)?.parse().ok(),
        }),
        _ => Some(value.to_int().ok()),
    }
}

#[cfg(test)]
mod tests {
    use dicom::core::DataElement;
    use dicom::dictionary_std::tags;

    use super::*;

    fn unknown(bytes: &[u8]) -> InMemDicomObject {
        let value = PrimitiveValue::U8(bytes.into());
        InMemDicomObject::from_element_iter([DataElement::new(tags::RESCALE_INTERCEPT, VR::UN, value)])
    }

    #[test]
    fn values_of_unknown_vr_are_read_as_what_their_tag_means() {
        assert_eq!(decimal(&unknown(b" -1024"), tags::RESCALE_INTERCEPT), Some(-1024.0));
        assert_eq!(decimal(&unknown(b"1.5\\2 "), tags::RESCALE_INTERCEPT), Some(1.5));
        assert_eq!(integer(&unknown(&[0x00, 0x02]), tags::RESCALE_INTERCEPT), Some(Some(512)));
        assert_eq!(integer(&unknown(b"1 "), tags::RESCALE_INTERCEPT), Some(Some(1)));
        assert_eq!(integer(&unknown(b"x"), tags::RESCALE_INTERCEPT), Some(None));
        assert_eq!(integer(&unknown(b""), tags::RESCALE_INTERCEPT), None);
    }

    #[test]
    fn what_is_absent_has_no_value() {
        assert_eq!(text(&unknown(b"  "), tags::RESCALE_INTERCEPT), None);
        assert_eq!(text(&unknown(b"1"), tags::ROWS), None);
        assert_eq!(integer(&unknown(b"1"), tags::ROWS), None);
    }
}
