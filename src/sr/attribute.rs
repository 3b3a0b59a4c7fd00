//! Attributes as octets: taken from an image where they are legal for their value representation (PS3.5 section
//! 6.2), put into the report without being decoded.

use chrono::{NaiveDate, NaiveTime};
use dicom::core::{DataElement, PrimitiveValue, Tag, VR};
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;
use dicom::object::mem::InMemElement;

use super::codes::Code;

/// The longest value of an attribute that the report takes over (VR LT).
const LONGEST: usize = 10_240;

const ESC: u8 = 0x1b;

/// A data element of `value`, padded to even length.
pub(super) fn element(tag: Tag, vr: VR, value: impl AsRef<[u8]>) -> InMemElement {
    let octets = value.as_ref();
    let plain = octets.iter().all(|octet| (0x20..0x7f).contains(octet));
    match std::str::from_utf8(octets) {
        Ok(text) if plain && tag != tags::SPECIFIC_CHARACTER_SET => {
            DataElement::new(tag, vr, PrimitiveValue::from(text))
        }
        // As octets, because the writer would encode a text in the character set that it takes the report to be in.
        _ => {
            let mut padded = octets.to_vec();
            if padded.len() % 2 == 1 {
                padded.push(b' ');
            }
            DataElement::new(tag, vr, PrimitiveValue::U8(padded.into()))
        }
    }
}

/// The octets of a text attribute, whatever they are, without trailing NULs; `None` when it is absent, blank,
/// absurdly long or no text.
pub(super) fn verbatim(octets: &InMemDicomObject, tag: Tag) -> Option<Vec<u8>> {
    let found = octets.get(tag)?;
    let PrimitiveValue::U8(value) = found.value().primitive()? else { return None };
    let end = value.iter().rposition(|octet| *octet != 0)? + 1;
    let value = value.get(..end)?;
    (is_text(found.header().vr) && !all_padding(value) && value.len() <= LONGEST).then(|| value.to_vec())
}

/// Is the attribute there without a value?
pub(super) fn is_blank(octets: &InMemDicomObject, tag: Tag) -> bool {
    match octets.get(tag).and_then(|element| element.value().primitive()) {
        Some(PrimitiveValue::Empty) => true,
        Some(PrimitiveValue::U8(value)) => all_padding(value),
        _ => false,
    }
}

fn all_padding(value: &[u8]) -> bool {
    value.iter().all(|octet| matches!(octet, 0 | b' '))
}

/// The octets of an attribute if they are legal for `vr`, without padding. Dates and times in the form of before 1993
/// (PS3.5 table 6.2-1, DA and TM: `yyyy.mm.dd`, `hh:mm:ss`) come in today's.
pub(super) fn legal(octets: &InMemDicomObject, tag: Tag, vr: VR) -> Option<Vec<u8>> {
    let value = verbatim(octets, tag)?;
    let value = match vr {
        VR::DA => without_separators(value, b'.', [4, 7]),
        VR::TM => without_separators(value, b':', [2, 5]),
        _ => value,
    };
    is_legal(&value, vr).then(|| value.trim_ascii_end().to_vec())
}

/// The value without separators where they stand at both places.
fn without_separators(mut value: Vec<u8>, separator: u8, [first, second]: [usize; 2]) -> Vec<u8> {
    if [first, second].iter().all(|place| value.get(*place) == Some(&separator)) {
        value.remove(second);
        value.remove(first);
    }
    value
}

/// The values of a multi-valued attribute, each trimmed; an illegal one is empty.
pub(super) fn values(octets: &InMemDicomObject, tag: Tag, vr: VR) -> Vec<String> {
    let Some(value) = verbatim(octets, tag) else { return Vec::new() };
    let one = |value: &[u8]| String::from_utf8(value.trim_ascii().to_vec()).ok().filter(|_| is_legal(value, vr));
    value.split(|octet| *octet == b'\\').map(|value| one(value).unwrap_or_default()).collect()
}

/// The legal single value of an attribute that holds ASCII only (VR AS, CS, DA, DS, TM, UI).
pub(super) fn plain(octets: &InMemDicomObject, tag: Tag, vr: VR) -> Option<String> {
    String::from_utf8(legal(octets, tag, vr)?.trim_ascii().to_vec()).ok()
}

/// The items of a sequence attribute.
pub(super) fn items(octets: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    octets.get(tag).and_then(|element| element.items()).unwrap_or_default()
}

/// The complete coded entries of a sequence attribute: those with value, scheme and meaning.
pub(super) fn codes(octets: &InMemDicomObject, tag: Tag) -> Vec<Code> {
    items(octets, tag).iter().filter_map(code).collect()
}

fn code(item: &InMemDicomObject) -> Option<Code> {
    let code = Code {
        value: legal(item, tags::CODE_VALUE, VR::SH)?.into(),
        scheme: legal(item, tags::CODING_SCHEME_DESIGNATOR, VR::SH)?.into(),
        version: legal(item, tags::CODING_SCHEME_VERSION, VR::SH),
        meaning: legal(item, tags::CODE_MEANING, VR::LO)?.into(),
    };
    // A meaning in a character set of the item's own would be misread in the report's.
    let foreign = item.get(tags::SPECIFIC_CHARACTER_SET).is_some() && !code.meaning.is_ascii();
    (!foreign).then_some(code)
}

fn is_text(vr: VR) -> bool {
    matches!(
        vr,
        VR::AE | VR::AS | VR::CS | VR::DA | VR::DS | VR::DT | VR::IS | VR::LO | VR::LT | VR::PN | VR::SH | VR::ST
    ) || matches!(vr, VR::TM | VR::UC | VR::UI | VR::UN | VR::UR | VR::UT)
}

/// PS3.5 table 6.2-1, for the value representations that the report takes over.
fn is_legal(value: &[u8], vr: VR) -> bool {
    let plain = value.trim_ascii();
    match vr {
        VR::SH => is_line(value, 16),
        VR::LO => is_line(value, 64),
        VR::PN => is_line(value, 3 * 64 + 2),
        VR::UT => is_line(value, LONGEST),
        VR::LT => value.iter().all(|octet| is_printable(octet) || matches!(octet, b'\t' | b'\n' | b'\r' | 0x0c)),
        VR::CS => plain.len() <= 16 && plain.iter().all(|c| matches!(c, b'A'..=b'Z' | b'0'..=b'9' | b' ' | b'_')),
        VR::AS => matches!(plain, [a, b, c, b'D' | b'W' | b'M' | b'Y'] if [a, b, c].iter().all(|d| d.is_ascii_digit())),
        VR::DA => date(plain).is_some(),
        VR::TM => time(plain).is_some(),
        VR::DS => decimal(plain).is_some(),
        _ => false,
    }
}

/// No control character but ESC, and in no value more characters than the VR allows: in character sets of several
/// octets to a character the exact count is not known here.
fn is_line(values: &[u8], longest: usize) -> bool {
    let octets = if values.is_ascii() && !values.contains(&ESC) { longest } else { 4 * longest };
    values.split(|octet| *octet == b'\\').all(|value| value.trim_ascii().len() <= octets)
        && values.iter().all(is_printable)
}

/// No control character but ESC, which switches between character sets.
fn is_printable(octet: &u8) -> bool {
    *octet == ESC || (*octet >= 0x20 && *octet != 0x7f)
}

/// A value of VR DS.
fn decimal(value: &[u8]) -> Option<f64> {
    let digits = value.iter().all(|c| matches!(c, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    let number: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (digits && value.len() <= 16 && number.is_finite()).then_some(number)
}

/// A value of VR DA.
pub(super) fn date(value: &[u8]) -> Option<NaiveDate> {
    let (year, rest) = digits(value, 4)?;
    let (month, rest) = digits(rest, 2)?;
    let (day, rest) = digits(rest, 2)?;
    if !rest.is_empty() {
        return None;
    }
    NaiveDate::from_ymd_opt(year.try_into().ok()?, month, day)
}

/// A value of VR TM, what it leaves out being zero.
pub(super) fn time(value: &[u8]) -> Option<NaiveTime> {
    const LEAP_SECOND: u32 = 60;
    let (clock, fraction) = match value.iter().position(|octet| *octet == b'.') {
        Some(6) => value.split_at_checked(6)?,
        Some(_) => return None,
        None => (value, b".0".as_slice()),
    };
    let mut parts = [0; 3];
    let pairs = clock.chunks(2);
    if !(1..=parts.len()).contains(&pairs.len()) {
        return None;
    }
    for (part, pair) in parts.iter_mut().zip(pairs) {
        (*part, _) = digits(pair, 2)?;
    }
    let [hour, minute, second] = parts;
    let second = if second == LEAP_SECOND { LEAP_SECOND - 1 } else { second };
    NaiveTime::from_hms_micro_opt(hour, minute, second, microseconds(fraction)?)
}

/// The microseconds of `.F` to `.FFFFFF`.
fn microseconds(fraction: &[u8]) -> Option<u32> {
    let figures = fraction.strip_prefix(b".")?;
    let (number, _) = digits(figures, figures.len())?;
    let missing = 6_u32.checked_sub(figures.len().try_into().ok()?)?;
    (!figures.is_empty()).then(|| number * 10_u32.pow(missing))
}

/// The first `count` octets as a number, and the rest.
fn digits(value: &[u8], count: usize) -> Option<(u32, &[u8])> {
    let (digits, rest) = value.split_at_checked(count)?;
    let number = digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok())??;
    Some((number, rest))
}
