//! Is the patient of an age that the model is made for? Patient's Age (0010,1010), else Birth Date (0010,0030) and the date
//! of the study. An age that nobody tells is no reason to decline.

use chrono::NaiveDate;
use dicom::dictionary_std::tags;

use super::{Verdict, declined};
use crate::finding::{AgeRange, OLDEST, Reason};
use crate::instance::Header;

/// Declines a patient younger or older than `intended`. The grounds do not tell the age.
pub(super) fn decline(header: &Header, intended: AgeRange) -> Option<Verdict> {
    let years = age(header).or_else(|| from_dates(header)).filter(|years| *years <= OLDEST)?;
    let values = match years {
        _ if years < intended.youngest() => format!("younger than {} years", intended.youngest()),
        _ if years > intended.oldest() => format!("older than {} years", intended.oldest()),
        _ => return None,
    };
    Some(declined(Reason::AgeOutsideIntendedRange, "patient age", values))
}

/// VR AS (PS3.5 table 6.2-1) in completed years; also with fewer figures than three, as some devices write it.
fn age(header: &Header) -> Option<u32> {
    const DAYS_OF_FOUR_YEARS: u32 = 1461;
    let text = header.text(tags::PATIENT_AGE)?;
    let (figures, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain = (1..=3).contains(&figures.len()) && figures.bytes().all(|figure| figure.is_ascii_digit());
    let count: u32 = plain.then(|| figures.parse().ok())??;
    match unit {
        "D" => Some(count * 4 / DAYS_OF_FOUR_YEARS),
        "W" => Some(count * 7 * 4 / DAYS_OF_FOUR_YEARS),
        "M" => Some(count / 12),
        "Y" => Some(count),
        _ => None,
    }
}

fn from_dates(header: &Header) -> Option<u32> {
    let date = |tag| {
        let text = header.text(tag)?;
        let figures = text.len() == 8 && text.bytes().all(|figure| figure.is_ascii_digit());
        NaiveDate::parse_from_str(&text, "%Y%m%d").ok().filter(|_| figures)
    };
    let taken = [tags::STUDY_DATE, tags::ACQUISITION_DATE, tags::CONTENT_DATE].into_iter().find_map(date)?;
    taken.years_since(date(tags::PATIENT_BIRTH_DATE)?)
}
