//! What the reader reads: conclusion, comment, reasons and numbers, put together from the words of a language.

use std::collections::BTreeSet;

use super::device::Device;
use super::language::Language;
use crate::config::ContentQualification;
use crate::finding::{Finding, OperatingPoint, Outcome, Probability, Reason};

/// The line that the report is read for, in English: for a terminal or a log.
pub fn conclusion(finding: &Finding) -> String {
    conclusion_in(finding, Language::ENGLISH)
}

/// Conclusion (121077, DCM) of the document.
pub(super) fn conclusion_in(finding: &Finding, language: &Language) -> String {
    let phrases = &language.phrases;
    let (Some(presence), Some(score)) = (finding.presence(), finding.score()) else {
        return phrases.not_analysed.replace("{reasons}", &all_reasons(finding, language));
    };
    let point = &finding.operating_point;
    let scored = phrases
        .scored
        .replace("{verdict}", phrases.verdict(presence))
        .replace("{score}", &language.number(&score_text(score, point)))
        .replace("{threshold}", &language.number(&threshold_text(point)));
    match finding.declined().count() {
        0 => scored,
        k => scored + &filled_partly(k, finding, language),
    }
}

fn filled_partly(declined: usize, finding: &Finding, language: &Language) -> String {
    let partly = language.phrases.partly.replace("{k}", &declined.to_string());
    partly.replace("{n}", &finding.images.len().to_string()).replace("{reasons}", &all_reasons(finding, language))
}

/// The words of a report for other channels than DICOM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The line that the report is read for.
    pub conclusion: String,
    /// What every report says of itself.
    pub comment: String,
}

/// The words of a report by `device`, in its language.
pub fn words(finding: &Finding, device: &Device) -> Words {
    let language = Language::of(device.language);
    Words { conclusion: conclusion_in(finding, language), comment: comment(device.content_qualification, language) }
}

/// What became of one image, in a sentence; `number` counts from 1.
pub(super) fn image_line(number: usize, outcome: Outcome, point: &OperatingPoint, language: &Language) -> String {
    let phrases = &language.phrases;
    let line = match outcome {
        Outcome::Analysed(score) => {
            phrases.image_scored.replace("{score}", &language.number(&score_text(score, point)))
        }
        Outcome::NotAnalysed(reason) => phrases.image_not_analysed.replace("{reasons}", (language.reason)(reason)),
    };
    line.replace("{number}", &number.to_string())
}

/// What every report says of itself: Comment (121106, DCM).
pub(super) fn comment(qualification: ContentQualification, language: &Language) -> String {
    let phrases = &language.phrases;
    match qualification {
        ContentQualification::Research => format!("{}{}", phrases.comment, phrases.research),
        ContentQualification::Product => phrases.comment.to_owned(),
    }
}

/// A text of another author (configuration, model package) as one line of ASCII for VR LO or SH, never empty.
pub(super) fn line(text: &str, longest: usize) -> String {
    let plain = |c: char| match c {
        '\\' => '/',
        ' '..='~' => c,
        _ => '?',
    };
    let line: String = text.trim().chars().map(plain).take(longest).collect();
    if line.is_empty() { "unknown".to_owned() } else { line }
}

fn distinct_reasons(finding: &Finding) -> BTreeSet<Reason> {
    finding.declined().collect()
}

fn all_reasons(finding: &Finding, language: &Language) -> String {
    let reasons = distinct_reasons(finding).into_iter().map(language.reason);
    reasons.collect::<Vec<_>>().join(language.phrases.separator)
}

/// Completion Flag Description (0040,A492), VR LO: why a report is partial. `None` when every image was analysed.
pub(super) fn completion_description(finding: &Finding, language: &Language) -> Option<String> {
    const LONGEST: usize = 64;
    let reasons = distinct_reasons(finding);
    let first = (language.reason)(*reasons.first()?);
    let completion = |reasons: &str| language.phrases.completion.replace("{reasons}", reasons);
    let all = completion(&all_reasons(finding, language));
    // Counted in octets, which is what some receivers do.
    Some(if all.len() <= LONGEST { all } else { completion(&format!("{first} +{}", reasons.len() - 1)) })
}

/// A score with one decimal, or as many as it takes not to cross the operating point.
pub fn score_text(score: Probability, point: &OperatingPoint) -> String {
    faithful(score, point, 1)
}

/// A score as Numeric Value (0040,A30A), VR DS: up to four decimals, more if it takes them not to cross the
/// operating point, without trailing zeros.
pub fn score_number(score: Probability, point: &OperatingPoint) -> String {
    without_trailing_zeros(&faithful(score, point, 4)).to_owned()
}

/// The threshold in percent for the reader: one decimal, up to four where it has them.
pub fn threshold_text(point: &OperatingPoint) -> String {
    let text = format!("{:.4}", point.threshold().percent());
    with_a_decimal(without_trailing_zeros(&text))
}

/// A bound of the operating point in percent, exactly.
pub(super) fn exact_percent(bound: Probability) -> String {
    let fraction = bound.fraction().to_string();
    let (whole, decimals) = fraction.split_once('.').unwrap_or((&fraction, ""));
    let padded = format!("{decimals:0<2}");
    let (hundredths, finer) = padded.split_at_checked(2).unwrap_or((&padded, ""));
    let percent = format!("{whole}{hundredths}");
    let percent = percent.trim_start_matches('0');
    with_a_decimal(&format!("{}.{finer}", if percent.is_empty() { "0" } else { percent }))
}

fn with_a_decimal(number: &str) -> String {
    match number.split_once('.') {
        Some((whole, "")) => format!("{whole}.0"),
        None => format!("{number}.0"),
        Some(_) => number.to_owned(),
    }
}

fn without_trailing_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// The score in percent with at least `decimals` decimals: rounded, else cut off, else rounded up, whichever
/// stands on the score's side of every bound as printed.
fn faithful(score: Probability, point: &OperatingPoint, decimals: u32) -> String {
    const MOST_DECIMALS: u32 = 12;
    let bounds = [Some(point.threshold()), point.undetermined_from()];
    let faithful = |text: &String| {
        let printed = text.parse().unwrap_or(f64::NAN);
        bounds.iter().flatten().all(|bound| {
            let bound_printed: f64 = exact_percent(*bound).parse().unwrap_or(f64::NAN);
            (printed >= bound_printed) == (score >= *bound) && printed <= 100.0
        })
    };
    (decimals..=MOST_DECIMALS)
        .flat_map(|decimals| candidates(score.percent(), decimals))
        .find(faithful)
        .unwrap_or_else(|| exact_percent(score))
}

fn candidates(percent: f64, decimals: u32) -> [String; 3] {
    let scale = 10_f64.powi(decimals.try_into().unwrap_or(0));
    let places = decimals as usize;
    [percent, (percent * scale).floor() / scale, (percent * scale).ceil() / scale]
        .map(|number| format!("{number:.places$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sr::testimony::{failed, finding, p, scored};

    #[test]
    fn the_conclusion_says_verdict_score_and_threshold() {
        let of = |score| conclusion(&finding(vec![scored(score)]));
        assert_eq!(of(0.931_187), "Possible pneumonia. Score 93.1 % (threshold 50.0 %).");
        assert_eq!(of(0.0725), "Pneumonia not detected. Score 7.2 % (threshold 50.0 %).");
        assert_eq!(of(0.4996), "Pneumonia not detected. Score 49.9 % (threshold 50.0 %).");
        assert_eq!(of(0.5), "Possible pneumonia. Score 50.0 % (threshold 50.0 %).");
        let zone = OperatingPoint::new(p(0.5), Some(p(0.3)));
        let undetermined = Finding { operating_point: zone, ..finding(vec![scored(0.499_999)]) };
        assert_eq!(conclusion(&undetermined), "Pneumonia undetermined. Score 49.9 % (threshold 50.0 %).");
    }

    #[test]
    fn what_was_not_analysed_is_said_with_its_reasons() {
        let none = finding(vec![failed(Reason::ModelNotAvailable)]);
        assert_eq!(
            conclusion(&none),
            "NOT ANALYSED. No AI result is available for this examination. Reason: model not available"
        );
        let partial = finding(vec![
            failed(Reason::ForProcessing),
            scored(0.1),
            failed(Reason::LateralView),
            failed(Reason::LateralView),
        ]);
        assert_eq!(
            conclusion(&partial),
            "Pneumonia not detected. Score 10.0 % (threshold 50.0 %). 3 of 4 images were not analysed: lateral view is \
             not supported; image is for processing, not for presentation"
        );
        assert_eq!(
            completion_description(&partial, Language::ENGLISH).unwrap(),
            "Not analysed: lateral view is not supported +1"
        );
        assert_eq!(completion_description(&none, Language::ENGLISH).unwrap(), "Not analysed: model not available");
        assert_eq!(completion_description(&finding(vec![scored(0.1)]), Language::ENGLISH), None);
    }

    #[test]
    fn other_languages_say_the_same() {
        let german = Language::of(crate::config::Language::De);
        let of = |outcomes| conclusion_in(&finding(outcomes), german);
        assert_eq!(of(vec![scored(0.931_187)]), "Pneumonie m\u{f6}glich. Score 93,1 % (Schwelle 50,0 %).");
        assert_eq!(
            of(vec![scored(0.1), failed(Reason::LateralView)]),
            "Keine Pneumonie erkannt. Score 10,0 % (Schwelle 50,0 %). 1 von 2 Bildern nicht ausgewertet: Seitaufnahme \
             nicht unterst\u{fc}tzt"
        );
        let japanese = Language::of(crate::config::Language::Ja);
        let partial = finding(vec![failed(Reason::LateralView), failed(Reason::NotAChestImage)]);
        assert!(conclusion_in(&partial, japanese).starts_with("\u{672a}\u{89e3}\u{6790}\u{3002}"));
        let point = OperatingPoint::new(p(0.5), None);
        assert_eq!(image_line(2, scored(0.5), &point, german), "Bild 2: Score 50,0 %.");
        assert_eq!(
            image_line(1, failed(Reason::ImageTooSmall), &point, Language::ENGLISH),
            "Image 1: not analysed, image too small."
        );
    }

    #[test]
    fn a_printed_score_never_crosses_a_bound() {
        for (threshold, score, text, number) in [
            (0.5, 0.499_999_9, "49.9", "49.9999"),
            (0.57, 0.57, "57.0", "57"),
            (0.4574, 0.45745, "45.8", "45.745"),
            (0.456_789_12, 0.456_789_119, "45.6", "45.6789"),
            (0.456_789_12, 0.456_789_121, "45.7", "45.679"),
            (1.0, 1.0, "100.0", "100"),
            (0.5, 0.0, "0.0", "0"),
            (0.5, 1e-9, "0.0", "0"),
        ] {
            let point = OperatingPoint::new(p(threshold), None);
            assert_eq!((score_text(p(score), &point), score_number(p(score), &point)), (text.into(), number.into()));
        }
        let narrow = OperatingPoint::new(p(0.500_001), Some(p(0.5)));
        assert_eq!(score_text(p(0.500_000_5), &narrow), "50.0");
    }

    #[test]
    fn bounds_are_printed_exactly() {
        for (fraction, exact, short) in
            [(0.57, "57.0", "57.0"), (0.5, "50.0", "50.0"), (0.045_678_9, "4.56789", "4.5679"), (1.0, "100.0", "100.0")]
        {
            let point = OperatingPoint::new(p(fraction), None);
            assert_eq!((exact_percent(p(fraction)), threshold_text(&point)), (exact.into(), short.into()));
        }
    }

    #[test]
    fn foreign_texts_become_one_plain_line() {
        assert_eq!(line(" a\\b\u{fc}\n ", 64), "a/b?");
        assert_eq!(line("", 64), "unknown");
        assert_eq!(line(&"x".repeat(80), 16).len(), 16);
    }
}
