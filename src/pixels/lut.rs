//! Look-up tables of a header: Modality LUT and VOI LUT items (PS3.3 C.11.1.1, C.11.2.1.1).

use dicom::core::{PrimitiveValue, Tag};
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use super::PixelError;

/// A table from whole numbers to whole numbers; inputs beyond its ends get the first or the last entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lut {
    /// The input that the first entry stands for.
    first: i32,
    /// 1..=65536 entries.
    entries: Vec<u16>,
    /// 8..=16; the largest output is `2^bits - 1`.
    bits: u32,
}

impl Lut {
    /// The first item of a sequence of tables; `input` tells how its first mapped value is meant.
    pub fn first_of(dataset: &InMemDicomObject, sequence: Tag, input: Input) -> Result<Option<Self>, PixelError> {
        let Some(element) = dataset.get(sequence) else { return Ok(None) };
        let items = element.items().ok_or(bad("a look-up table's sequence"))?;
        items.first().map(|item| Self::of_item(item, input)).transpose()
    }

    fn of_item(item: &InMemDicomObject, input: Input) -> Result<Self, PixelError> {
        let descriptor = item.get(tags::LUT_DESCRIPTOR).and_then(|d| d.to_multi_int::<i32>().ok());
        let Some([count, first, bits]) = descriptor.as_deref() else { return Err(bad("LUT Descriptor")) };
        // 65536 entries are written as 0, and as US or SS alike (PS3.3 C.11.1.1.1).
        let count = if *count == 0 { 65_536 } else { (*count & 0xffff) as usize };
        let first = match input {
            Input::Signed => i32::from(*first as i16),
            Input::Unsigned => *first,
        };
        let bits = u32::try_from(*bits).ok().filter(|bits| (8..=16).contains(bits)).ok_or(bad("LUT Descriptor"))?;
        let data = item.get(tags::LUT_DATA).and_then(|data| data.value().primitive()).ok_or(bad("LUT Data"))?;
        let entries = entries(data, count).filter(|entries| entries.len() == count).ok_or(bad("LUT Data"))?;
        Ok(Self { first, entries, bits })
    }

    /// The entry of an input, as a number.
    pub fn value(&self, input: f64) -> f64 {
        let index = (input.round() - f64::from(self.first)).clamp(0.0, (self.entries.len() - 1) as f64);
        self.entries.get(index as usize).copied().unwrap_or_default().into()
    }

    /// The entry of an input as a fraction of the largest output, 0..=1.
    pub fn fraction(&self, input: f64) -> f64 {
        (self.value(input) / f64::from((1_u32 << self.bits) - 1)).min(1.0)
    }
}

/// Whether a table's inputs can be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Signed,
    Unsigned,
}

/// One entry a word, or two entries a word (low byte first) where the words are half as many.
fn entries(data: &PrimitiveValue, count: usize) -> Option<Vec<u16>> {
    if let PrimitiveValue::U8(bytes) = data {
        if bytes.len() == 2 * count {
            let (pairs, _) = bytes.as_chunks::<2>();
            return Some(pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect());
        }
        return Some(bytes.iter().take(count).map(|byte| u16::from(*byte)).collect());
    }
    let words = data.to_multi_int::<i32>().ok()?;
    if words.len() < count && 2 * words.len() >= count {
        return Some(words.iter().flat_map(|word| [*word as u16 & 0xff, *word as u16 >> 8]).take(count).collect());
    }
    Some(words.iter().take(count).map(|word| *word as u16).collect())
}

fn bad(name: &'static str) -> PixelError {
    PixelError::Contradictory(format!("{name} is missing or does not fit its table"))
}

#[cfg(test)]
mod tests {
    use dicom::core::{DataElement, VR};

    use super::*;

    fn item(descriptor: [u16; 3], data: PrimitiveValue) -> InMemDicomObject {
        InMemDicomObject::from_element_iter([
            DataElement::new(tags::LUT_DESCRIPTOR, VR::US, PrimitiveValue::from(descriptor)),
            DataElement::new(tags::LUT_DATA, VR::OW, data),
        ])
    }

    #[test]
    fn inputs_beyond_the_ends_get_the_end_entries() {
        let lut = Lut::of_item(&item([3, 10, 12], PrimitiveValue::from([5_u16, 6, 4095])), Input::Unsigned).unwrap();
        assert_eq!([0.0, 10.0, 11.4, 12.0, 900.0].map(|v| lut.value(v)), [5.0, 5.0, 6.0, 4095.0, 4095.0]);
        assert_eq!(lut.fraction(12.0), 1.0);
    }

    #[test]
    fn the_first_mapped_value_may_be_negative() {
        let item = item([2, 0xfffe, 8], PrimitiveValue::from([7_u16, 9]));
        let lut = Lut::of_item(&item, Input::Signed).unwrap();
        assert_eq!([-3.0, -2.0, -1.0, 0.0].map(|v| lut.value(v)), [7.0, 7.0, 9.0, 9.0]);
        assert_eq!(Lut::of_item(&item, Input::Unsigned).unwrap().first, 65534);
    }

    #[test]
    fn zero_entries_stand_for_65536() {
        let lut =
            Lut::of_item(&item([0, 0, 16], PrimitiveValue::U16(vec![1; 65_536].into())), Input::Unsigned).unwrap();
        assert_eq!(lut.entries.len(), 65_536);
    }

    #[test]
    fn eight_bit_entries_may_be_packed() {
        let lut = Lut::of_item(&item([3, 0, 8], PrimitiveValue::from([0x0201_u16, 0x0003])), Input::Unsigned).unwrap();
        assert_eq!(lut.entries, [1, 2, 3]);
    }

    #[test]
    fn tables_that_do_not_fit_are_contradictory() {
        for (descriptor, data) in [([9, 0, 8], vec![1_u16; 3]), ([3, 0, 17], vec![1; 3]), ([3, 0, 0], vec![1; 3])] {
            let item = item(descriptor, PrimitiveValue::U16(data.into()));
            assert!(matches!(Lut::of_item(&item, Input::Unsigned), Err(PixelError::Contradictory(_))));
        }
    }
}
