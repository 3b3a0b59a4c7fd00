//! What the reader reads: conclusion, comment, reasons and numbers, all in ASCII, so that the words are legal in
//! whatever character set the image brings along.

use std::collections::BTreeSet;

use crate::config::ContentQualification;
use crate::finding::{Finding, OperatingPoint, Presence, Probability, Reason};

/// The line that the report is read for: Conclusion (121077, DCM) of the document, also for a terminal or a list.
pub fn conclusion(finding: &Finding) -> String {
    let (Some(presence), Some(score)) = (finding.presence(), finding.score()) else {
        let reasons = all_reasons(finding);
        return format!("NOT ANALYSED. No AI result is available for this examination. Reason: {reasons}");
    };
    let verdict = match presence {
        Presence::Present => "Possible pneumonia.",
        Presence::Absent => "Pneumonia not detected.",
        Presence::Undetermined => "Pneumonia undetermined.",
    };
    let point = &finding.operating_point;
    let (score, threshold) = (score_text(score, point), threshold_text(point));
    let rest = match finding.declined().count() {
        0 => String::new(),
        k => format!(" {k} of {} images were not analysed: {}", finding.images.len(), all_reasons(finding)),
    };
    format!("{verdict} Score {score} % (threshold {threshold} %).{rest}")
}

/// What every report says of itself: Comment (121106, DCM).
pub(super) fn comment(qualification: ContentQualification) -> String {
    let caution = "Computer-generated result, not verified by a physician. Does not replace the interpretation of the \
                   images.";
    match qualification {
        ContentQualification::Research => format!("{caution} For research use only."),
        ContentQualification::Product => caution.to_owned(),
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

fn all_reasons(finding: &Finding) -> String {
    distinct_reasons(finding).into_iter().map(Reason::text).collect::<Vec<_>>().join("; ")
}

/// Completion Flag Description (0040,A492), VR LO: why a report is partial. `None` when every image was analysed.
pub(super) fn completion_description(finding: &Finding) -> Option<String> {
    const LONGEST: usize = 64;
    let reasons = distinct_reasons(finding);
    let first = reasons.first()?;
    let all = format!("Not analysed: {}", all_reasons(finding));
    let short = format!("Not analysed: {first} +{}", reasons.len() - 1);
    Some(if all.len() <= LONGEST { all } else { short })
}

/// A score with one decimal, or as many as it takes not to cross the operating point.
pub fn score_text(score: Probability, point: &OperatingPoint) -> String {
    faithful(score, point, 1)
}

/// A score as Numeric Value (0040,A30A), VR DS: up to four decimals, more if it takes them not to cross the
/// operating point, without trailing zeros.
pub(super) fn score_number(score: Probability, point: &OperatingPoint) -> String {
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
        assert_eq!(completion_description(&partial).unwrap(), "Not analysed: lateral view is not supported +1");
        assert_eq!(completion_description(&none).unwrap(), "Not analysed: model not available");
        assert_eq!(completion_description(&finding(vec![scored(0.1)])), None);
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
