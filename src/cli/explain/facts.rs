//! What `auscult explain --json` says: the verdict, and the picture in figures, for programs that compare.

use serde::Serialize;

use super::preprocessing::Preprocessing;
use crate::config::Select;
use crate::finding::Reason;
use crate::model::{Input, Plausibility};
use crate::pixels::{PixelError, Radiograph};
use crate::select::{self, Grounds, Verdict};

/// Rows and columns of blocks.
const BLOCKS: usize = 16;

/// One image in facts.
#[derive(Serialize)]
pub(super) struct Facts {
    /// `accept` or `decline`.
    verdict: &'static str,
    /// The rule that decided.
    rule: &'static str,
    /// The header's values that it saw, or what the decoder said.
    values: String,
    /// Why the image is declined.
    reason: Option<String>,
    /// The picture as stored, where it could be decoded.
    luminance: Option<Luminance>,
    /// How the model would be shown it.
    preprocessing: Option<Preprocessing>,
    /// What the package's gate says of it; none where the package has no gate, or there is no picture.
    plausibility: Option<Gated>,
}

/// What the plausibility gate says.
#[derive(Serialize)]
struct Gated {
    score: f64,
    /// From where on images are accepted; none where everything is.
    threshold: Option<f64>,
}

/// A picture in figures, 0 (black) to 255.
#[derive(Serialize)]
struct Luminance {
    rows: usize,
    columns: usize,
    mean: f64,
    /// Percentiles, straight between neighbours.
    p01: f64,
    p50: f64,
    p99: f64,
    /// Means over 16 x 16 blocks from `i * n / 16` to `(i + 1) * n / 16`, row by row.
    blocks16: Vec<f64>,
}

impl Facts {
    /// What is said of an image whose header has this verdict, and whose pixels came to this, before a model's `input` and
    /// the gate of its package.
    pub(super) fn new(
        verdict: &Verdict,
        decoded: &Result<Radiograph, PixelError>,
        input: &Input,
        (plausibility, settings): (Option<Plausibility>, &Select),
    ) -> Result<Self, PixelError> {
        let gated = plausibility.map(|Plausibility { score, threshold }| {
            let verdict = select::looks_like_chest(score, threshold, settings);
            (Gated { score, threshold: settings.plausibility.threshold(threshold) }, verdict)
        });
        let (plausibility, looks) = gated.unzip();
        let verdict = match (verdict, looks.flatten()) {
            (Verdict::Accepted(_), Some(declined @ Verdict::Declined(..))) => &declined.clone(),
            _ => verdict,
        };
        let luminance = decoded.as_ref().ok().map(Luminance::of).transpose()?;
        let framing = decoded.as_ref().ok().map(|image| input.framing(image)).transpose()?;
        let preprocessing = framing.as_ref().map(Preprocessing::from);
        let (name, rule, values, reason) = match (verdict, decoded) {
            (Verdict::Accepted(Grounds { rule, values }), Ok(_)) => ("accept", *rule, values.clone(), None),
            (Verdict::Accepted(_), Err(error)) => {
                ("decline", "pixels", error.to_string(), Some(Reason::PixelsNotDecodable))
            }
            (Verdict::Declined(reason, Grounds { rule, values }), _) => {
                ("decline", *rule, values.clone(), Some(*reason))
            }
        };
        let reason = reason.map(|reason| reason.to_string());
        Ok(Self { verdict: name, rule, values, reason, luminance, preprocessing, plausibility })
    }
}

impl Luminance {
    fn of(image: &Radiograph) -> Result<Self, PixelError> {
        let luminance = image.luminance()?;
        let mut sorted = luminance.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        Ok(Self {
            rows: image.rows,
            columns: image.columns,
            mean: mean(luminance.iter()),
            p01: percentile(&sorted, 0.01),
            p50: percentile(&sorted, 0.5),
            p99: percentile(&sorted, 0.99),
            blocks16: blocks(&luminance, image.rows, image.columns),
        })
    }
}

fn mean<'a>(luminance: impl Iterator<Item = &'a f32>) -> f64 {
    let (sum, count) = luminance.fold((0.0, 0.0), |(sum, count), value| (sum + f64::from(*value), count + 1.0_f64));
    255.0 * sum / count.max(1.0)
}

fn percentile(sorted: &[f32], fraction: f64) -> f64 {
    let place = fraction * sorted.len().saturating_sub(1) as f64;
    let at = |place: f64| sorted.get(place as usize).copied().unwrap_or_default();
    let (low, high) = (f64::from(at(place.floor())), f64::from(at(place.ceil())));
    255.0 * (low + (high - low) * place.fract())
}

/// Each block has at least one row and one column.
fn blocks(luminance: &[f32], rows: usize, columns: usize) -> Vec<f64> {
    let part = |block: usize, length: usize| {
        let begin = (block * length / BLOCKS).min(length.saturating_sub(1));
        begin..((block + 1) * length / BLOCKS).max(begin + 1)
    };
    let block = |index: usize| {
        let across = part(index % BLOCKS, columns);
        let down = luminance.chunks_exact(columns.max(1)).take(rows).enumerate();
        let lines = down.filter(|(row, _)| part(index / BLOCKS, rows).contains(row));
        mean(lines.flat_map(|(_, line)| line.get(across.clone()).unwrap_or_default()))
    };
    (0..BLOCKS * BLOCKS).map(block).collect()
}

/// The picture in 8 bits, row by row.
pub(super) fn grey_levels(image: &Radiograph) -> Result<Vec<u8>, PixelError> {
    let level = |luminance: &f32| (luminance * 255.0).round() as u8;
    let mut levels = Vec::with_capacity(image.rows * image.columns);
    image.for_each_row(|row| levels.extend(row.iter().map(level)))?;
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_picture() {
        let levels: Vec<u8> = (0..32 * 48).map(|at| (at / 48 * 4 + at % 48) as u8).collect();
        let image = Radiograph::of_bytes(48, levels.clone());
        let figures = Luminance::of(&image).unwrap();
        assert_eq!((figures.rows, figures.columns, figures.blocks16.len()), (32, 48, 256));
        // 31 / 2 * 4 + 47 / 2
        assert!((figures.mean - 85.5).abs() < 1e-3);
        // Rows 2 and 3, columns 3 to 5: 2.5 * 4 + 4
        assert!((figures.blocks16[17] - 14.0).abs() < 1e-3);
        assert!((figures.p50 - 85.5).abs() < 1.0 && figures.p01 < 20.0 && figures.p99 > 150.0);
        assert_eq!(grey_levels(&image).unwrap(), levels);
    }

    #[test]
    fn a_picture_smaller_than_the_blocks_has_all_of_them() {
        let figures = Luminance::of(&Radiograph::of_bytes(1, vec![51])).unwrap();
        assert_eq!(figures.blocks16.len(), 256);
        assert!(figures.blocks16.iter().all(|block| (block - 51.0).abs() < 1e-3));
    }
}
