//! The drawings of a performance.

use std::iter;

use super::AtThreshold;
use crate::plot::{Axis, Chart, Colour, Corner, Mark, Series, Stroke};
use crate::statistics::{Calibration, Counts, Cuts, Estimate};

/// Bars of the histogram.
const BARS: usize = 20;

/// A drawing and the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawing {
    /// Without an extension.
    pub name: &'static str,
    /// An SVG document.
    pub svg: String,
}

fn series(name: impl Into<String>, colour: Colour, mark: Mark) -> Series {
    Series { name: Some(name.into()), colour, mark }
}

fn line(from: (f64, f64), to: (f64, f64)) -> Mark {
    Mark::Line(Stroke::Fine, vec![from, to])
}

/// A band around a curve, and the curve.
fn curve(name: String, points: &[(f64, Estimate)]) -> [Series; 2] {
    let band = points.iter().map(|(x, Estimate { low, high, .. })| (*x, *low, *high)).collect();
    let values = points.iter().map(|(x, estimate)| (*x, estimate.value)).collect();
    let band = Series { name: Some("95 % interval".into()), colour: Colour::Blue, mark: Mark::Band(band) };
    [band, series(name, Colour::Blue, Mark::Line(Stroke::Solid, values))]
}

fn at(threshold: &AtThreshold, place: Option<(f64, Estimate)>) -> Option<Series> {
    let (x, Estimate { value, low, high }) = place?;
    let name = format!("at threshold {:.3}", threshold.threshold);
    Some(series(name, Colour::Orange, Mark::Points(vec![(x, value, low, high)])))
}

/// A curve and its band, beside what chance would give, and the threshold's place on it.
fn beside(chance: Mark, name: String, points: &[(f64, Estimate)], threshold: Option<Series>) -> Vec<Series> {
    let chance = series("by chance", Colour::Grey, chance);
    iter::once(chance).chain(curve(name, points)).chain(threshold).collect()
}

fn spread(what: &str, Estimate { value, low, high }: Estimate) -> String {
    format!("{what} {value:.3} ({low:.3} to {high:.3})")
}

/// Sensitivity over 1 - specificity.
pub(super) fn roc(what: &str, cuts: &Cuts, auc: Estimate, threshold: &AtThreshold) -> Drawing {
    let place = |counts: &Counts| Some((1.0 - counts.specificity()?.value, counts.sensitivity()?));
    let points: Vec<_> = cuts.all().iter().filter_map(|cut| place(&cut.counts)).collect();
    let chance = line((0.0, 0.0), (1.0, 1.0));
    let chart = Chart {
        title: format!("ROC, {what}"),
        x: Axis::unit("1 \u{2212} specificity"),
        y: Axis::unit("Sensitivity"),
        series: beside(chance, spread("AUC", auc), &points, at(threshold, place(&threshold.counts))),
        legend: Corner::LowerRight,
    };
    Drawing { name: "roc", svg: chart.svg() }
}

/// Positive predictive value over sensitivity; `None` without positives.
pub(super) fn precision_recall(what: &str, cuts: &Cuts, threshold: &AtThreshold) -> Option<Drawing> {
    let place = |counts: &Counts| Some((counts.sensitivity()?.value, counts.positive_predictive_value()?));
    let points: Vec<_> = cuts.all().iter().filter_map(|cut| place(&cut.counts)).collect();
    let share = points.last()?.1.value;
    let (chance, average) = (line((0.0, share), (1.0, share)), spread("average", cuts.average_precision()?));
    let chart = Chart {
        title: format!("Precision and recall, {what}"),
        x: Axis::unit("Recall (sensitivity)"),
        y: Axis::unit("Precision (positive predictive value)"),
        series: beside(chance, average, &points, at(threshold, place(&threshold.counts))),
        legend: Corner::LowerLeft,
    };
    Some(Drawing { name: "precision-recall", svg: chart.svg() })
}

/// Share of positives over the score.
pub(super) fn reliability(what: &str, calibration: &Calibration) -> Drawing {
    let bin = |bin: &crate::statistics::Bin| {
        let Estimate { value, low, high } = bin.positive;
        (bin.score, value, low, high)
    };
    let points: Vec<_> = calibration.bins().iter().map(bin).collect();
    let through = points.iter().map(|(x, y, ..)| (*x, *y)).collect();
    let error = format!("bins, 95 % interval (error {:.3})", calibration.expected_error());
    let chart = Chart {
        title: format!("Reliability, {what}"),
        x: Axis::unit("Mean score of the bin"),
        y: Axis::unit("Share of positives"),
        series: vec![
            series("calibrated", Colour::Grey, line((0.0, 0.0), (1.0, 1.0))),
            Series { name: None, colour: Colour::Blue, mark: Mark::Line(Stroke::Fine, through) },
            series(error, Colour::Blue, Mark::Points(points)),
        ],
        legend: Corner::UpperLeft,
    };
    Drawing { name: "reliability", svg: chart.svg() }
}

/// How many images have which score, positives beside negatives.
pub(super) fn scores(what: &str, label: &str, scores: &[f64], positive: &[bool], threshold: f64) -> Drawing {
    let width = 1.0 / BARS as f64;
    let mut counts = [[0_usize; BARS]; 2];
    for (score, is) in scores.iter().zip(positive) {
        let bar = ((score * BARS as f64) as usize).min(BARS - 1);
        if let Some(count) = counts.get_mut(usize::from(*is)).and_then(|counts| counts.get_mut(bar)) {
            *count += 1;
        }
    }
    let bars = |counts: &[usize; BARS], shift: f64| {
        let bar = |(number, count): (usize, &usize)| {
            let from = number as f64 * width + shift * width / 2.0;
            (from + 0.06 * width, from + 0.44 * width, *count as f64)
        };
        Mark::Bars(counts.iter().enumerate().filter(|(_, count)| **count > 0).map(bar).collect())
    };
    let [negatives, positives] = &counts;
    let y = Axis::from_zero("Images", counts.iter().flatten().map(|count| *count as f64));
    let chart = Chart {
        title: format!("Scores, {what}"),
        x: Axis::unit(&format!("Score for {label}")),
        y,
        series: vec![
            series(format!("threshold {threshold:.3}"), Colour::Grey, line((threshold, 0.0), (threshold, f64::MAX))),
            series(format!("not {label}"), Colour::Blue, bars(negatives, 0.0)),
            series(label, Colour::Orange, bars(positives, 1.0)),
        ],
        legend: Corner::Top,
    };
    Drawing { name: "scores", svg: chart.svg() }
}
