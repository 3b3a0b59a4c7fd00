//! When a report was made: in the image's time zone, and never before the image.

use chrono::{DateTime, FixedOffset, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use dicom::core::VR;
use dicom::dictionary_std::tags;
use dicom::object::mem::InMemElement;

use super::attribute::{date, element, plain, time};
use super::document::Source;
use super::identity;

/// When the report was made, in the time zone that the image declares, and never before an image was.
pub(super) fn moment(sources: &[Source], now: DateTime<FixedOffset>) -> NaiveDateTime {
    let zone = sources.first().and_then(|source| identity::time_zone(source.header.octets()));
    let zone = zone.and_then(FixedOffset::east_opt).unwrap_or(*now.offset());
    let now = now.with_timezone(&zone).naive_local();
    let latest = sources.iter().flat_map(image_moments).max().map_or(now, |image| now.max(image));
    let whole = latest.with_nanosecond(0).unwrap_or(latest);
    if whole < latest && latest > now { whole + TimeDelta::seconds(1) } else { whole }
}

/// When the study took place and when the image was made.
fn image_moments(source: &Source) -> Vec<NaiveDateTime> {
    let octets = source.header.octets();
    let day = |tag| date(plain(octets, tag, VR::DA)?.as_bytes());
    let hour = |tag| time(plain(octets, tag, VR::TM)?.as_bytes());
    let study_time = hour(tags::STUDY_TIME).unwrap_or(NaiveTime::MIN);
    let pairs = [
        (tags::STUDY_DATE, tags::STUDY_TIME),
        (tags::CONTENT_DATE, tags::CONTENT_TIME),
        (tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
    ];
    pairs.iter().filter_map(|(d, t)| Some(day(*d)?.and_time(hour(*t).unwrap_or(study_time)))).collect()
}

/// The report's own dates, all the same.
pub(super) fn dates(moment: NaiveDateTime) -> Vec<InMemElement> {
    let (date, time) = (moment.format("%Y%m%d").to_string(), moment.format("%H%M%S").to_string());
    let dates = [tags::INSTANCE_CREATION_DATE, tags::SERIES_DATE, tags::CONTENT_DATE];
    let times = [tags::INSTANCE_CREATION_TIME, tags::SERIES_TIME, tags::CONTENT_TIME];
    let dates = dates.into_iter().map(|tag| element(tag, VR::DA, &date));
    dates.chain(times.into_iter().map(|tag| element(tag, VR::TM, &time))).collect()
}
