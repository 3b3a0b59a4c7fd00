//! Is it a frontal view? View Position, then View Code, then Patient Orientation, then descriptions.
//! Without a sign of another view the image counts as frontal: many CR devices name none.

use dicom::dictionary_std::tags;

use super::vocabulary::{self, FRONTAL_WORDS, LATERAL_WORDS, OTHER_VIEW_WORDS, VIEW_TEXTS, VIEWS};
use super::{Verdict, codes, declined, is_snomed, shown, shown_code};
use crate::finding::Reason;
use crate::instance::Header;

/// What an attribute says of the view.
enum View {
    Frontal,
    Lateral,
    Other,
}

/// Declines what the header says is no frontal view.
pub(super) fn decline(header: &Header) -> Option<Verdict> {
    let (view, values) = view_position(header)
        .or_else(|| view_code(header))
        .or_else(|| patient_orientation(header).filter(|(view, _)| !matches!(view, View::Frontal)))
        .or_else(|| description(header))?;
    match view {
        View::Frontal => None,
        View::Lateral => Some(declined(Reason::LateralView, "view", values)),
        View::Other => Some(declined(Reason::ViewNotSupported, "view", values)),
    }
}

/// What in the header says that this is a frontal view; `None` where nothing does.
pub(super) fn evidence_of_frontal(header: &Header) -> Option<String> {
    let (view, values) = view_position(header).or_else(|| view_code(header)).or_else(|| patient_orientation(header))?;
    matches!(view, View::Frontal).then_some(values)
}

/// View Position (0018,5101): PS3.3 C.8.1.1 and C.8.11.5, and what devices write instead.
fn view_position(header: &Header) -> Option<(View, String)> {
    let position = header.text(tags::VIEW_POSITION)?.to_uppercase();
    let view = match position.as_str() {
        "PA" | "AP" | "AP/PA" | "PA/AP" | "FRONTAL" => View::Frontal,
        "LL" | "RL" | "LAT" | "LATERAL" | "LLAT" | "RLAT" => View::Lateral,
        _ if vocabulary::contains_word(&position, &OTHER_VIEW_WORDS).is_some() => View::Other,
        _ if vocabulary::contains_word(&position, &LATERAL_WORDS).is_some() => View::Lateral,
        _ if vocabulary::contains_word(&position, &FRONTAL_WORDS).is_some() => View::Frontal,
        _ => View::Other,
    };
    Some((view, shown("View Position", tags::VIEW_POSITION, vocabulary::known(&position, &VIEWS))))
}

/// View Code Sequence (0054,0220): CID 4010 in SCT and SRT; a code of another scheme by the words of its meaning, and not
/// at all where those say nothing of a view.
fn view_code(header: &Header) -> Option<(View, String)> {
    let (code, meaning) = codes(header, tags::VIEW_CODE_SEQUENCE).into_iter().next()?;
    let says = |words: &[&'static str]| vocabulary::contains_word(&meaning, words).is_some();
    let view = match code.as_str() {
        "399033003" | "399348003" | "272479007" | "R-10202" | "R-10206" | "R-10214" => View::Frontal,
        "399173006" | "399198007" | "399067008" | "399260004" | "399352003" => View::Lateral,
        "R-10236" | "R-10232" | "R-102CD" | "R-10224" | "R-10228" => View::Lateral,
        _ if says(&OTHER_VIEW_WORDS) => View::Other,
        _ if says(&LATERAL_WORDS) => View::Lateral,
        _ if says(&FRONTAL_WORDS) => View::Frontal,
        snomed if is_snomed(snomed) => View::Other,
        _ => return None,
    };
    Some((view, shown_code("View Code", tags::VIEW_CODE_SEQUENCE, &code)))
}

/// Patient Orientation (0020,0020), PS3.3 C.7.6.1.1.1: rows that run left-right show a frontal view, rows that
/// run front-back a lateral one.
fn patient_orientation(header: &Header) -> Option<(View, String)> {
    let directions = header.texts(tags::PATIENT_ORIENTATION);
    if !directions.iter().all(|direction| direction.len() <= 3 && direction.chars().all(|c| "APLRHF".contains(c))) {
        return None;
    }
    let view = match directions.iter().filter_map(|d| d.chars().next()).collect::<Vec<_>>().as_slice() {
        ['L' | 'R', 'F' | 'H'] | ['F' | 'H', 'L' | 'R'] => View::Frontal,
        ['A' | 'P', _] | [_, 'A' | 'P'] => View::Lateral,
        _ => return None,
    };
    Some((view, shown("Patient Orientation", tags::PATIENT_ORIENTATION, &directions.join("\\"))))
}

/// Descriptions of the series and the acquisition; the study's describe other images as well.
fn description(header: &Header) -> Option<(View, String)> {
    let says = |words: &[&'static str]| vocabulary::first_match(header, &VIEW_TEXTS, words);
    let lateral = says(&LATERAL_WORDS).map(|values| (View::Lateral, values));
    lateral.or_else(|| says(&OTHER_VIEW_WORDS).map(|values| (View::Other, values)))
}
